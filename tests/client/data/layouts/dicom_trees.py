"""Small DICOM archives as data sets: a folder a series, labels as SEG or as a series of masks."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pydicom

from client.data.layouts.pairing import opaque
from tests.client.data.formats.dicoms import save, slice_of, write_seg
from tests.client.data.layouts.made import AFFINE, Made
from tests.client.data.scans import picture


def write_dicom_seg(folder: Path, count: int = 3) -> Made:
    """A folder a series, the SEG beside it; two studies of the first person, folders called by PatientID."""
    cases: dict[str, str | None] = {}
    for index in range(count):
        uid = f"1.2.826.0.1.3680043.8.498.7.{index}"
        image, label = picture(index)
        inner = folder / f"MRN-{index // 2:05}" / f"study{index}"
        seg = write_seg(inner, label, AFFINE)
        values = _identity(uid, index)
        for number, path in enumerate(sorted((inner / "series").iterdir())):
            dataset = pydicom.dcmread(path)
            place = round(float(dataset.ImagePositionPatient[2]) - AFFINE[2, 3])
            dataset.PixelData = image[..., place].T.astype(np.int16).tobytes()
            _set(dataset, values)
            dataset.save_as(inner / "series" / f"IM{number:04}")
            path.unlink()
        dataset = pydicom.dcmread(seg)
        _set(dataset, {**values, "SeriesInstanceUID": f"{uid}.9"})
        dataset.ReferencedSeriesSequence[0].SeriesInstanceUID = uid
        dataset.save_as(seg)
        cases[opaque("series", uid)] = _person(index)
    return Made(cases)


def write_dicom_masks(folder: Path, count: int = 3) -> Made:
    """The label as a series of its own that shares the frame of reference."""
    cases: dict[str, str | None] = {}
    for index in range(count):
        uid = f"1.2.826.0.1.3680043.8.498.7.{index}"
        for name, array in zip(("CT", "CT mask"), picture(index), strict=True):
            values = _identity(uid, index)
            if name == "CT mask":
                values["SeriesInstanceUID"] = f"{uid}.9"
            inner = folder / f"study{index}" / name
            inner.mkdir(parents=True)
            for place in range(array.shape[2]):
                dataset = slice_of(array.astype(np.int16), AFFINE, place)
                _set(dataset, {**values, "SOPInstanceUID": f"{values['SeriesInstanceUID']}.{place + 1}"})
                save(dataset, inner / f"{place}.dcm")
        cases[opaque("series", uid)] = _person(index)
    return Made(cases)


def _identity(uid: str, index: int) -> dict[str, str]:
    return {
        "SeriesInstanceUID": uid,
        "StudyInstanceUID": f"{uid}.1",
        "FrameOfReferenceUID": f"{uid}.2",
        "PatientID": f"MRN-{index // 2:05}",
        "PatientName": "Nobody^Special",
        "StudyDate": f"202001{index + 1:02}",
    }


def _person(index: int) -> str:
    """Two cases are one person, who is called by the earlier study."""
    return opaque("patient", f"1.2.826.0.1.3680043.8.498.7.{index - index % 2}.1")


def _set(dataset: pydicom.Dataset, values: Mapping[str, str]) -> None:
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
