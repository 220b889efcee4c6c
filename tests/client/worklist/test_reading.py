"""Claims: one reader gets a scan, whoever else tries at the same moment, on SQLite with real processes."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from client.worklist import Worklist
from shared.errors import CaseError
from tests.client.worklist.scans import HOUR, START, result, site_of

CLAIMANT = textwrap.dedent("""
    import sys
    from pathlib import Path
    from client.site import Site
    from client.worklist import Worklist
    from shared.errors import CaseError

    folder, reader, cases = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    site = Site.parse({"name": "north", "data": folder, "work": folder / "work"}, "test")
    worklist = Worklist.open(site)
    print("ready", flush=True)
    sys.stdin.readline()
    for case in range(cases):
        try:
            worklist.claim(f"case-{case}", reader)
            print(case, flush=True)
        except CaseError as error:
            assert error.reason == "taken", error.reason
    worklist.close()
""")


@pytest.mark.parametrize("readers", [2, 8])
def test_of_several_processes_that_claim_a_scan_exactly_one_gets_it(
    worklist: Worklist, tmp_path: Path, readers: int
) -> None:
    cases = 20
    for case in range(cases):
        worklist.put(result(f"case-{case}"))
    claimants = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIMANT, str(tmp_path), f"reader-{number}", str(cases)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(readers)
    ]
    for one in claimants:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in claimants:  # all at once
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    won = {f"reader-{k}": one.communicate()[0].split() for k, one in enumerate(claimants)}
    assert [one.returncode for one in claimants] == [0] * readers
    assert sorted(int(case) for cases_ in won.values() for case in cases_) == list(range(cases))
    for row in worklist.rows(START):
        assert row.reader is not None
        assert row.case.removeprefix("case-") in won[row.reader]
        assert [h.what for h in worklist.history(row.case)] == ["arrived", "claimed"]


def test_a_scan_goes_through_its_states_and_all_is_noted(worklist: Worklist) -> None:
    worklist.put(result("a", "asap"))
    worklist.claim("a", "dr a", now=START + HOUR)
    worklist.claim("a", "dr a", now=START + 2 * HOUR)  # again: nothing
    (row,) = worklist.rows(START + HOUR)
    assert (row.state, row.reader, row.claimed) == ("reading", "dr a", START + HOUR)
    worklist.release("a", "dr a", now=START + 2 * HOUR)
    (row,) = worklist.rows(START + 2 * HOUR)
    assert (row.state, row.reader, row.claimed, row.waiting_since) == ("waiting", None, None, START)
    worklist.claim("a", "dr b", now=START + 3 * HOUR)
    worklist.finish("a", "dr b", now=START + 4 * HOUR)
    assert worklist.rows(START + 4 * HOUR) == []
    worklist.reopen("a", "dr a", now=START + 50 * HOUR)
    (row,) = worklist.rows(START + 51 * HOUR)
    assert (row.state, row.tier, row.arrived, row.waiting_since) == (
        "waiting",
        "asap",
        START,
        START + 50 * HOUR,
    )
    assert [(h.what, h.by) for h in worklist.history("a")] == [
        ("arrived", ""),
        ("claimed", "dr a"),
        ("released", "dr a"),
        ("claimed", "dr b"),
        ("read", "dr b"),
        ("reopened", "dr a"),
    ]


def test_every_other_step_is_refused_by_name_and_changes_nothing(worklist: Worklist) -> None:
    worklist.put(result("a"))
    for step in (worklist.release, worklist.reopen):
        with pytest.raises(CaseError, match="nobody is reading it"):
            step("a", "dr a")
    worklist.claim("a", "dr a")
    before = worklist.rows(START)
    for step in (worklist.claim, worklist.finish, worklist.release, worklist.reopen):
        with pytest.raises(CaseError, match="being read by dr a"):
            step("a", "dr b")
    assert worklist.rows(START) == before
    worklist.release("a", "dr b", force=True)
    worklist.finish("a", "dr b")  # nobody had claimed it
    for step in (worklist.claim, worklist.finish, worklist.release):
        with pytest.raises(CaseError, match="was read by dr b"):
            step("a", "dr b")
    for step in (worklist.claim, worklist.finish, worklist.release, worklist.reopen):
        with pytest.raises(CaseError, match="not on the worklist"):
            step("nobody", "dr b")


def test_the_next_scan_is_the_first_of_the_order_that_waits(worklist: Worklist) -> None:
    for case, tier in (("a", "routine"), ("b", "stat"), ("c", "urgent")):
        worklist.put(result(case, tier))  # type: ignore[arg-type]
    worklist.claim("b", "dr a", now=START)
    assert [worklist.claim_next("dr b", now=START) for _ in range(3)] == ["c", "a", None]


def test_a_store_that_another_reader_opened_tells_the_same(worklist: Worklist, tmp_path: Path) -> None:
    worklist.put(result("a"))
    other = Worklist.open(site_of(tmp_path))
    other.claim("a", "dr b")
    assert worklist.rows(START)[0].reader == "dr b"
    other.close()
