"""Two runs side by side: what their studies differ in, what they scored, and whether that can be compared."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.results import Results
from server.scores import SegmentationFigures

SAME_SPLIT = ("task.", "requires.", "evaluation.validation_fraction", "evaluation.test_fraction")
SAME_SPLIT_TOO = ("evaluation.split_salt", "evaluation.turn")
NOT_SET = "not set"


@dataclass(frozen=True)
class Difference:
    """One key of the study that the two runs have otherwise."""

    key: str
    first: str
    second: str


@dataclass(frozen=True)
class Score:
    """One figure of both runs at one site, each with the n behind it; None is not defined."""

    first: float | None
    first_n: int
    second: float | None
    second_n: int

    @property
    def gain(self) -> float | None:
        """How far the second is above the first."""
        return None if self.first is None or self.second is None else self.second - self.first


@dataclass(frozen=True)
class Row:
    """One site, or all sites together."""

    site: str
    dice: Score
    auroc: Score
    ece: Score


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """Keys in which two studies differ, in the order of the first; a name alone is no difference."""
    one, two = dict(_flat(first)), dict(_flat(second))
    keys = [key for key in dict.fromkeys([*one, *two]) if key != "name" and one.get(key) != two.get(key)]
    return [Difference(key, one.get(key, NOT_SET), two.get(key, NOT_SET)) for key in keys]


def hindrances(first: Results, second: Results) -> list[str]:
    """Say why the figures of two runs are not of the same patients, as far as studies and counts tell."""
    found = []
    split = [
        each.key
        for each in differences(first.study, second.study)
        if each.key.startswith(SAME_SPLIT) or each.key in SAME_SPLIT_TOO or each.key == "task"
    ]
    if split:
        found.append(f"The studies differ in what decides the test patients or the task: {', '.join(split)}.")
    one, two = _scans(first), _scans(second)
    if one.keys() != two.keys():
        alone = sorted(one.keys() ^ two.keys())
        found.append(f"Not the same sites were tested: only one of the runs has {', '.join(alone)}.")
    found += [
        f"{site} was tested on {one[site]} scans in one run and {two[site]} in the other."
        for site in sorted(one.keys() & two.keys())
        if one[site] != two[site]
    ]
    for which, results in (("first", first), ("second", second)):
        if results.evaluation.federated is None:
            found.append(f"The model of the {which} run was not judged on test scans.")
    return found


def rows(first: Results, second: Results) -> list[Row]:
    """All sites together, then each site of either run."""
    sites = dict.fromkeys([*_scans(first), *_scans(second)])
    return [_row(first, second, site) for site in (None, *sites)]


def _row(first: Results, second: Results, site: str | None) -> Row:
    one, two = _segmentation(first, site), _segmentation(second, site)

    def score(figure: str) -> Score:
        values = [None if found is None else getattr(found, figure) for found in (one, two)]
        return Score(values[0], one.scans if one else 0, values[1], two.scans if two else 0)

    (ece, n), (other_ece, other_n) = _ece(first, site), _ece(second, site)
    return Row(site or "all sites", score("dice"), score("auroc"), Score(ece, n, other_ece, other_n))


def _segmentation(results: Results, site: str | None) -> SegmentationFigures | None:
    judged = results.evaluation.federated
    if judged is None:
        return None
    return judged.pooled if site is None else judged.sites.get(site)


def _ece(results: Results, site: str | None) -> tuple[float | None, int]:
    found = results.calibration
    if found is None:
        return None, 0
    if site is None:
        return found.after.ece, found.after.n
    after = found.sites[site].after if site in found.sites else None
    return (None, 0) if after is None else (after.ece, after.n)


def _scans(results: Results) -> dict[str, int]:
    judged = results.evaluation.federated
    return {} if judged is None else {site: found.scans for site, found in judged.sites.items()}


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every leaf of a study by its path: ``training.rounds``, ``priority.terms.0.feature``."""
    if isinstance(value, Mapping):
        for name, inside in value.items():
            yield from _flat(inside, f"{key}.{name}" if key else str(name))
    elif isinstance(value, Sequence) and not isinstance(value, str) and any(map(_is_deep, value)):
        for number, inside in enumerate(value):
            yield from _flat(inside, f"{key}.{number}")
    else:
        yield key, NOT_SET if value is None else str(list(value) if isinstance(value, tuple) else value)


def _is_deep(value: Any) -> bool:
    return isinstance(value, Mapping)
