"""Scans and their history from a browser to the worklist."""

from fastapi import APIRouter

router = APIRouter()
