"""Who sits at this machine, as its account says."""

from shared.person import person

__all__ = ["person"]
