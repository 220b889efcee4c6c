"""From class probabilities to findings: what, how large, where; and how that compares with a reference."""

from client.findings.finding import Findings, find
from client.findings.judging import judge, spurious

__all__ = ["Findings", "find", "judge", "spurious"]
