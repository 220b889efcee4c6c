"""What would leave this hospital under one study and this site's policy.

Everything is computed from what the node itself goes by: the vocabulary of records (shared/wire.py), the
shapes that its answers have, the study and the site's policy. Nothing is read from the data.
"""

import math

import numpy as np

from client.explain_words import ON_POINTS, PLAIN
from client.explanation import Explanation, Leaving
from client.gate import ALWAYS, COUNTS_ONLY
from client.policy import ANY, ASK, ON_REQUEST
from client.site import Site
from shared import __version__
from shared.calibration import logistic_shapes
from shared.choosing import held_out_shapes
from shared.isotonic import count_shapes
from shared.metrics import segmentation_shapes
from shared.model import initial_weights
from shared.priority import coefficient_names
from shared.recalibration import COLUMNS, FITS_A_FOLD
from shared.reliability import reliability_shapes
from shared.statistics import statistics_shapes
from shared.study import Priority, Study
from shared.sums import Shapes
from shared.voxel_temperature import voxel_shapes
from shared.wire import RECORDS, Record, Scalar

LONGEST: dict[str, Scalar] = {"skipped": "x" * 600, "wardround": "x" * 16, "patient_unit": "x" * 7}
LONGEST_TEXT = "x" * 64
LONGEST_NUMBERS: dict[type, Scalar] = {int: -(10**9), float: -1.2345678901234567e-300, bool: False}
MAP_STEPS = 50
"""As many steps as the fits of calibration maps, and those of the judged scores, may take."""


def explain(site: Site, study: Study, *, approved: bool = False) -> Explanation:
    """Work out what would leave; `approved` says whether a person here has allowed this study."""
    leaving = tuple(
        _leaving(kind, site, study) for kind, spec in RECORDS.items() if spec.leaves_site and kind in PLAIN
    )
    return Explanation(
        site=site.name,
        study=study.name,
        digest=study.digest(),
        version=__version__,
        private=_private(study),
        leaving=leaving,
        refusals=tuple(_refusals(site, study, leaving, approved=approved)),
    )


def arrays_of(kind: str, study: Study) -> dict[str, np.ndarray]:
    """Arrays of the names, shapes and types that a record of this kind holds under the study."""
    if kind == "update":
        return dict(initial_weights(study))
    shapes: Shapes = {}
    if kind == "segmentation":
        points = study.task.truth == "points"
        shapes = segmentation_shapes(len(study.task.classes), study.evaluation.score_bins, points=points)
    elif kind == "statistics":
        shapes = statistics_shapes(len(study.task.channels), len(study.task.classes))
    elif kind == "voxel_counts":
        shapes = voxel_shapes()
    elif study.priority is not None:
        shapes = _calibration_shapes(kind, study.priority)
    return {name: np.zeros(shape) for name, shape in shapes.items()}


def _calibration_shapes(kind: str, priority: Priority) -> Shapes:
    """Shapes of the largest record of a kind that the calibration asks for."""
    fits = priority.folds + 1
    score = logistic_shapes(len(coefficient_names(priority.terms)), fits)
    maps = logistic_shapes(len(COLUMNS), FITS_A_FOLD * fits)
    return {
        "derivatives": max(score, maps, key=_numbers),
        "held_out_losses": held_out_shapes(len(priority.calibration)),
        "score_histograms": count_shapes(fits),
        "reliability_bins": reliability_shapes(priority.bins),
    }.get(kind, {})


def _numbers(shapes: Shapes) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


def _leaving(kind: str, site: Site, study: Study) -> Leaving:
    what, holds = PLAIN[kind]
    if kind == "segmentation" and study.task.truth == "points":
        holds += ON_POINTS
    times, how_often, needless = _times(kind, site, study)
    fields = {
        name: site.name if name == "site" else LONGEST.get(name, LONGEST_NUMBERS.get(of, LONGEST_TEXT))
        for name, of in RECORDS[kind].fields.items()
    }
    refused = needless
    if refused is None and kind not in ALWAYS and kind not in site.policy.release:
        refused = "policy.release does not list it"
    return Leaving(
        kind=kind,
        what=what,
        holds=holds,
        bytes_each=Record(kind, fields, arrays_of(kind, study)).size_bytes,
        times=times,
        how_often=how_often,
        protection=_protection(kind, site, study),
        refused=refused,
    )


def _times(kind: str, site: Site, study: Study) -> tuple[int | None, str, str | None]:
    """How many leave in one run at most, in words, and why there are none."""
    rounds, priority = study.training.rounds, study.priority
    uncalibrated = None if priority else "the study fits no reading order"
    if kind == "update":
        bound = site.policy.budget.updates
        most = rounds if bound is None else min(rounds, bound)
        more = (
            "" if bound is None else f"; policy.budget.updates ends it after {bound} in all runs of the study"
        )
        return most, f"once in each of {rounds} rounds{more}", None
    if kind == "segmentation":
        return rounds + 1, f"once after each of {rounds} rounds and once at the end", None
    if kind == "voxel_counts":
        needless = None if study.calibrates_voxels else "the study calibrates no probability map"
        return 2, "twice, of the validation and of the test patients, after the final evaluation", needless
    steps = 1 + (priority.max_steps if priority else 0) + 2 * (1 + MAP_STEPS)
    calibrating = {
        "derivatives": (
            steps,
            f"at most {steps} times; from the start again if another site leaves the fit",
        ),
        "held_out_losses": (1, "once, after the calibration maps are fitted"),
        "score_histograms": (3, "three times: before a calibration map, after it, and on the test patients"),
        "reliability_bins": (2, "twice, before and after the fit"),
    }
    if kind in calibrating:
        return *calibrating[kind], uncalibrated
    if kind == "failure":
        return None, "instead of any of the others, when something fails or is refused", None
    alone = ", in a run that the coordinator starts for it alone and that trains nothing"
    return 1, f"once{alone if kind in ON_REQUEST else ''}", None


def _protection(kind: str, site: Site, study: Study) -> str:
    if kind in COUNTS_ONLY:
        return "counts and codes only; no minimum of patients applies, no differential privacy"
    minimum = f"a sum, released only over at least {site.policy.minimum_patients} patients"
    if kind == "score_histograms":
        minimum += " of either outcome"
    if kind == "voxel_counts":
        minimum += " with voxels of either sort"
    if kind != "update":
        return f"{minimum}; exact, not covered by differential privacy"
    if study.privacy is None:
        return f"{minimum}; not covered by differential privacy"
    return (
        f"{minimum}; differentially private for each {study.privacy.unit}: epsilon "
        f"{study.privacy.epsilon:g}, delta {study.privacy.delta:g} over all rounds of the run; the loss is "
        "withheld"
    )


def _private(study: Study) -> str:
    caution = "A weight change can reveal something of the scans behind it."
    if study.privacy is None:
        return f"This study trains without differential privacy. {caution}"
    privacy = study.privacy
    return (
        f"Training is differentially private: one {privacy.unit} more or less changes the odds of any set of "
        f"weight changes of one run by a factor of at most exp({privacy.epsilon:g}), up to a probability of "
        f"{privacy.delta:g}. This covers the weight changes only. Counts of patients, evaluation and the "
        "reading order are exact sums and are not covered."
    )


def _refusals(site: Site, study: Study, leaving: tuple[Leaving, ...], *, approved: bool) -> list[str]:
    policy = site.policy
    found = []
    if policy.studies == ASK and not approved:
        found.append("everything, until somebody allows this study with `wardround site approve`")
    if policy.studies not in (ASK, ANY) and not policy.lists(study):
        found.append("everything: policy.studies does not list this study")
    bound = policy.budget.epsilon
    if bound is not None and study.privacy is None:
        found.append(
            f"taking part: policy.budget.epsilon is {bound:g} and the study has no differential privacy"
        )
    if bound is not None and study.privacy is not None:
        rest = f"training once the epsilon of all runs would pass policy.budget.epsilon, {bound:g}"
        over = study.privacy.epsilon > bound
        found.append(f"taking part: epsilon {study.privacy.epsilon:g} passes {bound:g}" if over else rest)
    if policy.budget.updates is not None and policy.budget.updates < study.training.rounds:
        found.append(f"training after {policy.budget.updates} of {study.training.rounds} rounds")
    if policy.hours is not None:
        found.append(
            f"training, scoring and statistics outside {', '.join(policy.hours)} (this machine's time)"
        )
    asked = [one for one in leaving if one.kind not in ON_REQUEST]  # these no study asks for by itself
    found += [f"{one.kind}: policy.release does not list it" for one in asked if _by_policy(one)]
    return found


def _by_policy(one: Leaving) -> bool:
    return one.refused is not None and one.refused.startswith("policy")
