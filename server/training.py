"""One round of training: the question to every site, admission of each update, the new weights."""

from server.admission import Accepted, Refused, admit
from server.aggregation import RunningSum, Step
from server.federation import Answer, Federation, Question
from server.rounds import Outcome, require_quorum
from shared.model import Weights
from shared.wire import Record, Scalar


class Training:
    """Training of round `round_number` of `run` from `weights`: its `question`, and what became of it."""

    def __init__(self, federation: Federation, weights: Weights, *, run: str, round_number: int) -> None:
        fields: dict[str, Scalar] = {
            "run": run,
            "study_digest": federation.study.digest(),
            "round": round_number,
        }
        record = Record("train", fields, weights)
        self.question = Question("training", record, "update", round_number)
        self.outcomes: dict[str, Outcome] = {}
        self.epsilon: dict[str, float] = {}
        self._federation, self._weights = federation, weights
        self._run, self._round = run, round_number
        self._total = RunningSum(weights)

    def add(self, answer: Answer) -> None:
        """Take one answer of the exchange; those to other questions are passed over."""
        if answer.question is self.question:
            self.outcomes[answer.seat.site] = self._outcome(answer)

    def step(self, state: Weights) -> tuple[Weights, Weights]:
        """Weights and strategy state after the round; raises QuorumError when the round is not valid."""
        strategy = self._federation.study.strategy
        require_quorum(
            self.outcomes,
            round_number=self._round,
            quorum=strategy.quorum,
            trained_before=self._round > 1,
        )
        step = Step(strategy, state)
        weights = step.apply(self._weights, self._total.mean())
        return weights, step.state

    def _outcome(self, answer: Answer) -> Outcome:
        if answer.record is None:
            return answer.outcome
        verdict = self._verdict(answer, answer.record)
        if isinstance(verdict, Refused):
            return self._federation.refuse(answer, verdict.reason)
        if self._federation.study.privacy is not None:
            self.epsilon[answer.seat.site] = float(answer.record.fields["epsilon"])
        return answer.outcome

    def _verdict(self, answer: Answer, record: Record) -> Accepted | Refused:
        study = self._federation.study
        verdict = admit(
            record,
            site=answer.seat.site,
            run=self._run,
            round_number=self._round,
            weights=self._weights,
            enrolled_patients=answer.seat.patients.train,
            max_norm=study.strategy.max_update_norm,
            privacy=study.privacy,
        )
        if isinstance(verdict, Accepted) and not self._total.add(record.arrays, verdict.patients):
            return Refused("overflow")
        return verdict
