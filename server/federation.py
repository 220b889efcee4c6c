"""Who takes part, and asking them: every answer ends as used, late, failed or refused, with a reason."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from flwr.serverapp import Grid

from server.messages import exchange
from server.results import Event, Patients, SiteEntry, Skipped
from server.rounds import Outcome, of_failure
from shared import __version__
from shared.errors import QuorumError, WireError
from shared.study import Study
from shared.sums import Shapes, Sums
from shared.wire import Record

NODE_POLL_S = 0.1


@dataclass(frozen=True)
class Seat:
    """One enrolled site."""

    node: int
    site: str
    patients: Patients
    skipped: tuple[Skipped, ...]
    patient_unit: str

    def entry(self, study: Study, epsilon_spent: float | None) -> SiteEntry:
        """Its part of results.json."""
        privacy = study.privacy
        return SiteEntry.model_validate(
            {
                "patients": self.patients,
                "skipped": self.skipped,
                "patient_unit": self.patient_unit,
                "epsilon": privacy.epsilon if privacy else None,
                "delta": privacy.delta if privacy else None,
                "epsilon_spent": epsilon_spent,
            }
        )


@dataclass(frozen=True)
class Answer:
    """A site's answer in one exchange; `record` is None unless it may be used."""

    seat: Seat
    record: Record | None
    outcome: Outcome


@dataclass
class Federation:
    """The enrolled sites of one run, and a log of everything that was not used."""

    grid: Grid
    study: Study
    seats: dict[int, Seat] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    @property
    def sites(self) -> list[str]:
        """Names of the enrolled sites, sorted."""
        return sorted(seat.site for seat in self.seats.values())

    def enrol(self, *, run: str, expected: int) -> None:
        """Ask every node to join; raise QuorumError when too few do.

        Waits until `expected` nodes are connected or the deadline has passed.
        """
        deadline_s = self.study.strategy.deadline_s
        nodes = self._wait_for_nodes(expected, deadline_s)
        record = Record("enrol", {"run": run, "study": json.dumps(self.study.model_dump(mode="json"))})
        answered = set()
        for reply in exchange(self.grid, dict.fromkeys(nodes, record), deadline_s=deadline_s):
            answered.add(reply.node)
            if reply.record is None:
                self.note("enrolment", f"node {reply.node}", "failed", reply.reason)
            elif reply.record.kind == "failure":
                self.note("enrolment", reply.record.text("site"), *of_failure(reply.record))
            else:
                self._seat(reply.node, reply.record)
        for node in set(nodes) - answered:
            self.note("enrolment", f"node {node}", "late", "deadline")
        if len(self.seats) < self.study.strategy.quorum:
            story = "; ".join(f"{e.site} {e.status} ({e.reason})" for e in self.events) or "no node connected"
            raise QuorumError(
                f"{len(self.seats)} site(s) enrolled, the study's quorum is {self.study.strategy.quorum}. "
                f"{story}. Each site's own site.log has the whole story."
            )

    def ask(
        self, phase: str, records: Mapping[int, Record], *, answer_kind: str, round_number: int | None = None
    ) -> Iterator[Answer]:
        """Ask the nodes in `records`; yields one Answer for each of them, as they arrive, late ones last."""
        started = time.monotonic()
        waiting = dict(records)
        for reply in exchange(self.grid, records, deadline_s=self.study.strategy.deadline_s):
            seat, asked = self.seats[reply.node], waiting.pop(reply.node)
            record, status, reason = reply.record, "used", reply.reason
            if record is None:
                status = "failed"
            elif record.kind == "failure":
                status, reason = of_failure(record)
            elif record.kind != answer_kind:
                status, reason = "refused", f"kind.{record.kind}"
            elif record.fields["site"] != seat.site:
                status, reason = "refused", "site"
            used = record if status == "used" else None
            outcome = Outcome(
                status,
                reason,
                patients=0 if used is None else int(used.fields.get("patients", 0)),
                seconds=reply.seconds,
                bytes_up=0 if record is None else record.size_bytes,
                bytes_down=asked.size_bytes,
            )
            yield self._answer(phase, Answer(seat, used, outcome), round_number)
        for node, asked in waiting.items():
            seconds = time.monotonic() - started
            outcome = Outcome("late", "deadline", seconds=seconds, bytes_down=asked.size_bytes)
            yield self._answer(phase, Answer(self.seats[node], None, outcome), round_number)

    def gather(
        self,
        phase: str,
        records: Mapping[int, Record],
        *,
        answer_kind: str,
        shapes: Shapes,
        round_number: int | None = None,
    ) -> dict[str, Sums]:
        """Ask for sums; returns those of every site whose answer is well-formed, by site name."""
        sums: dict[str, Sums] = {}
        for answer in self.ask(phase, records, answer_kind=answer_kind, round_number=round_number):
            if answer.record is not None:
                try:
                    sums[answer.seat.site] = Sums.from_arrays(answer.record.arrays, shapes)
                except WireError:
                    self.note(phase, answer.seat.site, "refused", "wire", round_number)
        return {site: sums[site] for site in sorted(sums)}

    def to_all(self, record: Record) -> dict[int, Record]:
        """Address the same record to every enrolled node; weights are then serialised once."""
        return dict.fromkeys(self.seats, record)

    def refuse(self, phase: str, answer: Answer, reason: str, round_number: int) -> Outcome:
        """Turn a well-formed answer away after all, with a reason."""
        self.note(phase, answer.seat.site, "refused", reason, round_number)
        return replace(answer.outcome, status="refused", reason=reason, patients=0)

    def _answer(self, phase: str, answer: Answer, round_number: int | None) -> Answer:
        if answer.outcome.status != "used":
            self.note(phase, answer.seat.site, answer.outcome.status, answer.outcome.reason, round_number)
        return answer

    def note(
        self, phase: str, site: str, status: str, reason: str | None, round_number: int | None = None
    ) -> None:
        """Log something that was not used."""
        self.events.append(
            Event.model_validate(
                {"phase": phase, "round": round_number, "site": site, "status": status, "reason": reason}
            )
        )

    def _seat(self, node: int, record: Record) -> None:
        site = str(record.fields.get("site"))
        taken = {seat.site for seat in self.seats.values()}
        wrong = {
            "kind": record.kind != "enrolment",
            "study": record.fields.get("study_digest") != self.study.digest(),
            "version": record.fields.get("wardround") != __version__,
            "site_twice": site in taken,
        }
        for reason, is_wrong in wrong.items():
            if is_wrong:
                return self.note("enrolment", site, "refused", reason)
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
            )
            seat.entry(self.study, None)  # what cannot stand in results.json must not show at the end
        except (ValueError, AttributeError, TypeError):
            return self.note("enrolment", site, "refused", "content")
        self.seats[node] = seat
        return None

    def _wait_for_nodes(self, expected: int, deadline_s: float) -> list[int]:
        started = time.monotonic()
        while True:
            nodes = sorted(self.grid.get_node_ids())
            if len(nodes) >= expected or time.monotonic() - started > deadline_s:
                return nodes
            time.sleep(NODE_POLL_S)
