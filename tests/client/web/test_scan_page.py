import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from fastapi import FastAPI

from client.predict.names import FOLDER
from client.result import Result
from client.web.hospital import Hospital
from tests.browsing import Browser
from tests.client.predict.readings import scene
from tests.client.web.sample import NAMES, PASSWORD

CASE = NAMES[0]


@pytest.fixture
def scan(hospital: Hospital) -> str:
    """Address of a scan."""
    return f"/scan/{hospital.scan_name(CASE)}"


def folder_of(hospital: Hospital) -> Path:
    return hospital.site.work / FOLDER / hospital.scan_name(CASE)


def other_result(hospital: Hospital, case: str = CASE) -> Result:
    """Another result of the same patient, with no file here."""
    result = Result.read(folder_of(hospital) / "result.json")
    return result.model_copy(update={"case": case, "source_digest": "0" * 64})


def volume(content: bytes) -> Any:
    return nib.Nifti1Image.from_bytes(content)


def test_the_page_shows_findings_reasons_and_their_sum(
    browser: Browser, hospital: Hospital, scan: str
) -> None:
    page = browser.get(scan).text
    result = Result.read(folder_of(hospital) / "result.json")
    assert result.priority is not None
    for found in result.findings:
        assert f'data-jump="{found.number}"' in page
    for reason in result.priority.reasons:
        assert reason.text.rpartition(": ")[0] in page
    assert "add up to it exactly" in page
    assert f"n = {len(result.findings)} findings" in page


def test_no_name_of_a_case_stands_in_title_address_or_file_name(
    browser: Browser, hospital: Hospital, scan: str
) -> None:
    page = browser.get(scan).text
    seen = re.findall(r'(?:href|action|src|data-src|data-viewer)="([^"]*)"', page)
    seen += re.findall(r"<title>([^<]*)", page)
    seen += re.findall(r"<title>([^<]*)", browser.get(f"{scan}/page").text)
    seen += [
        browser.get(f"{scan}/export/{kind}").headers["content-disposition"] for kind in ("mask", "result")
    ]
    assert len(seen) > 10
    assert not [text for text in seen if any(name in text for name in NAMES)]


def test_the_image_has_the_voxels_and_the_place_of_the_scan_and_nothing_else(
    browser: Browser, hospital: Hospital, scan: str
) -> None:
    answer = browser.get(f"{scan}/image.nii")
    shown, source = volume(answer.content), nib.load(hospital.site.data / f"{CASE}.nii.gz")
    assert np.array_equal(np.asarray(shown.dataobj), scene())
    assert np.allclose(shown.affine, source.affine, atol=1e-5)
    assert bytes(shown.header["descrip"]).strip(b"\0") == b""
    assert CASE.encode() not in answer.content


def test_the_overlays_lie_on_the_image(browser: Browser, scan: str) -> None:
    image = volume(browser.get(f"{scan}/image.nii").content)
    for kind in ("mask", "probability"):
        overlay = volume(browser.get(f"{scan}/{kind}.nii").content)
        assert overlay.shape == image.shape
        assert np.allclose(overlay.affine, image.affine)
        assert overlay.get_fdata()[6, 6, 3] > 0
    attribution = volume(browser.get(f"{scan}/attribution.nii").content)
    assert np.any(attribution.get_fdata())


def test_a_scan_that_was_moved_is_told_and_its_pictures_are_shown(
    browser: Browser, hospital: Hospital, scan: str
) -> None:
    (hospital.site.data / f"{CASE}.nii.gz").unlink()
    answer = browser.get(f"{scan}/image.nii")
    assert answer.status_code == 409
    assert "moved or removed" in answer.text
    page = browser.get(scan).text
    assert "moved or removed" in page
    assert f'src="{scan}/page"' in page


def test_other_voxels_under_the_same_name_are_never_shown(
    browser: Browser, hospital: Hospital, scan: str
) -> None:
    path = hospital.site.data / f"{CASE}.nii.gz"
    nib.save(nib.Nifti1Image(scene() + 1, nib.load(path).affine), path)
    answer = browser.get(f"{scan}/image.nii")
    assert answer.status_code == 409
    assert "not those that the network read" in answer.text


def test_a_dicom_series_is_shown_and_exported(browser: Browser, hospital: Hospital) -> None:
    case = next(case for case in hospital.worklist.cases() if case not in NAMES)
    scan = f"/scan/{hospital.scan_name(case)}"
    image, mask = (volume(browser.get(f"{scan}/{kind}.nii").content) for kind in ("image", "mask"))
    assert image.shape == mask.shape
    assert np.allclose(image.affine, mask.affine)
    assert np.asarray(image.dataobj)[mask.get_fdata() > 0].mean() > 200  # the bright boxes, not elsewhere
    for kind in ("segmentation", "report"):
        assert browser.get(f"{scan}/export/{kind}").content[128:132] == b"DICM"


def test_the_result_is_gone(browser: Browser, hospital: Hospital, scan: str) -> None:
    hospital.worklist.put(other_result(hospital))  # read again elsewhere; that result is not here
    page = browser.get(scan)
    assert page.status_code == 200
    assert "no longer on this machine" in page.text
    assert browser.get(f"{scan}/mask.nii").status_code == 404


def test_the_page_to_print_runs_nothing_and_only_we_may_frame_it(browser: Browser, scan: str) -> None:
    headers = browser.get(f"{scan}/page").headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "allow-scripts" not in policy
    assert headers["x-frame-options"] == "SAMEORIGIN"


def test_unknown_scans_and_files_are_not_found(browser: Browser, scan: str) -> None:
    for path in ("/scan/case-0000000000000000", f"{scan}/export/source", f"{scan}/image.nii?channel=1"):
        assert browser.get(path).status_code == 404, path


def test_a_data_protection_officer_sees_no_scan(app: FastAPI, scan: str) -> None:
    app.state.web.people.add("odile", PASSWORD, ["officer"])
    with Browser(app) as officer:
        officer.log_in("odile", PASSWORD)
        for path in ("", "/image.nii", "/mask.nii", "/page", "/export/mask"):
            assert officer.get(scan + path).status_code == 403


def test_the_other_scans_of_the_patient_are_linked(browser: Browser, hospital: Hospital, scan: str) -> None:
    row = hospital.worklist.row(CASE)
    hospital.worklist.put(other_result(hospital, "Okafor_0"))
    page = browser.get(scan).text
    assert f'href="/scan/{hospital.scan_name("Okafor_0")}"' in page
    assert hospital.worklist.row("Okafor_0").patient == row.patient


def test_torch_is_not_loaded_by_the_pages() -> None:
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    code = "import sys, client.web.app; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
