"""What the patients table gives of the history that a study asks for, and what is told of the rest."""

from pathlib import Path
from typing import Any

import pytest

from client.data.history import asked, history_of, lacking, not_believed, told_range
from client.data.patients import PatientTable
from client.study_check import check_study
from shared.study import Study
from tests.client.data.scans import study, write_case
from tests.client.test_study_check import site

TERMS: list[dict[str, Any]] = [
    {"feature": "volume_ml"},
    {"feature": "Age", "lowest": 0, "highest": 120, "unit": "years"},
    {"feature": "sex", "level": "F"},
    {"feature": "stage", "level": "II"},
    {"feature": "smoker", "kind": "flag"},
    {"feature": "sex_male"},
]
TABLE = "case,age,sex,stage,urgent\na,60,F,ii,1\nb,412,M,III,0\nc,,,,1\n"


def wanted(*terms: dict[str, Any]) -> Study:
    return study(priority={"urgent": {"outcome": "Urgent"}, "terms": list(terms) or TERMS})


@pytest.fixture
def table(tmp_path: Path) -> PatientTable:
    path = tmp_path / "patients.csv"
    path.write_text(TABLE)
    return PatientTable.load(path)


def test_words_become_levels_and_spelling_is_the_studys(table: PatientTable) -> None:
    found = {case: history_of(case, table, wanted()) for case in "abcd"}
    assert found["a"]["Age"] == 60
    assert (found["a"]["sex=F"], found["b"]["sex=F"]) == (1.0, 0.0)
    assert (found["a"]["stage=II"], found["b"]["stage=II"]) == (1.0, 0.0)
    assert found["c"] == found["d"] == {}
    assert all("urgent" not in name for history in found.values() for name in history)


def test_the_outcome_is_never_a_predictor(table: PatientTable) -> None:
    chosen = wanted({"feature": "urgent"}, {"feature": "urgent", "level": "1"}, {"feature": "Age"})
    assert [term.feature for term in asked(chosen)] == ["Age"]
    assert "urgent" not in history_of("a", table, chosen)


def test_columns_that_are_not_there_or_hold_words_are_named(table: PatientTable) -> None:
    assert lacking(table, wanted()) == {"smoker": "no such column"}
    assert lacking(table, wanted({"feature": "stage"})) == {"stage": "words where numbers are expected"}
    assert lacking(PatientTable(), wanted({"feature": "age"})) == {"age": "no such column"}


def test_values_that_cannot_be_believed_are_counted(table: PatientTable) -> None:
    chosen = wanted()
    found = list(not_believed((history_of(case, table, chosen) for case in "abc"), chosen))
    assert [(term.name, count) for term, count in found] == [("Age", 1)]
    assert told_range(found[0][0]) == "0..120 years"


def test_the_check_of_a_study_says_it_before_anybody_takes_part(tmp_path: Path) -> None:
    for number, case in enumerate("abc"):
        write_case(tmp_path / "data", case, number)
    (tmp_path / "patients.csv").write_text(TABLE)
    lines = check_study(site(tmp_path, patients=str(tmp_path / "patients.csv")), wanted())
    found = {line.finding: line.state for line in lines if line.name == "study history"}
    assert found == {
        "Age: known of 2 of 3 cases, 1 of them outside 0..120 years and not used": "warning",
        "sex=F: known of 2 of 3 cases": "ok",
        "stage=II: known of 2 of 3 cases": "ok",
        "smoker: no such column": "warning",
        "sex_male: known of 2 of 3 cases": "ok",
    }
