"""A scan read more than once, mirrored and by several networks: the mean reading, and how far they differ.

Three figures, all 0 for sure and 1 for not:

- of a voxel, the mutual information between class and reading, H(mean p) - mean H(p), over its largest
  possible value (BALD, Houlsby et al. 2011, arXiv 1112.5745): what the readings disagree about, without what
  each of them is undecided about;
- of a finding, one minus the mean Dice between it and what each reading has where it lies, its own parts that
  touch it (structural uncertainty, Molchanova et al. 2023, arXiv 2311.08931);
- of a scan, the larger of two doubts: whether there is a finding at all, twice the probability of the less
  probable answer, and where it is, one minus the mean Dice between any two readings. The second ranks failed
  segmentations best of the simple figures (Roy et al. 2019, NeuroImage 195:11-22; Zenk et al. 2025, Medical
  Image Analysis 101:103392), but says nothing where all readings agree on nothing: hence the first.

Readings are added up one at a time; of each its mask is kept, one bit a voxel.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.special import entr
from torch import nn

from client.findings import Findings
from client.findings.components import TOUCHING
from client.inference import probabilities
from shared.edge_cases import DICE_ON_EMPTY
from shared.study import Axis, Study

AXES: tuple[Axis, ...] = ("x", "y", "z")
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Readings:
    """All readings of one scan.

    probabilities : (1 + classes, X, Y, Z) float32, their mean
    disagreement : (X, Y, Z) float32 in 0..1, or None after one reading
    masks : per reading, where the finding classes exceed the study's threshold, packed to bits
    """

    probabilities: npt.NDArray[np.float32]
    disagreement: npt.NDArray[np.float32] | None
    masks: tuple[npt.NDArray[np.uint8], ...]

    def __len__(self) -> int:
        return len(self.masks)

    def mask(self, reading: int) -> Mask:
        """(X, Y, Z): what one reading holds for a finding."""
        shape = self.probabilities.shape[1:]
        bits = np.unpackbits(self.masks[reading], count=int(np.prod(shape)))
        return bits.astype(np.bool_).reshape(shape)


def read(
    networks: Sequence[nn.Module], image: npt.NDArray[np.float32], study: Study, *, flips: Sequence[Axis] = ()
) -> Readings:
    """Read a prepared scan (channels, X, Y, Z) by each network, as it is and mirrored along each of `flips`.

    One network and no flip is the plain reading, at its cost and to the bit.
    """
    finding = [1 + study.task.classes.index(name) for name in study.task.finding_classes]

    def packed(one: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        return np.packbits(one[finding].sum(axis=0) > study.evaluation.threshold)

    readings = _each(networks, image, study, flips)
    mean = next(readings)
    masks = [packed(mean)]
    if len(networks) == 1 and not flips:
        return Readings(mean, None, tuple(masks))
    entropy = _entropy(mean)
    for one in readings:
        masks.append(packed(one))
        mean += one
        entropy += _entropy(one)
    count = len(masks)
    mean /= count
    information = _entropy(mean) - entropy / count
    largest = np.log(min(count, len(mean)))
    return Readings(mean, np.clip(information / largest, 0.0, 1.0), tuple(masks))


def doubted(findings: Findings, readings: Readings) -> Findings:
    """Add how sure the scan and each finding are; after a single reading nothing is known of that."""
    if len(readings) < 2:
        return findings
    return replace(
        findings,
        uncertainty=of_scan(findings, readings),
        uncertainties=of_findings(findings, readings),
    )


def of_scan(findings: Findings, readings: Readings) -> float:
    """Whether there is a finding, and where it is: the larger doubt, 0..1."""
    probability = findings.finding_probability
    whether = 2 * min(probability, 1 - probability)
    where = 1 - float(np.mean([_packed_dice(a, b) for a, b in combinations(readings.masks, 2)]))
    return float(np.clip(max(whether, where), 0.0, 1.0))


def of_findings(findings: Findings, readings: Readings) -> tuple[float, ...]:
    """Of each finding in order, one minus its mean Dice with what touches it in each reading, 0..1."""
    count, numbered = findings.finding_count, findings.components
    own = np.bincount(numbered.ravel(), minlength=count + 1)
    agreed = np.zeros(count + 1)
    for reading in range(len(readings)):
        parts, _ = ndimage.label(readings.mask(reading), structure=TOUCHING)
        sizes = np.bincount(parts.ravel())
        both = (numbered > 0) & (parts > 0)
        pairs, voxels = np.unique(
            np.column_stack([numbered[both], parts[both]]).astype(np.intp), axis=0, return_counts=True
        )
        shared, there = np.zeros(count + 1), np.zeros(count + 1)
        np.add.at(shared, pairs[:, 0], voxels)
        np.add.at(there, pairs[:, 0], sizes[pairs[:, 1]])
        agreed += 2 * shared / np.maximum(own + there, 1)
    return tuple(np.clip(1 - agreed[1:] / len(readings), 0.0, 1.0).tolist())


def _each(
    networks: Sequence[nn.Module], image: npt.NDArray[np.float32], study: Study, flips: Sequence[Axis]
) -> Iterator[npt.NDArray[np.float32]]:
    for network in networks:
        yield probabilities(network, image, study)
        for name in flips:
            axis = 1 + AXES.index(name)
            yield np.flip(probabilities(network, np.flip(image, axis), study), axis)


def _entropy(of: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Over the first axis, in nats."""
    result: npt.NDArray[np.float32] = entr(of).sum(axis=0)
    return result


def _packed_dice(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    voxels, others, both = (int(np.bitwise_count(bits).sum()) for bits in (one, other, one & other))
    if voxels == 0 or others == 0:
        return DICE_ON_EMPTY[voxels == 0, others == 0]
    return 2 * both / (voxels + others)
