"""A run that trains nothing: the sites' statistics, summed, and what they suggest for the study.

Phases: enrol, as for any run; one exchange; statistics.json and statistics.html. It is valid when at least
the study's quorum of sites was used. A killed or failed one starts again from the beginning.
"""

import time

from flwr.serverapp import Grid

from server.board import Board
from server.federation import Answer, Federation, Question
from server.progress import report
from server.rounds import Outcome
from server.run import RunSettings, versions
from server.statistics_file import FILE, PAGE, SiteAnswer, Statistics
from server.statistics_page import write_page
from shared.described import finish_statistics
from shared.errors import QuorumError, WireError
from shared.statistics import check_statistics, statistics_shapes
from shared.suggestions import suggestions
from shared.sums import Sums
from shared.wire import Record


class StatisticsRun:
    """State of one run that asks for statistics; `execute` does everything."""

    def __init__(self, grid: Grid, settings: RunSettings) -> None:
        self._settings = settings
        self._study = settings.study
        self._board = Board(settings.status)
        self._federation = Federation(grid, settings.study, self._board)
        self._shapes = statistics_shapes(len(self._study.task.channels), len(self._study.task.classes))
        self._total: Sums | None = None
        self._sites: dict[str, SiteAnswer] = {}

    def execute(self) -> Statistics:
        """Ask every site once and write what is found; raises QuorumError when too few could be used."""
        try:
            found = self._execute()
        except Exception as error:
            self._board.fail(error)
            raise
        self._board.enter("done")
        return found

    def _execute(self) -> Statistics:
        started, settings, federation = time.monotonic(), self._settings, self._federation
        self._board.begin(rounds=0)
        report("enrolling sites", 0, 1)
        federation.enrol(
            run=settings.name,
            expected=settings.expected_sites,
            wait_s=settings.enrol_wait_s,
            grace_s=settings.grace_s,
            names=settings.names,
        )
        report("enrolling sites", 1, 1)
        figures = finish_statistics(self._gather(), self._study.task)
        found = Statistics.model_validate(
            {
                "study": self._study.model_dump(mode="json"),
                "engine": settings.engine,
                "versions": versions(),
                "seconds": time.monotonic() - started,
                "sites": dict(sorted(self._sites.items())),
                "figures": figures,
                "suggestions": suggestions(figures, self._study.model),
                "events": federation.events,
            }
        )
        found.write(settings.out / FILE)
        write_page(found, settings.out / PAGE)
        return found

    def _gather(self) -> Sums:
        self._board.enter("statistics")
        federation = self._federation
        record = Record("describe", {"study_digest": self._study.digest()})
        question = Question("statistics", record, "statistics")
        for done, answer in enumerate(federation.ask(federation.to_all(question)), start=1):
            outcome = self._judged(answer)
            used = answer.record is not None and outcome.status == "used"
            self._sites[answer.seat.site] = SiteAnswer.model_validate(
                {
                    "status": outcome.status,
                    "reason": outcome.reason,
                    "patients": outcome.patients,
                    "unread": answer.record.integer("unread") if used and answer.record else 0,
                }
            )
            report("statistics: sites", done, len(federation.seats))
        return self._required()

    def _judged(self, answer: Answer) -> Outcome:
        """Add an answer to the total, or turn it away."""
        if answer.record is None:
            return answer.outcome
        patients = answer.record.integer("patients")
        if not 0 < patients <= answer.seat.patients.train:
            return self._federation.refuse(answer, "patients")
        if answer.record.integer("unread") < 0:
            return self._federation.refuse(answer, "content")
        try:
            sums = Sums.from_arrays(answer.record.arrays, self._shapes)
            check_statistics(sums, patients=patients)
        except WireError:
            return self._federation.refuse(answer, "content")
        self._total = sums if self._total is None else self._total + sums
        return answer.outcome

    def _required(self) -> Sums:
        quorum = self._study.strategy.quorum
        used = sum(site.status == "used" for site in self._sites.values())
        if self._total is None or used < quorum:
            story = "; ".join(
                f"{name} {site.status}" + (f" ({site.reason})" if site.reason else "")
                for name, site in sorted(self._sites.items())
            )
            raise QuorumError(
                f"statistics: {used} site(s) contributed, the study's quorum is {quorum}. {story}. A site "
                "contributes only if its policy.release lists `statistics`; ask its people, then start again."
            )
        return self._total
