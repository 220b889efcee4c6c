"""Every scan of a split through the network: results for evaluation, features for the priority."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from client.data.cache import CachedCase
from client.findings import Findings, find, judge, spurious
from client.result import Finding
from client.uncertainty import doubted, read
from shared.metrics import ScanResult, dice
from shared.study import Axis, Study
from shared.sums import IntArray
from shared.voxel_temperature import count_voxels


@dataclass(frozen=True)
class Scored:
    """What the network found in one scan and how that compares with the reference, without any voxel.

    `measured` are the network's features by name, and `findings` each finding; both are empty where they were
    not asked for. `spurious` says of each finding whether it overlaps no reference, where that is known.
    `voxels` (2, BINS) counts as shared.voxel_temperature does, where that was asked for.
    """

    case: CachedCase
    result: ScanResult
    measured: dict[str, float]
    findings: tuple[Finding, ...]
    spurious: tuple[bool, ...]
    voxels: IntArray | None = None

    @property
    def dice(self) -> tuple[float, ...]:
        """Dice per class."""
        r = self.result
        return tuple(dice(r.intersection, r.predicted, r.reference).tolist())

    @property
    def features(self) -> dict[str, float]:
        """History and network features, by name; what is missing is absent."""
        return {**self.case.history, **self.measured}


def score(
    net: nn.Module,
    cases: Sequence[CachedCase],
    study: Study,
    *,
    cache_folder: Path,
    measured: bool = True,
    voxels: bool = False,
    flips: Sequence[Axis] = (),
    others: Sequence[nn.Module] = (),
    progress: Callable[[int], None] | None = None,
) -> Iterator[Scored]:
    """Score cases one by one; memory holds one scan at a time.

    Without `measured` each finding goes unmeasured, as between rounds; `voxels` asks for counts of them.
    `flips` and `others`, networks beside `net`, make further readings of each scan; see uncertainty.py.
    """
    for case in cases:
        image, label = case.image(cache_folder), np.asarray(case.label(cache_folder))
        readings = read([net, *others], image, study, flips=flips)
        findings = find(
            readings.probabilities,
            study,
            affine=case.affine,
            source_shape=case.source_shape,
            source_affine=case.source_affine,
        )
        findings = doubted(findings, readings)
        result = judge(findings, label, case.reference_voxels, study, probabilities=readings.probabilities)
        known = measured and result.reference_finding is not None
        yield Scored(
            case=case,
            result=result,
            measured=findings.features if measured else {},
            findings=findings.findings if measured else (),
            spurious=spurious(findings, label, study) if known else (),
            voxels=_voxels(findings, label, study) if voxels else None,
        )
        if progress is not None:
            progress(1)


def _voxels(findings: Findings, label: np.ndarray, study: Study) -> IntArray:
    classes = study.task.classes
    finding = [1 + classes.index(name) for name in study.task.finding_classes]
    return count_voxels(findings.score, label, finding=finding, classes=len(classes))
