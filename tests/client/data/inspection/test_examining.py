import os
from pathlib import Path

import pytest

from client.data import layouts
from client.data.inspection.examine import Examined, examine
from client.data.inspection.examining import examined
from client.data.layouts.base import Listed
from tests.client.data.layouts.trees import write_folders


@pytest.fixture
def cases(tmp_path: Path) -> list[Listed]:
    write_folders(tmp_path, 5)
    return layouts.find(tmp_path, None).list_cases(tmp_path)[0]


def deadly(item: Listed, *, draw: bool) -> Examined:
    """Die as a process does that is killed for want of memory."""
    if item.case in {"case-1", "case-4"}:
        os._exit(9)
    return examine(item, draw=draw)


def test_processes_find_what_one_process_finds(cases: list[Listed]) -> None:
    alone = dict(examined(cases, {"case-2"}, workers=1))
    together = dict(examined(cases, {"case-2"}, workers=2))
    assert list(alone) == [item.case for item in cases]
    assert {case: one.facts for case, one in together.items()} == {c: one.facts for c, one in alone.items()}
    assert {case for case, one in together.items() if one.pictures} == {"case-2"}


def test_a_case_that_kills_its_process_is_named_and_costs_no_other(cases: list[Listed]) -> None:
    found = dict(examined(cases, workers=2, work=deadly))
    faults = {case: one.facts.fault for case, one in found.items()}
    assert len(faults) == 5
    dead = {case: fault for case, fault in faults.items() if fault is not None}
    assert {case: fault.reason for case, fault in dead.items()} == {"case-1": "crashed", "case-4": "crashed"}
    assert all(fault.cure and f"{case}.nii.gz" in fault.detail for case, fault in dead.items())


def test_nothing_is_examined_where_nothing_is_listed() -> None:
    assert list(examined([], workers=2)) == []
