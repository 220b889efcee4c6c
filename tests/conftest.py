"""What every test may ask for."""

import os
from pathlib import Path

import pytest

# A console that is made while this is set keeps that width, whatever a test asks for later.
os.environ.pop("COLUMNS", None)

TESTS = Path(__file__).parent
LISTENING = (
    "door",
    "superlink",
    "supervisor",
    "supernode",
    "control",
    "enrolment",
    "upkeep",
    "ports",
    "worker",
)
"""What names of files hold whose tests start services; so do all of end_to_end but these:"""
ALONE = ("quickstart", "pathological", "any_data", "simulate", "command_line", "resume")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for the mark
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers a file stays with one, and files that listen on ports all with the same."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item.path.relative_to(TESTS))))


def _group(file: Path) -> str:
    if file.parts[:2] == ("end_to_end", "pages") and file.stem != "test_studies":  # it has a coordinator
        return "pages"  # one sample for all, and a free port each
    listens = any(word in file.stem for word in LISTENING)
    if file.parts[0] == "end_to_end":
        listens = listens or not any(word in file.stem for word in ALONE)
    return "listening" if listens else file.as_posix()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans; a test that asks for it is skipped where there is none."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("WARDROUND_REAL_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real scans in {folder}: set WARDROUND_REAL_DATA to the folder that holds them")
    return folder
