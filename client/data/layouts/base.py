"""The records of a data set on disk: cases that are complete, cases that are skipped, and their parts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Literal, Self

from shared.errors import CaseError

LabelKind = Literal["volume", "window", "points"]
Kind = Literal["image", "label", "region"]
ONE_CHANNEL = "image"


@dataclass(frozen=True)
class Listed:
    """One case that is complete on disk; nothing has been opened yet.

    `images` maps each channel's name to its path, in the layout's order; a single channel that has no name
    is called `image`. A path is a file, or a folder that holds one DICOM series. `label_kind` says what
    `label` is: a volume on the image's grid, a mask in which one window only is labelled, or a CSV of points
    x, y, z, label. `region` is a mask of the voxels that are looked at, where the data set has one.
    `patient` is who or what the layout itself says cases have in common, or None. `components` names the
    channels inside one file, in its order, where a description does so.
    """

    case: str
    images: Mapping[str, Path]
    label: Path | None
    label_kind: LabelKind = "volume"
    patient: str | None = None
    region: Path | None = None
    components: tuple[str, ...] = ()


@dataclass(frozen=True)
class Skipped:
    """One case that is not used. `reason` is a short code; `detail` names files and stays at the site."""

    case: str
    reason: str
    detail: str

    @classmethod
    def after(cls, error: Exception, case: str, where: str = "") -> Self:
        """Skip a case for whatever its files raised: one odd file must end nothing."""
        if isinstance(error, CaseError):
            return cls(case, error.reason, str(error))
        return cls(case, "unreadable", f"{where}{type(error).__name__}: {error}")


@dataclass(frozen=True)
class Part:
    """What a layout takes one file, or one folder of a DICOM series, for.

    `label_kind` is given where the label of the case need not be of the layout's own kind, `components` where
    a description names the channels inside a file.
    """

    case: str
    kind: Kind
    path: Path
    channel: str = ONE_CHANNEL
    patient: str | None = None
    label_kind: LabelKind | None = None
    components: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sorted:
    """All parts of a folder in any order, and what the layout itself refused.

    `channels` are those that every case must have, in order; without, a case has those that it has.
    `absent` are pairs of case and channel that are known not to be there all the same. `used` are further
    files that are accounted for.
    """

    parts: Sequence[Part]
    skipped: Sequence[Skipped] = ()
    channels: tuple[str, ...] = ()
    used: frozenset[Path] = field(default_factory=frozenset)
    absent: frozenset[tuple[str, str]] = field(default_factory=frozenset)


class Evidence(IntEnum):
    """How much speaks for a layout. A folder has the layout that most speaks for.

    Where that is true of two layouts, the folder is ambiguous and a person decides: the order of the layouts
    never does.
    """

    NONE = 0
    GENERAL = 1
    """Names of folders that more than one layout has."""
    SPECIFIC = 2
    """File names, file content or a description that only this layout has."""
