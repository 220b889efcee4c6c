"""The page about data sets: the own one, others that are added, one that is used."""

import io
import re
import shutil
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import httpx2
import nibabel as nib
import numpy as np
import pytest
from fastapi import FastAPI

from client.data.split import split_of
from client.datasets import looks, receiving
from client.site import Site
from client.upload_settings import GB, UploadSettings
from client.web.data import SHOWN
from client.web.hospital import Hospital
from client.web.library import CONTENT_SECURITY_POLICY
from shared.errors import DataError
from tests.browsing import Browser
from tests.client.hospital import tiny_study
from tests.client.web.sample import NAMES

LONGEST_S = 60


def data_set(folder: Path, names: tuple[str, ...] = ("Okoro", "Weiss"), broken: int = 0) -> Path:
    """Write a data set of images/ and labels/, with a table; labels of `broken` cases have another shape."""
    rng = np.random.default_rng(1)
    rows = ["case,patient,age,urgent"]
    for number, name in enumerate([*names, *(f"bad{index}" for index in range(broken))]):
        shape = (8, 9, 10)
        image = rng.normal(100, 10, shape).astype(np.float32)
        label = np.zeros(shape if number < len(names) else (7, 9, 10), np.uint8)
        label[2:4, 2:4, 2:4] = 1
        for kind, values in (("images", image), ("labels", label)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(values, np.eye(4)), folder / kind / f"{name}.nii.gz")
        rows.append(f"{name},{name} person,{60 if number else ''},{number % 2}")
    (folder / "patients.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def zipped(folder: Path) -> bytes:
    """A zip of a folder, in memory."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        for path in sorted(folder.rglob("*")):
            made.write(path, path.relative_to(folder.parent))
    return packed.getvalue()


def looked(browser: Browser, path: str) -> str:
    """Wait until an inspection is over; return the page."""
    dataset = "site" if path == "/data" else path.rpartition("/")[2]
    end = time.monotonic() + LONGEST_S
    while time.monotonic() < end:
        answer = browser.get(f"/data/sets/{dataset}/progress")
        if answer.headers.get("HX-Redirect") == path:
            return browser.get(path).text
        assert "<progress" in answer.text
        time.sleep(0.2)
    raise TimeoutError(path)


def registered(browser: Browser, path: Path, **fields: str) -> httpx2.Response:
    """Add a folder."""
    return browser.submit("/data/register", **{"name": "second", "folder": str(path), **fields})


def sent(browser: Browser, content: bytes, name: str = "sent") -> httpx2.Response:
    """Send a zip as the page does."""
    headers = {
        "content-type": "application/octet-stream",
        "x-csrf-token": browser.csrf,
        "x-name": quote(name),
    }
    return browser.post("/data/upload", content=content, headers=headers)


def test_the_own_set_is_looked_at_and_shown(browser: Browser, hospital: Hospital) -> None:
    before = browser.get("/data").text
    assert "Nobody has looked at it yet" in before
    browser.submit("/data/sets/site/look")
    page = looked(browser, "/data")
    assert "0 of 4 cases can be used" in page  # scans to be read have no labels
    assert "label_missing" in page
    assert "Looked at" in page
    assert '<th scope="row">age</th>' in page
    folder = hospital.site.work / "pages" / "inspection" / "site"
    assert {path.name for path in folder.iterdir()} == {"summary.json", "page.html"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


def test_pictures_open_in_a_sandbox_without_scripts(browser: Browser) -> None:
    assert browser.get("/data/sets/site/pictures").status_code == 404
    browser.submit("/data/sets/site/look")
    looked(browser, "/data")
    answer = browser.get("/data/sets/site/pictures")
    policy = answer.headers["content-security-policy"]
    assert policy == CONTENT_SECURITY_POLICY
    assert policy.endswith("; sandbox")
    assert "script-src" not in policy
    assert NAMES[0] in answer.text
    assert "no-store" in answer.headers["cache-control"]


def test_a_folder_is_listed_looked_at_and_used(browser: Browser, hospital: Hospital, tmp_path: Path) -> None:
    folder = data_set(tmp_path / "other", broken=SHOWN + 5)
    answer = registered(browser, folder)
    assert "second is listed" in answer.text
    page = looked(browser, answer.url.path)
    assert f"2 of {SHOWN + 7} cases can be used" in page
    assert f'<span class="code">shape_mismatch</span>, {SHOWN + 5} cases' in page
    assert "5 more are not shown here" in page
    assert "Export label and image on one grid" in page
    assert "50 %" in page  # of the two usable cases' ages, one is missing
    rows = browser.get(f"{answer.url.path}/cases.csv").text.splitlines()
    assert len([row for row in rows if ",shape_mismatch," in row]) == SHOWN + 5
    before = hospital.site_file.read_text(encoding="utf-8")
    asked = browser.get(f"{answer.url.path}/use").text
    assert str(folder) in asked
    assert hospital.site_file.read_text(encoding="utf-8") == before
    done = browser.submit(f"{answer.url.path}/use")
    assert "start it and these pages again" in done.text
    site = Site.read(hospital.site_file)
    assert (site.data, site.layout, site.patients) == (folder, "folders", folder / "patients.csv")
    assert Path(f"{hospital.site_file}.before").read_text(encoding="utf-8") == before
    assert "names another folder since these pages were started" in done.text


def test_no_name_stands_in_an_address(browser: Browser, app: FastAPI, tmp_path: Path) -> None:
    answer = registered(browser, data_set(tmp_path / "other"))
    looked(browser, answer.url.path)
    assert not [one.path for one in app.state.web.people.views(most=100) if "second" in one.path]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"folder": "scans"}, "expected a whole path"),
        ({"folder": "/nowhere/at/all"}, "does not exist"),
        ({"name": "Not A Name"}, "name"),
        ({"layout": "lits"}, "layout"),
        ({"patients": "/nowhere.csv"}, "does not exist"),
    ],
)
def test_what_cannot_be_listed_is_said_beside_the_form(
    browser: Browser, tmp_path: Path, fields: dict[str, str], says: str
) -> None:
    folder = data_set(tmp_path / "other")
    answer = registered(browser, folder, **fields)
    assert answer.status_code == 422
    assert says in answer.text
    assert f'value="{fields.get("folder", folder)}"' in answer.text  # what was typed is not lost
    assert "/data/sets/" not in browser.get("/data").text.replace("/data/sets/site", "")


def test_folders_of_the_site_itself_are_refused(browser: Browser, hospital: Hospital, tmp_path: Path) -> None:
    work = hospital.site.work
    (tmp_path / "link").symlink_to(work)
    (tmp_path / "empty").mkdir()
    told = {
        work: "lie in each other",
        work / "model": "lie in each other",
        work.parent: "lie in each other",
        Path("/"): "lie in each other",
        tmp_path / "link": "lie in each other",
        hospital.site.data: "listed already",
        hospital.site_file: "no folder",
        tmp_path / "empty": "has none of the layouts",
    }
    for folder, says in told.items():
        answer = registered(browser, folder)
        assert answer.status_code == 422, folder
        assert says in answer.text, folder


def test_a_zip_is_imported_and_listed(browser: Browser, hospital: Hospital, tmp_path: Path) -> None:
    content = zipped(data_set(tmp_path / "other", broken=1))
    answer = sent(browser, content)
    assert (answer.status_code, answer.text[:11]) == (201, "/data/sets/")
    page = looked(browser, answer.text)
    assert "2 of 2 cases can be used" in page
    assert "Left out when the zip was imported" in page
    assert "bad0" in page
    kept = hospital.site.work / "datasets"
    assert not list((kept / "incoming").iterdir())
    names = {path.name.split(".")[0] for path in (kept / "sent" / "images").iterdir()}
    assert names
    assert not names & {"Okoro", "Weiss"}
    browser.submit(f"{answer.text}/look")
    assert "Left out when the zip was imported" in looked(browser, answer.text)
    browser.submit(f"{answer.text}/use")
    assert Site.read(hospital.site_file).data == kept / "sent"


def test_archives_that_must_not_be_unpacked_are_told(browser: Browser, hospital: Hospital) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as made:
        made.writestr("../../outside.nii", b"x")
    page = looked(browser, sent(browser, packed.getvalue()).text)
    assert "refused" in page
    assert "outside.nii" in page
    assert not list(hospital.site.work.parent.rglob("outside.nii"))


@pytest.mark.parametrize("content", [b"", b"no zip at all"])
def test_what_is_no_zip_is_not_kept(browser: Browser, hospital: Hospital, content: bytes) -> None:
    answer = sent(browser, content)
    assert answer.status_code == 409
    assert "no zip" in answer.text
    assert not list((hospital.site.work / "datasets" / "incoming").iterdir())


@pytest.mark.parametrize(
    ("uploads", "status", "told"),
    [({"keep_free_gb": 99_999}, 409, "make room"), ({"data_set_gb": 1e-9}, 413, "uploads.data_set_gb")],
)
def test_a_zip_for_which_there_is_no_room_is_refused_before_anything_is_written(
    browser: Browser, hospital: Hospital, uploads: dict[str, float], status: int, told: str
) -> None:
    hospital.room.site = hospital.site.model_copy(update={"uploads": UploadSettings(**uploads)})
    answer = sent(browser, b"xy")
    assert (answer.status_code, told in answer.text) == (status, True)
    assert not list((hospital.site.work / "datasets").rglob("*.zip"))


def test_scans_and_data_sets_that_come_in_together_count_together(hospital: Hospital, tmp_path: Path) -> None:
    free = shutil.disk_usage(hospital.site.work).free
    half = int(0.6 * (free - GB * hospital.site.uploads.keep_free_gb))
    hospital.room.site = hospital.site.model_copy(update={"uploads": UploadSettings(data_set_gb=100_000)})
    with (
        pytest.raises(DataError, match="bytes came"),  # of the first, which is not sent
        hospital.room.file(tmp_path / "scan", half),
        pytest.raises(DataError, match="make room"),
        receiving.received(tmp_path, half, hospital.room),
    ):
        raise AssertionError


@pytest.mark.parametrize("name", ["", "../up", "a/b", "Name", "a" * 200, "ä"])
def test_a_name_that_no_folder_should_have_is_refused(browser: Browser, name: str) -> None:
    assert sent(browser, b"x", name).status_code == 409


def test_a_set_is_taken_off_the_list_and_its_files_stay(browser: Browser, tmp_path: Path) -> None:
    folder = data_set(tmp_path / "other")
    files = sorted(path for path in folder.rglob("*"))
    answer = registered(browser, folder)
    looked(browser, answer.url.path)
    done = browser.submit(f"{answer.url.path}/hide")
    assert "off the list" in done.text
    assert browser.get(answer.url.path).status_code == 404
    assert sorted(folder.rglob("*")) == files
    assert browser.submit("/data/sets/site/hide").status_code == 404


def test_an_inspection_that_was_interrupted_is_told(browser: Browser, hospital: Hospital) -> None:
    folder = hospital.site.work / "pages" / "inspection" / "site"
    folder.mkdir(parents=True)
    (folder / "asked.json").write_text("{}", encoding="utf-8")
    page = browser.get("/data").text
    assert "It was interrupted" in page
    assert "Look again" in page


def test_an_inspection_of_another_folder_is_not_shown(
    browser: Browser, hospital: Hospital, tmp_path: Path
) -> None:
    browser.submit("/data/sets/site/look")
    assert "can be used" in looked(browser, "/data")
    text = hospital.site_file.read_text(encoding="utf-8")
    hospital.site_file.write_text(text.replace("data: data\n", f"data: {tmp_path}\n"), encoding="utf-8")
    page = browser.get("/data").text
    assert "Nobody has looked at it yet" in page


def test_what_the_last_run_skipped(browser: Browser, hospital: Hospital) -> None:
    cache = hospital.site.work / "cache"
    cache.mkdir()
    text = 'case,reason,detail\nOkafor_1,not_3d,"Okafor_1: it has ""4"" axes"\n'
    (cache / "skipped.csv").write_text(text, encoding="utf-8")
    page = browser.get("/data").text
    assert '<span class="code">not_3d</span>, 1 case' in page
    assert "Okafor_1: it has &#34;4&#34; axes" in page
    assert "one volume a file" in page


def test_ids_are_no_paths(browser: Browser) -> None:
    for name in ("..", "%2e%2e", "site/../site", "..%2f..%2fsite.yaml", "0" * 12, "SITE"):
        assert browser.get(f"/data/sets/{name}/pictures").status_code in {404, 422}, name


def test_two_looks_go_on_one_after_the_other(browser: Browser, hospital: Hospital, tmp_path: Path) -> None:
    paths = []
    for name in ("one", "two"):
        paths.append(registered(browser, data_set(tmp_path / name), name=name).url.path)
        browser.submit(f"{paths[-1]}/look")  # asked for twice: it goes on once
    states = [browser.get(f"{path}/progress").text for path in paths]
    assert "for another look to end" in states[1]
    for path in paths:
        assert "2 of 2 cases can be used" in looked(browser, path)


def test_a_process_that_dies_is_told(
    browser: Browser, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (sys.executable, "-c", "import os; print('a library speaks', flush=True); os._exit(9)")
    monkeypatch.setattr(looks, "PROGRAM", program)
    browser.submit("/data/sets/site/look")
    page = looked(browser, "/data")
    assert "ended with code 9. a library speaks" in page
    monkeypatch.undo()
    browser.submit("/data/sets/site/look")
    assert "ended with code 9" not in looked(browser, "/data")


def test_studies_split_the_patients(browser: Browser, hospital: Hospital, tmp_path: Path) -> None:
    study = tiny_study(name="glioma-2026")
    agreed = hospital.site.work / "studies" / f"{study.digest()}.yaml"
    agreed.parent.mkdir(exist_ok=True)
    agreed.write_text(study.to_yaml(), encoding="utf-8")
    names = tuple(f"case{number}" for number in range(9))
    page = looked(browser, registered(browser, data_set(tmp_path / "other", names)).url.path)
    counts = Counter(split_of(f"{name} person", study.evaluation) for name in names)
    for part in ("train", "validation", "test"):
        assert re.search(
            rf'<td class="number">{counts[part]} <span class="small nowrap">of {counts[part]} cas', page
        )
    assert "4 urgent, 5 not" in page
    assert f'href="/studies/{study.digest()}"' in page
