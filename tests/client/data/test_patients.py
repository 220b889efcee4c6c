from pathlib import Path

import pytest

from client.data.patients import PatientTable
from shared.errors import DataError


def table(tmp_path: Path, text: str) -> PatientTable:
    path = tmp_path / "patients.csv"
    path.write_text(text, encoding="utf-8-sig")
    return PatientTable.load(path)


def test_without_a_table_each_case_is_a_patient() -> None:
    nobody = PatientTable.load(None)
    assert nobody.patient_of("a") == "a"
    assert not nobody.has_subject_map
    assert nobody.history("a") == {}
    assert nobody.outcome("a", "urgent") is None
    assert nobody.without_row(["a"]) == 0


def test_cases_map_to_patients_and_histories_to_numbers(tmp_path: Path) -> None:
    known = table(
        tmp_path,
        "Patient,case,age,sex,prior_cancer,smoker,notes,score\n"
        "p1,a.nii.gz,61,F,yes,true,seen in May,\n"
        'p1,b,62.5,m,no,FALSE,"two, lines",n/a\n',
    )
    assert known.has_subject_map
    assert known.patient_of("a") == known.patient_of("b") == "p1"
    assert known.history("a") == {"age": 61, "sex_male": 0, "prior_cancer": 1, "smoker": 1}
    assert known.history("b") == {"age": 62.5, "sex_male": 1, "prior_cancer": 0, "smoker": 0}


@pytest.mark.parametrize("name", ["case", "patient"])
def test_one_column_is_enough_but_no_subject_map(tmp_path: Path, name: str) -> None:
    known = table(tmp_path, f"{name};age\na;50\n")
    assert not known.has_subject_map
    assert known.patient_of("a") == "a"
    assert known.history("a") == {"age": 50}


def test_a_case_without_a_row_is_its_own_patient_and_is_counted(tmp_path: Path) -> None:
    known = table(tmp_path, "case,patient\na,p1\n")
    assert known.patient_of("new") == "new"
    assert known.history("new") == {}
    assert known.without_row(["a", "new"]) == 1


def test_outcomes_are_zero_one_or_unknown(tmp_path: Path) -> None:
    known = table(tmp_path, "case,urgent\na,1\nb,0\nc,\nd,yes\n")
    assert [known.outcome(case, "urgent") for case in "abcde"] == [1, 0, None, 1, None]
    with pytest.raises(DataError, match=r"no column 'late'.*case, urgent"):
        known.outcome("a", "late")
    with pytest.raises(DataError, match=r"line 3: urgent is '2'"):
        table(tmp_path, "case,urgent\na,1\nb,2\n").outcome("b", "urgent")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column `case` or `patient`"),
        ("name,age\na,1\n", "found name, age"),
        ("case,age,age\na,1,2\n", "columns named twice: 'age'"),
        ("case,age\na,1\nb,2\na,3\n", r"lines 2 and 4: 'a' twice"),
        ("patient,age\np,1\n\np,3\n", r"lines 2 and 4: 'p' twice"),
        ("case,age\na,1,2\n", "line 2: 3 values, expected 2"),
        ("case,patient\na,\n", "line 2: the case or patient is empty"),
        ("case,age\na,50\nb,6O\nc,70\n", "line 3: age is '6O', expected a finite number"),
        ("case,age\na,inf\n", "line 2: age is 'inf'"),
    ],
)
def test_faults_are_named_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table(tmp_path, text)


def test_a_missing_or_binary_table_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        PatientTable.load(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(DataError, match="cannot be read"):
        PatientTable.load(tmp_path / "binary.csv")
