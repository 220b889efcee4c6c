"""One scan: pictures, findings, reasons, history, verdict, export."""

from fastapi import APIRouter
from starlette.responses import Response

from client.verdicts import LONGEST_NOTE
from client.web import scan_files, verdict
from client.web.hospital import Reader
from client.web.one_scan import EXPORTS, SHOWN
from client.web.scan_files import Scan
from client.worklist.order import TIERS

router = APIRouter()
router.include_router(scan_files.router)
router.include_router(verdict.router)


@router.get("/scan/{scan}")
def scan(visit: Reader, one: Scan) -> Response:
    """Show all that is known of one scan."""
    return visit.page(
        "scan.html",
        one=one,
        row=one.row,
        result=one.result,
        priority=one.priority,
        mine=one.verdict_of(visit.account.name),
        next=one.next(),
        tiers=TIERS[::-1],
        exports=EXPORTS,
        shown=SHOWN,
        longest_note=LONGEST_NOTE,
    )
