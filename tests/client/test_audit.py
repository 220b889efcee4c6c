import errno
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.audit import GENESIS, Audit
from shared.errors import PolicyError


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    made = Audit(tmp_path / "audit.jsonl")
    for number in range(5):
        made.append("released", kind="update", round=number)
    return made


def rewrite(audit: Audit, lines: list[bytes]) -> None:
    audit.path.write_bytes(b"".join(line + b"\n" for line in lines))


def test_verify_counts_the_lines_of_an_untouched_log(audit: Audit, tmp_path: Path) -> None:
    assert audit.verify() == 5
    assert Audit(tmp_path / "never written").verify() == 0


def test_an_edited_line_breaks_the_chain(audit: Audit) -> None:
    lines = audit.path.read_bytes().splitlines()
    rewrite(audit, [*lines[:2], lines[2].replace(b'"round": 2', b'"round": 7'), *lines[3:]])
    with pytest.raises(PolicyError, match="line 4"):
        audit.verify()


@pytest.mark.parametrize("cut", [0, 1, 3])
def test_a_line_cut_from_the_middle_breaks_the_chain(audit: Audit, cut: int) -> None:
    lines = audit.path.read_bytes().splitlines()
    rewrite(audit, lines[:cut] + lines[cut + 1 :])
    with pytest.raises(PolicyError, match=f"line {cut + 1}"):
        audit.verify()


def test_reordered_lines_break_the_chain(audit: Audit) -> None:
    first, second, *others = audit.path.read_bytes().splitlines()
    rewrite(audit, [second, first, *others])
    with pytest.raises(PolicyError) as fault:
        audit.verify()
    assert fault.value.code == "policy.audit"


@pytest.mark.parametrize("garbage", [b"", b"{", b"[]", b"5", b"{}"])
def test_what_is_no_line_of_the_log_is_refused(audit: Audit, garbage: bytes) -> None:
    rewrite(audit, [*audit.path.read_bytes().splitlines(), garbage])
    with pytest.raises(PolicyError, match="line 6"):
        audit.verify()


def test_two_threads_that_write_at_once_keep_one_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow_seal(line: bytes) -> str:
        time.sleep(0.002)  # between reading the last line and writing the next
        return hashlib.sha256(line).hexdigest()

    monkeypatch.setattr("client.audit._seal", slow_seal)

    def write(thread: int) -> None:
        audit = Audit(tmp_path / "audit.jsonl")
        for number in range(20):
            audit.append("released", thread=thread, number=number)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(2)))
    assert Audit(tmp_path / "audit.jsonl").verify() == 40


def test_line_and_head_are_on_the_disk_before_append_returns(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda file: synced.append(Path(f"/proc/self/fd/{file}").readlink().name)
    )
    audit.append("released")
    line, head, folder = synced
    assert line == "audit.jsonl"
    assert head.startswith(".audit.head.")
    assert folder == audit.path.parent.name


def test_log_and_head_are_private(audit: Audit) -> None:
    assert {path.stat().st_mode & 0o777 for path in (audit.path, audit.head_path)} == {0o600}


def test_an_end_that_was_cut_off_is_missed(audit: Audit) -> None:
    rewrite(audit, audit.path.read_bytes().splitlines()[:3])
    with pytest.raises(PolicyError, match=r"ends at line 3, audit.head counts 5"):
        audit.verify()


def test_an_edited_last_line_is_noticed(audit: Audit) -> None:
    *lines, last = audit.path.read_bytes().splitlines()
    rewrite(audit, [*lines, last.replace(b'"round": 4', b'"round": 9')])
    with pytest.raises(PolicyError, match="line 5 has the seal"):
        audit.verify()


def test_a_missing_or_damaged_head_is_noticed(audit: Audit) -> None:
    audit.head_path.write_text("{}")
    with pytest.raises(PolicyError, match="damaged"):
        audit.verify()
    audit.head_path.unlink()
    with pytest.raises(PolicyError, match="is missing; the log has 5 lines"):
        audit.verify()


def test_a_removed_log_is_noticed(audit: Audit) -> None:
    audit.path.unlink()
    with pytest.raises(PolicyError, match="cut off"):
        audit.verify()


def test_nothing_is_appended_to_a_log_that_does_not_fit_its_head(audit: Audit) -> None:
    lines = audit.path.read_bytes().splitlines()
    for left in (lines[:3], [], [*lines[:4], lines[0]]):
        rewrite(audit, left)
        before = audit.path.read_bytes(), audit.head_path.read_bytes()
        with pytest.raises(PolicyError, match="does not end as"):
            audit.append("released")
        with pytest.raises(PolicyError, match="does not end as"):
            audit.seal()
        assert (audit.path.read_bytes(), audit.head_path.read_bytes()) == before


@pytest.mark.parametrize("lines", [1, 2, 4])
def test_a_head_one_behind_is_a_stopped_machine_and_the_next_line_mends_it(
    tmp_path: Path, lines: int
) -> None:
    audit = Audit(tmp_path / "audit.jsonl")
    for number in range(lines - 1):
        audit.append("released", round=number)
    before = audit.head_path.read_bytes() if audit.head_path.exists() else None
    audit.append("released")
    if before is None:
        audit.head_path.unlink()
    else:
        audit.head_path.write_bytes(before)
    found = audit.inspect()
    assert found.lines == lines
    assert "one behind" in str(found.note)
    assert audit.seal() == (lines, found.seal)
    audit.append("released")
    assert audit.inspect().note is None
    assert audit.verify() == lines + 1


def test_a_full_disk_never_leaves_the_head_two_behind_and_with_room_again_the_log_goes_on(
    audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def full(*_: object, **__: object) -> Iterator[Path]:
        raise OSError(errno.ENOSPC, "No space left on device")
        yield Path()

    with monkeypatch.context() as patched:
        patched.setattr("client.audit.write_atomically", full)
        for _ in range(3):  # each answer is tried, and then its failure
            with pytest.raises(OSError, match="No space left"):
                audit.append("released")
    assert "one behind" in str(audit.inspect().note)
    audit.append("released")
    assert audit.verify() == 7


def test_a_head_two_behind_is_not(audit: Audit) -> None:
    before = audit.head_path.read_bytes()
    audit.append("released")
    audit.append("released")
    audit.head_path.write_bytes(before)
    with pytest.raises(PolicyError, match="line 7 and those after it"):
        audit.verify()
    with pytest.raises(PolicyError, match="does not end as"):
        audit.append("released")


def test_a_half_written_line_is_a_stopped_machine_and_the_next_line_takes_its_place(audit: Audit) -> None:
    with audit.path.open("ab") as file:
        file.write(b'{"time": "2026' + b" " * 999)
    assert "has no end" in str(audit.inspect().note)
    assert audit.verify() == 5
    audit.append("released")
    assert audit.inspect().note is None
    assert audit.verify() == 6


def test_the_seal_is_a_witness_for_the_lines_so_far(audit: Audit) -> None:
    told = audit.seal()
    assert told[0] == 5
    audit.append("released")
    assert audit.verify(told) == 6
    assert audit.verify((0, GENESIS)) == 6
    with pytest.raises(PolicyError, match=r"line 5 has the seal .* the witness saw it"):
        audit.verify((5, "f" * 64))
    with pytest.raises(PolicyError, match="the witness saw 9"):
        audit.verify((9, told[1]))


def test_a_witness_sees_through_a_log_and_head_forged_together(audit: Audit, tmp_path: Path) -> None:
    told = audit.seal()
    forged = Audit(tmp_path / "forged" / "audit.jsonl")
    for number in range(6):
        forged.append("released", kind="update", round=number)
    assert forged.verify() == 6
    with pytest.raises(PolicyError, match="witness"):
        forged.verify(told)


def test_a_log_of_nothing_has_a_seal_and_leaves_no_file(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit.jsonl")
    assert audit.seal() == (0, GENESIS)
    assert audit.verify((0, GENESIS)) == 0
    assert list(tmp_path.iterdir()) == []


def test_appending_reads_only_the_end_of_the_log(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit.jsonl")
    for number in range(300):
        audit.append("released", round=number)
    before = io_bytes()
    audit.append("released")
    assert io_bytes() - before < 20_000 < audit.path.stat().st_size


def io_bytes() -> int:
    """Bytes this process has read so far."""
    return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split("\n")[0])


def without(lines: list[bytes], place: int, _: int) -> list[bytes]:
    return lines[:place] + lines[place + 1 :]


def swapped(lines: list[bytes], place: int, other: int) -> list[bytes]:
    found = list(lines)
    found[place], found[other] = lines[other], lines[place]
    return found


def edited(lines: list[bytes], place: int, _: int) -> list[bytes]:
    return [*lines[:place], lines[place].replace(b'"released"', b'"refused"'), *lines[place + 1 :]]


FORGED = b'{"time": "", "event": "released", "previous": "%s"}' % (b"0" * 64)
TAMPERED: dict[str, Callable[[list[bytes], int, int], list[bytes]]] = {
    "edited": edited,
    "cut": lambda lines, place, _: lines[:place],
    "removed": without,
    "swapped": swapped,
    "repeated": lambda lines, place, other: [*lines[:other], lines[place], *lines[other:]],
    "repeated at the end": lambda lines, place, _: [*lines, lines[place]],
    "inserted": lambda lines, place, _: [*lines[:place], FORGED, *lines[place:]],
}


def written(folder: str, facts: list[int]) -> Audit:
    audit = Audit(Path(folder) / "audit.jsonl")
    for fact in facts:
        audit.append("released", round=fact)
    return audit


LOGS = st.lists(st.integers(0, 3), min_size=2, max_size=8)


@settings(deadline=None, max_examples=150)
@given(facts=LOGS, how=st.sampled_from(sorted(TAMPERED)), where=st.data())
def test_every_edit_cut_swap_and_repetition_of_any_log_is_noticed(
    facts: list[int], how: str, where: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        audit = written(folder, facts)
        lines = audit.path.read_bytes().splitlines()
        place, other = where.draw(st.permutations(range(len(lines))).map(lambda order: order[:2]))
        rewrite(audit, TAMPERED[how](lines, place, other))
        with pytest.raises(PolicyError) as fault:
            audit.verify()
        assert fault.value.code == "policy.audit"


@settings(deadline=None, max_examples=150)
@given(facts=LOGS, where=st.data())
def test_any_other_byte_and_any_shorter_file_is_noticed(facts: list[int], where: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        audit = written(folder, facts)
        untouched = audit.path.read_bytes()
        at = where.draw(st.integers(0, len(untouched) - 1))
        byte = where.draw(st.integers(0, 255).filter(lambda value: value != untouched[at]))
        for found in (untouched[:at] + bytes([byte]) + untouched[at + 1 :], untouched[:at]):
            audit.path.write_bytes(found)
            with pytest.raises(PolicyError):
                audit.verify()
