"""`wardround simulate --statistics` through the real apps: figures of the drawn scans, and no model."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from client.audit import Audit
from client.data.preparing.intensity import foreground
from client.data.split import split_of
from server.statistics_file import FILE, PAGE, Statistics
from shared.study import Study
from tests.end_to_end.conftest import TINY, Ended, FinishedRun, Forked

SITES = ["east", "north", "south", "west"]


@pytest.fixture
def described(prepared: Path, forked: Forked) -> tuple[Path, Ended]:
    (prepared / "results.json").write_text("of an earlier run")
    return prepared, forked("simulate", TINY, "--out", prepared, "--statistics")


def test_it_prints_the_figures_and_keeps_an_earlier_runs_results(described: tuple[Path, Ended]) -> None:
    out, ended = described
    assert ended.code == 0, ended.stderr
    assert Path(ended.stdout.splitlines()[-1]) == out / PAGE
    for expected in (*SITES, "spacing z, mm", "preprocessing.intensity", "training.window"):
        assert expected in ended.stdout
    assert (out / "results.json").read_text() == "of an earlier run"
    assert not (out / "model").exists()
    assert not (out / "checkpoints").exists()


def test_the_figures_are_those_of_the_training_patients_scans(described: tuple[Path, Ended]) -> None:
    out, _ = described
    found = Statistics.read(out / FILE)
    assert {(name, site.status) for name, site in found.sites.items()} == {(s, "used") for s in SITES}
    study = Study.parse(found.study, FILE)
    spacing, clear, labelled, patients = [], 0, [], 0
    for image_file in sorted((out / "data").glob("*/imagesTr/*.nii.gz")):
        if split_of(_patient(image_file), study.evaluation) != "train":
            continue
        patients += 1
        image = nib.load(image_file)
        values = np.asarray(image.dataobj, np.float32)
        assert foreground(values).any()
        spacing.append(np.linalg.norm(nib.as_closest_canonical(image).affine[:3, :3], axis=0))
        label = np.asarray(nib.load(image_file.parents[1] / "labelsTr" / image_file.name).dataobj)
        clear += not label.any()
        labelled.append(np.count_nonzero(label) / label.size)
    figures = found.figures
    assert figures.patients == figures.labelled_patients == patients
    for number, axis in enumerate("xyz"):
        median = np.quantile(np.array(spacing)[:, number], 0.5, method="inverted_cdf")
        assert figures.spacing_mm[axis]["50"].low <= median + 1e-6
        assert median - 1e-6 <= figures.spacing_mm[axis]["50"].high
    assert figures.labelled is not None
    assert figures.labelled.tumour_free == clear
    assert figures.labelled.class_share["tumour"] == pytest.approx(np.mean(labelled), abs=1e-6)


def test_one_record_of_statistics_left_each_site_and_no_update(described: tuple[Path, Ended]) -> None:
    out, _ = described
    for site in SITES:
        path = out / "sites" / site / "audit.jsonl"
        Audit(path).verify()
        kinds = [entry["kind"] for entry in map(json.loads, path.read_text().splitlines()) if "kind" in entry]
        assert kinds == ["enrolment", "statistics"]
    assert "phantom_" not in (out / FILE).read_text()


def test_sites_whose_policy_lists_no_statistics_refuse_by_name(prepared: Path, forked: Forked) -> None:
    ended = forked(
        "simulate", TINY, "--out", prepared, "--statistics", "--set", "policy.release=[enrolment, update]"
    )
    assert ended.code == 5
    said = " ".join(ended.stderr.split())
    assert all(f"{site} refused (policy.kind)" in said for site in SITES)
    assert not (prepared / FILE).exists()


def test_a_run_that_trains_is_asked_for_no_statistics(finished: FinishedRun) -> None:
    for site in SITES:
        text = (finished.out / "sites" / site / "audit.jsonl").read_text()
        assert '"statistics"' not in text


def test_statistics_cannot_be_resumed(prepared: Path, forked: Forked) -> None:
    assert forked("simulate", TINY, "--out", prepared, "--statistics", "--resume").code == 2


def _patient(image: Path) -> str:
    rows = (image.parents[1] / "patients.csv").read_text().splitlines()
    columns = rows[0].split(",")
    case = image.name.removesuffix(".nii.gz")
    cells = (line.split(",") for line in rows[1:])
    row = next(found for found in cells if found[columns.index("case")] == case)
    return row[columns.index("patient")]
