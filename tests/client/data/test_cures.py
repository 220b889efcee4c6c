import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from client.data.cures import CURES, UNKNOWN, cure

CLIENT = Path(__file__).parents[3] / "client"
KINDS = ("image", "label", "region")  # what a `{kind}_missing` in the source stands for


def codes(node: ast.expr) -> Iterator[str]:
    """Reason codes that an expression may be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value
    elif isinstance(node, ast.JoinedStr) and isinstance(end := node.values[-1], ast.Constant):
        yield from (f"{kind}{end.value!s}" for kind in KINDS)
    elif isinstance(node, ast.IfExp):
        yield from (*codes(node.body), *codes(node.orelse))


def given(path: Path) -> Iterator[str]:
    """Reason codes that a file gives: CaseError, Skipped, or an assignment to `reason`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            place = {"CaseError": 0, "Skipped": 1}.get(getattr(node.func, "id", ""))
            named = [word.value for word in node.keywords if word.arg == "reason"]
            place_args = node.args[place : place + 1] if place is not None else []
            for argument in (*place_args, *named):
                yield from codes(argument)
        elif isinstance(node, ast.Assign):
            names, values = (
                part.elts if isinstance(part, ast.Tuple) else [part] for part in (node.targets[0], node.value)
            )
            for name, value in zip(names, values, strict=False):
                if getattr(name, "id", "") == "reason":
                    yield from codes(value)


SOURCES = [*sorted((CLIENT / "data").rglob("*.py"))]
GIVEN = {code for path in SOURCES for code in given(path)}
OF_WARNINGS = {"duplicate_pixels", "duplicate_channel"}


def test_the_codes_are_found_in_the_source() -> None:
    assert {"unreadable", "outside_folder", "label_missing", "crashed", "missing_slice"} <= GIVEN


@pytest.mark.parametrize("code", sorted(GIVEN))
def test_each_code_has_a_cure_of_its_own(code: str) -> None:
    assert cure(code) != UNKNOWN


def test_no_cure_is_for_a_code_that_nothing_gives() -> None:
    assert set(CURES) - GIVEN == OF_WARNINGS
    assert len(set(CURES.values())) >= len(CURES) - 1


def test_a_code_of_tomorrow_has_a_cure_as_well() -> None:
    assert cure("invented") == UNKNOWN
