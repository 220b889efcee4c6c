"""Data sets: what is there, how it is split, what is skipped and why."""

from fastapi import APIRouter

router = APIRouter()
