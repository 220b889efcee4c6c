"""The sum of diameters, by RECIST 1.1 (Eisenhauer et al. 2009, European Journal of Cancer 45:228-247).

Up to five target lesions count, the longest measurable ones. Two rules need what a mask does not tell and are
left to the reader: at most two targets an organ, and lymph nodes by their short axis. The sum over every
finding would grow with each speck that a network sees; the number and the volume of all stand beside it.
"""

from collections.abc import Iterable

TARGETS = 5
MEASURABLE_MM = 10.0
THIN_SLICE_MM = 5.0


def measurable_from_mm(slice_mm: float) -> float:
    """Shortest diameter that is a measurement: 10 mm, or two slices where these are thicker than 5 mm."""
    return MEASURABLE_MM if slice_mm <= THIN_SLICE_MM else max(MEASURABLE_MM, 2 * slice_mm)


def sum_of_diameters_mm(diameters_mm: Iterable[float], *, slice_mm: float) -> float:
    """Sum of the five longest that are measurable; 0 without any."""
    least = measurable_from_mm(slice_mm)
    return sum(sorted((d for d in diameters_mm if d >= least), reverse=True)[:TARGETS])
