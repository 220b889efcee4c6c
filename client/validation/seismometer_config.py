"""A site's scored scans in seismometer's own format: two tables and the files that describe them.

    FOLDER/config.yml          where everything lies
    FOLDER/usage_config.yml    which column means what, the outcome's window, the cohorts
    FOLDER/dictionary.yml      names, types and meanings of columns and events
    FOLDER/data/metadata.json  model name and thresholds
    FOLDER/data/*.parquet      one row per scan; one event per scan

There is no real clock here and none is needed: scan k is dated EPOCH + k hours and its outcome, 0 or 1,
becomes an event OUTCOME_DELAY_H later, far inside the window. An event outside the window would silently
turn into "not urgent"; that is why negatives are written as events too, and why the reader counts again.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from shared.errors import ConfigError, DataError

EPOCH = pd.Timestamp("2000-01-01")
OUTCOME_DELAY_H = 24
WINDOW_H = 24 * 365
CENSOR_MIN_COUNT = 10  # seismometer 0.5 refuses less; groups of this size are still hidden

EVENT = "Urgent outcome"
SCORE, NETWORK_SCORE = "probability", "finding_probability"
TIER_COHORT = "Tier"

_REQUIRED = {
    "patient": "patient identifier",
    "case": "scan identifier",
    SCORE: "calibrated probability of an urgent outcome, 0 to 1",
    NETWORK_SCORE: "the network's own probability of a finding, 0 to 1",
    "urgent": "observed outcome, 0 or 1",
    "tier": "place in the reading order",
}
_COHORTS = {"tier": TIER_COHORT, "age_band": "Age (years)", "sex": "Sex", "site": "Site"}
_TIERS = ("stat", "asap", "urgent", "routine")
_AGE_YEARS = {"under 50": 0.0, "50 to 64": 50.0, "65 to 74": 65.0, "75 and over": 75.0}


def whole_percents(thresholds: Sequence[float]) -> tuple[int, ...]:
    """Round to the whole percents that seismometer counts at; ascending, without repeats.

    Raises ConfigError when none is given or one rounds to 0 or 100, where nothing is decided.
    """
    percents = tuple(sorted({round(threshold * 100) for threshold in thresholds}))
    if not percents or percents[0] < 1 or percents[-1] > 99:
        raise ConfigError(
            f"thresholds {list(thresholds)} cannot be reported: expected one or more, from 0.01 to 0.99. "
            "Correct priority.tiers in the study."
        )
    return percents


def write_inputs(folder: Path, rows: pd.DataFrame, *, site: str, thresholds: Sequence[float]) -> None:
    """Write one site's scans and outcomes into `folder`, ready for `seismometer_report.render`.

    `rows` has one row per scan with patient, case, probability (calibrated, 0..1), finding_probability
    (0..1), urgent (0/1) and tier; further numeric columns are medical history and go along, `age` (years) and
    `sex_male` (0/1) also as cohorts. `thresholds` are probabilities; see `whole_percents`.
    Raises DataError for rows that cannot be judged, ConfigError for thresholds that cannot be.
    """
    percents = whole_percents(thresholds)
    _check(rows)
    rows = rows.reset_index(drop=True)
    scan_time = EPOCH + pd.to_timedelta(rows.index.to_numpy(), unit="h")
    keys = rows[["patient", "case"]].astype(str)
    predictions = _predictions(rows, site).assign(
        patient=keys["patient"], case=keys["case"], scan_time=scan_time
    )
    events = keys.assign(
        event="urgent",
        event_time=scan_time + pd.Timedelta(hours=OUTCOME_DELAY_H),
        value=rows["urgent"].astype(float),
    )
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    predictions.to_parquet(data / "predictions.parquet", index=False)
    events.to_parquet(data / "events.parquet", index=False)
    metadata = {"modelname": f"Wardround at {site}", "thresholds": [percent / 100 for percent in percents]}
    (data / "metadata.json").write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
    for name, content in (
        ("config.yml", {"other_info": _locations()}),
        ("usage_config.yml", {"data_usage": _usage(predictions)}),
        ("dictionary.yml", _dictionary(predictions)),
    ):
        (folder / name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _check(rows: pd.DataFrame) -> None:
    if missing := [name for name in _REQUIRED if name not in rows]:
        raise DataError(f"the scored scans lack {missing}, found {list(rows.columns)}. Add these columns.")
    if rows.empty:
        raise DataError("there are no scored scans with a known outcome: found 0 rows, expected at least 1.")
    if repeated := int(rows["case"].astype(str).duplicated().sum()):
        raise DataError(f"{repeated} of {len(rows)} rows repeat a case. Score each case once.")
    for name in (SCORE, NETWORK_SCORE):
        if outside := int((~rows[name].between(0, 1)).sum()):
            raise DataError(f"{outside} of {len(rows)} values of {name} are missing or not in 0..1.")
    if unknown := int((~rows["urgent"].isin((0, 1))).sum()):
        raise DataError(
            f"{unknown} of {len(rows)} outcomes are not 0 or 1. Leave out scans without a known outcome."
        )


def _predictions(rows: pd.DataFrame, site: str) -> pd.DataFrame:
    """Scores, cohorts and numeric history; the outcome stays out: seismometer merges it in."""
    history = rows.select_dtypes(["number", "bool"]).drop(columns="urgent", errors="ignore").astype(float)
    table = history.assign(site=site, tier=_ordered(rows["tier"], _TIERS))
    if "age" in history:
        edges = [*_AGE_YEARS.values(), float("inf")]
        table["age_band"] = pd.cut(history["age"], edges, right=False, labels=list(_AGE_YEARS))
    if "sex_male" in history:
        table["sex"] = _ordered(history["sex_male"].map({0.0: "female", 1.0: "male"}), ("female", "male"))
    return table


def _ordered(values: "pd.Series[Any]", first: Sequence[str]) -> "pd.Series[Any]":
    """Categorical with the names of `first` in that order, then any others."""
    others = sorted(set(values.dropna().astype(str)) - set(first))
    return pd.Series(pd.Categorical(values, categories=[*first, *others]), index=values.index)


def _locations() -> dict[str, str]:
    return {
        "usage_config": "usage_config.yml",
        "event_definition": "dictionary.yml",
        "prediction_definition": "dictionary.yml",
        "info_dir": "outputs",
        "data_dir": "data",
        "prediction_path": "predictions.parquet",
        "event_path": "events.parquet",
        "metadata_path": "metadata.json",
    }


def _usage(predictions: pd.DataFrame) -> dict[str, object]:
    return {
        "entity_id": "patient",
        "context_id": "case",
        "primary_output": SCORE,
        "outputs": [NETWORK_SCORE],
        "primary_target": EVENT,
        "predict_time": "scan_time",
        "comparison_time": "scan_time",
        "features": [],
        "cohorts": [
            {"source": source, "display_name": display}
            for source, display in _COHORTS.items()
            if source in predictions
        ],
        "event_table": {"type": "event", "time": "event_time", "value": "value"},
        "events": [
            {
                "source": "urgent",
                "display_name": EVENT,
                "usage": "target",
                "window_hr": WINDOW_H,
                "aggregation_method": "max",
                "merge_strategy": "forward",
            }
        ],
        "censor_min_count": CENSOR_MIN_COUNT,
    }


def _dictionary(predictions: pd.DataFrame) -> dict[str, list[dict[str, str]]]:
    """Types are stated because seismometer guesses those it is not told, by a column's name and range."""
    columns = [
        {"name": name, "dtype": "float", "definition": _REQUIRED.get(name, "medical history")}
        for name in predictions.select_dtypes("number").columns
    ]
    return {
        "predictions": columns,
        "events": [
            {"name": "urgent", "display_name": EVENT, "dtype": "float", "definition": _REQUIRED["urgent"]}
        ],
    }
