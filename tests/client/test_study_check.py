"""`wardround site check SITE STUDY`: a line for each case that does not fit, and what the study requires."""

import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from client.approvals import Approvals
from client.audit import Audit
from client.check_line import Line
from client.cli import app
from client.data_check import check_data
from client.preflight import exit_code
from client.site import Site
from client.study_check import check_study
from shared.study import Study
from tests.client.data.layouts.dicom_trees import write_dicom_seg
from tests.client.data.layouts.trees import (
    write_bids,
    write_brats_nifti,
    write_folders,
    write_ucsb,
    write_vessel12,
)
from tests.client.data.scans import picture, study, write_scan

BRATS = {"channels": ["t1", "flair"], "classes": ["head", "body"], "labels": [[1, 4], [2]]}


def site(folder: Path, **changes: Any) -> Site:
    values = {"name": "north", "data": str(folder / "data"), "work": str(folder / "work"), **changes}
    (folder / "site.yaml").write_text(yaml.safe_dump(values))
    return Site.read(folder / "site.yaml")


def checked(folder: Path, chosen: Study, **changes: Any) -> list[Line]:
    return list(check_study(site(folder, **changes), chosen))


def found(lines: list[Line], name: str) -> list[tuple[str, str]]:
    return [(line.state, line.finding) for line in lines if line.name == name]


def test_a_class_counts_as_it_was_drawn_though_the_studys_spacing_loses_it(tmp_path: Path) -> None:
    image, label = picture(0)
    label = np.where(label == 2, 1, label)
    label[5, 5, 5] = 2
    write_scan(tmp_path / "data" / "images" / "a.nii.gz", image)
    write_scan(tmp_path / "data" / "labels" / "a.nii.gz", label)
    coarse = study(task={"classes": ["head", "body"]}, preprocessing={"spacing_mm": [4.0, 4.0, 4.0]})
    assert ("ok", "body (2 in the label): in 1 labels") in found(checked(tmp_path, coarse), "study classes")


def test_each_case_that_does_not_fit_has_one_line_and_then_the_totals(tmp_path: Path) -> None:
    made = write_brats_nifti(tmp_path / "data", 6)
    cases = list(made.cases)
    files = {case: tmp_path / "data" / "HGG" / case / case for case in cases}
    files[cases[0]].with_name(f"{cases[0]}_flair.nii.gz").unlink()
    image, label = picture(1)
    write_scan(files[cases[1]].with_name(f"{cases[1]}_seg.nii.gz"), label + 5)
    write_scan(files[cases[2]].with_name(f"{cases[2]}_t1.nii.gz"), image[1:])
    path = files[cases[3]].with_name(f"{cases[3]}_flair.nii.gz")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    steps: list[tuple[int, int]] = []
    lines = list(
        check_study(
            site(tmp_path), study(task=BRATS), progress=lambda done, total: steps.append((done, total))
        )
    )
    reasons = ("channel_missing", "label_values", "shape_mismatch", "unreadable")
    expected = {f"{case}: {reason}" for case, reason in zip(cases, reasons, strict=False)}
    assert {": ".join(text.split(": ")[:2]) for _, text in found(lines, "case")} == expected
    assert {state for state, _ in found(lines, "case")} == {"warning"}
    assert all(text.count(text.split(": ")[0] + ": ") == 1 for _, text in found(lines, "case"))
    ((state, total),) = found(lines, "study cases")
    assert (state, total.startswith("2 of 6 cases fit")) == ("warning", True)
    assert "1 label_values" in total
    assert found(lines, "study channels") == [("ok", "t1, flair: in each of the 2 cases")]
    assert found(lines, "study classes") == [
        ("ok", "head (1, 4 in the label): in 2 labels"),
        ("ok", "body (2 in the label): in 2 labels"),
    ]
    assert found(lines, "study patients") == [("ok", "2 patients, the study requires 1")]
    assert steps[-1] == (5, 5)  # the sixth is incomplete by its names
    assert exit_code(lines) == 0
    assert not (tmp_path / "work").exists()


def test_what_the_study_requires_and_the_site_lacks_is_a_problem(tmp_path: Path) -> None:
    write_folders(tmp_path / "data", 3)
    task = {"classes": ["head", "body", "tail"]}
    lines = checked(tmp_path, study(task=task, requires={"minimum_patients": 4, "classes": ["tail"]}))
    assert found(lines, "study classes")[-1] == ("problem", "tail (3 in the label): in 0 labels")
    assert found(lines, "study patients") == [("problem", "3 patients, the study requires 4")]
    assert exit_code(lines) == 3
    lines = checked(tmp_path, study(task=task))
    assert found(lines, "study classes")[-1][0] == "warning"
    assert exit_code(lines) == 0


def test_a_site_of_other_channels_fits_in_no_case(tmp_path: Path) -> None:
    write_brats_nifti(tmp_path / "data", 2)
    lines = checked(tmp_path, study(task={**BRATS, "channels": ["ct"]}))
    assert [text.split(": ")[1] for _, text in found(lines, "case")] == ["channel_missing"] * 2
    assert [state for state, _ in found(lines, "study cases")] == ["problem"]
    assert exit_code(lines) == 3


def test_patients_are_counted_and_not_cases(tmp_path: Path) -> None:
    write_bids(tmp_path / "data", 4)
    lines = checked(tmp_path, study(task={"classes": ["head", "body"], "channels": ["t1w"]}))
    assert found(lines, "study patients") == [("ok", "2 patients, the study requires 1")]


def test_a_study_of_regions_asks_for_no_other_label(tmp_path: Path) -> None:
    write_vessel12(tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "Annotations")
    assert next(check_data(site(tmp_path))).state == "ok"
    lines = checked(tmp_path, study(task={"classes": ["lung"], "truth": "region"}))
    assert found(lines, "study cases") == [("ok", "3 of 3 cases fit the study")]


def test_whether_the_hospital_has_decided_is_said(tmp_path: Path) -> None:
    write_folders(tmp_path / "data", 1)
    chosen = study()
    assert found(checked(tmp_path, chosen), "study")[0][0] == "not yet"
    approvals = Approvals(tmp_path / "work", Audit(tmp_path / "work" / "audit.jsonl"))
    approvals.approve(chosen)
    assert found(checked(tmp_path, chosen), "study")[0] == ("ok", f"test {chosen.digest()[:12]}: approved")
    for listed, state in (("any", "ok"), (["test"], "ok"), (["other"], "problem")):
        assert found(checked(tmp_path, chosen, policy={"studies": listed}), "study")[0][0] == state


@pytest.mark.parametrize(
    ("write", "words"),
    [(write_dicom_seg, "DICOM PatientID"), (write_ucsb, "slide"), (write_bids, "subject")],
)
def test_where_patients_come_from_is_said(write: Any, words: str, tmp_path: Path) -> None:
    write(tmp_path / "data", 3)
    (line,) = [line for line in check_data(site(tmp_path)) if line.name == "patients table"]
    assert line.state == "ok"
    assert words in line.finding


def test_without_any_map_a_decision_is_asked_for(tmp_path: Path) -> None:
    write_folders(tmp_path / "data", 3)
    (line,) = [line for line in check_data(site(tmp_path)) if line.name == "patients table"]
    assert (line.state, "one_patient_per_case" in line.cure) == ("warning", True)
    assert "3 of 3 cases name no patient" in line.finding
    (line,) = [
        line
        for line in check_data(site(tmp_path, one_patient_per_case=True))
        if line.name == "patients table"
    ]
    assert line.state == "ok"


def test_the_command_takes_a_study_file_or_the_name_of_one_that_waits(tmp_path: Path) -> None:
    write_folders(tmp_path / "data", 2)
    here = site(tmp_path, policy={"minimum_patients": 1})
    (tmp_path / "study.yaml").write_text(study().to_yaml())
    Approvals(here.work, Audit(here.work / "audit.jsonl")).ask(study())
    for wanted in (str(tmp_path / "study.yaml"), "test"):
        result = CliRunner().invoke(app, ["check", str(tmp_path / "site.yaml"), wanted])
        assert "2 of 2 cases fit the study" in result.stdout
    result = CliRunner().invoke(app, ["check", str(tmp_path / "site.yaml"), "unheard-of"])
    assert "unheard-of" in result.stdout
    assert result.exit_code == 2


@pytest.mark.real_data
def test_the_dirty_folder_has_six_cases_that_fit_and_names_two(real_data: Path, tmp_path: Path) -> None:
    chosen = study(task={"classes": ["anterior", "posterior"]})
    lines = checked(tmp_path, chosen, data=str(real_data / "hippocampus_dirty"))
    assert [": ".join(text.split(": ")[:2]) for _, text in found(lines, "case")] == [
        "hippocampus_010: image_missing",
        "hippocampus_118: label_missing",
    ]
    assert found(lines, "study cases")[0][1].startswith("6 of 8 cases fit")
    labels = [nib.load(path).dataobj for path in (real_data / "hippocampus_dirty" / "labels").iterdir()]
    assert all(np.asarray(label).max() == 2 for label in labels)
