"""The page Upload: what is sent, who sees it, and what is refused before it lies on the disk."""

import gzip
import io
import re
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import httpx2
import nibabel as nib
import pydicom
import pytest
from fastapi import FastAPI

from client.uploads.receiving import FOLDER
from client.uploads.records import Upload
from client.uploads.worker import Work
from client.web.hospital import Hospital
from client.worklist import Worklist
from tests.browsing import Browser
from tests.client.predict.readings import AFFINES, dicom_series, likely, scene

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


def series(folder: Path, uid: str) -> Path:
    """A series other than the one that the sample has."""
    for path in dicom_series(folder, AFFINES["oblique"]).iterdir():
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID = uid
        dataset.save_as(path)
    return folder


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


def test_what_is_no_scan_is_refused_by_name_and_the_others_go_on(
    browser: Browser, hospital: Hospital
) -> None:
    climbing, bomb = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(climbing, "w") as archive:
        archive.writestr("../../x.nii", nifti())
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.nii", bytes(2**27))
    found = uploaded(
        browser,
        hospital,
        {
            "climbing.zip": climbing.getvalue(),
            "bomb.zip": bomb.getvalue(),
            "Roth_1.nii": nifti(1),
            "cut.nii": nifti()[:3000],
            "letter.docx": b"PK is not how it begins",
            "picture.png": b"\x89PNG",
            "Roth_2.nii": nifti(2),
        },
    )
    assert found.state == "done"
    reasons = {scan.sent: scan.reason for scan in found.scans}
    assert reasons == {
        "Roth_1.nii": None,
        "Roth_2.nii": None,
        "climbing.zip": "archive_refused",
        "bomb.zip": "archive_refused",
        "cut.nii": "unreadable",
        "letter.docx": "not_a_scan",
        "picture.png": "unsupported_format",
    }
    page = browser.get("/upload").text
    assert page.count("What helps:") == 5
    assert "leads out of the folder" in page
    assert "would unpack to 134217728" in page
    assert str(hospital.site.work) not in page
    assert not list(hospital.site.work.parent.rglob("x.nii"))


def test_a_large_file_is_refused_before_it_is_on_the_disk(browser: Browser, hospital: Hospital) -> None:
    hospital.receiver.site = hospital.site.model_copy(
        update={"uploads": hospital.site.uploads.model_copy(update={"file_gb": 1e-6})}
    )
    upload = begin(browser)
    answer = send(browser, upload, "a.nii", bytes(1001))
    assert (answer.status_code, "uploads.file_gb" in answer.text) == (413, True)
    assert on_disk(hospital) == []
    assert "a.nii: it has 0.00 GB" in browser.get("/upload").text


@pytest.mark.parametrize("name", ["../../pages.db", "/etc/x.nii", "a/../../x", "C:\\x.nii"])
def test_a_path_that_leads_out_is_refused_by_name(name: str, browser: Browser, hospital: Hospital) -> None:
    upload = begin(browser)
    answer = send(browser, upload, name, nifti())
    assert (answer.status_code, "leads out of the folder" in answer.text) == (409, True)
    found = hospital.jobs.find(upload)
    assert found is not None
    assert [scan.sent for scan in found.scans] == [name]
    assert on_disk(hospital) == []


def test_a_file_without_a_length_or_a_token_is_refused(browser: Browser, hospital: Hospital) -> None:
    upload = begin(browser)
    assert send(browser, upload, "a.nii", iter([b"abc"])).status_code == 411
    browser.csrf = "0" * 64
    assert send(browser, upload, "a.nii", b"abc").status_code == 403
    assert on_disk(hospital) == []


def test_a_table_says_whose_each_scan_is(browser: Browser, hospital: Hospital, tmp_path: Path) -> None:
    upload = begin(browser)
    send(browser, upload, "Sato_1.nii.gz", gzip.compress(nifti(3)))
    send(browser, upload, "Sato_2.zip", packed(series(tmp_path / "ct", "1.2.3")))
    table = "case;patient;age;shoe size\nSato_1.nii.gz;P1;71;40\nSato_2;P2;72;41\nnobody;P3;50;42\n"
    files = {"table": ("Sato.csv", table.encode(), "text/csv")}
    browser.post(f"/upload/{upload}/finish", data={"csrf": browser.csrf}, files=files)
    found = done(hospital, upload)
    rows = {row.patient: "".join(row.reasons) for row in hospital.worklist.rows()}
    assert "age 71 years" in rows["P1"]
    assert "age 72 years" in rows["P2"]
    assert found.notes == (
        "Columns of the table that the model does not use: shoe size.",
        "Rows of the table that fit no scan: 1 (nobody).",
    )


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("age\n70\n", "no column `case` or `patient`"),
        ("case,age\na,70\nb,old\nc,71\n", "line 3: age is"),
        ("case,age\na,70,1\n", "3 values, expected 2"),
        ("case,age\na,70\na,71\n", "twice"),
    ],
)
def test_a_faulty_table_is_told_and_can_be_corrected(
    table: str, why: str, browser: Browser, hospital: Hospital
) -> None:
    upload = begin(browser)
    send(browser, upload, "a.nii", nifti())
    address, data = f"/upload/{upload}/finish", {"csrf": browser.csrf}
    answer = browser.post(address, data=data, files={"table": ("t.csv", table.encode(), "text/csv")})
    assert answer.status_code == 409
    assert why in answer.text.replace("&#39;", "'")
    assert str(hospital.site.work) not in answer.text
    assert browser.post(address, data=data).status_code == 200
    assert done(hospital, upload).state == "done"


def test_a_value_that_the_model_would_not_use_is_told(browser: Browser, hospital: Hospital) -> None:
    upload = begin(browser)
    send(browser, upload, "a.nii", nifti())
    answer = browser.submit(f"/upload/{upload}/finish", **{"history.age": "old"})
    assert (answer.status_code, "expected a number" in answer.text) == (409, True)


def test_two_uploads_at_once_do_not_mix(browser: Browser, second: Browser, hospital: Hospital) -> None:
    one, two = begin(browser), begin(second)
    send(browser, one, "same.nii", nifti(1))
    assert send(second, one, "other.nii", nifti(2)).status_code == 404
    send(second, two, "same.nii", nifti(2))
    second.submit(f"/upload/{two}/finish")
    browser.submit(f"/upload/{one}/finish")
    assert done(hospital, two).state == "done"
    (refused,) = done(hospital, one).scans
    assert refused.reason == "name_taken"  # it would take the place of another patient's scan
    assert second.get(f"/upload/{one}").status_code == 404
    assert browser.get(f"/upload/{two}").status_code == 200  # as an engineer
    assert one not in second.get("/upload").text
    assert two in browser.get("/upload/recent").text


def test_the_same_scan_may_come_again(browser: Browser, hospital: Hospital) -> None:
    content = (hospital.site.data / "Okafor_1.nii.gz").read_bytes()  # is on the list, and nobody uploaded it
    for _ in range(2):
        assert uploaded(browser, hospital, {"Okafor_1.nii.gz": content}).state == "done"
    other = (hospital.site.data / "Haddad_3.nii.gz").read_bytes()
    assert uploaded(browser, hospital, {"Okafor_1.nii.gz": other}).scans[0].reason == "name_taken"


def test_a_restart_in_the_middle_loses_nothing(browser: Browser, hospital: Hospital) -> None:
    upload = begin(browser)
    for number in range(3):
        send(browser, upload, f"Lind_{number}.nii", nifti(number))
    browser.submit(f"/upload/{upload}/finish")
    with closing(Worklist.open(hospital.site)) as worklist:
        worker = Work(hospital.site, hospital.jobs, worklist)
        assert worker.step()  # checks
        assert worker.step()  # reads the first
        assert hospital.jobs.next_to_read() is not None  # and is killed over the second
    hospital.jobs.requeue()
    found = done(hospital, upload)
    assert [scan.state for scan in found.scans] == ["read"] * 3


def test_a_browser_without_scripts_sends_one_form(browser: Browser, hospital: Hospital) -> None:
    data = {"csrf": browser.csrf, "history.age": "70"}
    answer = browser.post("/upload/whole", data=data, files={"files": ("Abe_1.nii", nifti())})
    assert "The upload is checked now" in answer.text
    work(hospital)
    assert "Abe_1" in hospital.worklist.cases()
    answer = browser.post("/upload/whole", data=data, files={"files": ("../Abe_2.nii", nifti())})
    assert (answer.status_code, "leads out" in answer.text) == (409, True)
    assert len(hospital.jobs.recent()) == 1


def test_files_are_deleted_by_an_engineer_and_results_stay(
    browser: Browser, second: Browser, hospital: Hospital
) -> None:
    found = uploaded(browser, hospital, {"Orlov_1.nii": nifti()})
    assert second.submit(f"/upload/{found.id}/remove").status_code == 403
    assert len(on_disk(hospital)) > 1
    assert "The files are deleted" in browser.submit(f"/upload/{found.id}/remove").text
    assert on_disk(hospital) == []
    assert "Orlov_1" in hospital.worklist.cases()
    assert "results stay" in browser.get("/upload").text


def test_an_unfinished_upload_is_removed_by_its_owner(browser: Browser, hospital: Hospital) -> None:
    upload = begin(browser)
    send(browser, upload, "a.nii", nifti())
    assert "not finished" in browser.get("/upload").text
    browser.submit(f"/upload/{upload}/discard")
    assert on_disk(hospital) == []
    assert send(browser, upload, "b.nii", nifti()).status_code == 404


def test_without_a_model_the_page_says_what_to_do(browser: Browser, hospital: Hospital) -> None:
    (hospital.site.work / "model" / "model.safetensors").unlink()
    assert "copy the model/ folder of a finished run" in browser.get("/upload").text
    assert browser.submit("/upload/new").status_code == 409


def test_an_empty_table_has_the_columns_that_the_model_asks_for(browser: Browser) -> None:
    assert browser.get("/upload/history.csv").text == "case,patient,age\n"


def test_no_name_stands_in_an_address(browser: Browser, hospital: Hospital) -> None:
    uploaded(browser, hospital, {"Geheim_1.nii": nifti()})
    page = browser.get("/upload").text
    assert "Geheim_1" in page
    for address in re.findall(r'(?:href|action|hx-get)="([^"]*)"', page):
        assert "Geheim" not in address


def test_an_upload_is_one_entry_among_the_views_however_many_files_it_has(
    browser: Browser, second: Browser, app: FastAPI
) -> None:
    def posts() -> list[tuple[str, str, str]]:
        views = app.state.web.people.views(most=100, path="/upload")
        return [(view.account, view.method, view.path) for view in reversed(views)]

    upload = begin(browser)
    for number in range(4):
        send(browser, upload, f"series/{number}.dcm", nifti(number))
    browser.submit("/upload/file", **{"not": "streamed"})  # is no file, and so it is written down
    second.csrf = "0" * 64
    assert send(second, upload, "series/5.dcm", nifti()).status_code == 403
    browser.post(f"/upload/{upload}/finish", data={"csrf": browser.csrf}, headers={"hx-request": "true"})
    assert posts() == [
        ("amal", "POST", "/upload/new"),
        ("amal", "POST", "/upload/file"),
        (OTHER, "REFUSED", "/upload/file"),
        ("amal", "POST", f"/upload/{upload}/finish"),
    ]
