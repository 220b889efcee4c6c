"""Accounts: who may log in, as what."""

from fastapi import APIRouter

router = APIRouter()
