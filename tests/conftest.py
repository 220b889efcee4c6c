"""What every test may ask for."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans; a test that asks for it is skipped where there is none."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("WARDROUND_REAL_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real scans in {folder}: set WARDROUND_REAL_DATA to the folder that holds them")
    return folder
