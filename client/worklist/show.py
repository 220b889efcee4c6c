"""The worklist for a person."""

from datetime import datetime, timedelta

from rich.console import Group, RenderableType
from rich.text import Text

from client.printing import printable, two_lines_each
from client.result import NOTICE
from client.worklist.export import Listed
from client.worklist.records import Row

HEADER = ("", "case", "tier", "probability", "waits", "state")
SHOWN_REASONS = 3


def shown(listed: Listed, site_file: str) -> RenderableType:
    """Two lines a scan, then what was counted, which model it is of, and what is wrong."""
    cells, because = [_cells(row, listed) for row in listed.rows], [_because(row) for row in listed.rows]
    parts = two_lines_each(HEADER, cells, because, [row.tier for row in listed.rows])
    parts += [Text(line, style="dim" if calm else "bold yellow") for line, calm in _footer(listed, site_file)]
    return Group(*parts)


def _cells(row: Row, listed: Listed) -> tuple[str, ...]:
    return (
        "" if row.rank is None else str(row.rank),
        printable(row.case),
        _tier(row),
        _probability(row) + ("*" if listed.is_older(row) else ""),
        _wait((row.finished or listed.now) - row.waiting_since),
        printable(row.state if row.reader is None else f"{row.state}: {row.reader}"),
    )


def _because(row: Row) -> str:
    return printable("; ".join([*row.reasons[:SHOWN_REASONS], *(f"! {one}" for one in row.warnings)]))


def _tier(row: Row) -> str:
    said = f", score {row.model_tier}" if row.model_tier not in {None, row.tier} else ""
    why = {
        "model": "",
        "ordered": f" (ordered{said})",
        "held": f" (held{said})",
        "waited": f" (waited{said})",
    }
    return f"{row.tier}{why[row.why]}"


def _probability(row: Row) -> str:
    if row.probability is None:
        return "no score"
    if row.low is None or row.high is None or row.low == row.high:
        return f"{row.probability:.2f}"
    return f"{row.probability:.2f} ({row.low:.2f}-{row.high:.2f})"


def _wait(time: timedelta) -> str:
    minutes = max(0, int(time.total_seconds())) // 60
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60:02} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def _footer(listed: Listed, site_file: str) -> list[tuple[str, bool]]:
    """Lines below the table, and whether each is calm."""
    counts = listed.counts
    if not sum(counts.values()):
        return [(f"No scan is listed yet. Next: wardround site predict {site_file} SCAN...", True)]
    told = [f"{counts['waiting']} waiting, {counts['reading']} being read, {counts['read']} read"]
    if not counts["waiting"] and not counts["reading"]:
        told[0] += ". Everything was read"
    if listed.rows and len(listed.rows) < counts["waiting"] + counts["reading"]:
        told.append(f"{len(listed.rows)} shown")
    lines = [("; ".join(told) + f". {_clock(listed.now)}. {NOTICE}", True)]
    if listed.weights_digest is not None:
        calibration = "none" if listed.calibration_digest is None else listed.calibration_digest[:12]
        lines.append((f"model {listed.weights_digest[:12]}, calibration {calibration}", True))
    if older := sum(listed.is_older(row) for row in listed.rows):
        lines.append((f"* {older} by an earlier model or calibration; predict them again", False))
    lines += [(note, False) for note in listed.notes]
    if listed.drift is not None:
        lines.append((listed.drift["text"], listed.drift["state"] != "drift"))
    return lines


def _clock(now: datetime) -> str:
    return f"{now.astimezone():%Y-%m-%d %H:%M:%S}"
