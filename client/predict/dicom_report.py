"""A result as a DICOM SR: measurement report TID 1500, its findings TID 1411, the priority TID 1501.

PS3.16 annex A. The report is preliminary, complete and not verified: no person has looked at it.
"""

from pathlib import Path

import highdicom as hd
from highdicom.sr import Measurement, TextContentItem
from pydicom import Dataset, Sequence

from client.data.formats.base import judged
from client.predict import dicom_codes as codes
from client.predict.dicom_seg import Segmented
from client.predict.dicom_source import Source
from client.result import NOTICE, Finding, Result
from shared.study import Task

SERIES_NUMBER = 9002


def write_report(path: Path, source: Source, segmented: Segmented | None, result: Result, task: Task) -> None:
    """Write the SR of a scan: a group for the scan as a whole, and one for each finding of the SEG.

    Raises
    ------
    CaseError
        `unreadable`: the images lack what an SR must refer to.
    """
    first = source.first
    with judged(path):
        groups = [_whole(result)]
        if segmented is not None:
            by_number = {finding.number: finding for finding in result.findings}
            groups += [
                _finding(
                    by_number[number],
                    segment,
                    segmentation=segmented.dataset,
                    source=source,
                    result=result,
                    task=task,
                )
                for number, segment in segmented.segment_of.items()
            ]
        observer = hd.sr.ObserverContext(
            observer_type=hd.sr.CodedConcept("121007", "DCM", "Device"),
            observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
                uid=codes.uid_of(result, "device"),
                name=codes.MAKER,
                manufacturer_name=codes.MAKER,
                model_name=f"{result.versions.study} {result.versions.weights_digest[:16]}",
                serial_number=result.versions.weights_digest[:16],
            ),
        )
        report = hd.sr.MeasurementReport(
            observation_context=hd.sr.ObservationContext(observer_device_context=observer),
            procedure_reported=codes.PROCEDURES.get(str(first.get("Modality", "")), codes.ANY_PROCEDURE),
            imaging_measurements=groups,
            title=hd.sr.CodedConcept("126000", "DCM", "Imaging Measurement Report"),
        )
        hd.sr.Comprehensive3DSR(
            evidence=[*source.images, *([] if segmented is None else [segmented.dataset])],
            content=report,
            series_instance_uid=codes.uid_of(result, "report series"),
            series_number=SERIES_NUMBER,
            sop_instance_uid=codes.uid_of(result, "report"),
            instance_number=1,
            manufacturer=codes.MAKER,
            manufacturer_model_name=result.versions.study,
            software_versions=result.versions.wardround,
            device_serial_number=result.versions.weights_digest[:16],
            series_description=codes.SERIES_DESCRIPTION,
            is_complete=True,
            is_final=False,
            is_verified=False,
            coding_schemes=[codes.coding_scheme()],
        ).save_as(path)


def _whole(result: Result) -> Sequence:
    """Say of the scan as a whole: the priority with its reasons, and sums."""
    measurements = [
        Measurement(codes.FINDINGS, len(result.findings), codes.NO_UNIT),
        Measurement(codes.SUM_OF_DIAMETERS, round(result.sum_of_diameters_mm, 2), codes.MILLIMETRE),
    ]
    evaluations, texts = [], [NOTICE]
    if (priority := result.priority) is not None:
        measurements += [
            Measurement(name, round(100 * value, 3), codes.PERCENT)
            for name, value in (
                (codes.PROBABILITY, priority.probability),
                (codes.LOWEST, priority.low),
                (codes.HIGHEST, priority.high),
            )
        ]
        measurements.append(Measurement(codes.LOG_ODDS, round(priority.log_odds, 6), codes.NO_UNIT))
        evaluations.append(hd.sr.QualitativeEvaluation(codes.PRIORITY, codes.tier_code(priority.tier)))
        texts += [f"because {reason.text}" for reason in priority.reasons]
        texts += [f"not recorded: {label}" for label in priority.missing]
        texts += [f"would change it: {change}" for change in priority.changes]
    texts += result.warnings
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=codes.uid_of(result, "whole scan"), identifier="whole scan"
        ),
        algorithm_id=_algorithm(result),
        measurements=measurements,
        qualitative_evaluations=evaluations or None,
    )
    return _with_texts(group, texts)


def _finding(
    finding: Finding, segment: int, *, segmentation: Dataset, source: Source, result: Result, task: Task
) -> Sequence:
    category, kind = codes.property_of(finding.name, finding=finding.name in task.finding_classes)
    measurements = [
        Measurement(codes.VOLUME, round(finding.volume_ml, 4), codes.MILLILITRE),
        Measurement(codes.LONG_AXIS, round(finding.diameter_mm, 2), codes.MILLIMETRE),
        Measurement(codes.SHORT_AXIS, round(finding.short_axis_mm, 2), codes.MILLIMETRE),
        Measurement(codes.MEAN_PROBABILITY, round(100 * finding.mean_probability, 2), codes.PERCENT),
    ]
    group = hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=codes.uid_of(result, "finding", finding.number),
            identifier=f"finding {finding.number}: {finding.name}"[:64],
        ),
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=segmentation.SOPClassUID,
            sop_instance_uid=segmentation.SOPInstanceUID,
            segment_number=segment,
            source_series=hd.sr.SourceSeriesForSegmentation(source.first.SeriesInstanceUID),
        ),
        finding_type=kind,
        finding_category=category,
        algorithm_id=_algorithm(result),
        measurements=measurements,
    )
    texts = [f"{finding.side}, slices {finding.first_slice} to {finding.last_slice} (from 0)"]
    if finding.touches_border:
        texts.append("touches the border of the scan: it may go on outside")
    return _with_texts(group, texts)


def _algorithm(result: Result) -> hd.sr.AlgorithmIdentification:
    versions = result.versions
    parameters = [f"study {versions.study_digest}", f"weights {versions.weights_digest}"]
    if versions.calibration_digest is not None:
        parameters.append(f"calibration {versions.calibration_digest}")
    if versions.voxel_temperature is not None:
        parameters.append(f"temperature {versions.voxel_temperature:.4g}")
    return hd.sr.AlgorithmIdentification(
        name=f"{codes.MAKER} {versions.study}", version=versions.wardround, parameters=parameters
    )


def _with_texts(group: Sequence, texts: list[str]) -> Sequence:
    """Add comments in words to a group: rows of TID 1501 and TID 1411 that highdicom has no argument for."""
    group[0].ContentSequence.extend(
        TextContentItem(codes.COMMENT, text, relationship_type=hd.sr.RelationshipTypeValues.CONTAINS)
        for text in texts
    )
    return group
