"""Figures of the pages: those of the report, and two runs in one."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from server import figures
from server.results import Results, Round
from server.web.office import Office


def curves(office: Office, run: str) -> Markup | None:
    """Draw validation Dice by round, per site and together; None before a round was judged."""
    rounds = office.rounds(run)
    judged = [r.round for r in rounds if r.validation is not None]
    if not judged:
        return None
    key = ("curves", run, office.round_ended(run), judged[-1])
    return office.kept.get(key, lambda: figures.learning_curves(rounds))


def calibration_figures(office: Office, run: str, results: Results) -> dict[str, Markup]:
    """Reliability before and after, and the coefficients; `results` has a calibration."""

    def draw() -> dict[str, Markup]:
        found = results.calibration
        if found is None:
            return {}
        return {
            "reliability": figures.reliability(found.before, found.after),
            "coefficients": figures.coefficients(found.coefficients),
        }

    return office.kept.get(("calibration", run, results.seconds), draw)


def pooled_curves(office: Office, runs: Mapping[str, Sequence[Round]]) -> Markup | None:
    """Draw validation Dice of all sites together by round, a line a run; None where nothing was judged."""
    judged = {name: [r for r in rounds if r.validation is not None] for name, rounds in runs.items()}
    judged = {name: rounds for name, rounds in judged.items() if rounds}
    if not judged:
        return None
    key = ("pooled", *((name, len(rounds)) for name, rounds in judged.items()))
    return office.kept.get(key, lambda: figures.runs_compared(judged))
