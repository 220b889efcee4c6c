"""What left, what was spent, and who looked at what."""

from fastapi import APIRouter

router = APIRouter()
