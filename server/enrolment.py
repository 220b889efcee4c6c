"""Who takes part in a run: every node is asked to join once it is connected.

- The run starts as soon as the expected sites have a seat, or when everybody who may join has given a final
  answer, or at the end of the wait. Nodes that connect during the wait are asked then.
- In a deployment an enrolled site may be switched off for weeks. Once everybody who is connected has given a
  final answer, and the seats are enough for the quorum, the others are waited for no longer than a grace,
  counted from the first question. Then they are late, as not connected.
- A site whose people have not approved the study yet, and a node that was gone when it was asked, are asked
  again every few seconds. Any other refusal or failure is final.
- In a deployment `names` says which node belongs to which site. Nobody else is asked, and a record under
  another name is refused. `names` is fixed when the run starts: a site that is enrolled in the federation
  later cannot join a run under way.
"""

import json
import time
from collections.abc import Mapping, Set
from dataclasses import dataclass

from flwr.serverapp import Grid

from server.board import Board
from server.messages import Mailbox, Reply
from server.results import Event, Patients, SiteEntry, Skipped
from server.rounds import DEADLINE, OFFLINE, sort_out
from shared import __version__
from shared.study import Study
from shared.wire import Record

PHASE = "enrolment"
APPROVAL = "policy.approval"
AGAIN_S = 5.0


@dataclass(frozen=True)
class Seat:
    """One enrolled site."""

    node: int
    site: str
    patients: Patients
    skipped: tuple[Skipped, ...]
    patient_unit: str
    history_lacking: int = 0

    def entry(self, study: Study, epsilon_spent: float | None) -> SiteEntry:
        """Its part of results.json."""
        privacy = study.privacy
        return SiteEntry.model_validate(
            {
                "patients": self.patients,
                "skipped": self.skipped,
                "patient_unit": self.patient_unit,
                "history_lacking": self.history_lacking,
                "epsilon": privacy.epsilon if privacy else None,
                "delta": privacy.delta if privacy else None,
                "epsilon_spent": epsilon_spent,
            }
        )


class Enrolment:
    """One run's enrolment: `seats` by node, and `left_out` with everybody's reason."""

    def __init__(self, grid: Grid, study: Study, board: Board, names: Mapping[int, str] | None) -> None:
        self._mailbox = Mailbox(grid)
        self._grid, self._study, self._board, self._names = grid, study, board, names
        self._again_at: dict[int, float] = {}
        self._connected: set[int] = set()
        self._first_asked: float | None = None
        self._turned_away: dict[int, Event] = {}
        self.seats: dict[int, Seat] = {}

    @property
    def left_out(self) -> list[Event]:
        """What became of the nodes without a seat, by node."""
        return [self._turned_away[node] for node in sorted(self._turned_away)]

    def open(self, *, run: str, expected: int, wait_s: float, grace_s: float) -> None:
        """Ask until enough sites have a seat or `wait_s` is over; whoever owes an answer then is late.

        `grace_s` is how long to wait for enrolled sites that are not connected while the others suffice.
        """
        ends = time.monotonic() + wait_s
        record = Record("enrol", {"run": run, "study": json.dumps(self._study.model_dump(mode="json"))})
        if self._names is not None:
            self._board.ask(self._names.values(), OFFLINE)
        while time.monotonic() < ends and not self._complete(expected, grace_s):
            if due := self._due():
                self._mailbox.send({node: [record] for node in due})
            for reply in self._mailbox.arrived():
                self._judge(reply)
        reason = DEADLINE if len(self.seats) < expected else "started"
        for node in self._mailbox.nodes - self._turned_away.keys():
            gone = self._names is not None and node not in self._connected
            self._turn_away(node, self._name(node), "late", OFFLINE if gone else reason)
        for node in (self._names or {}).keys() - self.seats.keys() - self._turned_away.keys():
            self._turn_away(node, self._name(node), "late", OFFLINE)

    def _complete(self, expected: int, grace_s: float) -> bool:
        final = self._turned_away.keys() - self._again_at.keys() - self._mailbox.nodes
        may_join = expected if self._names is None else len(self._names)
        if len(self.seats) >= expected or len(self.seats) + len(final) >= may_join > 0:
            return True
        return self._only_absent(self.seats.keys() | final) and self._waited_s() >= grace_s

    def _only_absent(self, answered: Set[int]) -> bool:
        """Whether nobody is missing but enrolled sites that are not connected, and the others suffice."""
        if self._names is None or len(self.seats) < self._study.strategy.quorum:
            return False
        people = {node for node, event in self._turned_away.items() if event.reason == APPROVAL}
        return (self._connected & self._names.keys()) | people <= answered

    def _waited_s(self) -> float:
        """How long ago the first question was sent."""
        return 0.0 if self._first_asked is None else time.monotonic() - self._first_asked

    def _due(self) -> list[int]:
        now = time.monotonic()
        known = self.seats.keys() | self._turned_away.keys() | self._mailbox.nodes
        self._connected = set(self._grid.get_node_ids())
        due = [
            node
            for node in sorted(self._connected)
            if (self._names is None or node in self._names)
            and (node not in known or self._again_at.get(node, now + 1) <= now)
        ]
        for node in due:
            self._again_at.pop(node, None)
        if due and self._first_asked is None:
            self._first_asked = now
        if due and self._names is not None:
            fresh = [node for node in due if node not in self._turned_away]  # approval goes on being shown
            self._board.ask(self._names[node] for node in fresh)
        return due

    def _judge(self, reply: Reply) -> None:
        found = sort_out(reply.records, ["enrolment"], site=None, reason=reply.reason)[0]
        answered = reply.records[0] if reply.records else None
        site = self._name(reply.node, answered)
        if found.record is not None:
            self._seat(reply.node, found.record)
        else:
            if found.reason in (APPROVAL, OFFLINE):
                self._again_at[reply.node] = time.monotonic() + AGAIN_S
            self._turn_away(reply.node, site, found.status, found.reason)

    def _seat(self, node: int, record: Record) -> None:
        site = record.text("site")
        taken = {seat.site for seat in self.seats.values()}
        wrong = {
            "identity": self._names is not None and site != self._names[node],
            "study": record.fields.get("study_digest") != self._study.digest(),
            "version": record.fields.get("wardround") != __version__,
            "site_twice": site in taken,
        }
        for reason, is_wrong in wrong.items():
            if is_wrong:
                return self._turn_away(node, self._name(node, record), "refused", reason)
        try:
            seat = Seat(
                node=node,
                site=site,
                patients=Patients(**{s: record.integer(s) for s in ("train", "validation", "test")}),
                skipped=tuple(
                    Skipped(reason=reason, count=count)
                    for reason, count in sorted(json.loads(record.text("skipped")).items())
                ),
                patient_unit=record.text("patient_unit"),
                history_lacking=record.integer("history_lacking"),
            )
            seat.entry(self._study, None)  # what cannot stand in results.json must not show at the end
        except (ValueError, AttributeError, TypeError):
            return self._turn_away(node, self._name(node, record), "refused", "content")
        self.seats[node] = seat
        self._turned_away.pop(node, None)
        self._board.tell(site, "enrolled", patients=seat.patients.total)
        return None

    def _turn_away(self, node: int, site: str, status: str, reason: str | None) -> None:
        event = Event.model_validate({"phase": PHASE, "site": site, "status": status, "reason": reason})
        self._turned_away[node] = event
        if reason == "site_twice":
            return  # the name on the board is the other node's
        self._board.tell(site, "approval" if reason == APPROVAL else event.status, reason)

    def _name(self, node: int, record: Record | None = None) -> str:
        if self._names is not None:
            return self._names[node]
        return f"node {node}" if record is None else str(record.fields.get("site", f"node {node}"))
