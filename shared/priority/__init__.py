"""From features to a score, a tier and its reasons: a reason is a term of the score, nothing else.

log_odds = map(intercept + sum over terms of coefficient * (transform(value) - centre) / scale)

where `map` is the calibration chosen for the score. What it adds is told as one more summand, so that the
whole stays an exact sum.
"""

from shared.priority.calibrated import CalibratedPriority
from shared.priority.design import Features, coefficient_names, design_matrix, usable_rows
from shared.priority.scoring import Priority, Reason, Tier, prioritise, reading_order, tier_of

__all__ = [
    "CalibratedPriority",
    "Features",
    "Priority",
    "Reason",
    "Tier",
    "coefficient_names",
    "design_matrix",
    "prioritise",
    "reading_order",
    "tier_of",
    "usable_rows",
]
