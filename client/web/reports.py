"""Reports of runs and of seismometer."""

from fastapi import APIRouter

router = APIRouter()
