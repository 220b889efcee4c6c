"""What a study's window, spacing and patch size are chosen from, as sums over patients.

Only patients of the train part are counted: nothing that is chosen from these figures has seen a patient who
judges the model. Every patient counts the same, whatever the number and the size of its scans. Axes are those
of the world, in the order x, y, z (right, anterior, superior), however a scan is stored.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from shared.errors import WireError
from shared.histograms import WHOLE, Bins, apportioned
from shared.sums import IntArray, Sums

AXES = ("x", "y", "z")

INTENSITY = Bins.signed(-2, 5, 7, to_a_decade=32)
"""Values as stored, from -10**5 to 10**7; one bin from -0.01 to 0.01, the others 7.5 % wide."""
SPACING_MM = Bins.decades(-2, 2, to_a_decade=64)
SHAPE = Bins.decades(0, 4, to_a_decade=32)
VOLUME_ML = Bins.decades(-4, 4, to_a_decade=16, none=True)
SIDE_MM = Bins.decades(-1, 3, to_a_decade=32, none=True)
FINDINGS = Bins(np.arange(22, dtype=np.float64) - 0.5)
"""0, 1, 2, ... connected findings; the last bin is 20 and more."""

Scan = Mapping[str, IntArray]
"""The histograms of one scan under the names of `statistics_shapes`.

Each row adds up to `WHOLE`, or to 0 where nothing is labelled.
"""

OF_IMAGES = ("intensity", "spacing_mm", "shape")
OF_LABELS = ("volume_ml", "findings", "longest_side_mm", "class_share")
OF_LABELLED_VOXELS = "labelled_intensity"


def statistics_shapes(channels: int, classes: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of `statistics_sums`; all are int64.

    `patients` are counted, `labelled` are those with a label volume (all of a site's or none), `tumour_free`
    those whose labels hold no finding. The others are histograms to which each patient gives `WHOLE`:
    `intensity` of the foreground, `labelled_intensity` of the labelled voxels (patients who have some),
    `spacing_mm` and `shape` by axis, `volume_ml` by class, the number of connected `findings`, the
    `longest_side_mm` of each, and `class_share` of the voxels, background first.
    """
    return {
        "patients": (),
        "labelled": (),
        "tumour_free": (),
        "intensity": (channels, len(INTENSITY)),
        OF_LABELLED_VOXELS: (channels, len(INTENSITY)),
        "spacing_mm": (3, len(SPACING_MM)),
        "shape": (3, len(SHAPE)),
        "volume_ml": (classes, len(VOLUME_ML)),
        "findings": (len(FINDINGS),),
        "longest_side_mm": (len(SIDE_MM),),
        "class_share": (1 + classes,),
    }


def statistics_sums(patients: Sequence[Sequence[Scan]], *, channels: int, classes: int) -> Sums:
    """Sum over patients, each given by its scans.

    The figures of labels are over all of these patients or over none, so that a minimum of patients holds for
    them as well.
    """
    shapes = statistics_shapes(channels, classes)
    total = {name: np.zeros(shape, np.int64) for name, shape in shapes.items()}
    labelled = all(is_labelled(scan) for scans in patients for scan in scans)
    for scans in patients:
        total["patients"] += 1
        total["labelled"] += labelled
        total["tumour_free"] += labelled and all(scan["findings"][0] == WHOLE for scan in scans)
        for name in (*OF_IMAGES, *((*OF_LABELS, OF_LABELLED_VOXELS) if labelled else ())):
            total[name] += apportioned(np.sum([scan[name] for scan in scans], axis=0))
    return Sums(total)


def is_labelled(scan: Scan) -> bool:
    """Whether a scan's label is a volume, be it an empty one."""
    return bool(scan["findings"].any())


def check_statistics(sums: Sums, *, patients: int) -> None:
    """Raise WireError for sums that `statistics_sums` of so many patients cannot give."""
    counted, labelled, free = (int(sums[name]) for name in ("patients", "labelled", "tumour_free"))
    if counted != patients or labelled not in (0, patients) or free > labelled:
        raise WireError(
            f"statistics of {patients} patients count {counted}, {labelled} labelled and {free} without "
            "a finding. Do all sites run the same version?"
        )
    for name, array in sums.values.items():
        if array.dtype != np.int64:
            raise WireError(f"{name} holds {array.dtype}, expected int64 counts.")
    for names, whose in ((OF_IMAGES, patients), (OF_LABELS, labelled)):
        for name in names:
            _check_rows(name, sums[name], {whose * WHOLE})
    rows = sums[OF_LABELLED_VOXELS]
    _check_rows(OF_LABELLED_VOXELS, rows, {n * WHOLE for n in range(labelled + 1)})
    if len({int(row.sum()) for row in rows}) > 1:
        raise WireError(f"{OF_LABELLED_VOXELS} is over other patients in one channel than in another.")


def _check_rows(name: str, rows: IntArray, allowed: set[int]) -> None:
    found = {int(total) for total in np.atleast_1d(rows.sum(axis=-1))}
    if not found <= allowed:
        raise WireError(f"{name} adds up to {sorted(found)}, expected {WHOLE} for each patient.")
