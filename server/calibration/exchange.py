"""Asking the sites that take part in a calibration, each with its own coefficients."""

from collections.abc import Iterable, Mapping, Sequence

from server.federation import Federation, Question
from shared.sums import Shapes, Sums
from shared.wire import Record

FIT_SPLIT = "validation"
JUDGED_SPLIT = "test"


class SiteLeftError(Exception):
    """A site that took part in earlier steps did not answer this one; `present` are those that did."""

    def __init__(self, present: Iterable[str]) -> None:
        super().__init__()
        self.present = frozenset(present)


class Exchange:
    """The sites of one attempt, by name; `judged` says how many patients of each are in a fold."""

    def __init__(self, federation: Federation, sites: Iterable[str]) -> None:
        self._federation = federation
        nodes = {seat.site: node for node, seat in federation.seats.items()}
        self._nodes = {site: nodes[site] for site in sorted(sites)}
        self.judged: dict[str, int] = {}

    @property
    def sites(self) -> list[str]:
        """Names, sorted."""
        return list(self._nodes)

    @property
    def foldable(self) -> list[str]:
        """Sites with patients that are scored by fits that have not seen them."""
        return [site for site in self._nodes if self.judged.get(site, 0) > 0]

    @property
    def study_digest(self) -> str:
        """Of the study that is calibrated."""
        return self._federation.study.digest()

    def gather(
        self, questions: Mapping[str, Sequence[Question]], shapes: Mapping[str, Shapes]
    ) -> dict[str, dict[str, Sums]]:
        """Ask each site its questions in one exchange: sums by phase and site, of those that gave them.

        `shapes` are those of the answers, by phase.
        """
        asked = {self._nodes[site]: own for site, own in questions.items()}
        found: dict[str, dict[str, Sums]] = {phase: {} for phase in shapes}
        for answer in self._federation.ask(asked):
            phase = answer.question.phase
            sums = self._federation.sums(answer, shapes[phase])
            if sums is None or answer.record is None:
                continue
            found[phase][answer.seat.site] = sums
            if answer.question.record.kind == "newton":
                self.judged[answer.seat.site] = answer.record.integer("judged")
        return {phase: dict(sorted(by_site.items())) for phase, by_site in found.items()}

    def every(
        self, phase: str, records: Mapping[str, Record], *, answer_kind: str, shapes: Shapes
    ) -> dict[str, Sums]:
        """Ask for sums that a fit cannot go on without; raises SiteLeftError where a site gives none."""
        questions = {site: [Question(phase, record, answer_kind)] for site, record in records.items()}
        found = self.gather(questions, {phase: shapes})[phase]
        if found.keys() != records.keys():
            raise SiteLeftError(set(self._nodes) - (records.keys() - found.keys()))
        return found
