"""From probabilities to findings: what is segmented, how much, how many, how sure."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from shared.metrics import ScanResult
from shared.points import Points
from shared.study import Study
from shared.unlabelled import UNLABELLED


@dataclass(frozen=True)
class Findings:
    """What the network says about one scan.

    segmentation : (X, Y, Z) uint8 class indices, 0 background, small findings removed
    finding_probability : 0..1, the highest 3 x 3 x 3 mean of the summed finding classes
    volume_ml : volume of all findings
    finding_count : connected findings (26 neighbours)
    """

    segmentation: np.ndarray
    finding_probability: float
    volume_ml: float
    finding_count: int

    @property
    def features(self) -> dict[str, float]:
        """The network's part of the priority score, by feature name."""
        return {
            "finding_probability": self.finding_probability,
            "volume_ml": self.volume_ml,
            "finding_count": float(self.finding_count),
        }


def find(probabilities: np.ndarray, study: Study, *, spacing_mm: tuple[float, ...]) -> Findings:
    """Read findings off class probabilities (1 + classes, X, Y, Z) on a grid of `spacing_mm`.

    The probability is a mean over a small neighbourhood, so that one noisy voxel is not a finding.
    """
    segmentation = probabilities.argmax(axis=0).astype(np.uint8)
    indices = [1 + study.task.classes.index(name) for name in study.task.finding_classes]
    score = probabilities[indices].sum(axis=0)
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    mask = score > study.evaluation.threshold
    components, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    too_small = sizes * voxel_ml < study.task.minimum_finding_ml
    too_small[0] = True
    kept = ~too_small[components]
    segmentation[np.isin(segmentation, indices) & ~kept] = 0
    side = [min(3, n) for n in score.shape]
    smooth = ndimage.uniform_filter(score, size=side, mode="nearest")
    return Findings(
        segmentation=segmentation,
        finding_probability=float(np.clip(smooth.max(), 0.0, 1.0)),
        volume_ml=float(kept.sum()) * voxel_ml,
        finding_count=int((~too_small).sum()),
    )


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
