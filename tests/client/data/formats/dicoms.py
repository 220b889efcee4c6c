"""DICOM files for tests, made by pydicom and highdicom from arrays: nobody's."""

import io
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import numpy.typing as npt
import pydicom
from PIL import Image
from pydicom import Dataset, uid
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sr.codedict import codes

Affine = npt.NDArray[np.float64]
SERIES = "1.2.826.0.1.3680043.8.498.1"


def lps_of(affine: Affine) -> Affine:
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def slice_of(
    array: npt.NDArray[Any], affine: Affine, index: int, *, slope: float = 1, intercept: float = 0
) -> Dataset:
    """Slice `index` of (X, Y, Z), with its place in the world."""
    lps = lps_of(affine)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    dataset = _image(array[..., index].T)
    dataset.SOPInstanceUID = f"{SERIES}.{index + 1}"
    dataset.InstanceNumber = 100 - index
    dataset.PixelSpacing = [float(f"{spacing[1]:.12g}"), float(f"{spacing[0]:.12g}")]
    dataset.SliceThickness = 1.0
    dataset.ImagePositionPatient = _decimal(lps[:3, 3] + index * lps[:3, 2])
    dataset.ImageOrientationPatient = _decimal((lps[:3, :2] / spacing[:2]).T.ravel())
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    return dataset


def _decimal(values: npt.NDArray[Any]) -> list[str]:
    return [f"{value:.13g}"[:16] for value in values.tolist()]


def _image(pixels: npt.NDArray[Any], sop_class: str = uid.CTImageStorage) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = f"{SERIES}.0"
    dataset.SeriesInstanceUID = SERIES
    dataset.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.2"
    dataset.FrameOfReferenceUID = "1.2.826.0.1.3680043.8.498.3"
    dataset.PatientName, dataset.PatientID, dataset.Modality = "Nobody^", "nobody", "CT"
    for keyword in ("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "PatientBirthDate", "PatientSex"):
        setattr(dataset, keyword, "")
    dataset.SeriesNumber = 1
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    bits = pixels.dtype.itemsize * 8
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    return dataset


def save(dataset: Dataset, path: Path, syntax: str = uid.ExplicitVRLittleEndian) -> Path:
    dataset = Dataset(dataset)
    dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    if syntax in {uid.JPEG2000Lossless, uid.JPEGBaseline8Bit}:  # pydicom has no encoder of its own
        dataset.PixelData = encapsulate([_packed(dataset, syntax)])
        dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)
    elif uid.UID(syntax).is_encapsulated:
        dataset.compress(syntax, generate_instance_uid=False)
    else:
        dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)
        if syntax == uid.ExplicitVRBigEndian and dataset.BitsAllocated == 16:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path


def _packed(dataset: Dataset, syntax: str) -> bytes:
    shape = (dataset.Rows, dataset.Columns, 3)[: 2 + (dataset.SamplesPerPixel == 3)]
    pixels = np.frombuffer(dataset.PixelData, f"u{dataset.BitsAllocated // 8}").reshape(shape)
    stream = io.BytesIO()
    if syntax == uid.JPEGBaseline8Bit:
        Image.fromarray(pixels).save(stream, "JPEG", quality=90)
    else:
        Image.fromarray(pixels).save(stream, "JPEG2000", irreversible=False, no_jp2=True)
    return stream.getvalue()


def write_series(
    folder: Path,
    array: npt.NDArray[Any],
    affine: Affine,
    *,
    syntax: str = uid.ExplicitVRLittleEndian,
    scaling: tuple[tuple[float, float], ...] = (),
) -> list[Path]:
    """One file a slice; the names are in no order that means anything."""
    folder.mkdir(exist_ok=True, parents=True)
    count = array.shape[2]
    paths = []
    for index in range(count):
        slope, intercept = scaling[index] if scaling else (1.0, 0.0)
        dataset = slice_of(array, affine, index, slope=slope, intercept=intercept)
        paths.append(save(dataset, folder / f"{(index * 5 + 3) % count}-{index}.dcm", syntax))
    return paths


def multiframe_of(
    array: npt.NDArray[Any], affine: Affine, *, scaling: tuple[tuple[float, float], ...] = ()
) -> Dataset:
    """An enhanced CT whose frames are stored from the last to the first."""
    count = array.shape[2]
    order = list(range(count))[::-1]
    dataset = _image(np.ascontiguousarray(array.T[order]), uid.EnhancedCTImageStorage)
    dataset.NumberOfFrames = count
    first = slice_of(array, affine, 0)
    shared, turn, measures = Dataset(), Dataset(), Dataset()
    turn.ImageOrientationPatient = first.ImageOrientationPatient
    measures.PixelSpacing, measures.SliceThickness = first.PixelSpacing, 1.0
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [turn], [measures]
    dataset.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for index in order:
        frame, place, values = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = slice_of(array, affine, index).ImagePositionPatient
        values.RescaleSlope, values.RescaleIntercept = scaling[index] if scaling else (1, 0)
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [place], [values]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    return dataset


def write_multiframe(path: Path, array: npt.NDArray[Any], affine: Affine, **options: Any) -> Path:
    return save(multiframe_of(array, affine, **options), path)


def write_seg(
    folder: Path, label: npt.NDArray[Any], affine: Affine, *, kind: str = "BINARY", overlap: bool = False
) -> Path:
    """A SEG by highdicom of segments 1 and 2, on a series that is written to `folder`/series."""
    paths = write_series(folder / "series", label.astype(np.int16), affine)
    sources = [pydicom.dcmread(path) for path in paths]
    segments = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=name,
            segmented_property_category=codes.SCT.Tissue,
            segmented_property_type=codes.SCT.Liver,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, name in ((1, "organ"), (2, "tumour"))
    ]
    masks = np.stack([label == 1, label == 2], -1)
    if overlap:
        masks[..., 0] |= masks[..., 1]
    pixels = masks.transpose(2, 1, 0, 3).astype(np.uint8)
    if kind == "LABELMAP":
        pixels = label.transpose(2, 1, 0).astype(np.uint8)
    seg = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=segments,
        series_instance_uid=hd.UID(),
        series_number=2,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="nobody",
        manufacturer_model_name="nothing",
        software_versions="0",
        device_serial_number="0",
    )
    seg.save_as(folder / "seg.dcm")
    return folder / "seg.dcm"
