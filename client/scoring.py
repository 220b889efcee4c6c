"""Every scan of a split through the network, once: results for evaluation, features for the priority."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from client.data.cache import CachedCase
from client.findings import Findings, find, judge
from client.inference import probabilities
from shared.metrics import ScanResult, dice
from shared.study import Study


@dataclass(frozen=True)
class Scored:
    """One scan with what the network found in it and how that compares with the reference."""

    case: CachedCase
    findings: Findings
    result: ScanResult

    @property
    def dice(self) -> tuple[float, ...]:
        """Dice per class."""
        r = self.result
        return tuple(dice(r.intersection, r.predicted, r.reference).tolist())

    @property
    def features(self) -> dict[str, float]:
        """History and network features, by name; what is missing is absent."""
        return {**self.case.history, **self.findings.features}


def score(
    net: nn.Module,
    cases: Sequence[CachedCase],
    study: Study,
    *,
    cache_folder: Path,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Scored]:
    """Score cases one by one; memory holds one scan at a time."""
    for case in cases:
        image, label = case.image(cache_folder), np.asarray(case.label(cache_folder))
        found = probabilities(net, image, study)
        findings = find(found, study, spacing_mm=case.spacing_mm)
        result = judge(findings, label, case.reference_voxels, study, probabilities=found)
        yield Scored(case, findings, result)
        if progress is not None:
            progress(1)
