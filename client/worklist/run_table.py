"""The reading order of the patients a run has tested: a CSV, most probably urgent first, with reasons."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from shared.files import write_atomically
from shared.priority import CalibratedPriority, reading_order

REASON_PREFIX = "because_"
COLUMNS = (
    "rank",
    "case",
    "tier",
    "probability",
    "low",
    "high",
    "log_odds",
    "reasons",
    "missing",
    "intercept",
    "calibration",
)


def worklist(
    scans: Mapping[str, Mapping[str, float]], priority: CalibratedPriority, *, site: str
) -> pd.DataFrame:
    """Put `scans` (case -> features by name) in reading order.

    Columns: rank, case, tier, probability and its 95 % interval, log_odds, reasons in words, what was
    missing, the intercept, what the calibration added, and one column per term with its share of the
    log-odds. Intercept, calibration and terms add up to log_odds exactly.
    """
    found = {case: priority.prioritise(features, site) for case, features in scans.items()}
    rows = []
    for rank, case in enumerate(reading_order(found), start=1):
        one = found[case]
        shares = {f"{REASON_PREFIX}{r.feature}": r.contribution for r in one.reasons}
        rows.append(
            {
                "rank": rank,
                "case": case,
                "tier": one.tier,
                "probability": one.probability,
                "low": one.low,
                "high": one.high,
                "log_odds": one.log_odds,
                "reasons": "; ".join(r.text for r in one.reasons),
                "missing": "; ".join(one.missing),
                "intercept": one.intercept,
                "calibration": one.calibration,
                **shares,
            }
        )
    because = [f"{REASON_PREFIX}{term.name}" for term in priority.terms]
    return pd.DataFrame(rows, columns=[*COLUMNS, *because])  # a day without scans still has a header


def write_table(path: Path, rows: pd.DataFrame | Iterable[Mapping[str, object]]) -> None:
    """Write a CSV that appears whole or not at all."""
    table = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    with write_atomically(path) as temporary:
        table.to_csv(temporary, index=False)
