import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.worklist.run_table import COLUMNS, REASON_PREFIX, worklist, write_table
from tests.client.hospital import priority_of, tiny_study

SLOPES = {"finding_probability": 2.3, "volume_ml": 0.7, "age": 0.31}
PRIORITY = priority_of(tiny_study(), {"intercept": -1.7, **SLOPES})
BECAUSE = [f"{REASON_PREFIX}{name}" for name in SLOPES]

features = st.fixed_dictionaries(
    {"finding_probability": st.floats(0, 1), "volume_ml": st.floats(0, 500)},
    optional={"age": st.floats(0, 110)},
)
scans = st.dictionaries(st.text("abcdef", min_size=1, max_size=4), features, min_size=1, max_size=8)


@settings(deadline=None, max_examples=40)
@given(scans=scans)
def test_the_reasons_of_each_row_are_its_whole_score(scans: dict[str, dict[str, float]]) -> None:
    table = worklist(scans, PRIORITY, site="north")
    assert list(table.columns) == [*COLUMNS, *BECAUSE]
    assert list(table["rank"]) == list(range(1, len(scans) + 1))
    assert set(table["case"]) == set(scans)
    for _, row in table.iterrows():
        assert math.fsum([row["intercept"], *row[BECAUSE]]) == row["log_odds"]
        assert row["probability"] == pytest.approx(1 / (1 + math.exp(-row["log_odds"])), rel=1e-12)
    assert table["probability"].is_monotonic_decreasing


@settings(deadline=None, max_examples=10)
@given(scans=scans)
def test_the_written_file_still_adds_up(
    scans: dict[str, dict[str, float]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("list") / "worklist.csv"
    write_table(path, worklist(scans, PRIORITY, site="north"))
    table = pd.read_csv(path, float_precision="round_trip", dtype={"case": str}, keep_default_na=False)
    for _, row in table.iterrows():
        assert math.fsum([row["intercept"], *row[BECAUSE]]) == row["log_odds"]


def test_a_value_that_is_not_recorded_adds_nothing_and_is_said_so() -> None:
    (row,) = worklist({"a": {"finding_probability": 0.5, "volume_ml": 0.0}}, PRIORITY, site="north").to_dict(
        "records"
    )
    assert row["because_age"] == 0
    assert "age not recorded" in row["reasons"] or "age: not recorded" in row["reasons"]


def test_a_site_is_ranked_with_its_own_intercept() -> None:
    priority = priority_of(tiny_study(), {"intercept[north]": -3.0, "intercept[south]": 1.0, **SLOPES})
    scan = {"a": {"finding_probability": 0.5, "volume_ml": 1.0, "age": 60.0}}
    intercepts = [
        float(worklist(scan, priority, site=site)["intercept"].iloc[0]) for site in ("north", "south")
    ]
    assert intercepts == [-3.0, 1.0]


def test_a_day_without_scans_is_a_header(tmp_path: Path) -> None:
    write_table(tmp_path / "worklist.csv", worklist({}, PRIORITY, site="north"))
    assert list(pd.read_csv(tmp_path / "worklist.csv").columns) == [*COLUMNS, *BECAUSE]


def test_any_rows_can_be_written(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", [{"a": 1, "b": np.pi}])
    assert (tmp_path / "t.csv").read_text() == "a,b\n1,3.141592653589793\n"
