"""One scan: pictures, findings, reasons, verdict, export."""

from fastapi import APIRouter

router = APIRouter()
