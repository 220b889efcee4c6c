"""Nothing in an import says who anybody is, and the names that stand there are always the same."""

import csv
import gzip
import re
import stat
from functools import partial
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.data.importing import pseudonyms
from client.data.importing.pseudonyms import Pseudonyms
from client.data.importing.table import looks_identifying
from client.data.patients import PatientTable
from shared.errors import ConfigError, DataError
from tests.client.data.importing.imports import imported, listed_in, original_of, snapshot
from tests.client.data.layouts.dicom_trees import write_dicom_seg
from tests.client.data.layouts.trees import TREES, write_folders
from tests.client.data.scans import write_case

NAME = st.text(max_size=20)
KEY = b"k" * 32


@given(NAME, st.lists(NAME), st.binary(min_size=32, max_size=32))
def test_a_name_has_one_pseudonym_whatever_else_is_there(name: str, others: list[str], key: bytes) -> None:
    alone, among = Pseudonyms(key, Path()), Pseudonyms(key, Path())
    for other in others:
        among.of("case", other)
    assert among.of("case", name) == alone.of("case", name)
    assert alone.of("case", name) != alone.of("patient", name).replace("patient", "case")
    assert alone.of("case", name) != Pseudonyms(bytes(32) if any(key) else KEY, Path()).of("case", name)
    assert alone.fingerprint not in alone.of("case", name)


def test_two_names_that_share_a_pseudonym_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pseudonyms, "DIGITS", 1)
    names = Pseudonyms(KEY, Path())
    with pytest.raises(DataError, match="share the pseudonym"):
        list(map(partial(names.of, "case"), map(str, range(17))))


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    write_folders(tmp_path / "data", 1)
    imported(tmp_path / "data", tmp_path / "out")
    key, names = tmp_path / "out.key", tmp_path / "out.names.csv"
    before = key.read_bytes()
    assert stat.S_IMODE(key.stat().st_mode) == stat.S_IMODE(names.stat().st_mode) == 0o600
    imported(tmp_path / "data", tmp_path / "out")
    assert key.read_bytes() == before
    key.chmod(0o640)
    with pytest.raises(ConfigError, match="open to others"):
        imported(tmp_path / "data", tmp_path / "out")
    key.chmod(0o600)
    for content in ("no hex", "ab"):
        key.write_text(content)
        with pytest.raises(ConfigError, match="key"):
            imported(tmp_path / "data", tmp_path / "out")


def bare(folder: Path) -> bytes:
    """Every name and every byte of a folder, unpacked."""
    contents = [
        gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        for content in snapshot(folder).values()
    ]
    return b"\n".join([*contents, *(str(path.relative_to(folder)).encode() for path in folder.rglob("*"))])


def test_nothing_of_a_dicom_header_and_no_name_is_in_the_folder(tmp_path: Path) -> None:
    data = tmp_path / "Nobody_Jane_scans"
    write_dicom_seg(data)
    for path in data.rglob("*"):
        if path.is_file():
            dataset = pydicom.dcmread(path)
            dataset.PatientName, dataset.PatientID = "Planted^Jane", f"MRN-{dataset.PatientID}"
            dataset.PatientBirthDate, dataset.AccessionNumber = "19610203", "ACC-4711"
            dataset.InstitutionName, dataset.StudyDescription = "Planted Hospital", "planted words"
            dataset.add_new((0x0009, 0x0010), "LO", "PLANTED PRIVATE")
            dataset.save_as(path)
    (data / "JaneSurplus.nii").write_bytes(b"not a scan")
    done = imported(data, tmp_path / "out")
    assert (len(done.report.cases), len(done.left_out)) == (3, 1)
    content = bare(tmp_path / "out").lower()
    assert len(content) > 10_000
    words = [
        "planted",
        "jane",
        "mrn",
        "nobody",
        "19610203",
        "2020010",
        "acc-4711",
        "1.2.826",
        "series",
        "study",
    ]
    # The word `series` stands in the name of the layout.
    content = content.replace(b"dicom_series", b"")
    assert [word for word in words if word.encode() in content] == []
    assert str(tmp_path).encode() not in content
    digests = [name.partition("-")[2] for name in original_of(tmp_path / "out").values()]
    assert not [digest for digest in digests if digest and digest.encode() in content]


@pytest.mark.parametrize("name", TREES)
def test_no_original_name_is_in_the_folder(name: str, tmp_path: Path) -> None:
    made = TREES[name][1](tmp_path / "data")
    imported(tmp_path / "data", tmp_path / "out")
    content = bare(tmp_path / "out")
    planted = {*made.cases, *filter(None, made.cases.values()), str(tmp_path)} - {"p0", "p1"}
    # A pseudonym may begin as such a name does: case-1a2b... is not case-1.
    found = [word for word in planted if re.search(re.escape(word.encode()) + rb"(?![0-9a-f])", content)]
    assert found == []


def test_the_patients_table_is_rewritten_and_what_looks_identifying_stays(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for number in range(3):
        write_case(data, f"scan{number}", seed=number)
    rows = [
        ["case", "patient", "Age", "smoker", "sex", "Family Name", "birth_year", "MRN", "referrer", "date"],
        [
            "scan0.nii.gz",
            "Jane Planted",
            "61",
            "yes",
            "F",
            "Planted",
            "1961",
            "4711",
            "Dr Planted",
            "20200101",
        ],
        ["scan1", "Jane Planted", "62", "no", "F", "Planted", "1961", "4711", "", "20200102"],
        ["scan2", "Joe Planted", "", "no", "M", "Planted", "1970", "4712", "", "20200103"],
        ["gone", "Ann Planted", "9", "no", "F", "Planted", "1999", "4713", "", "20200104"],
    ]
    with (data / "patients.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    done = imported(data, tmp_path / "out")
    assert done.table
    assert done.table.identifying == ("family name", "birth_year", "mrn", "date")
    assert done.table.text == ("referrer",)
    content = bare(tmp_path / "out")
    assert not [
        word for word in (b"lanted", b"4711", b"1961", b"2020", b"Family", b"scan0") if word in content
    ]
    before, after = PatientTable.load(data / "patients.csv"), PatientTable.load(tmp_path / "out/patients.csv")
    names = original_of(tmp_path / "out")
    items = listed_in(tmp_path / "out")
    assert (after.has_subject_map, after.without_row(items)) == (True, 0)
    assert len(list(after.rows())) == 3
    for case, item in items.items():
        assert after.patient_of(case) == item.patient
        assert names[after.patient_of(case)] == before.patient_of(names[case])
        history = before.history(names[case])
        assert after.history(case) == {k: v for k, v in history.items() if k in {"age", "smoker", "sex_male"}}
    report = done.report.patients
    assert report
    assert (report.rows, report.rows_left_out, report.columns_left_out) == (3, 1, 5)


def test_a_table_of_patients_without_cases_still_fits_its_cases(tmp_path: Path) -> None:
    write_case(tmp_path / "data", "scan0", seed=1)
    (tmp_path / "table.csv").write_text("patient;age\nscan0;61\n")
    imported(tmp_path / "data", tmp_path / "out", patients=tmp_path / "table.csv")
    (case,) = listed_in(tmp_path / "out")
    table = PatientTable.load(tmp_path / "out/patients.csv")
    assert (table.history(case), table.has_subject_map) == ({"age": 61.0}, False)
    imported(tmp_path / "data", tmp_path / "out")
    assert not (tmp_path / "out/patients.csv").exists()


@pytest.mark.parametrize(
    ("column", "identifying"),
    [
        *((name, True) for name in ("name", "patient_id", "ID", "mrn", "birth date", "dob", "home address")),
        *((name, True) for name in ("telephone", "phone", "e-mail", "scan_date", "postcode", "nhs number")),
        *(
            (name, False)
            for name in ("age", "carotid", "steroid", "update", "diabetes", "photon_dose", "covid")
        ),
        *((name, False) for name in ("outcome", "smoker", "grade", "psa", "candidate", "capacity")),
    ],
)
def test_columns_are_judged_by_the_words_in_their_names(column: str, identifying: bool) -> None:
    assert looks_identifying(column) == identifying
