"""Data sets of every layout, each in its own formats and with one damaged file, taken through every command.

As a hospital and a researcher would: inspect, import, check, simulate on the files as they are and on the
imported ones. No step may end on the damaged case, and each must name it.
"""

import csv
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from client.data import formats, layouts
from server.results import Results
from tests.client.data.layouts.dicom_trees import write_dicom_seg
from tests.client.data.layouts.made import Made
from tests.client.data.layouts.trees import (
    write_analyze_folders,
    write_brats2015,
    write_brats_nifti,
    write_decathlon,
    write_lits,
    write_ucsb,
    write_vessel12,
)
from tests.end_to_end.conftest import ROOT, Ended, Forked

SCENARIOS = ROOT / "simulations"
CASES = 12
KEY = "5" * 64  # of the imported names; another key would draw other splits
SMALL = (
    "study.training.rounds=2",
    "study.training.local_epochs=1",
    "study.training.window=[8, 8, 8]",
    "study.model.channels=[4, 8]",
    "study.strategy.deadline_s=120",
    "seismometer=false",
    "baselines=[]",
)

FEW = ("policy.minimum_patients=1", "study.strategy.quorum=1", "study.evaluation.split_salt=few-257")


@dataclass(frozen=True)
class Kind:
    """A data set, the scenario for it, and what must be changed for its small size."""

    write: Callable[[Path, int], Made]
    scenario: str
    settings: tuple[str, ...] = ()


KINDS = {
    "BraTS 2015": Kind(write_brats2015, "brats"),
    "BraTS of later years": Kind(write_brats_nifti, "brats", ("study.task.labels=[[2], [1], [4]]",)),
    "UCSB": Kind(write_ucsb, "ucsb", ("study.training.window=[32, 32, 1]",)),
    "hippocampi of the Decathlon": Kind(write_decathlon, "hippocampus", FEW),
    "hippocampi in Analyze": Kind(write_analyze_folders, "hippocampus", FEW),
    "VESSEL12, vessels": Kind(write_vessel12, "vessel12"),
    "VESSEL12, lungs": Kind(write_vessel12, "vessel12_lungs"),
    "LiTS": Kind(write_lits, "lits"),
    "DICOM": Kind(write_dicom_seg, "lits", ("study.evaluation.test_fraction=0.4",)),
}


@dataclass(frozen=True)
class DataSet:
    """One data set on disk, the case whose file is damaged, and the patients of the others."""

    kind: Kind
    folder: Path
    broken: str
    made: Mapping[str, str | None]

    @property
    def imported(self) -> Path:
        return self.folder.with_name("imported")

    @property
    def patients(self) -> set[str]:
        return {patient or case for case, patient in self.made.items() if case != self.broken}

    def settings(self) -> list[str]:
        return [part for text in (*SMALL, *self.kind.settings) for part in ("--set", text)]


@pytest.fixture(scope="module", params=KINDS)
def data_set(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, forked: Forked
) -> DataSet:
    kind = KINDS[request.param]
    root = tmp_path_factory.mktemp("any")
    made = kind.write(root / "data", CASES)
    listed, _ = layouts.find(root / "data", None).list_cases(root / "data")
    file = formats.header(next(iter(listed[-1].images.values()))).files[-1]
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 9 // 10])  # voxels are missing
    found = DataSet(kind, root / "data", listed[-1].case, made.cases)
    imported(found.folder, found.imported, forked)
    return found


def imported(source: Path, dest: Path, forked: Forked) -> None:
    key = dest.with_name("key")
    key.write_text(KEY)
    key.chmod(0o600)
    ended = forked("data", "import", source, dest, "--key", key, "--workers", "1", "--quiet")
    assert ended.code == 0, ended.stderr


def test_inspect_tells_what_is_there_and_names_the_damaged_case(data_set: DataSet, forked: Forked) -> None:
    ended = forked("data", "inspect", data_set.folder, "--json", "--workers", "1")
    assert ended.code == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert (found["cases"], found["usable"]) == (CASES, CASES - 1)
    assert [fault["case"] for fault in found["faults"]] == [data_set.broken]


def test_import_leaves_the_damaged_case_out_and_nothing_else(data_set: DataSet) -> None:
    with (data_set.imported / "manifest.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == CASES - 1
    report = json.loads((data_set.imported / "import.json").read_text(encoding="utf-8"))
    assert len(report["left_out"]) == 1


def test_check_counts_what_the_study_can_use_and_names_the_damaged_case(
    data_set: DataSet, forked: Forked, tmp_path: Path
) -> None:
    site = tmp_path / "site.yaml"
    made = forked("site", "init", site, "--name", "test", "--data", data_set.folder, "--work", tmp_path / "w")
    assert made.code == 0, made.stderr
    ended = forked("site", "check", site, SCENARIOS / f"{data_set.kind.scenario}.yaml")
    assert "Traceback" not in ended.stderr
    assert f"case: {data_set.broken}: unreadable:" in ended.stdout
    assert f"{CASES - 1} of {CASES} cases fit the study" in ended.stdout


@pytest.mark.parametrize("form", ["as it is", "imported"])
def test_simulate_trains_on_every_good_case_and_names_the_damaged_one(
    form: str, data_set: DataSet, forked: Forked, tmp_path: Path
) -> None:
    folder = data_set.imported if form == "imported" else data_set.folder
    results = simulated(data_set.kind.scenario, folder, tmp_path / "run", forked, *data_set.settings())
    assert sum(entry.patients.total for entry in results.sites.values()) == len(data_set.patients)
    assert sorted(named_in(results)) == ([] if form == "imported" else [data_set.broken])


@pytest.mark.real_data
def test_dirty_hippocampi_train_with_six_and_name_the_two_bad_ones(
    real_data: Path, forked: Forked, tmp_path: Path
) -> None:
    data = real_data / "hippocampus_dirty"
    listing = forked("data", "inspect", data, "--json", "--workers", "1")
    assert json.loads(listing.stdout)["usable"] == 6
    results = simulated(
        "hippocampus", data, tmp_path / "run", forked,
        "--set", "sites.shares={hospital-a: 0.5, hospital-b: 0.5}", "--set", "study.strategy.quorum=2",
        "--set", "policy.minimum_patients=1", "--set", "study.evaluation.split_salt=dirty-136",
        "--set", "study.training.rounds=1", "--set", "study.training.local_epochs=1",
        "--set", "study.model.channels=[4, 8]", "--set", "seismometer=false", "--set", "baselines=[]",
    )  # fmt: skip
    assert {name: entry.patients.total for name, entry in results.sites.items()} == {
        "hospital-a": 3,
        "hospital-b": 3,
    }
    assert named_in(results) == {
        "hippocampus_118": "label_missing",
        "hippocampus_010": "image_missing",
    }


@pytest.mark.real_data
def test_a_real_dicom_series_with_its_segmentation_goes_all_the_way(
    real_data: Path, forked: Forked, tmp_path: Path
) -> None:
    """One CT has a label, two MR series have none; one patient is enough to train on and to name the rest."""
    imported(real_data / "dicom", tmp_path / "imported", forked)
    for number, data in enumerate((real_data / "dicom", tmp_path / "imported")):
        out = tmp_path / str(number)
        ended = forked(
            "simulate", SCENARIOS / "lits.yaml", "--data", data, "--out", out, "--quiet",
            "--set", "sites.shares={hospital-a: 1}", "--set", "study.task={classes: [liver]}",
            "--set", "study.requires={}", "--set", "study.priority=null",
            "--set", "study.evaluation={validation_fraction: 0, test_fraction: 0}",
            "--set", "study.training.rounds=1", "--set", "study.model.channels=[4, 8]",
            "--set", "seismometer=false",
        )  # fmt: skip
        assert ended.code == 0, ended.stderr
        results = Results.read(out / "results.json")
        assert results.sites["hospital-a"].patients.train == 1
        assert [entry.sites["hospital-a"].status for entry in results.rounds] == ["used"]
        assert set(named_in(results).values()) == ({"label_missing"} if number == 0 else set())


@pytest.mark.real_data
def test_one_patient_who_is_to_be_judged_on_leaves_nobody_to_train_and_the_run_says_so(
    real_data: Path, forked: Forked, tmp_path: Path
) -> None:
    ended = forked(
        "simulate", SCENARIOS / "lits.yaml", "--data", real_data / "dicom", "--out", tmp_path / "run",
        "--quiet", "--set", "sites.shares={hospital-a: 1}", "--set", "study.task={classes: [liver]}",
        "--set", "study.requires={}", "--set", "study.priority=null",
        "--set", "study.evaluation={validation_fraction: 0, test_fraction: 0.99}",
        "--set", "study.training.rounds=1", "--set", "study.model.channels=[4, 8]",
    )  # fmt: skip
    assert ended.code == 5
    assert "Traceback" not in ended.stderr
    assert "hospital-a failed (data)" in " ".join(ended.stderr.split())
    log = (tmp_path / "run" / "sites" / "hospital-a" / "site.log").read_text(encoding="utf-8")
    assert "no training case is left" in log


def named_in(results: Results) -> dict[str, str]:
    """Reason by case, of all cases that a run did not use."""
    skipped = {str(skip.case): skip.reason for entry in results.sites.values() for skip in entry.skipped}
    left = [(event.reason or "").partition(": ") for event in results.events if event.phase == "partition"]
    return {**skipped, **{case: reason for case, _, reason in left}}


def simulated(scenario: str, data: Path, out: Path, forked: Forked, *options: str) -> Results:
    """A run that ends well: every round used, every loss finite, the model judged."""
    path = SCENARIOS / f"{scenario}.yaml"
    ended: Ended = forked("simulate", path, "--data", data, "--out", out, "--quiet", *options)
    assert ended.code == 0, ended.stderr
    results = Results.read(out / "results.json")
    for entry in results.rounds:
        assert "used" in {site.status for site in entry.sites.values()}
    losses = [
        float(loss)
        for log in out.glob("sites/*/site.log")
        for loss in re.findall(r"loss (\S+) over", log.read_text(encoding="utf-8"))
    ]
    assert len(losses) >= len(results.rounds)
    assert all(map(math.isfinite, losses))
    federated = results.evaluation.federated
    assert federated is not None
    assert federated.pooled.scans > 0
    return results
