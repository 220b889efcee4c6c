"""The form of history, and tables of it."""

from pathlib import Path

import pytest

from client.data.history import history_of
from client.data.layouts.base import Listed
from client.data.patients import PatientTable
from client.uploads.history import (
    MANY,
    OTHER,
    USED,
    Question,
    cells_of,
    judge_table,
    questions,
    write_one,
    write_used,
)
from client.uploads.records import Found
from shared.errors import ConfigError
from tests.client.hospital import tiny_study

STUDY = tiny_study(
    priority={
        "urgent": {"outcome": "died"},
        "terms": [
            {"feature": "volume_ml"},
            {"feature": "age", "unit": "years", "lowest": 0, "highest": 120},
            {"feature": "sex_male", "kind": "flag"},
            {"feature": "smoker", "kind": "flag", "label": "smokes"},
            {"feature": "stage", "level": "III"},
            {"feature": "stage", "level": "IV"},
        ],
    }
)


def scan(case: str, sent: str = "", patient: str | None = None) -> Found:
    return Found(
        sent or f"{case}.nii", case, Listed(case, {"image": Path(f"/{case}.nii")}, None, patient=patient)
    )


def test_each_column_is_asked_once_and_the_outcome_never() -> None:
    assert questions(STUDY) == [
        Question("age", "age", "years", 0, 120, {}),
        Question("sex", "sex", "", None, None, {"F": "female", "M": "male"}),
        Question("smoker", "smokes", "", None, None, {"yes": "yes", "no": "no"}),
        Question("stage", "stage", "", None, None, {"III": "III", "IV": "IV"}),
    ]


def test_what_the_form_says_is_what_the_score_sees(tmp_path: Path) -> None:
    fields = {"age": "61", "sex": "M", "smoker": "no", "stage": "IV", "other": "x"}
    write_one(tmp_path, "P1", cells_of(questions(STUDY), fields))
    assert write_used(tmp_path, [scan("a"), scan("b")]) == []
    table = PatientTable.load(tmp_path / USED)
    assert [table.patient_of(case) for case in "ab"] == ["P1", "P1"]
    seen = history_of("b", table, STUDY)
    assert {name: seen[name] for name in ("age", "sex_male", "smoker", "stage=III", "stage=IV")} == {
        "age": 61,
        "sex_male": 1,
        "smoker": 0,
        "stage=III": 0,
        "stage=IV": 1,
    }


def test_what_is_not_known_is_left_out() -> None:
    assert cells_of(questions(STUDY), {"age": " ", "sex": "", "stage": OTHER}) == {"stage": OTHER}


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("age", "121", "a number from 0 to 120 years"),
        ("age", "nan0", "a number"),
        ("age", "inf", "a number"),
        ("sex", "x", "female, male"),
        ("smoker", "2", "yes, no"),
    ],
)
def test_a_value_that_would_not_be_believed_is_refused(field: str, value: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        cells_of(questions(STUDY), {field: value})


def test_a_table_is_compared_with_what_the_model_asks(tmp_path: Path) -> None:
    path = tmp_path / MANY
    path.write_text("case,age,died,shoe\na,300,1,40\nb,60,0,41\n")
    assert judge_table(path, STUDY) == [
        "Columns of the table that the model does not use: died (the outcome), shoe.",
        "sex_male: no such column in the table, so it is missing for everybody.",
        "smoker: no such column in the table, so it is missing for everybody.",
        "stage: no such column in the table, so it is missing for everybody.",
        "age: outside the plausible range in 1 rows, taken for missing.",
    ]


def test_a_row_is_found_by_case_zip_or_folder_and_the_patient_of_the_dicom_stays(tmp_path: Path) -> None:
    (tmp_path / MANY).write_text("case,age\na,1\nct.1,2\nfolder,3\nextra,4\n")
    found = [scan("a"), scan("series-1", "ct.1.zip", "p1"), scan("series-2", "folder"), scan("alone")]
    notes = write_used(tmp_path, found)
    table = PatientTable.load(tmp_path / USED)
    assert [table.history(case) for case in ("a", "series-1", "series-2")] == [
        {"age": 1},
        {"age": 2},
        {"age": 3},
    ]
    assert [table.patient_of(case) for case in ("a", "series-1")] == ["a", "p1"]
    assert notes == [
        "Rows of the table that fit no scan: 1 (extra).",
        "Scans without a row in the table: 1 (alone).",
    ]


def test_without_history_the_sites_own_table_counts(tmp_path: Path) -> None:
    assert write_used(tmp_path, [scan("a")]) == []
    assert not (tmp_path / USED).exists()
