import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from client.audit import Audit
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


def test_a_line_is_on_the_disk_before_append_returns(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
    audit.append("released")
    assert synced == [audit.path.stat().st_size]
