"""What `wardround data inspect` says of each case and of all, as frozen objects that are also its JSON.

Everything here stays at the site: names of cases, of files and of patients are in it.
"""

from typing import Literal, NamedTuple

from pydantic import Field

from client.data.layouts.base import LabelKind
from shared.config import Config

XYZ = tuple[float, float, float]


class Intensity(Config):
    """Lowest, highest and percentiles of the finite voxels of one channel, in the file's own unit.

    The percentiles are of 2**20 voxels drawn at random where there are more.
    """

    lowest: float
    p0_5: float
    p50: float
    p99_5: float
    highest: float


class ChannelFacts(Config):
    """One channel of one case: a file, or one of the numbers that each voxel of a file has (red of RGB).

    `modality` is what DICOM says, `RGB`, or what the layout calls the channel. `shape` is (X, Y, Z) as
    stored, `orientation` where its axes point to (nibabel's code: RAS is right, anterior, superior), `dtype`
    the type as stored. `intensity` is None without a finite voxel. `pixels` is a SHA-256 of the voxels in RAS
    order and the spacing: equal for the same picture in another file, format or storage order. `notes` say
    what was assumed while reading.
    """

    channel: str
    modality: str | None
    format: str
    shape: tuple[int, int, int]
    spacing_mm: XYZ
    orientation: str
    dtype: str
    intensity: Intensity | None
    pixels: str
    notes: tuple[str, ...] = ()


class LabelValue(Config):
    """One value of a label: how many voxels (or points) have it, and their volume where they have one.

    `name` is what a DICOM SEG calls it.
    """

    value: int
    count: int
    ml: float | None = None
    name: str | None = None


class LabelFacts(Config):
    """The label of one case, or the region that is looked at, with the values as they are in the file."""

    kind: LabelKind
    format: str
    values: tuple[LabelValue, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is marked: background, 0, is the only value."""
        return all(value.value == 0 for value in self.values)


class Fault(Config):
    """What is wrong with a case, in words for the hospital; `reason` is the short code."""

    case: str
    reason: str
    detail: str
    cure: str


class CaseFacts(Config):
    """All that is known of one case. With a `fault` it cannot be used; what was read before it is kept."""

    case: str
    patient: str | None = None
    channels: tuple[ChannelFacts, ...] = ()
    label: LabelFacts | None = None
    region: LabelFacts | None = None
    fault: Fault | None = None


class Picture(NamedTuple):
    """One plane of a case as a PNG, and what lies at its (left, right, top, bottom): ("R", "L", "A", "P").

    The letters are empty for a picture that is of no body, such as a photograph.
    """

    plane: str
    png: bytes
    letters: tuple[str, ...]


class Tally(Config):
    """How many cases have a value, and the names of the first three of them."""

    value: str
    cases: int
    examples: tuple[str, ...]


class Spread(Config):
    """Lowest, middle and highest of three numbers an image, each axis by itself.

    `different` counts the different triples.
    """

    lowest: XYZ
    middle: XYZ
    highest: XYZ
    different: int


class Range(Config):
    """Lowest, middle and highest of a number over cases."""

    lowest: float
    middle: float
    highest: float


class Intensities(Config):
    """How the figures of one channel (see `Intensity`) range over the cases."""

    channel: str
    lowest: Range
    p0_5: Range
    p50: Range
    p99_5: Range
    highest: Range


class LabelSummary(Config):
    """One value of the labels: cases that have it, voxels or points in all, ml in the cases with it."""

    value: int
    name: str | None
    cases: int
    count: int
    ml: Range | None


class Duplicate(Config):
    """Cases that hold the same pixels under several names, or one case in several channels."""

    cases: tuple[str, ...]
    channels: tuple[str, ...]


class Patients(Config):
    """Whose scans these are. `source` is the table, `layout`, or `none`, and then `count` is not known.

    `unmapped` cases are not in the table, or the layout does not say whose they are; each counts as a patient
    of its own. `decision` is what a person has to decide, if anything.
    """

    source: str
    count: int | None
    unmapped: int
    decision: str | None


class Inspection(Config):
    """One folder. In JSON the version stands under the key ``schema``.

    `facts` has every case that was opened, in the order of the names, usable or not; `faults` every case that
    cannot be used, opened or not; `warnings` what is strange about cases that can. `labelled` counts labels
    that were read, `tumour_free` those that mark nothing; the share is None without a label.
    """

    schema_version: Literal["wardround.inspection/1"] = Field(
        default="wardround.inspection/1", alias="schema"
    )
    folder: str
    layout: str
    cases: int
    usable: int
    patients: Patients
    formats: tuple[Tally, ...]
    modalities: tuple[Tally, ...]
    channels: tuple[Tally, ...]
    shapes: Spread | None
    spacings_mm: Spread | None
    orientations: tuple[Tally, ...]
    dtypes: tuple[Tally, ...]
    assumed: tuple[Tally, ...]
    intensities: tuple[Intensities, ...]
    labels: tuple[LabelSummary, ...]
    labelled: int
    tumour_free: int
    tumour_free_share: float | None
    duplicates: tuple[Duplicate, ...]
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    facts: tuple[CaseFacts, ...]
