"""What a run of predictions says: a table for people, values for programs."""

from typing import Any

from rich.console import Console

from client.data.cures import cure
from client.predict.run import Predicted, Read
from client.printing import printable, two_lines_each
from client.result import NOTICE

HEADER = ("", "case", "tier", "urgent", "findings", "largest", "folder")
REASONS = 3
TELLING = 0.005  # log-odds: a reason below adds 0.00 in words


def as_values(done: Predicted) -> dict[str, Any]:
    """JSON-ready values under stable keys."""
    return {
        "notice": NOTICE,
        "out": str(done.out),
        "read": [
            {
                "folder": str(one.folder),
                "new": one.new,
                "result": one.result.model_dump(mode="json", by_alias=True),
            }
            for one in done.read
        ],
        "failed": [
            {"case": skip.case, "reason": skip.reason, "detail": skip.detail, "cure": cure(skip.reason)}
            for skip in done.failed
        ],
    }


def print_predicted(done: Predicted, console: Console) -> None:
    """Print two lines a scan, most probably urgent first, then what could not be read and what helps."""
    order = sorted(done.read, key=_urgency)
    tiers = [one.result.priority.tier if one.result.priority else "none" for one in order]
    rows = [_row(number, one, tier) for number, (one, tier) in enumerate(zip(order, tiers, strict=True), 1)]
    for line in two_lines_each(HEADER, rows, [_because(one) for one in order], tiers):
        console.print(line, soft_wrap=True)
    for skip in done.failed:
        _say(console, f"not read: {skip.case}: {skip.reason}: {skip.detail.removeprefix(f'{skip.case}: ')}")
        _say(console, f"          {cure(skip.reason)}")
    new = sum(one.new for one in done.read)
    _say(
        console,
        f"{new} read, {len(done.read) - new} kept, {len(done.failed)} not read; results in {done.out}",
    )
    _say(console, NOTICE)


def _urgency(one: Read) -> tuple[float, str]:
    priority = one.result.priority
    return (1.0 if priority is None else -priority.probability), one.result.case


def _row(number: int, one: Read, tier: str) -> tuple[str, ...]:
    result, priority = one.result, one.result.priority
    largest = max((finding.diameter_mm for finding in result.findings), default=None)
    return (
        str(number),
        printable(result.case),
        tier,
        f"{100 * priority.probability:.0f} %" if priority else "",
        str(len(result.findings)),
        "" if largest is None else f"{largest:.1f} mm",
        one.folder.name,
    )


def _because(one: Read) -> str:
    priority = one.result.priority
    telling = [r.text for r in priority.reasons if abs(r.contribution) >= TELLING] if priority else []
    return printable("; ".join([*telling[:REASONS], *(f"! {text}" for text in one.result.warnings)]))


def _say(console: Console, text: str) -> None:
    console.print(printable(text), markup=False, highlight=False, soft_wrap=True)
