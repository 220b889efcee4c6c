"""The log a page at a time tells what the whole log tells."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client import audit_pages
from client.audit import GENESIS, Audit
from client.audit_pages import Filter, Numbered, Place, end_of, lines_of, page_of
from client.audit_totals import Summing
from shared.errors import PolicyError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).astimezone()
LINES = st.lists(
    st.tuples(
        st.sampled_from(["released", "refused"]),
        st.sampled_from(["update", "greeting"]),
        st.integers(0, 40),  # bytes of padding
    ),
    max_size=25,
)
FILTERS = st.builds(
    Filter,
    event=st.sampled_from(["", "released", "refused"]),
    kind=st.sampled_from(["", "update"]),
    first=st.sampled_from([None, date(2026, 3, 5)]),
    last=st.sampled_from([None, date(2026, 3, 9)]),
)


def write(path: Path, lines: list[tuple[str, str, int]]) -> None:
    """A line a day; the chain is of no concern here."""
    with path.open("wb") as file:
        for number, (event, kind, padding) in enumerate(lines):
            time = (NOON + timedelta(days=number)).isoformat()
            entry = {"time": time, "event": event, "kind": kind, "code": "x" * padding, "previous": GENESIS}
            file.write(json.dumps(entry).encode() + b"\n")


@contextmanager
def small_chunks() -> Iterator[None]:
    with patch.object(audit_pages, "CHUNK_BYTES", 64):
        yield


@given(LINES, FILTERS, st.integers(1, 7))
@settings(deadline=None)
def test_page_after_page_is_the_log_backwards(
    lines: list[tuple[str, str, int]], wanted: Filter, most: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, small_chunks():
        path = Path(folder) / "audit.jsonl"
        write(path, lines)
        whole = [Numbered(number, entry) for number, entry in enumerate(Audit(path).entries(), start=1)]
        expected = [line for line in whole if wanted.takes(line)]
        assert list(lines_of(path, wanted)) == expected
        found: list[Numbered] = []
        place = None
        for _ in range(len(lines) + 2):
            page = page_of(path, wanted, before=place, most=most)
            assert len(page.lines) <= most
            found += page.lines
            place = page.older
            if place is None:
                break
        assert found == expected[::-1]


def test_days_are_compared_as_the_wall_shows_them(tmp_path: Path) -> None:
    write(tmp_path / "log", [("released", "update", 0)] * 10)
    wanted = Filter(first=date(2026, 3, 3), last=date(2026, 3, 4))
    assert [line.number for line in page_of(tmp_path / "log", wanted).lines] == [4, 3]


def test_a_page_is_searched_for_only_so_far_and_then_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_pages, "FURTHEST_BYTES", 1000)
    write(tmp_path / "log", [("refused", "update", 0), *[("released", "update", 0)] * 50])
    first = page_of(tmp_path / "log", Filter(event="refused"))
    assert first.lines == ()
    place = first.older
    for _ in range(20):
        page = page_of(tmp_path / "log", Filter(event="refused"), before=place)
        if page.lines:
            break
        place = page.older
    assert [line.number for line in page.lines] == [1]


def test_a_line_that_is_being_written_is_not_shown_yet(tmp_path: Path) -> None:
    write(tmp_path / "log", [("released", "update", 0)] * 3)
    end = end_of(tmp_path / "log")
    with (tmp_path / "log").open("ab") as file:
        file.write(b'{"time": "')
    assert end_of(tmp_path / "log") == end == Place((tmp_path / "log").stat().st_size - 10, 3)
    assert len(page_of(tmp_path / "log", Filter()).lines) == 3


def test_a_place_that_is_not_between_lines_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "log", [("released", "update", 0)] * 3)
    with pytest.raises(PolicyError, match="no line that ends at byte 7"):
        page_of(tmp_path / "log", Filter(), before=Place(7, 1))
    assert Place.read(str(Place(120, 3))) == Place(120, 3)
    assert [Place.read(text) for text in ("", "1", "1-", "a-b", "-1-2", "9" * 50 + "-1")] == [None] * 6


def test_an_empty_and_a_missing_log_have_an_empty_page(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name in ("empty", "missing"):
        assert page_of(tmp_path / name, Filter()).lines == ()
        assert list(lines_of(tmp_path / name, Filter())) == []


def test_totals_of_a_growing_log_are_those_of_the_whole(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit.jsonl")
    growing = Summing(audit.path)
    assert growing.totals().lines == 0
    for number in range(4):
        audit.append("released", kind="update", bytes=10, patients=20 + number, round=number)
        audit.append("released", kind="failure", bytes=3, patients=0, round=0, code="x", times=5)
        audit.append("training", study="s", run="r", round=number // 2, inputs="i")
        growing.totals()
    whole = Summing(audit.path).totals()
    assert growing.totals() == whole
    assert (whole.lines, whole.left["update"].times, whole.left["update"].bytes) == (12, 4, 40)
    assert (whole.left["update"].patients, whole.left["failure"].times) == (23, 20)
    assert whole.updates == {"s": 2}  # the same round from the same inputs counts once


def test_another_log_in_its_place_is_read_from_its_start(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit.jsonl")
    summing = Summing(audit.path)
    for _ in range(3):
        audit.append("refused", kind="train", code="policy.hours")
    assert summing.totals().refused == {"policy.hours": 3}
    audit.path.unlink()
    audit.head_path.unlink()
    audit.append("started")
    assert summing.totals().refused == {}
