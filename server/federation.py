"""Asking the enrolled sites: every answer ends as used, late, failed or refused, with a reason."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flwr.serverapp import Grid

from server.board import Board
from server.enrolment import Enrolment, Seat
from server.messages import Reply, exchange
from server.results import Event
from server.rounds import DEADLINE, Found, Outcome, sort_out
from shared.errors import QuorumError, WireError
from shared.study import Study
from shared.sums import Shapes, Sums
from shared.wire import Record


@dataclass(frozen=True, eq=False)
class Question:
    """One instruction of an exchange, and the kind of record that answers it."""

    phase: str
    record: Record
    answer_kind: str
    round_number: int | None = None


Asked = Mapping[int, Sequence[Question]]
"""By node, the questions that it gets in one message."""


@dataclass(frozen=True)
class Answer:
    """A site's answer to one question; `record` is None unless it may be used."""

    seat: Seat
    question: Question
    record: Record | None
    outcome: Outcome


@dataclass
class Federation:
    """The enrolled sites of one run, and a log of everything that was not used."""

    grid: Grid
    study: Study
    board: Board = field(default_factory=Board)
    seats: dict[int, Seat] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    @property
    def sites(self) -> list[str]:
        """Names of the enrolled sites, sorted."""
        return sorted(seat.site for seat in self.seats.values())

    def enrol(
        self,
        *,
        run: str,
        expected: int,
        wait_s: float | None = None,
        grace_s: float = 0.0,
        names: Mapping[int, str] | None = None,
    ) -> None:
        """Give seats to the sites that join (server/enrolment.py); raise QuorumError when too few do.

        Waits at most `wait_s`, without it the study's deadline, for `expected` sites, and at most `grace_s`
        for those of `names` that are not connected while the others suffice.
        """
        enrolment = Enrolment(self.grid, self.study, self.board, names)
        deadline_s = self.study.strategy.deadline_s
        wait_s = deadline_s if wait_s is None else wait_s
        enrolment.open(run=run, expected=expected, wait_s=wait_s, grace_s=grace_s)
        self.seats, left_out = enrolment.seats, enrolment.left_out
        self.events += left_out
        if len(self.seats) < self.study.strategy.quorum:
            story = "; ".join(f"{e.site} {e.status} ({e.reason})" for e in left_out) or "no node connected"
            raise QuorumError(
                f"{len(self.seats)} site(s) enrolled, the study's quorum is {self.study.strategy.quorum}. "
                f"{story}. Each site's own site.log has the whole story."
            )

    def ask(self, asked: Asked) -> Iterator[Answer]:
        """Ask all questions in one exchange; yields one Answer to each.

        They come as the nodes reply, a node's answers together and in the order of its questions; the late
        come last.
        """
        started = time.monotonic()
        waiting = dict(asked)
        self.board.ask(self.seats[node].site for node in asked)
        instructions = {node: [q.record for q in questions] for node, questions in asked.items()}
        for reply in exchange(self.grid, instructions, deadline_s=self.study.strategy.deadline_s):
            yield from self._answers(reply, waiting.pop(reply.node))
        for node, questions in waiting.items():
            late = Reply(node, (), DEADLINE, time.monotonic() - started)
            yield from self._answers(late, questions)

    def gather(
        self,
        phase: str,
        records: Mapping[int, Record],
        *,
        answer_kind: str,
        shapes: Shapes,
        round_number: int | None = None,
    ) -> dict[str, Sums]:
        """Ask one thing for sums; returns those of every site whose answer is well-formed, by site name."""
        asked = {n: [Question(phase, record, answer_kind, round_number)] for n, record in records.items()}
        sums = {answer.seat.site: self.sums(answer, shapes) for answer in self.ask(asked)}
        return {site: found for site, found in sorted(sums.items()) if found is not None}

    def sums(self, answer: Answer, shapes: Shapes) -> Sums | None:
        """Read an answer's sums; None where it was not used, or is refused now for its shapes."""
        if answer.record is None:
            return None
        try:
            return Sums.from_arrays(answer.record.arrays, shapes)
        except WireError:
            self.refuse(answer, "wire")
            return None

    def to_all(self, *questions: Question) -> Asked:
        """Address the same questions to every enrolled node; weights are then serialised once."""
        return dict.fromkeys(self.seats, questions)

    def refuse(self, answer: Answer, reason: str) -> Outcome:
        """Turn a well-formed answer away after all, with a reason."""
        question = answer.question
        self.note(question.phase, answer.seat.site, "refused", reason, question.round_number)
        self.board.tell(answer.seat.site, "refused", reason)
        return replace(answer.outcome, status="refused", reason=reason, patients=0)

    def note(
        self, phase: str, site: str, status: str, reason: str | None, round_number: int | None = None
    ) -> None:
        """Log something that was not used."""
        self.events.append(
            Event.model_validate(
                {"phase": phase, "round": round_number, "site": site, "status": status, "reason": reason}
            )
        )

    def _answers(self, reply: Reply, questions: Sequence[Question]) -> list[Answer]:
        seat = self.seats[reply.node]
        kinds = [q.answer_kind for q in questions]
        judged = sort_out(reply.records, kinds, site=seat.site, reason=reply.reason)
        sizes = [r.size_bytes if r is not None else 0 for r in reply.records]
        sizes = sizes if len(sizes) == len(kinds) else [0] * len(kinds)
        answers = [
            self._answer(seat, question, found, reply.seconds, size)
            for question, found, size in zip(questions, judged, sizes, strict=True)
        ]
        self.board.answer(
            seat.site, [a.outcome for a in answers], bytes_up=sum(sizes), bytes_down=_message_bytes(questions)
        )
        return answers

    def _answer(self, seat: Seat, question: Question, found: Found, seconds: float, size: int) -> Answer:
        if found.status != "used":
            self.note(question.phase, seat.site, found.status, found.reason, question.round_number)
        outcome = Outcome(
            found.status,
            found.reason,
            patients=0 if found.record is None else int(found.record.fields.get("patients", 0)),
            seconds=seconds,
            bytes_up=size,
            bytes_down=question.record.size_bytes,
        )
        return Answer(seat, question, found.record, outcome)


def _message_bytes(questions: Sequence[Question]) -> int:
    """Size of one message: arrays that several of its instructions share are sent once."""
    arrays = {id(q.record.arrays): q.record.arrays for q in questions}
    fields = sum(len(json.dumps(dict(q.record.fields))) for q in questions)
    return fields + sum(a.nbytes for held in arrays.values() for a in held.values())
