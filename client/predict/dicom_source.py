"""The DICOM images that a scan was read from, as SEG and SR refer to them.

Patient, study and place are taken over, as DICOM demands of objects of one study, and nothing else: the
objects made from them name the patient and stay at the hospital.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom import DataElement, Dataset
from pydicom.datadict import dictionary_VR

from client.data.formats.base import judged, unsupported
from client.data.formats.dicom_file import opened_dicom
from client.data.formats.dicom_series import ordered_frames
from client.data.limits import Limits

# PS3.3 type 2 of the modules Patient and General Study: they may be empty, but must be there.
REQUIRED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
TAGS = (
    *REQUIRED,
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "Modality",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "DimensionOrganizationSequence",
    "DimensionIndexSequence",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
SEXES = ("M", "F", "O")
UTF_8 = "ISO_IR 192"  # PS3.3 C.12.1.1.2


@dataclass(frozen=True, eq=False)
class Source:
    """The images of one series, without voxels; frame i of them is slice `slices[i]` of the volume.

    Either each image is one slice, in the volume's order, or one image holds all.
    """

    images: tuple[Dataset, ...]
    slices: tuple[int, ...]

    @property
    def first(self) -> Dataset:
        """What all images say alike: patient, study, series."""
        return self.images[0]

    def planes(self, mask: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Turn a mask (columns, rows, slices) into one plane a frame: (frames, rows, columns)."""
        return np.ascontiguousarray(mask.T[list(self.slices)])


def source_of(path: Path, limits: Limits) -> Source:
    """Read what the images of the one series at `path` say of themselves.

    Raises
    ------
    CaseError
        As `formats.read`; `unsupported_type` for a series of several multi-frame files.
    """
    frames = ordered_frames(path, limits)
    files = list(dict.fromkeys(frame.path for frame in frames))
    images = tuple(_image(file, limits) for file in files)
    if len(files) == len(frames):
        return Source(images, tuple(range(len(frames))))
    if len(files) > 1:
        raise unsupported(path, f"{len(frames)} frames in {len(files)} files", "one file, or a file a slice")
    return Source(images, tuple(np.argsort([frame.index for frame in frames]).tolist()))


def _image(path: Path, limits: Limits) -> Dataset:
    with judged(path):
        found = opened_dicom(path, limits, TAGS).dataset
        found.decode()
        image = Dataset()
        image.update({element.tag: element for element in found if element.keyword in TAGS})
        image.SpecificCharacterSet = UTF_8  # of archives each has its own, and some leave it empty
        for keyword in REQUIRED:
            text = str(image.get(keyword) or "")
            image[keyword] = DataElement(keyword, dictionary_VR(keyword), text)
        if image.PatientSex not in SEXES:  # a value that DICOM does not know may not be passed on
            image.PatientSex = ""
        return image
