"""How values, tiers and places are said, wherever a doctor reads them: reasons, worklist, pages."""

from collections.abc import Sequence

NOT_RECORDED = "not recorded"
TIER_WORDS = {
    "routine": "Routine",
    "urgent": "Urgent: before the routine",
    "asap": "As soon as possible",
    "stat": "At once",
}
"""FHIR's request priorities, lowest first (https://hl7.org/fhir/request-priority)."""
_DIRECTIONS = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))


def plain(value: float) -> str:
    """Write a number with one decimal, below 1 with two digits: 31, 3.1, 0.31."""
    return f"{value:z.1f}".removesuffix(".0") if abs(value) >= 1 else f"{value + 0.0:.2g}"


def said(value: float | None, unit: str = "", *, flag: bool = False) -> str:
    """Say a value with its unit: ``31 mm``, ``yes`` for a flag, ``not recorded`` for None."""
    if value is None:
        return NOT_RECORDED
    if flag and value in {0, 1}:
        return "yes" if value else "no"
    return f"{plain(value)} {unit}".strip()


def listed(names: Sequence[str]) -> str:
    """Join names: ``a``, ``a and b``, ``a, b and c``."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def counted(number: int, one: str, more: str = "") -> str:
    """Count as in ``1 site``, ``3 sites``, ``2 passes``; `more` where it is not `one` with an s."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def percent(fraction: float) -> str:
    """Say a probability in whole percent; what is neither 0 nor 1 never reads as if it were."""
    if 0 < fraction < 0.01:
        return "under 1 %"
    if 0.99 < fraction < 1:
        return "over 99 %"
    return f"{100 * fraction:.0f} %"


def log_odds(value: float) -> str:
    """Write log-odds with their sign: +1.40, −0.30."""
    return f"{value:+z.2f}".replace("-", "−")


def place(position_mm: Sequence[float]) -> str:
    """Say a position in RAS: ``31 right, 12 anterior, 40 inferior``."""
    return ", ".join(
        f"{abs(value):.0f} {names[value >= 0]}" for value, names in zip(position_mm, _DIRECTIONS, strict=True)
    )
