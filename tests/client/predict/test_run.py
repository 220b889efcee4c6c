"""A run over several scans: names, what is kept, what is told, and what a kill leaves."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from scipy.special import expit, logit

from client.predict import pipeline
from client.predict.names import KEY, NAMES
from client.predict.pipeline import Readings
from client.predict.run import Predicted, Request, predict
from client.result import Result
from shared.errors import ConfigError, DataError
from shared.files import one_at_a_time
from shared.priority import prioritise
from shared.voxel_temperature import VoxelTemperature
from tests.client.data.scans import affine_of, write_scan
from tests.client.hospital import priority_of, tiny_study
from tests.client.predict.readings import (
    COEFFICIENTS,
    STUDY,
    boxes,
    dicom_series,
    model_of,
    predicted,
    scene,
    site_of,
    turned,
)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_scan(tmp_path / "scans" / "one.nii.gz", scene(), affine_of(0.8, 0.9, 2.5))


def new(done: Predicted) -> list[bool]:
    return [one.new for one in done.read]


@pytest.mark.parametrize("axes", ["RAS", "LPI", "PSR"])
def test_mask_and_probability_lie_on_the_grid_of_the_file(axes: str, tmp_path: Path) -> None:
    path = write_scan(tmp_path / "a.nii.gz", scene(), turned(0.2), axes=axes)
    label = write_scan(tmp_path / "label.nii.gz", boxes(), turned(0.2), axes=axes)
    (one,) = predicted(tmp_path / "work", path).read
    source, mask, percent = (
        nib.load(file) for file in (path, one.folder / "mask.nii.gz", one.folder / "probability.nii.gz")
    )
    expected = np.asarray(nib.load(label).dataobj) > 0
    np.testing.assert_array_equal(np.asarray(mask.dataobj), expected)
    np.testing.assert_allclose(mask.affine, source.affine, atol=1e-5)
    assert np.asarray(percent.dataobj)[expected].min() > 50
    assert np.asarray(percent.dataobj).max() <= 100


def test_a_study_of_another_spacing_comes_back_to_the_grid_of_the_file(scan: Path, tmp_path: Path) -> None:
    study = tiny_study(preprocessing={"spacing_mm": [0.4, 0.45, 1.25]}, priority=None)
    (one,) = predicted(tmp_path / "work", scan, model=model_of(study, calibrated=False)).read
    mask = np.asarray(nib.load(one.folder / "mask.nii.gz").dataobj)
    assert mask.shape == boxes().shape
    whole, inner = boxes() > 0, ndimage.binary_erosion(boxes() > 0)
    assert mask[inner].all()
    assert not mask[~ndimage.binary_dilation(whole)].any()


def test_findings_are_measured_in_millimetres(scan: Path, tmp_path: Path) -> None:
    (one,) = predicted(tmp_path / "work", scan).read
    large, small = one.result.findings
    voxel_ml = 0.8 * 0.9 * 2.5 / 1000
    assert large.volume_ml == pytest.approx(72 * voxel_ml)
    assert small.volume_ml == pytest.approx(8 * voxel_ml)
    assert large.diameter_mm == pytest.approx(np.hypot(3 * 0.8, 6 * 0.9))  # along outlines
    assert (large.first_slice, large.last_slice) == (2, 4)
    assert (large.side, small.side) == ("left", "right")  # RAS: the small box has the larger x
    assert not large.touches_border
    assert one.result.sum_of_diameters_mm == 0  # RECIST counts those of at least 10 mm


def test_a_temperature_changes_the_probabilities_shown_and_nothing_else(scan: Path, tmp_path: Path) -> None:
    temperature = VoxelTemperature(temperature=2.0, patients=9, study=STUDY.digest())
    model = model_of()
    (plain,) = predicted(tmp_path / "a", scan, model=model).read
    (shown,) = predicted(tmp_path / "b", scan, model=replace(model, temperature=temperature)).read
    masks, percents = (
        [np.asarray(nib.load(one.folder / name).dataobj) for one in (plain, shown)]
        for name in ("mask.nii.gz", "probability.nii.gz")
    )
    np.testing.assert_array_equal(masks[0], masks[1])
    before, after = (percent.astype(np.float64) / 100 for percent in percents)
    some = (before > 0.05) & (before < 0.95)
    np.testing.assert_allclose(after[some], expit(logit(before[some]) / 2), atol=0.02)
    assert not np.array_equal(before, after)
    assert shown.result.features == plain.result.features
    assert shown.result.priority == plain.result.priority
    assert shown.result.sum_of_diameters_mm == plain.result.sum_of_diameters_mm
    pairs = list(zip(plain.result.findings, shown.result.findings, strict=True))
    told = {"mean_probability", "highest_probability"}
    for one, other in pairs:
        assert one.model_dump(exclude=told) == other.model_dump(exclude=told)
        assert 0.5 < other.mean_probability < one.mean_probability
        assert other.highest_probability == pytest.approx(expit(logit(one.highest_probability) / 2))
    assert plain.result.versions.voxel_temperature is None
    assert shown.result.versions.voxel_temperature == 2.0
    assert "calibrated, temperature 2.00" in (shown.folder / "page.html").read_text()


def test_the_priority_is_the_score_of_the_features(scan: Path, tmp_path: Path) -> None:
    (one,) = predicted(tmp_path / "work", scan, history={"age": "70"}).read
    assert STUDY.priority is not None
    tiers = priority_of(STUDY, COEFFICIENTS).tiers
    expected = prioritise(STUDY.priority.terms, list(COEFFICIENTS.values()), one.result.features, tiers)
    found = one.result.priority
    assert found is not None
    assert found.log_odds == expected.log_odds
    assert found.tier == expected.tier
    assert [reason.text for reason in found.reasons] == [reason.text for reason in expected.reasons]
    assert found.missing == ()


def test_history_comes_from_the_table_and_never_from_the_outcome(scan: Path, tmp_path: Path) -> None:
    table = tmp_path / "patients.csv"
    table.write_text("case,patient,age,urgent\none,p1,66,1\n")
    (one,) = predicted(tmp_path / "work", scan, patients=table).read
    assert one.result.features["age"] == 66
    assert "urgent" not in one.result.features
    assert one.result.patient == "p1"


def test_what_is_not_recorded_is_named(scan: Path, tmp_path: Path) -> None:
    (one,) = predicted(tmp_path / "work", scan).read
    assert one.result.priority is not None
    assert one.result.priority.missing == ("age",)


def test_without_a_calibration_there_is_no_priority_and_the_result_says_so(
    scan: Path, tmp_path: Path
) -> None:
    (one,) = predicted(tmp_path / "work", scan, model=model_of(calibrated=False)).read
    assert one.result.priority is None
    assert any("no calibration" in text for text in one.result.warnings)


def test_a_folder_is_called_by_a_keyed_pseudonym_and_the_table_beside_the_key_says_whose(
    tmp_path: Path,
) -> None:
    scan = write_scan(tmp_path / "Smith_Jane.nii.gz", scene())
    work = tmp_path / "work"
    (one,) = predicted(work, scan).read
    below = [str(path.relative_to(work)) for path in work.rglob("*")]
    assert not [name for name in below if "smith" in name.lower()]
    assert f"{one.folder.name},Smith_Jane," in (work / NAMES).read_text()
    assert (work / KEY).stat().st_mode & 0o077 == 0
    assert one.folder.stat().st_mode & 0o077 == 0
    other = tmp_path / "elsewhere"
    assert predicted(other, scan).read[0].folder.name != one.folder.name
    assert predicted(work, scan, force=True).read[0].folder == one.folder


def test_what_is_read_is_kept_until_anything_that_decides_it_changes(scan: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    assert new(predicted(work, scan)) == [True]
    before = predicted(work, scan)
    assert new(before) == [False]
    assert new(predicted(work, scan, force=True)) == [True]
    assert new(predicted(work, scan, history={"age": "50"})) == [True]
    assert new(predicted(work, scan)) == [True]  # without it again
    assert new(predicted(work, scan, model=model_of(calibrated=False))) == [True]
    temperature = VoxelTemperature(temperature=2.0, patients=9, study=STUDY.digest())
    assert new(predicted(work, scan, model=replace(model_of(), temperature=temperature))) == [True]
    assert new(predicted(work, scan)) == [True]
    write_scan(scan, scene()[::-1], affine_of(0.8, 0.9, 2.5))
    assert new(predicted(work, scan)) == [True]


@pytest.mark.parametrize("name", ["mask.nii.gz", "result.json"])
def test_a_result_of_which_a_file_is_gone_is_made_again(name: str, scan: Path, tmp_path: Path) -> None:
    (one,) = predicted(tmp_path / "work", scan).read
    (one.folder / name).unlink()
    assert new(predicted(tmp_path / "work", scan)) == [True]
    assert (one.folder / name).exists()


def test_a_result_that_somebody_damaged_is_made_again(scan: Path, tmp_path: Path) -> None:
    (one,) = predicted(tmp_path / "work", scan).read
    (one.folder / "result.json").write_text("{")
    assert new(predicted(tmp_path / "work", scan)) == [True]


def test_bad_scans_are_told_and_the_others_read(scan: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.nii.gz").write_bytes(b"no scan at all")
    write_scan(tmp_path / "flat.nii.gz", np.full((9, 9, 9), 7, np.int16))
    done = predicted(tmp_path / "work", tmp_path / "bad.nii.gz", tmp_path / "flat.nii.gz", scan)
    assert [one.result.case for one in done.read] == ["one"]
    assert {skip.case: skip.reason for skip in done.failed} == {"bad": "unreadable", "flat": "empty_image"}
    assert sorted(path.name for path in done.out.iterdir() if path.name[0] != ".") == [
        done.read[0].folder.name
    ]


def test_a_step_that_breaks_ends_nothing(scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("client.predict.pipeline.find", broken)
    done = predicted(tmp_path / "work", scan)
    assert not done.read
    assert done.failed[0].case == "one"
    assert not [path for path in done.out.iterdir() if path.name != ".predict.lock"]


def test_a_page_that_cannot_be_made_is_a_warning_and_the_result_stands(
    scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("client.predict.pipeline.explain", broken)
    (one,) = predicted(tmp_path / "work", scan).read
    assert "page" not in one.result.files
    assert one.result.priority is not None
    assert any("MemoryError" in text for text in one.result.warnings)


def test_without_a_page_none_is_made(scan: Path, tmp_path: Path) -> None:
    (one,) = predicted(tmp_path / "work", scan, readings=Readings(explained=False)).read
    assert "page" not in one.result.files
    assert not (one.folder / "page.html").exists()


def test_further_readings_tell_how_sure_and_change_neither_findings_nor_score(
    scan: Path, tmp_path: Path
) -> None:
    (plain,) = predicted(tmp_path / "plain", scan).read
    (sure,) = predicted(tmp_path / "sure", scan, readings=Readings(uncertainty=True)).read
    assert plain.result.uncertainty is None
    assert sure.result.uncertainty is not None
    assert all(finding.uncertainty is not None for finding in sure.result.findings)
    assert sure.result.features == plain.result.features
    assert sure.result.priority == plain.result.priority
    assert sure.result.source_digest != plain.result.source_digest


def test_the_page_says_what_the_result_says(scan: Path, tmp_path: Path) -> None:
    (one,) = predicted(tmp_path / "work", scan).read
    page = (one.folder / one.result.files["page"]).read_text(encoding="utf-8")
    assert one.result.priority is not None
    assert one.result.priority.tier in page
    for reason in one.result.priority.reasons:
        assert reason.label in page
    assert page.count("data:image/png") >= 2


def test_seconds_are_told_step_by_step(tmp_path: Path) -> None:
    (one,) = predicted(tmp_path / "work", dicom_series(tmp_path / "series", turned(0))).read
    steps = ["read", "prepare", "network", "findings", "uncertainty", "priority", "files", "DICOM files"]
    steps.append("explanation")
    assert list(one.result.seconds) == steps
    assert one.result.seconds["read"] > 0
    assert json.loads((one.folder / "result.json").read_text())["seconds"].keys() == set(steps)


def test_history_for_one_scan_is_refused_for_two(scan: Path, tmp_path: Path) -> None:
    other = write_scan(tmp_path / "two.nii.gz", scene())
    with pytest.raises(ConfigError, match="one scan, found 2"):
        predicted(tmp_path / "work", scan, other, history={"age": "1"})


def test_a_calibration_that_is_not_for_this_site_is_refused_before_anything_is_read(
    scan: Path, tmp_path: Path
) -> None:
    model = model_of()
    assert model.priority is not None
    names = {"intercept[south]": -1.0, **{k: v for k, v in COEFFICIENTS.items() if k != "intercept"}}
    errors = dict.fromkeys(names, 0.1)
    other = model.priority.model_copy(update={"coefficients": names, "standard_errors": errors})
    with pytest.raises(ConfigError, match="north"):
        predicted(tmp_path / "work", scan, model=type(model)(model.study, model.weights, other))


def test_two_runs_do_not_write_into_one_folder(scan: Path, tmp_path: Path) -> None:
    done = predicted(tmp_path / "work", scan)
    with one_at_a_time(done.out / ".predict.lock", "busy"), pytest.raises(DataError, match="another run"):
        predicted(tmp_path / "work", scan)


KILLED = """
import os, signal, sys
from pathlib import Path
from client.predict import pipeline
from client.predict.names import KEY, NAMES
from client.predict.pipeline import Readings
from tests.client.predict.readings import likely, predicted
pipeline.probabilities = likely
inner, calls = pipeline.write_mask, []
def struck(path, *rest):
    inner(path, *rest)
    calls.append(path)
    if len(calls) == 3:  # the first file of the second scan is there
        os.kill(os.getpid(), signal.SIGKILL)
pipeline.write_mask = struck
predicted(Path(sys.argv[1]), *map(Path, sys.argv[2:]))
"""


def test_a_run_that_is_killed_leaves_whole_results_only_and_goes_on(scan: Path, tmp_path: Path) -> None:
    other = write_scan(tmp_path / "two.nii.gz", scene())
    work = tmp_path / "work"
    root = Path(pipeline.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLED, str(work), str(scan), str(other)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    left = [path for path in (work / "predictions").iterdir() if path.name.startswith(".case-")]
    assert len(left) == 1
    whole = [path for path in (work / "predictions").iterdir() if path.name.startswith("case-")]
    assert [Result.read(path / "result.json").case for path in whole] == ["one"]
    again = predicted(work, scan, other)
    assert new(again) == [False, True]
    assert not left[0].exists()


def test_each_result_new_or_kept_is_handed_on_with_its_path(scan: Path, tmp_path: Path) -> None:
    handed: list[tuple[Result, Path]] = []
    for _ in range(2):
        predict(
            site_of(tmp_path / "work"),
            model_of(),
            Request((scan,)),
            done=lambda result, path: handed.append((result, path)),
        )
    assert [Result.read(path) for _, path in handed] == [result for result, _ in handed]
    assert len(handed) == 2


def test_of_a_folder_only_the_cases_asked_for_are_read_and_one_that_is_not_there_is_named(
    scan: Path, tmp_path: Path
) -> None:
    write_scan(scan.with_name("two.nii.gz"), scene(), affine_of(0.8, 0.9, 2.5))
    scan.with_name("three.nii.gz").write_bytes(b"not a scan")
    scan.with_name("four.nii.gz").write_bytes(b"nor this")
    asked = frozenset({"two", "three", "five"})
    done = predicted(tmp_path / "work", scan.parent, cases=asked)
    assert [one.result.case for one in done.read] == ["two"]
    assert sorted((skip.case, skip.reason) for skip in done.failed) == [
        ("five", "no_such_case"),
        ("three", "unreadable"),
    ]
