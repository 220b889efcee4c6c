"""Findings as a DICOM SEG: one segment a finding, then one for each other class that was seen."""

from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from client.data.formats.base import judged
from client.predict.dicom_codes import AI, MAKER, SERIES_DESCRIPTION, property_of, uid_of
from client.predict.dicom_source import Source
from client.predict.masks import Masks
from client.result import Result
from shared.study import Task

MOST_FINDINGS = 30  # a noisy scan has thousands of specks: nobody opens such a list, and it takes a minute
SERIES_NUMBER = 9001


@dataclass(frozen=True, eq=False)
class Segmented:
    """A SEG on disk; `segment_of` has the segment of each finding that it holds, by the finding's number."""

    dataset: Dataset
    segment_of: dict[int, int]


def write_segmentation(
    path: Path, source: Source, masks: Masks, result: Result, task: Task
) -> Segmented | None:
    """Write the SEG of a scan; None if nothing was segmented in it.

    The largest findings have a segment each, of the number that they have in the result. A finding that
    covers no voxel of the scan's own, coarser grid is left out.

    Raises
    ------
    CaseError
        `unreadable`: the images lack what a SEG must refer to.
    """
    planes = source.planes(_numbered(masks, task))
    present = [int(number) for number in np.unique(planes) if number]
    if not present:
        return None
    renumbered = np.zeros(int(planes.max()) + 1, np.uint16)
    renumbered[present] = np.arange(1, len(present) + 1)
    labels = renumbered[planes]
    used = labels.any(axis=(1, 2))
    multiframe = len(source.images) == 1 and len(source.slices) > 1
    if not multiframe:
        labels = labels[used]
    images = [image for image, one in zip(source.images, used, strict=not multiframe) if multiframe or one]
    with judged(path):
        segmentation = hd.seg.Segmentation(
            source_images=images,
            pixel_array=labels,
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[
                _described(segment, number, result, task) for segment, number in enumerate(present, start=1)
            ],
            series_instance_uid=uid_of(result, "segmentation series"),
            series_number=SERIES_NUMBER,
            sop_instance_uid=uid_of(result, "segmentation"),
            instance_number=1,
            manufacturer=MAKER,
            manufacturer_model_name=result.versions.study,
            software_versions=result.versions.wardround,
            device_serial_number=result.versions.weights_digest[:16],
            content_label="WARDROUND",
            content_description=SERIES_DESCRIPTION,
            series_description=SERIES_DESCRIPTION,
        )
        segmentation.save_as(path)
    findings = {finding.number for finding in result.findings}
    return Segmented(
        segmentation,
        {number: segment for segment, number in enumerate(present, start=1) if number in findings},
    )


def _numbered(masks: Masks, task: Task) -> npt.NDArray[np.uint16]:
    """Give voxels of the largest findings their number, those of other classes MOST_FINDINGS + index."""
    numbers = np.where(masks.numbers <= MOST_FINDINGS, masks.numbers, 0).astype(np.uint16)
    for index, name in enumerate(task.classes, start=1):
        if name not in task.finding_classes:
            numbers[masks.classes == index] = MOST_FINDINGS + index
    return numbers


def _described(segment: int, number: int, result: Result, task: Task) -> hd.seg.SegmentDescription:
    if number > MOST_FINDINGS:
        name = task.classes[number - MOST_FINDINGS - 1]
        label, finding = name, False
    else:
        (name,) = (one.name for one in result.findings if one.number == number)
        label, finding = f"finding {number}: {name}", True
    category, kind = property_of(name, finding=finding)
    return hd.seg.SegmentDescription(
        segment_number=segment,
        segment_label=label[:64],
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=f"{MAKER} {result.versions.study}"[:64],
            family=AI,
            version=result.versions.weights_digest[:16],
        ),
        tracking_uid=uid_of(result, "finding", number),
        tracking_id=label[:64],
    )
