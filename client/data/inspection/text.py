"""An inspection in words and numbers, the same on the terminal and on the page."""

import math
from collections.abc import Sequence
from pathlib import Path

from client.data.inspection.facts import CaseFacts, Fault, Inspection, Range, Spread, Tally

MOST_VALUES = 6  # of a tally that are shown


def verdict(found: Inspection) -> str:
    """Say in a sentence or two how much of the folder can be used."""
    scans = "case" if found.cases == 1 else "cases"
    text = f"{found.usable} of {found.cases} {scans} can be used."
    if found.warnings:
        text += f" {len(found.warnings)} thing(s) to look at."
    return text


def overview(found: Inspection) -> list[tuple[str, str]]:
    """Name and text of each fact about the folder as a whole."""
    rows = [
        ("layout", found.layout),
        ("cases", f"{found.cases}, {found.usable} of them can be used"),
        ("patients", _patients(found)),
        ("formats", _tallies(found.formats)),
        ("modalities", _tallies(found.modalities) or "not stated"),
        ("channels", _tallies(found.channels)),
        ("shape", _spread(found.shapes, "voxels")),
        ("spacing", _spread(found.spacings_mm, "mm")),
        ("orientation", _tallies(found.orientations)),
        ("stored as", _tallies(found.dtypes)),
        ("labels", _labels(found)),
        ("duplicates", _duplicates(found)),
        ("assumed", _tallies(found.assumed)),
    ]
    return [(name, text) for name, text in rows if text]


def number(value: float) -> str:
    """Write a number with four significant digits, without an exponent up to ten millions."""
    if not math.isfinite(value):
        return str(value)
    if value == round(value) and abs(value) < 1e7:
        return str(round(value))
    digits = max(0, 3 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{value:.{digits}f}" if 1e-3 <= abs(value) < 1e7 else f"{value:.3g}"
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def ranged(values: Range) -> str:
    """Write lowest, middle and highest, or the one number that all are."""
    low, middle, high = number(values.lowest), number(values.middle), number(values.highest)
    return low if low == high else f"{low} … {middle} … {high}"


def triple(values: Sequence[float]) -> str:
    """Write three sides."""
    return " × ".join(number(value) for value in values)


def marked(case: CaseFacts) -> str:
    """Say what a case's label marks: each value but the background with its volume, or its count."""
    if case.label is None:
        return ""
    found = [value for value in case.label.values if value.value != 0 or case.label.kind == "points"]
    unit = "points" if case.label.kind == "points" else "pixels"
    parts = [
        f"{value.value}: {number(value.ml)} ml"
        if value.ml is not None
        else f"{value.value}: {value.count} {unit}"
        for value in found
    ]
    return ", ".join(parts) or "nothing"


def told(fault: Fault) -> str:
    """Name the case, once, and say what was found."""
    return fault.detail if fault.detail.startswith(f"{fault.case}:") else f"{fault.case}: {fault.detail}"


def legend(found: Inspection) -> list[tuple[int, str]]:
    """Return value and name of each label value that is drawn: of points also the background."""
    points = any(case.label is not None and case.label.kind == "points" for case in found.facts)
    return [(one.value, one.name or "") for one in found.labels if one.value or points]


def _patients(found: Inspection) -> str:
    patients = found.patients
    if patients.count is None:
        return "not known"
    source = "the layout" if patients.source == "layout" else Path(patients.source).name
    others = f", and {patients.unmapped} case(s) of which it says nothing" if patients.unmapped else ""
    return f"{patients.count - patients.unmapped}, as {source} says{others}"


def _tallies(tallies: Sequence[Tally]) -> str:
    """`RAS 6, LAS 1 (case-3)`: rarer values name the cases that stand for them."""
    parts = []
    for index, tally in enumerate(tallies[:MOST_VALUES]):
        rare = index > 0 and tally.cases < tallies[0].cases
        more = ", ..." if tally.cases > len(tally.examples) else ""
        names = f" ({', '.join(tally.examples)}{more})" if rare else ""
        parts.append(f"{tally.value} {tally.cases}{names}")
    if len(tallies) > MOST_VALUES:
        parts.append(f"and {len(tallies) - MOST_VALUES} more")
    return ", ".join(parts)


def _spread(spread: Spread | None, unit: str) -> str:
    if spread is None:
        return ""
    if spread.different == 1:
        return f"{triple(spread.middle)} {unit}, all the same"
    sides = [
        low if low == high else f"{low}-{high}"
        for low, high in zip(map(number, spread.lowest), map(number, spread.highest), strict=True)
    ]
    return f"{' × '.join(sides)} {unit}, middle {triple(spread.middle)}, {spread.different} different"


def _labels(found: Inspection) -> str:
    if found.tumour_free_share is None:
        return "none read"
    return f"{found.labelled} read, {found.tumour_free} of them mark nothing ({found.tumour_free_share:.0%})"


def _duplicates(found: Inspection) -> str:
    groups = len(found.duplicates)
    return f"{groups} group(s) with the same pixels" if groups else "none"
