"""report.html: what a run found out, as one file that opens anywhere and loads nothing.

The page holds its style, its figures (`server.figures`) and its pictures; a content security policy in it
forbids everything else, so text from a site can neither run nor fetch. Numbers stand with their unit and
the number of scans or patients behind them; what is undefined says why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server import figures
from server.priority_figures import Calibration
from server.report_text import (
    bound,
    detected,
    duration,
    estimate,
    fraction,
    privacy,
    rate,
    size,
    skipped,
)
from server.results import Comparison, Pooled, Results, Round
from server.waiting import waiting_of
from shared.conformal import OUT_OF_FOLD
from shared.errors import DataError
from shared.files import write_atomically
from shared.pages import Filters, png_source, render
from shared.words import counted, listed

_TEMPLATE = Path(__file__).with_name("report.html")


@dataclass(frozen=True)
class Overlay:
    """What a picture shows, and the picture: a PNG of one scan with outlines on it."""

    caption: str
    png: bytes

    def __post_init__(self) -> None:
        if not self.png.startswith(b"\x89PNG\r\n\x1a\n"):
            raise DataError(f"overlay {self.caption!r} starts with {self.png[:8]!r}, expected a PNG.")

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        return png_source(self.png)


@dataclass(frozen=True)
class Card:
    """One headline number."""

    colour: str
    name: str
    value: str
    basis: str


def write_report(
    results: Results,
    output: Path,
    *,
    overlays: Mapping[str, Sequence[Overlay]] | None = None,
    notes: Sequence[str] = (),
) -> None:
    """Write the page to `output`, whole or not at all.

    Parameters
    ----------
    overlays
        Example pictures by site, shown in the order given.
    notes
        Sentences for the reader, shown under the headline.
    """
    filters: Filters = {
        "fraction": fraction,
        "rate": rate,
        "duration": duration,
        "size": size,
        "bound": bound,
        "estimate": estimate,
        "detected": detected,
        "skipped": skipped,
        "privacy": privacy,
    }
    page = render(
        _TEMPLATE,
        filters,
        results=results,
        about=[counted(len(results.sites), "site"), counted(len(results.rounds), "round")],
        verdict=verdict(results),
        cards=cards(results),
        figures=_figures(results),
        out_of_fold=OUT_OF_FOLD,
        judged=results.evaluation.federated,
        points=results.study["task"].get("truth") == "points",
        models=_models(results.evaluation),
        replies=_replies(results.rounds),
        invited=list(dict.fromkeys([*results.sites, *(site for r in results.rounds for site in r.sites)])),
        overlays=overlays or {},
        notes=notes,
        waiting=waiting_of(results.calibration),
    )
    with write_atomically(output) as temporary:
        temporary.write_text(page, encoding="utf-8")


def verdict(results: Results) -> str:
    """Return what the run showed, in plain words and without a claim that its numbers do not bear out."""
    if not any(reply.status == "used" for r in results.rounds for reply in r.sites.values()):
        return "No site contributed to any round: nothing was trained."
    comparison = results.evaluation
    together = comparison.federated.pooled.dice if comparison.federated else None
    if together is None:
        return "The model was trained but not judged on test scans."
    sentences = [f"One model was trained at {counted(len(results.sites), 'site')} without sharing a scan."]
    if alone := _alone(comparison):
        better = sum(together > dice for dice in alone.values())
        rivals = "every model" if better == len(alone) else f"{better} of {len(alone)} models"
        sentences.append(
            f"On all sites' test scans it outlines better than {rivals} trained at one site alone."
        )
        if behind := _better_at_home(comparison):
            sentences.append(f"On the scans of {listed(behind)} the site's own model is still ahead.")
    if comparison.pooled_training and comparison.pooled_training.pooled.dice:
        share = together / comparison.pooled_training.pooled.dice
        sentences.append(
            f"It reaches {100 * share:.0f} % of the Dice that training on all scans in one place gives."
        )
    if (c := results.calibration) and c.before.ece is not None and c.after.ece is not None:
        sentences.append(
            f"Its probability of an urgent case is off by {100 * c.after.ece:.0f} percentage points "
            f"on average; before calibration it was {100 * c.before.ece:.0f}."
        )
    return " ".join(sentences)


def cards(results: Results) -> list[Card]:
    """Return the numbers to see first; what was not measured has no card."""
    shown = []
    comparison = results.evaluation
    if comparison.federated:
        shown.append(_dice_card("blue", "Trained together", comparison.federated))
        if (az := comparison.federated.pooled.az) is not None:
            shown.append(Card("blue", "Az", f"{az:.2f}", "area under the ROC curve over labelled points"))
    if alone := _alone(comparison):
        best = max(alone, key=lambda site: alone[site])
        lowest = min(alone.values())
        basis = f"Dice on the same scans, model of {best}; the lowest of {len(alone)} has {lowest:.2f}"
        shown.append(Card("orange", "Best site alone", f"{alone[best]:.2f}", basis))
    if comparison.pooled_training:
        shown.append(_dice_card("green", "All scans in one place", comparison.pooled_training))
    if c := results.calibration:
        value = " → ".join("–" if f.ece is None else f"{f.ece:.2f}" for f in (c.before, c.after))
        shown.append(
            Card(
                "muted", "Calibration error", value, f"ECE before and after, {counted(c.after.n, 'patient')}"
            )
        )
    return shown


def _dice_card(colour: str, name: str, model: Pooled) -> Card:
    pooled = model.pooled
    basis = f"Dice on {pooled.scans} test scans of {counted(len(model.sites), 'site')}"
    if pooled.negatives and pooled.dice_on_positive is not None:
        basis += f"; {pooled.dice_on_positive:.2f} on the {pooled.positives} with a finding"
    return Card(colour, name, "–" if pooled.dice is None else f"{pooled.dice:.2f}", basis)


def _better_at_home(comparison: Comparison) -> list[str]:
    """Sites whose own model beats the federated one on the site's own test scans."""
    shared = comparison.federated.sites if comparison.federated else {}
    return [
        site
        for site, model in comparison.local_only.items()
        if site in shared and (model.own.dice or 0) > (shared[site].dice or 0)
    ]


def _alone(comparison: Comparison) -> dict[str, float]:
    """Pooled test Dice of each model trained at one site."""
    return {site: m.pooled.dice for site, m in comparison.local_only.items() if m.pooled.dice is not None}


def _models(comparison: Comparison) -> dict[str, Pooled]:
    """Every judged model, under the name that the tables give it."""
    everyone = {
        "trained together": comparison.federated,
        "all scans in one place": comparison.pooled_training,
    }
    alone = {f"{site} alone": model for site, model in comparison.local_only.items()}
    return {name: model for name, model in {**everyone, **alone}.items() if model is not None}


def _replies(rounds: Sequence[Round]) -> str:
    """``29 of 32 replies used, 1 failed, 1 late``: nothing is left out of the total."""
    statuses = [reply.status for r in rounds for reply in r.sites.values()]
    others = sorted(set(statuses) - {"used"})
    counts = "".join(f", {statuses.count(status)} {status}" for status in others)
    return f"{statuses.count('used')} of {len(statuses)} replies used{counts}"


def _figures(results: Results) -> dict[str, Any]:
    """Draw what there is to draw; a figure without data is None."""
    comparison: Comparison = results.evaluation
    calibration: Calibration | None = results.calibration
    judged = comparison.federated or comparison.pooled_training or comparison.local_only
    return {
        "learning": figures.learning_curves(results.rounds)
        if any(r.validation for r in results.rounds)
        else None,
        "models": figures.models_compared(comparison) if judged else None,
        "reliability": figures.reliability(calibration.before, calibration.after) if calibration else None,
        "coefficients": figures.coefficients(calibration.coefficients) if calibration else None,
    }
