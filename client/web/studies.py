"""Studies: what they ask, what would leave, yes or no; rounds as they go."""

from fastapi import APIRouter

router = APIRouter()
