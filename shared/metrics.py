"""Segmentation and detection figures from sums over scans. C is the number of classes without background."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shared.edge_cases import DICE_ON_EMPTY
from shared.errors import DataError, WireError
from shared.points import Points, point_shapes, point_sums
from shared.sums import FloatArray, IntArray, Sums, bin_index

Z_95 = 1.959963984540054  # 97.5 % quantile of the normal distribution


@dataclass(frozen=True, eq=False)
class ScanResult:
    """How one scan was segmented: voxel counts per class, shape (C,), and whether it holds a finding.

    Where only `points` are labelled, counts are over these, and `reference_finding` is None: no number of
    points says that a scan is free of findings.

    Raises
    ------
    DataError
        Shapes differ, counts contradict each other, or the probability is outside 0..1.
    """

    intersection: IntArray
    predicted: IntArray
    reference: IntArray
    predicted_finding: bool
    reference_finding: bool | None
    finding_probability: float
    points: Points | None = None

    def __post_init__(self) -> None:
        shapes = [np.shape(a) for a in (self.intersection, self.predicted, self.reference)]
        if len(set(shapes)) != 1 or len(shapes[0]) != 1:
            raise DataError(f"voxel counts must have one shape (C,), found {shapes}")
        smaller = np.minimum(self.predicted, self.reference)
        if np.any(self.intersection < 0) or np.any(self.intersection > smaller):
            raise DataError(
                f"intersection {self.intersection} must lie between 0 and the smaller mask {smaller}. "
                "Count it from the same masks."
            )
        if not 0 <= self.finding_probability <= 1:
            raise DataError(f"finding_probability must lie in 0..1, found {self.finding_probability}")


def dice(intersection: IntArray, predicted: IntArray, reference: IntArray) -> FloatArray:
    """Dice 2I / (P + R) from voxel counts of any one shape; empty masks score as `edge_cases` says."""
    both = np.asarray(predicted + reference, dtype=np.float64)
    score = np.divide(2.0 * intersection, both, out=np.zeros_like(both), where=both > 0)
    for (reference_empty, predicted_empty), worth in DICE_ON_EMPTY.items():
        score[((reference == 0) == reference_empty) & ((predicted == 0) == predicted_empty)] = worth
    return np.asarray(score)


def segmentation_sums(results: Sequence[ScanResult], *, bins: int) -> Sums:
    """Everything the coordinator needs from these scans; shapes as in `segmentation_shapes`.

    Raises
    ------
    DataError
        No scans, or scans that differ in their number of classes or in what is labelled.
    """
    classes = {len(r.reference) for r in results}
    if len(classes) != 1:
        raise DataError(f"expected at least one scan and one number of classes, found {sorted(classes)}")
    intersection, predicted, reference = (
        np.array([getattr(r, name) for r in results], dtype=np.int64)
        for name in ("intersection", "predicted", "reference")
    )
    score, positive = dice(intersection, predicted, reference), reference > 0
    known = [r for r in results if r.reference_finding is not None]
    found = np.array([r.predicted_finding for r in known], dtype=bool)
    truth = np.array([r.reference_finding for r in known], dtype=bool)
    index = bin_index(np.array([r.finding_probability for r in known], dtype=np.float64), bins=bins)
    points = [r.points for r in results if r.points is not None]
    if len(points) not in {0, len(results)}:
        raise DataError(
            f"{len(points)} of {len(results)} scans are judged on points, expected all or none. "
            "Score the scans of one study at a time."
        )
    return Sums(
        {
            "scans": np.array(len(results)),
            "dice_sum": score.sum(axis=0),
            "dice_square_sum": (score**2).sum(axis=0),
            "positives": positive.sum(axis=0),
            "dice_positive_sum": (score * positive).sum(axis=0),
            "intersection": intersection.sum(axis=0),
            "predicted": predicted.sum(axis=0),
            "reference": reference.sum(axis=0),
            "true_positive": np.sum(found & truth),
            "false_positive": np.sum(found & ~truth),
            "true_negative": np.sum(~found & ~truth),
            "false_negative": np.sum(~found & truth),
            "score_positive": np.bincount(index[truth], minlength=bins),
            "score_negative": np.bincount(index[~truth], minlength=bins),
            **(point_sums(points, bins=bins) if points else {}),
        }
    )


def segmentation_shapes(classes: int, bins: int, *, points: bool = False) -> dict[str, tuple[int, ...]]:
    """Names and shapes of `segmentation_sums`; `points` where a study's truth is points.

    `dice_*` are sums of per-scan Dice (float64). All others are int64 counts: `scans`, `positives` (scans
    whose reference holds the class), voxels in `intersection`, `predicted` and `reference`, the four outcomes
    of "holds a finding", and histograms of `finding_probability` over equal-width bins for scans with and
    without a finding. With points, voxels are the labelled ones, no scan is counted in what concerns
    findings, and the histograms of `point_sums` come on top.
    """
    per_class = dict.fromkeys(
        (
            "dice_sum",
            "dice_square_sum",
            "positives",
            "dice_positive_sum",
            "intersection",
            "predicted",
            "reference",
        ),
        (classes,),
    )
    single = dict.fromkeys(
        ("scans", "true_positive", "false_positive", "true_negative", "false_negative"), ()
    )
    on_top = point_shapes(bins) if points else {}
    return {**single, **per_class, "score_positive": (bins,), "score_negative": (bins,), **on_top}


def finish_segmentation(sums: Sums, classes: Sequence[str]) -> dict[str, Any]:
    """JSON-ready figures of all summed scans; what is undefined is None (`edge_cases`).

    `dice` is the mean over classes of the mean over scans, `dice_on_positive` the same over scans whose
    reference holds the class, `voxel_dice_by_class` that of all scans laid side by side, and
    `dice_variance_by_class` the population variance over scans (its root would magnify rounding near zero).
    Intervals are [low, high], Wilson 95 %. Only a study of points has an `az`, over the points of all scans;
    its Dice is over labelled voxels alone, and what concerns findings is None.

    Raises
    ------
    WireError
        The sums are of another number of classes.
    """
    if sums["dice_sum"].shape != (len(classes),):
        raise WireError(f"dice_sum has shape {sums['dice_sum'].shape}, expected {(len(classes),)}.")
    scans = int(sums["scans"])
    by_class = [_ratio(total, scans) for total in sums["dice_sum"]]
    square = [_ratio(total, scans) for total in sums["dice_square_sum"]]
    variance = [
        None if s is None or m is None else max(0.0, s - m * m) for s, m in zip(square, by_class, strict=True)
    ]
    on_positive = [_ratio(*pair) for pair in zip(sums["dice_positive_sum"], sums["positives"], strict=True)]
    voxel = dice(sums["intersection"], sums["predicted"], sums["reference"])
    caught, missed = int(sums["true_positive"]), int(sums["false_negative"])
    cleared, alarms = int(sums["true_negative"]), int(sums["false_positive"])
    auroc, bound = auroc_from_histograms(sums["score_positive"], sums["score_negative"])
    az, az_bound = None, None
    if "point_positive" in sums.values:
        az, az_bound = auroc_from_histograms(sums["point_positive"], sums["point_negative"])
    return {
        "scans": scans,
        "dice": _mean(by_class),
        "dice_by_class": dict(zip(classes, by_class, strict=True)),
        "dice_variance_by_class": dict(zip(classes, variance, strict=True)),
        "dice_on_positive": _mean(on_positive),
        "dice_on_positive_by_class": dict(zip(classes, on_positive, strict=True)),
        "voxel_dice_by_class": {n: float(v) if scans else None for n, v in zip(classes, voxel, strict=True)},
        "sensitivity": _ratio(caught, caught + missed),
        "sensitivity_interval": wilson_interval(caught, caught + missed),
        "specificity": _ratio(cleared, cleared + alarms),
        "specificity_interval": wilson_interval(cleared, cleared + alarms),
        "auroc": auroc,
        "auroc_bound": bound,
        "prevalence": _ratio(caught + missed, caught + missed + cleared + alarms),
        "az": az,
        "az_bound": az_bound,
    }


def auroc_from_histograms(
    positive: npt.NDArray[Any], negative: npt.NDArray[Any]
) -> tuple[float | None, float | None]:
    """Area under the ROC curve from counts per score bin, shape (bins,), and how far off it can be.

    Pairs that share a bin count one half each; the exact area of the unbinned scores differs by at most
    `bound` = half the sum over bins of P_k N_k / (P N). Both are None without positives or without negatives.
    """
    p, n = [int(count) for count in positive], [int(count) for count in negative]
    pairs = sum(p) * sum(n)
    if pairs == 0:
        return None, None
    ordered = tied = below = 0
    for p_k, n_k in zip(p, n, strict=True):
        ordered += p_k * below
        tied += p_k * n_k
        below += n_k
    return (2 * ordered + tied) / (2 * pairs), tied / (2 * pairs)


def wilson_interval(successes: int, trials: int) -> list[float] | None:
    """Wilson's 95 % score interval [low, high] of a proportion (JASA 1927, 22:209); None without trials."""
    if trials == 0:
        return None
    share, z2 = successes / trials, Z_95**2
    centre = share + z2 / (2 * trials)
    half = Z_95 * float(np.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2)))
    low, high = (centre - half) / (1 + z2 / trials), (centre + half) / (1 + z2 / trials)
    return [max(0.0, min(low, share)), min(1.0, max(high, share))]


def worst_and_spread(
    per_site: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, Any], dict[str, float | None]]:
    """Name the site with the lowest `dice` (first by name among equals) and its spread over sites.

    The standard deviation is the population's. Sites without a Dice are left out; without any, all is None.
    """
    scores = {site: float(f["dice"]) for site, f in sorted(per_site.items()) if f["dice"] is not None}
    if not scores:
        return {"site": None, "dice": None}, {"min": None, "max": None, "standard_deviation": None}
    worst = min(scores, key=lambda site: scores[site])
    values = list(scores.values())
    spread: dict[str, float | None] = {
        "min": min(values),
        "max": max(values),
        "standard_deviation": statistics.pstdev(values),
    }
    return {"site": worst, "dice": scores[worst]}, spread


def _ratio(part: float, whole: int) -> float | None:
    return float(part) / float(whole) if whole else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
