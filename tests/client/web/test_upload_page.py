"""The page Upload: what is sent, who sees it, and what is refused before it lies on the disk."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import httpx2
import nibabel as nib
import pytest
from fastapi import FastAPI

from client.uploads.receiving import FOLDER
from client.uploads.records import Upload
from client.uploads.worker import Work
from client.web.hospital import Hospital
from client.worklist import Worklist
from tests.client.predict.readings import AFFINES, dicom_series, likely, scene
from tests.client.web.conftest import Browser

OTHER, PASSWORD = "reader two", "correct horse battery staple"


@pytest.fixture(autouse=True)
def _sees_what_is_bright(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.uncertainty.probabilities", likely)


@pytest.fixture
def second(app: FastAPI, browser: Browser) -> Iterator[Browser]:
    """A reader who is no engineer."""
    app.state.web.people.add(OTHER, PASSWORD, ["reader"])
    with Browser(app) as other:
        other.log_in(OTHER, PASSWORD)
        yield other


def nifti(seed: int = 0) -> bytes:
    image = scene()
    image[3, 3, 3] += seed
    return bytes(nib.Nifti1Image(image, AFFINES["oblique"]).to_bytes())


def begin(browser: Browser) -> str:
    name = browser.submit("/upload/new").json()["upload"]
    assert isinstance(name, str)
    return name


def send(browser: Browser, upload: str, name: str, content: bytes | Iterator[bytes]) -> httpx2.Response:
    headers = {
        "X-CSRF-Token": browser.csrf,
        "X-Upload": upload,
        "X-Path": quote(name),
        "Content-Type": "application/octet-stream",
    }
    return browser.post("/upload/file", content=content, headers=headers)


def work(hospital: Hospital) -> None:
    """Do all that the worker would, here."""
    with closing(Worklist.open(hospital.site)) as worklist:
        worker = Work(hospital.site, hospital.jobs, worklist)
        while worker.step():
            pass


def done(hospital: Hospital, upload: str) -> Upload:
    work(hospital)
    found = hospital.jobs.find(upload)
    assert found is not None
    return found


def uploaded(browser: Browser, hospital: Hospital, files: dict[str, bytes], **fields: str) -> Upload:
    upload = begin(browser)
    for name, content in files.items():
        assert send(browser, upload, name, content).status_code == 204
    browser.submit(f"/upload/{upload}/finish", **fields)
    return done(hospital, upload)


def packed(folder: Path) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder.parent))
    return made.getvalue()


def on_disk(hospital: Hospital) -> list[Path]:
    return [path for path in (hospital.site.work / FOLDER).rglob("*") if path.is_file()]


def test_a_nifti_is_on_the_worklist_in_the_end(browser: Browser, hospital: Hospital) -> None:
    found = uploaded(browser, hospital, {"Meyer_9.nii": nifti()}, **{"history.age": "70", "patient": "P9"})
    assert (found.state, [scan.case for scan in found.scans]) == ("done", ["Meyer_9"])
    page = browser.get("/upload").text
    assert f'<a href="/scan/{hospital.scan_name("Meyer_9")}">Meyer_9</a>' in page
    (row,) = [row for row in hospital.worklist.rows() if row.case == "Meyer_9"]
    assert row.patient == "P9"
    assert "age 70 years" in "".join(row.reasons)


def test_a_dicom_zip_and_a_dicom_folder_are_read(
    browser: Browser, hospital: Hospital, tmp_path: Path
) -> None:
    folder = dicom_series(tmp_path / "ct", AFFINES["oblique"])
    found = uploaded(browser, hospital, {"ct.zip": packed(folder)})
    assert found.state == "done"
    assert [scan.sent for scan in found.scans] == ["ct.zip"]
    files = {f"ct/{path.name}": path.read_bytes() for path in folder.iterdir()}
    again = uploaded(browser, hospital, files)
    assert [(scan.sent, scan.case) for scan in again.scans] == [("ct", found.scans[0].case)]
