"""The files of one scan: volumes for the viewer, the page to print, and downloads under its pseudonym."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, HTTPException
from starlette.responses import FileResponse, PlainTextResponse, Response

from client.web.hospital import Here, Reader
from client.web.one_scan import EXPORTS, OneScan
from client.web.volumes import FOLDER, Volumes
from shared.errors import CaseError

PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; "
    "sandbox allow-same-origin allow-modals"
)
"""page.html has its style and pictures inside and no script; our own page may frame it and print it."""

router = APIRouter()


class Volume(FileResponse):
    """A volume of tens of megabytes, in pieces that are not each a hop between threads."""

    chunk_size = 2**20
    media_type = "application/octet-stream"


def _one(scan: str, here: Here) -> OneScan:
    return OneScan(here, scan, here.case_of(scan))


Scan = Annotated[OneScan, Depends(_one)]


@router.get("/scan/{scan}/image.nii")
def image(_: Reader, one: Scan, here: Here, channel: int = 0) -> Response:
    """Send one channel of the scan itself; in words why not, where it cannot be."""
    if one.why_no_volume is not None or one.source is None:
        return PlainTextResponse(str(one.why_no_volume), status_code=409)
    if not 0 <= channel < len(one.source.channels):
        raise HTTPException(404)
    try:
        volumes = Volumes(here.site.work / FOLDER)
        path = volumes.image(one.source, one.source.channels[channel], here.site.limits)
    except CaseError as error:
        return PlainTextResponse(str(error), status_code=409)
    return Volume(path)


@router.get("/scan/{scan}/{kind}.nii")
def overlay(_: Reader, one: Scan, kind: Literal["mask", "probability", "attribution"]) -> Response:
    """Send a map as it lies on disk; the browser unpacks it."""
    if kind not in one.files:
        raise HTTPException(404)
    return Volume(one.files[kind], headers={"Content-Encoding": "gzip"})


@router.get("/scan/{scan}/page")
def page(_: Reader, one: Scan) -> Response:
    """Show the page of the result, as it was printed when the scan was read."""
    if "page" not in one.files:
        raise HTTPException(404)
    headers = {"Content-Security-Policy": PAGE_POLICY, "X-Frame-Options": "SAMEORIGIN"}
    return FileResponse(one.files["page"], media_type="text/html", headers=headers)


@router.get("/scan/{scan}/export/{kind}")
def export(_: Reader, one: Scan, kind: str) -> Response:
    """Send one file of the result, called by the scan's pseudonym."""
    if kind not in EXPORTS or kind not in one.files:
        raise HTTPException(404)
    path = one.files[kind]
    return FileResponse(path, filename=f"wardround-{one.scan}-{kind}{''.join(path.suffixes)}")
