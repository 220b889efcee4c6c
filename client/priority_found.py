"""The priority of one scan as the site keeps it: the whole sum, what was missing, what would change it."""

from client.reasons.changes import in_words
from client.result import PriorityFound, Reason
from shared.priority import CalibratedPriority, Features


def priority_found(
    priority: CalibratedPriority, features: Features, *, site: str, changes: bool = True
) -> PriorityFound:
    """Score one scan of a site; without `changes` it is not worked out what would change the tier.

    Raises
    ------
    CaseError, ConfigError
        As `CalibratedPriority.prioritise`.
    """
    found = priority.prioritise(features, site)
    return PriorityFound(
        **{
            **vars(found),
            "reasons": tuple(Reason(**vars(reason)) for reason in found.reasons),
            "changes": in_words(priority, features, site) if changes else (),
        }
    )
