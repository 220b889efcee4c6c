"""The DICOM objects of a read scan, SEG and SR, where the scan itself was DICOM."""

from pathlib import Path

from client.data import formats
from client.data.formats import Limits
from client.data.formats.dicom_series import DicomSeries
from client.data.layouts.base import Listed
from client.data.preparing.channels import chosen_files
from client.predict.masks import Masks
from client.result import Result
from shared.errors import CaseError
from shared.study import Task

SEGMENTATION = "segmentation.dcm"
REPORT = "report.dcm"


def write_dicom_files(
    folder: Path, item: Listed, masks: Masks, result: Result, *, task: Task, limits: Limits
) -> tuple[Result, dict[str, str]]:
    """Write SEG and SR where the scan is DICOM; what cannot be written is a warning and ends nothing."""
    path = next(iter(chosen_files(item, task).values()))
    if formats.find(path).name != DicomSeries.name:
        return result, {}
    from client.predict.dicom_report import write_report  # noqa: PLC0415 - highdicom takes a second
    from client.predict.dicom_seg import MOST_FINDINGS, write_segmentation  # noqa: PLC0415
    from client.predict.dicom_source import source_of  # noqa: PLC0415

    if len(result.findings) > MOST_FINDINGS:
        held = f"{SEGMENTATION} and {REPORT} hold the largest {MOST_FINDINGS}"
        text = f"{held} of {len(result.findings)} findings"
        result = result.model_copy(update={"warnings": (*result.warnings, text)})
    try:
        source = source_of(path, limits)
        segmented = write_segmentation(folder / SEGMENTATION, source, masks, result, task)
        write_report(folder / REPORT, source, segmented, result, task)
    except CaseError as error:
        for name in (SEGMENTATION, REPORT):
            (folder / name).unlink(missing_ok=True)
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from error  # the disk, not the scan
        text = f"no DICOM SEG and SR could be made: {error.__cause__ or error}"
        return result.model_copy(update={"warnings": (*result.warnings, text)}), {}
    files = {"report": REPORT}
    return result, files if segmented is None else {"segmentation": SEGMENTATION, **files}
