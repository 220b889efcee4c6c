"""From probabilities to findings: what is segmented, how much, how many, how large and where."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from client.data.volumes import Affine
from client.findings.components import components
from client.findings.diameter import longest_diameter
from client.findings.place import Place
from client.findings.recist import sum_of_diameters_mm
from client.result import Finding
from shared.study import Study
from shared.sums import FloatArray

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.unsignedinteger[Any]]
Point = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Findings:
    """What the network says about one scan; each finding is measured when it is first asked for.

    segmentation : (X, Y, Z) uint8 class indices, 0 background, small findings removed
    components : (X, Y, Z), the number of the finding that each voxel belongs to, 0 for none
    score : (X, Y, Z) float32, the summed probability of the finding classes
    finding_probability : 0..1, the highest 3 x 3 x 3 mean of `score`
    volume_ml : volume of all findings
    finding_count : connected findings (26 neighbours)
    names : of each finding, the class that most of its voxels have
    uncertainty : 0..1 of the scan, and `uncertainties` of each finding, where it was read more than once
    """

    segmentation: npt.NDArray[np.uint8]
    components: Numbers
    score: npt.NDArray[np.float32]
    finding_probability: float
    volume_ml: float
    finding_count: int
    place: Place
    names: tuple[str, ...]
    uncertainty: float | None = None
    uncertainties: tuple[float, ...] | None = None

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding, the largest first."""
        return _measured(self)

    @property
    def sum_of_diameters_mm(self) -> float:
        """Of at most five measurable findings; see recist.py."""
        return sum_of_diameters_mm([f.diameter_mm for f in self.findings], slice_mm=self.place.slice_mm)

    @property
    def features(self) -> dict[str, float]:
        """The network's part of the priority score, by feature name."""
        features = {
            "finding_probability": self.finding_probability,
            "volume_ml": self.volume_ml,
            "finding_count": float(self.finding_count),
            "largest_diameter_mm": max((f.diameter_mm for f in self.findings), default=0.0),
            "sum_of_diameters_mm": self.sum_of_diameters_mm,
            "largest_volume_ml": max((f.volume_ml for f in self.findings), default=0.0),
        }
        return features if self.uncertainty is None else {**features, "uncertainty": self.uncertainty}


def find(
    probabilities: npt.NDArray[np.float32],
    study: Study,
    *,
    affine: npt.ArrayLike,
    source_shape: tuple[int, int, int],
    source_affine: npt.ArrayLike,
) -> Findings:
    """Read findings off class probabilities (1 + classes, X, Y, Z).

    The probability is a mean over a small neighbourhood, so that one noisy voxel is not a finding.

    Parameters
    ----------
    affine : (4, 4) of the prepared grid, on which the probabilities are
    source_shape, source_affine : of the scan as its files have it, in which slices are told

    Raises
    ------
    CaseError
        `affine_mismatch`: one grid was not made from the other.
    """
    on_grid, of_files = np.asarray(affine, dtype=np.float64), np.asarray(source_affine, dtype=np.float64)
    segmentation = probabilities.argmax(axis=0).astype(np.uint8)
    indices = [1 + study.task.classes.index(name) for name in study.task.finding_classes]
    score = probabilities[indices].sum(axis=0)
    voxel_ml = _voxel_ml(on_grid)
    numbered = components(
        score > study.evaluation.threshold, voxel_ml=voxel_ml, minimum_ml=study.task.minimum_finding_ml
    )
    kept = numbered > 0
    segmentation[np.isin(segmentation, indices) & ~kept] = 0
    side = [min(3, n) for n in score.shape]
    smooth = ndimage.uniform_filter(score, size=side, mode="nearest")
    x, y, z = score.shape
    return Findings(
        segmentation=segmentation,
        components=numbered,
        score=score,
        finding_probability=float(np.clip(smooth.max(), 0.0, 1.0)),
        volume_ml=float(kept.sum()) * voxel_ml,
        finding_count=int(numbered.max()),
        place=Place.of(on_grid, (x, y, z), of_files, source_shape),
        names=_names(numbered, probabilities, indices, study.task.finding_classes),
    )


def _voxel_ml(affine: Affine) -> float:
    return abs(float(np.linalg.det(affine[:3, :3]))) / 1000.0


def _names(
    numbered: Numbers, probabilities: npt.NDArray[np.float32], indices: list[int], names: tuple[str, ...]
) -> tuple[str, ...]:
    """Name each finding by the class that most of its voxels have; of equals the first."""
    count = int(numbered.max())
    if len(names) == 1:
        return names * count
    inside = numbered > 0
    classes = np.stack([probabilities[index][inside] for index in indices]).argmax(axis=0)
    votes = np.zeros((count, len(names)), np.intp)
    np.add.at(votes, (numbered[inside].astype(np.intp) - 1, classes), 1)
    return tuple(names[most] for most in votes.argmax(axis=1))


def _measured(found: Findings) -> tuple[Finding, ...]:
    boxes = ndimage.find_objects(found.components)
    voxel_ml = _voxel_ml(found.place.affine)
    findings = []
    for number, box in enumerate(boxes, start=1):
        mask = found.components[box] == number
        score = np.clip(found.score[box][mask], 0.0, 1.0)
        highest = float(score.max())
        findings.append(
            Finding(
                number=number,
                name=found.names[number - 1],
                voxels=len(score),
                volume_ml=len(score) * voxel_ml,
                mean_probability=min(float(score.mean(dtype=np.float64)), highest),
                highest_probability=highest,
                uncertainty=None if found.uncertainties is None else found.uncertainties[number - 1],
                **_position(mask, box, found.place),
                **_shape(mask, box, found.place),
            )
        )
    return tuple(findings)


def _position(mask: Mask, box: tuple[slice, ...], place: Place) -> dict[str, Any]:
    """Measure where the finding `mask` within `box` lies, as fields of a Finding."""
    along = [np.arange(part.start, part.stop) for part in box]
    voxels = [np.asarray(mask.sum(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    middle = [float(index @ count) / float(count.sum()) for index, count in zip(along, voxels, strict=True)]
    x, y, z = (
        step * index for step, index in zip(place.affine[0, :3], along, strict=True)
    )  # mm to the right that each step goes
    right = (x[:, None, None] + y[:, None] + (z + place.affine[0, 3] - place.middle_mm))[mask]
    return {
        "centroid_mm": _point(place.mm(np.array([middle]))[0]),
        "side": place.side(float((right > 0).mean()), float((right < 0).mean())),
    }


def _shape(mask: Mask, box: tuple[slice, ...], place: Place) -> dict[str, Any]:
    """Measure what depends on the shape of one finding, `mask` within `box`, as fields of a Finding."""
    first = np.array([part.start for part in box])
    last = np.array([part.stop for part in box]) - 1
    slices = place.slices(int(first[place.axial]), int(last[place.axial]))
    plane = list(place.plane)
    diameter = longest_diameter(mask.transpose(*plane, place.axial), place.affine[:3, plane])
    ends = np.empty((2, 3))
    ends[:, plane] = diameter.ends + first[plane]
    ends[:, place.axial] = diameter.slice + first[place.axial]
    one, two = (_point(end) for end in place.mm(ends))
    return {
        "diameter_mm": diameter.length_mm,
        "short_axis_mm": diameter.across_mm,
        "diameter_slice": place.slice_of(int(ends[0, place.axial]), slices),
        "diameter_ends_mm": (one, two),
        "first_slice": slices[0],
        "last_slice": slices[1],
        "touches_border": place.touches_border(first, last),
    }


def _point(position: FloatArray) -> Point:
    x, y, z = position.tolist()
    return x, y, z
