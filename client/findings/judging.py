"""How findings compare with a reference: of the scan in voxels, and of each finding whether it is one."""

import numpy as np

from client.findings.finding import Findings
from shared.metrics import ScanResult
from shared.points import Points
from shared.study import Study
from shared.unlabelled import UNLABELLED


def judge(
    findings: Findings,
    label: np.ndarray,
    reference_voxels: tuple[int, ...],
    study: Study,
    *,
    probabilities: np.ndarray,
) -> ScanResult:
    """Compare with the reference; where the study's truth is points, at the labelled voxels alone.

    Parameters
    ----------
    label : (X, Y, Z) uint8 class indices, or UNLABELLED, on the same grid
    reference_voxels : per class, counted before any crop, so that what the crop lost still counts as missed
    probabilities : (1 + classes, X, Y, Z), those that the findings were read off
    """
    predicted, points = findings.segmentation, None
    finding = [study.task.classes.index(name) for name in study.task.finding_classes]
    reference_finding: bool | None = any(reference_voxels[i] > 0 for i in finding)
    if study.task.truth == "points":
        labelled = label != UNLABELLED
        label, predicted = label[labelled], predicted[labelled]
        points = Points(np.clip(1.0 - probabilities[0][labelled], 0.0, 1.0), label > 0)
        reference_finding = None
    classes = range(1, 1 + len(study.task.classes))
    return ScanResult(
        intersection=np.array([np.count_nonzero((predicted == c) & (label == c)) for c in classes]),
        predicted=np.array([np.count_nonzero(predicted == c) for c in classes]),
        reference=np.array(reference_voxels, dtype=np.int64),
        predicted_finding=findings.finding_count > 0,
        reference_finding=reference_finding,
        finding_probability=findings.finding_probability,
        points=points,
    )


def spurious(findings: Findings, label: np.ndarray, study: Study) -> tuple[bool, ...]:
    """Of each finding, whether it overlaps no voxel of a finding class in `label` (X, Y, Z).

    Only a whole label can say so: where the truth is points, nothing is known of most findings.
    """
    classes = [1 + study.task.classes.index(name) for name in study.task.finding_classes]
    met = np.unique(findings.components[np.isin(label, classes)])
    return tuple(number not in met for number in range(1, 1 + findings.finding_count))
