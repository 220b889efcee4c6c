"""What would leave this hospital under one study and this site's policy, in words somebody can sign.

Everything is computed from what the node itself goes by: the vocabulary of records (shared/wire.py), the
shapes that its answers have, the study and the site's policy. Nothing is read from the data.
"""

import textwrap
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from client.gate import ALWAYS, COUNTS_ONLY
from client.policy import ANY, ASK
from client.site import Site
from shared import __version__
from shared.calibration import logistic_shapes
from shared.metrics import segmentation_shapes
from shared.model import initial_weights
from shared.reliability import reliability_shapes
from shared.study import Study
from shared.wire import RECORDS, Record, Scalar

WIDTH = 100
LONGEST: dict[str, Scalar] = {"skipped": "x" * 600, "wardround": "x" * 16, "patient_unit": "x" * 7}
LONGEST_TEXT = "x" * 64
LONGEST_NUMBERS: dict[type, Scalar] = {int: -(10**9), float: -1.2345678901234567e-300, bool: False}
MOST_SITES = 20
"""With one intercept a site the derivatives grow with the number of sites; they are counted for this many."""

PLAIN = {
    "enrolment": (
        "the agreement to take part",
        (
            "how many patients are used for training, for validation and for testing; how many cases were "
            "skipped, counted by reason; whether patients or single scans were counted; the software's "
            "version"
        ),
    ),
    "update": (
        "the change of the model's weights after training here",
        (
            "one number for each weight of the network: how far training on all training patients together "
            "moved it; the mean training loss; how many patients took part"
        ),
    ),
    "segmentation": (
        "how well the model outlines findings here",
        (
            "sums over all patients scored: overlap, voxels and findings counted right and wrong, and a "
            "histogram of finding probabilities"
        ),
    ),
    "derivatives": (
        "this site's part in fitting the reading order",
        (
            "the gradient and the curvature of a logistic fit, summed over all validation patients whose "
            "outcome is known, and how many they are"
        ),
    ),
    "reliability_bins": (
        "how far the probabilities can be believed",
        (
            "for each range of probability: how many test patients fall into it, the sum of their "
            "probabilities and how many of them were urgent"
        ),
    ),
    "finished": (
        "the end of the run",
        (
            "how many scans the worklist lists, and whether the seismometer report was written. Worklist and "
            "report themselves stay here"
        ),
    ),
    "failure": (
        "word that something could not be done",
        (
            "a code such as policy.minimum_patients or data, and 1 if it was about one case. Never a text, a "
            "path or a case"
        ),
    ),
}
"""For each kind that can leave: what it is, and what it holds."""

NEVER = (
    "scans, parts of scans, masks and outlines",
    "names of files and folders, cases and series",
    "names, numbers and any other identifiers of patients, and their histories and outcomes one by one",
    "the worklist, the predictions, the overlays and the seismometer report",
    "texts of errors and logs",
    "the audit log, the privacy ledger and the node's private key",
)
CONTROL_SAYS = (
    "At enrolment, at its start and from time to time while it runs, the node tells the coordinator's "
    "control service the site's name, its public key, the software's version, the node's clock, and how many "
    "lines the audit log has with the seal (SHA-256) of the last. No patient data. Flower's own connection "
    "carries the same key, sizes and times, and the node's network address is seen by whoever receives it."
)
COMES_IN = (
    "The study (settings, never code), instructions, the model's weights and the coefficients of the reading "
    "order. The node connects outwards only, and runs nothing but the version installed here."
)
PLANNED = (
    "These are the numbers that the study plans. A coordinator can ask again, after an interruption or "
    "without one; every answer passes the same gate and is a line of the audit log. policy.budget.updates "
    "bounds the weight changes."
)


@dataclass(frozen=True)
class Leaving:
    """One kind of record: how large each is (at most, in bytes), how many leave, and what guards it.

    `times` is None where no number can be given beforehand; `refused` says why none leaves, if so.
    """

    kind: str
    what: str
    holds: str
    bytes_each: int
    times: int | None
    how_often: str
    protection: str
    refused: str | None = None

    @property
    def bytes_in_all(self) -> int:
        """Bytes in one run, at most; nothing where the record is refused."""
        return 0 if self.refused else self.bytes_each * (self.times or 0)


@dataclass(frozen=True)
class Explanation:
    """All that leaves one site under one study; `refusals` is what this policy refuses, in sentences."""

    site: str
    study: str
    digest: str
    version: str
    private: str
    leaving: tuple[Leaving, ...]
    refusals: tuple[str, ...]

    @property
    def bytes_in_all(self) -> int:
        """Payload of one uninterrupted run, at most."""
        return sum(one.bytes_in_all for one in self.leaving)

    def as_json(self) -> dict[str, Any]:
        """Values for programs."""
        return {
            **asdict(self),
            "bytes_in_all": self.bytes_in_all,
            "planned": PLANNED,
            "never": list(NEVER),
            "control": CONTROL_SAYS,
            "comes_in": COMES_IN,
        }

    def text(self) -> str:
        """Plain text, at most 100 columns; equal for equal inputs."""
        title = f"What leaves {self.site} under the study {self.study}"
        blocks = [
            f"{title}\n{'=' * len(title)}",
            (
                f"Study digest  {self.digest}\n"
                f"Software      Wardround {self.version}, research use, not a medical device"
            ),
            _wrapped(
                "The study is named by its digest: if one word of it changes, this page no longer holds. A "
                "record leaves only through the node's gate, which writes it to the audit log first. The "
                "connection is encrypted (TLS). Sizes are payload, without the protocol's own bytes."
            ),
            _headed(
                "What this site's policy refuses", self.refusals or ("nothing that this study asks for",)
            ),
            "What leaves\n-----------",
            *(_of_one(number, one) for number, one in enumerate(self.leaving, start=1)),
            _wrapped(f"In all at most {_size(self.bytes_in_all)} in one run. {PLANNED}"),
            _titled("Differential privacy", self.private),
            _headed("What never leaves", NEVER),
            _titled("What the node says of itself", CONTROL_SAYS),
            _titled("What comes in", COMES_IN),
        ]
        return "\n\n".join(blocks) + "\n"


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
    shapes = {}
    if kind == "segmentation":
        shapes = segmentation_shapes(len(study.task.classes), study.evaluation.score_bins)
    elif kind == "derivatives" and study.priority is not None:
        terms = len(study.priority.terms)
        shapes = logistic_shapes(terms + (MOST_SITES if study.priority.site_intercept else 1))
    elif kind == "reliability_bins" and study.priority is not None:
        shapes = reliability_shapes(study.priority.bins)
    return {name: np.zeros(shape) for name, shape in shapes.items()}


def _leaving(kind: str, site: Site, study: Study) -> Leaving:
    what, holds = PLAIN[kind]
    times, how_often, needless = _times(kind, site, study)
    fields = {
        name: site.name if name == "site" else LONGEST.get(name, LONGEST_NUMBERS.get(of, LONGEST_TEXT))
        for name, of in RECORDS[kind].fields.items()
    }
    refused = needless
    if refused is None and kind not in ALWAYS and kind not in site.policy.release:
        refused = "policy.release does not list it"
    if kind == "derivatives" and study.priority is not None and study.priority.site_intercept:
        how_often += f"; its size is given for {MOST_SITES} sites and grows with their number"
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
    if kind == "derivatives":
        steps = 1 + (priority.max_steps if priority else 0)
        return (
            steps,
            f"at most {steps} times; from the start again if another site leaves the fit",
            uncalibrated,
        )
    if kind == "reliability_bins":
        return 2, "twice, before and after the fit", uncalibrated
    if kind == "failure":
        return None, "instead of any of the others, when something fails or is refused", None
    return 1, "once", None


def _protection(kind: str, site: Site, study: Study) -> str:
    if kind in COUNTS_ONLY:
        return "counts and codes only; no minimum of patients applies, no differential privacy"
    minimum = f"a sum, released only over at least {site.policy.minimum_patients} patients"
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
        found.append(f"training and scoring outside {', '.join(policy.hours)} (this machine's time)")
    found += [f"{one.kind}: policy.release does not list it" for one in leaving if _by_policy(one)]
    return found


def _by_policy(one: Leaving) -> bool:
    return one.refused is not None and one.refused.startswith("policy")


def _of_one(number: int, one: Leaving) -> str:
    rows = [("holds", one.holds)]
    if one.refused is None:
        rows += [
            ("size", f"at most {_size(one.bytes_each)}"),
            ("how often", one.how_often),
            ("guarded by", one.protection),
        ]
    else:
        rows.append(("leaves", f"never: {one.refused}"))
    return "\n".join([f"{number}. {one.kind}: {one.what}", *(_row(key, value) for key, value in rows)])


def _row(key: str, value: str) -> str:
    return textwrap.fill(
        value, WIDTH, initial_indent=f"   {key:<11}", subsequent_indent=" " * 14, break_on_hyphens=False
    )


def _headed(title: str, points: tuple[str, ...]) -> str:
    lines = [
        textwrap.fill(p, WIDTH, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
        for p in points
    ]
    return "\n".join([title, "-" * len(title), *lines])


def _titled(title: str, text: str) -> str:
    return f"{title}\n{'-' * len(title)}\n{_wrapped(text)}"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)


def _size(count: int) -> str:
    return f"{count:,} bytes"
