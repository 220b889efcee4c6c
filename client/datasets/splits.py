"""How a data set's patients fall into training, validation and test under each study."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from client.data import cache
from client.data.cache import SiteData
from client.data.layouts.base import Skipped
from client.data.split import Split, split_of
from client.datasets.summary import Summary
from shared.errors import DataError
from shared.study import Study

SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class Outcome:
    """Urgent and other cases, and those of which nothing is known; `source` is a column or the labels."""

    source: str
    urgent: int
    other: int
    unknown: int


@dataclass(frozen=True)
class Splitting:
    """Patients and cases by part; `is_prepared`: as a run prepared them, else as the inspection suggests."""

    study: Study
    patients: Mapping[Split, int]
    cases: Mapping[Split, int]
    is_prepared: bool
    outcome: Outcome | None = None
    skipped: tuple[Skipped, ...] = ()


def splitting(study: Study, summary: Summary | None, cache_folder: Path | None) -> Splitting | None:
    """Say how `study` splits the patients; None where neither a run nor an inspection tells.

    `cache_folder` : where runs keep what they prepared; None for a data set that no run used.
    """
    if cache_folder is not None:
        try:
            return _prepared(study, cache.load(cache_folder, study))
        except DataError:  # no run of this study prepared anything yet
            pass
    if summary is None:
        return None
    placed = {patient: split_of(patient, study.evaluation) for patient in summary.people.values()}
    return Splitting(
        study,
        patients={part: sum(found == part for found in placed.values()) for part in SPLITS},
        cases={part: sum(placed[one] == part for one in summary.people.values()) for part in SPLITS},
        is_prepared=False,
        outcome=_expected(study, summary),
    )


def known_studies(folder: Path, others: Iterable[Study]) -> list[Study]:
    """Return the studies that a site agreed to, which lie in `folder`, and the others, each once, by name."""
    found = {study.digest(): study for study in others}
    for path in folder.glob("*.yaml"):
        try:
            study = Study.load(path)
        except Exception:  # noqa: S112 - of another version
            continue
        found.setdefault(study.digest(), study)
    return sorted(found.values(), key=lambda study: (study.name, study.digest()))


def _prepared(study: Study, data: SiteData) -> Splitting:
    outcomes = [case.outcome for case in data.cases]
    source = _source(study)
    return Splitting(
        study,
        patients={part: data.patients(part) for part in SPLITS},
        cases={part: len(data.split(part)) for part in SPLITS},
        is_prepared=True,
        outcome=None
        if source is None
        else Outcome(source, outcomes.count(1), outcomes.count(0), outcomes.count(None)),
        skipped=data.skipped,
    )


def _expected(study: Study, summary: Summary) -> Outcome | None:
    """Count the outcome column; an outcome by volume is known only once the labels are prepared."""
    urgent = study.priority.urgent if study.priority else None
    if urgent is None or urgent.outcome is None:
        return None
    column = next((one for one in summary.columns if one.name == urgent.outcome.lower()), None)
    if column is None or column.ones is None:
        return None
    return Outcome(f"column {urgent.outcome}", column.ones, column.known - column.ones, column.missing)


def _source(study: Study) -> str | None:
    if study.priority is None:
        return None
    outcome = study.priority.urgent.outcome
    return "volume in the label" if outcome is None else f"column {outcome}"
