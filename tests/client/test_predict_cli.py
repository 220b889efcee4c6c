"""`wardround site predict` as a hospital types it."""

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from client.cli import app
from client.result import NOTICE
from client.result import Result as ScanResult
from shared.errors import ConfigError, DataError
from tests.client.data.scans import write_scan
from tests.client.hospital import SIDE, tiny_study
from tests.client.predict.readings import STRAIGHT, dicom_series, likely, model_of, scene


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site's file with a model in its work folder and nothing else."""
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump({"name": "north", "data": "nowhere", "work": "work"}))
    model_of(tiny_study()).save(tmp_path / "work" / "model")
    return path


@pytest.fixture
def seeing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network sees what is bright."""
    monkeypatch.setattr("client.uncertainty.probabilities", likely)


def typed(site: Path, *words: object) -> Result:
    arguments = ["predict", str(site), *map(str, words)]
    return CliRunner().invoke(app, arguments, catch_exceptions=False, env={"COLUMNS": "200"})


def values(site: Path, *words: object) -> Any:
    return json.loads(typed(site, *words, "--json").stdout)


def test_a_decathlon_folder_with_one_damaged_scan_through_the_real_network(
    site: Path, phantoms: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    (folder / "imagesTr").mkdir(parents=True)
    chosen = sorted((phantoms / "imagesTr").iterdir())[:3]
    for path in chosen:
        (folder / "imagesTr" / path.name).write_bytes(path.read_bytes())
    chosen[1] = folder / "imagesTr" / chosen[1].name
    chosen[1].write_bytes(chosen[1].read_bytes()[:200])
    done = typed(site, folder, "--patients", phantoms / "patients.csv")
    assert done.exit_code == 0
    text = " ".join(done.stdout.split())
    assert f"not read: {chosen[1].name.removesuffix('.nii.gz')}: unreadable" in text
    assert "2 read, 0 kept, 1 not read" in text
    assert NOTICE in text
    again = values(site, folder, "--patients", phantoms / "patients.csv")
    assert [one["new"] for one in again["read"]] == [False, False]
    for one in again["read"]:
        result = ScanResult.read(Path(one["folder"]) / "result.json")
        assert result.model_dump(mode="json", by_alias=True) == one["result"]
        mask = nib.load(Path(one["folder"]) / "mask.nii.gz")
        assert mask.shape == (SIDE,) * 3
        assert result.priority is not None
        assert result.features["age"] > 0


@pytest.mark.usefixtures("seeing")
def test_a_nifti_file_with_its_history(site: Path, tmp_path: Path) -> None:
    path = write_scan(tmp_path / "scan.nii.gz", scene())
    done = typed(site, path, "--history", "age=80")
    text = " ".join(done.stdout.split())
    assert "scan" in text
    assert "age 80 years" in text
    assert "1 read, 0 kept, 0 not read" in text


@pytest.mark.usefixtures("seeing")
def test_a_dicom_folder_and_where_its_files_go(site: Path, tmp_path: Path) -> None:
    found = values(site, dicom_series(tmp_path / "series", STRAIGHT), "--out", tmp_path / "out")
    (one,) = found["read"]
    assert Path(one["folder"]).parent == tmp_path / "out"
    assert one["result"]["files"] == {
        "mask": "mask.nii.gz",
        "probability": "probability.nii.gz",
        "segmentation": "segmentation.dcm",
        "report": "report.dcm",
        "page": "page.html",
        "attribution": "attribution.nii.gz",
        "source": "source.json",
    }
    assert all((Path(one["folder"]) / name).is_file() for name in one["result"]["files"].values())


@pytest.mark.real_data
def test_real_scans_of_every_kind_through_the_real_network(
    site: Path, real_data: Path, tmp_path: Path
) -> None:
    hippocampus = sorted((real_data / "hippocampus" / "imagesTr").glob("hippo*.nii.gz"))[0]
    found = values(site, hippocampus, real_data / "dicom" / "ct_3slice", real_data / "dicom" / "mr_hippocrop")
    assert not [skip for skip in found["failed"] if skip["reason"] != "not_an_image"]
    assert len(found["read"]) == 4
    shapes = [nib.load(Path(one["folder"]) / "mask.nii.gz").shape for one in found["read"]]
    assert shapes[0] == nib.load(hippocampus).shape
    assert shapes[1] == (512, 512, 3)


@pytest.mark.usefixtures("seeing")
def test_quiet_says_nothing(site: Path, tmp_path: Path) -> None:
    done = typed(site, write_scan(tmp_path / "scan.nii.gz", scene()), "--quiet")
    assert (done.exit_code, done.stdout) == (0, "")


def test_nothing_that_can_be_read_ends_with_the_code_of_data(site: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.nii").write_bytes(b"x")
    with pytest.raises(DataError, match="not one of 1 scans") as error:
        typed(site, tmp_path / "bad.nii")
    assert error.value.exit_code == 3


@pytest.mark.parametrize("word", ["age", "age=", "=3", "weight=3", "age=old"])
def test_history_that_the_score_cannot_use_is_refused(word: str, site: Path, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan.nii.gz", scene())
    with pytest.raises(ConfigError, match="--history"):
        typed(site, scan, "--history", word)


def test_a_folder_without_a_model_is_refused(site: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="elsewhere"):
        typed(site, tmp_path, "--model", tmp_path / "elsewhere")


@pytest.mark.usefixtures("seeing")
def test_a_name_cannot_command_the_terminal(site: Path, tmp_path: Path) -> None:
    write_scan(tmp_path / "in" / "a\x1b[red].nii.gz", scene())
    shown = typed(site, tmp_path / "in").stdout
    assert "a?[red]" in shown
    assert np.all([letter != "\x1b" for letter in shown])
