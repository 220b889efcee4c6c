"""How patients fall into parts: counted patient by patient, beside the quick way."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.data.cache import prepare
from client.data.inspection.folder import inspect
from client.data.split import split_of
from client.datasets.registry import DataSet
from client.datasets.splits import SPLITS, known_studies, splitting
from client.datasets.summary import Summary
from shared.study import Study
from tests.client.data.scans import study, write_case

ROWS = "case,patient,age,urgent,note\n" + "".join(
    f"case-{number},p{number // 2},{'' if number == 3 else 60},{number % 2},said {number}\n"
    for number in range(6)
)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six cases of three patients, with a table."""
    folder = tmp_path_factory.mktemp("scans")
    for number in range(6):
        write_case(folder, f"case-{number}", number)
    (folder / "patients.csv").write_text(ROWS, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def summary(scans: Path) -> Summary:
    """What an inspection says of them."""
    found = inspect(scans).found
    data_set = DataSet(id="0" * 12, name="one", folder=scans)
    return Summary.of(data_set, found, looked=datetime.now(UTC), seconds=1.0, imported=None)


def with_outcome(**evaluation: object) -> Study:
    """A study with an outcome column and its own split."""
    priority = {"terms": [{"feature": "volume_ml"}], "urgent": {"outcome": "urgent"}}
    return study(priority=priority, evaluation=evaluation)


def test_columns_are_counted(summary: Summary) -> None:
    age, urgent, note = summary.columns
    assert (age.name, age.known, age.missing, age.is_number, age.ones) == ("age", 5, 1, True, None)
    assert (urgent.name, urgent.known, urgent.missing, urgent.ones) == ("urgent", 6, 0, 3)
    assert (note.name, note.is_number, note.known) == ("note", False, 6)


@given(st.text(min_size=1, max_size=20), st.sampled_from([0.1, 0.2, 0.4]), st.sampled_from([0.1, 0.3]))
def test_each_patient_is_counted_once_where_the_hash_puts_it(
    summary: Summary, salt: str, test: float, validation: float
) -> None:
    chosen = with_outcome(split_salt=salt, test_fraction=test, validation_fraction=validation)
    found = splitting(chosen, summary, None)
    assert found is not None
    for part in SPLITS:
        mine = [patient for patient in ("p0", "p1", "p2") if split_of(patient, chosen.evaluation) == part]
        assert found.patients[part] == len(mine)
        assert found.cases[part] == 2 * len(mine)
    assert found.outcome is not None
    assert (found.outcome.urgent, found.outcome.other, found.outcome.unknown) == (3, 3, 0)
    assert not found.is_prepared


def test_what_a_run_prepared_comes_before_what_the_inspection_suggests(
    scans: Path, summary: Summary, tmp_path: Path
) -> None:
    chosen = with_outcome()
    suggested = splitting(chosen, summary, tmp_path / "cache")
    prepare(
        scans,
        layout=None,
        patients_csv=scans / "patients.csv",
        study=chosen,
        cache_folder=tmp_path / "cache",
    )
    found = splitting(chosen, summary, tmp_path / "cache")
    assert found is not None
    assert suggested is not None
    assert found.is_prepared
    assert not suggested.is_prepared
    assert (found.patients, found.cases) == (suggested.patients, suggested.cases)
    assert found.outcome == suggested.outcome


def test_nothing_is_said_of_what_nobody_looked_at(tmp_path: Path) -> None:
    assert splitting(study(), None, tmp_path) is None


def test_each_study_is_listed_once_and_a_damaged_one_hides_none(tmp_path: Path) -> None:
    one = with_outcome()
    (tmp_path / f"{one.digest()}.yaml").write_text(one.to_yaml(), encoding="utf-8")
    (tmp_path / "broken.yaml").write_text("name: [", encoding="utf-8")
    assert known_studies(tmp_path, [one, study()]) == sorted(
        [one, study()], key=lambda s: (s.name, s.digest())
    )
