"""Waiting for sites in a deployment: who is asked, who is asked again, and when the run starts."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from flwr.app import Error

from server import enrolment as enrolment_module
from server import messages as messages_module
from server.board import Board, RunStatus
from server.enrolment import AGAIN_S
from server.federation import Federation
from shared.errors import QuorumError
from shared.wire import Record
from tests.server.clock import Clock
from tests.server.fake_sites import (
    STUDY,
    Act,
    Answer,
    FakeGrid,
    FakeSite,
    enrolment,
    failing,
    hospitals,
    silent,
)

NAMES = {1: "north", 2: "east", 3: "south"}


CLOCK = Clock()


@pytest.fixture(autouse=True)
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (enrolment_module, messages_module):
        monkeypatch.setattr(module, "time", CLOCK)


class Connecting(FakeGrid):
    """A grid whose nodes connect when `connected` says so."""

    def __init__(self, sites: Iterable[FakeSite], connected: Callable[[float], set[int]]) -> None:
        super().__init__(sites)
        self._connected = connected
        self._since = CLOCK.monotonic()

    def get_node_ids(self) -> Iterable[int]:
        return sorted(self._connected(CLOCK.monotonic() - self._since))


def waited(federation: Federation, *, expected: int = 3, wait_s: float = 600, grace_s: float = 600) -> float:
    """Seconds that enrolment took."""
    started = CLOCK.monotonic()
    names = NAMES if expected < 4 else {**NAMES, 4: "west"}
    federation.enrol(run="run", expected=expected, wait_s=wait_s, grace_s=grace_s, names=names)
    return CLOCK.monotonic() - started


def eventually(count: int, then: Act, before: Act) -> Act:
    """`before`, the first `count` times that the site is asked to enrol."""

    def act(site: FakeSite, record: Record) -> Answer:
        asked = sum(r.kind == "enrol" for r in site.asked)
        return before(site, record) if asked <= count else then(site, record)

    return act


def healthy(site: FakeSite, record: Record) -> Answer:
    return enrolment(site)


def test_the_run_starts_as_soon_as_the_expected_sites_have_enrolled() -> None:
    federation = Federation(FakeGrid(hospitals("north", "east", "south")), STUDY)
    assert waited(federation) < 1
    assert federation.sites == ["east", "north", "south"]
    assert federation.events == []


def test_with_fewer_expected_nobody_waits_for_the_rest() -> None:
    sites = hospitals("north", "east", "south", south={"enrol": silent})
    federation = Federation(FakeGrid(sites), STUDY)
    assert waited(federation, expected=2) < 1
    assert [(e.site, e.status, e.reason) for e in federation.events] == [("south", "late", "started")]


@pytest.mark.parametrize(
    "before",
    [failing("policy.approval"), lambda site, record: Error(5)],
    ids=["not approved yet", "gone when it was asked"],
)
def test_a_site_is_asked_again_until_it_can_answer(before: Act) -> None:
    sites = hospitals("north", "east", "south", south={"enrol": eventually(3, healthy, before)})
    federation = Federation(FakeGrid(sites), STUDY)
    assert 3 * AGAIN_S <= waited(federation) < 3 * AGAIN_S + 2
    assert federation.sites == ["east", "north", "south"]
    assert len(sites[2].asked) == 4
    assert len(sites[0].asked) == 1  # who has a seat is not asked again
    assert federation.events == []


def test_a_site_that_waits_for_approval_is_shown_so_and_is_left_out_at_the_end(tmp_path: Path) -> None:
    board = Board(tmp_path / "status.json")
    shown: list[tuple[str, str | None]] = []

    def asked(_: float) -> set[int]:
        south = board.status.sites["south"]
        shown.append((south.state, south.reason))
        return {1, 2, 3}

    sites = hospitals("north", "east", "south", south={"enrol": failing("policy.approval")})
    federation = Federation(Connecting(sites, asked), STUDY, board)
    assert 60 <= waited(federation, wait_s=60) < 61
    assert shown[0] == ("awaited", "offline")
    assert ("approval", "policy.approval") in shown
    assert set(shown[shown.index(("approval", "policy.approval")) :]) == {("approval", "policy.approval")}
    assert federation.sites == ["east", "north"]
    assert [(e.site, e.status, e.reason) for e in federation.events] == [
        ("south", "refused", "policy.approval")
    ]
    assert RunStatus.read(tmp_path / "status.json").sites["south"].state == "approval"


def test_any_other_refusal_is_final_and_nobody_waits_for_it() -> None:
    sites = hospitals("north", "east", "south", south={"enrol": failing("policy.study")})
    federation = Federation(FakeGrid(sites), STUDY)
    assert waited(federation) < 1
    assert len(sites[2].asked) == 1
    assert [(e.site, e.reason) for e in federation.events] == [("south", "policy.study")]


def test_a_node_that_connects_during_the_wait_is_asked_then() -> None:
    sites = hospitals("north", "east", "south")
    grid = Connecting(sites, lambda seconds: {1, 2} if seconds < 30 else {1, 2, 3})
    federation = Federation(grid, STUDY)
    assert 30 <= waited(federation) < 31
    assert federation.sites == ["east", "north", "south"]


def test_a_site_that_never_connects_is_late_and_shown_as_awaited_until_then(tmp_path: Path) -> None:
    board = Board(tmp_path / "status.json")
    seen: list[tuple[str, str | None]] = []

    def connected(_: float) -> set[int]:
        south = board.status.sites["south"]
        seen.append((south.state, south.reason))
        return {1, 2}

    federation = Federation(Connecting(hospitals("north", "east", "south"), connected), STUDY, board)
    waited(federation, wait_s=30)
    assert set(seen) == {("awaited", "offline")}
    assert [(e.site, e.status, e.reason) for e in federation.events] == [("south", "late", "offline")]
    assert board.status.sites["south"].state == "late"


def test_a_node_under_another_sites_name_is_refused_under_its_own() -> None:
    sites = hospitals("north", "east", "south", south={"enrol": lambda s, r: enrolment(s, site="north")})
    federation = Federation(FakeGrid(sites), STUDY)
    waited(federation)
    assert federation.sites == ["east", "north"]
    assert [(e.site, e.status, e.reason) for e in federation.events] == [("south", "refused", "identity")]


def test_a_node_that_nobody_enrolled_is_not_asked() -> None:
    sites = hospitals("north", "east", "south", "stranger")
    federation = Federation(FakeGrid(sites), STUDY)
    waited(federation)
    assert federation.sites == ["east", "north", "south"]
    assert sites[3].asked == []


def test_without_a_quorum_the_error_names_every_site_and_its_reason(tmp_path: Path) -> None:
    sites = hospitals(
        "north", "east", "south", east={"enrol": failing("policy.approval")}, north={"enrol": failing("data")}
    )
    board = Board(tmp_path / "status.json")
    federation = Federation(Connecting(sites, lambda _: {1, 2}), STUDY, board)
    with pytest.raises(QuorumError, match=r"0 site\(s\) enrolled") as caught:
        waited(federation, wait_s=30)
    for story in ("north failed (data)", "east refused (policy.approval)", "south late (offline)"):
        assert story in str(caught.value)


def test_a_silent_site_costs_the_wait_and_no_more() -> None:
    sites = hospitals("north", "east", "south", east={"enrol": silent})
    federation = Federation(FakeGrid(sites), STUDY)
    assert 30 <= waited(federation, wait_s=30) < 31
    assert [(e.site, e.status, e.reason) for e in federation.events] == [("east", "late", "deadline")]


def test_enrolled_sites_that_are_not_connected_cost_the_grace_and_no_more(tmp_path: Path) -> None:
    board = Board(tmp_path / "status.json")
    grid = Connecting(hospitals("north", "east", "south"), lambda _: {1, 2})
    federation = Federation(grid, STUDY, board)
    assert 30 <= waited(federation, grace_s=30) < 31
    assert federation.sites == ["east", "north"]
    assert [(e.site, e.status, e.reason) for e in federation.events] == [("south", "late", "offline")]
    assert board.status.sites["south"].state == "late"


def test_the_grace_does_not_begin_before_somebody_was_asked() -> None:
    grid = Connecting(hospitals("north", "east", "south"), lambda seconds: {1, 2} if seconds > 50 else set())
    assert 90 <= waited(Federation(grid, STUDY), grace_s=40) < 91


def test_a_site_that_connects_during_the_grace_takes_part() -> None:
    grid = Connecting(
        hospitals("north", "east", "south"), lambda seconds: {1, 2, 3} if seconds > 30 else {1, 2}
    )
    federation = Federation(grid, STUDY)
    assert 30 <= waited(federation, grace_s=100) < 31
    assert federation.sites == ["east", "north", "south"]


def test_a_connected_site_that_owes_its_answer_is_waited_for_after_the_grace() -> None:
    sites = hospitals("north", "east", "south", east={"enrol": silent})
    federation = Federation(Connecting(sites, lambda _: {1, 2, 3}), STUDY)
    assert 80 <= waited(federation, wait_s=80, grace_s=10) < 81
    assert [(e.site, e.reason) for e in federation.events] == [("east", "deadline")]


def test_a_site_that_left_before_it_answered_is_not_waited_for_after_the_grace() -> None:
    sites = hospitals("north", "east", "south", east={"enrol": silent})
    grid = Connecting(sites, lambda seconds: {1, 2, 3} if seconds < 20 else {1, 3})
    federation = Federation(grid, STUDY)
    assert 30 <= waited(federation, grace_s=30) < 31
    assert [(e.site, e.status, e.reason) for e in federation.events] == [("east", "late", "offline")]


def test_people_who_have_not_approved_yet_have_the_whole_wait() -> None:
    sites = hospitals("north", "east", "south", "west", east={"enrol": failing("policy.approval")})
    gone_after_a_while = Connecting(sites, lambda seconds: {1, 2, 3} if seconds < 40 else {1, 3})
    federation = Federation(gone_after_a_while, STUDY)
    assert 90 <= waited(federation, expected=4, wait_s=90, grace_s=10) < 91
    assert [(e.site, e.reason) for e in federation.events] == [
        ("east", "policy.approval"),
        ("west", "offline"),
    ]


def test_without_a_quorum_the_absent_are_waited_for() -> None:
    grid = Connecting(hospitals("north", "east", "south"), lambda seconds: {1} if seconds < 60 else {1, 2})
    federation = Federation(grid, STUDY)
    assert 60 <= waited(federation, grace_s=10) < 61
    assert federation.sites == ["east", "north"]
