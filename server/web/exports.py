"""What a finished run left: its report in a tab of its own, everything in one zip."""

import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from fastapi import APIRouter, HTTPException
from starlette.responses import HTMLResponse, Response, StreamingResponse

from server.commands import exported
from server.web.office import Here, Looker
from shared.web.downloads import saved_as

router = APIRouter()

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)
"""Of reports, which hold their own style and pictures and no script."""
CHUNK_BYTES = 2**18


@router.get("/runs/{run}/report")
def report(run: str, visit: Looker, here: Here) -> Response:  # noqa: ARG001 - the visit is written down
    """Show the report of a run."""
    return _page(here.folder(here.run(run).id) / "report.html")


@router.get("/runs/{run}/statistics")
def statistics(run: str, visit: Looker, here: Here) -> Response:  # noqa: ARG001 - the visit is written down
    """Show the statistics that a run asked for."""
    return _page(here.folder(here.run(run).id) / "statistics.html")


@router.get("/runs/{run}/export.zip")
def export(run: str, visit: Looker, here: Here) -> Response:  # noqa: ARG001 - the visit is written down
    """Send results.json, report.html and model/, or the statistics."""
    file = _zipped(exported(here.settings, here.run(run)), here.settings.folder)
    size = file.seek(0, 2)
    file.seek(0)
    headers = saved_as(f"wardround-{run}.zip") | {"Content-Length": str(size)}
    return StreamingResponse(_chunks(file), media_type="application/zip", headers=headers)


def _page(path: Path) -> Response:
    if not path.exists():
        raise HTTPException(404)
    text = path.read_text(encoding="utf-8")
    return HTMLResponse(text, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})


def _zipped(parts: list[Path], folder: Path) -> IO[bytes]:
    """Put files and folders into a zip without a name, which is gone when it is closed."""
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed when the last byte is sent
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # weights do not get smaller
        for part in parts:
            for path in sorted(part.rglob("*")) if part.is_dir() else [part]:
                archive.write(path, path.relative_to(part.parent))
    return file


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
