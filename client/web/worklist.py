"""The worklist: which scan is read next, by whom and why."""

from fastapi import APIRouter
from starlette.responses import Response

from client.web.hospital import Here, Reader
from client.worklist.look import look

router = APIRouter()


@router.get("/worklist")
def worklist(visit: Reader, here: Here) -> Response:
    """Show today's scans in reading order."""
    listed = look(here.worklist, here.site, limit=50)
    return visit.page("worklist.html", listed=listed, name_of=here.scan_name)
