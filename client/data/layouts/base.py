"""What every data set layout does: name the cases of a folder, and name those it cannot use."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shared.errors import CaseError

NIFTI = (".nii.gz", ".nii")
OTHER_SCANS = (".mha", ".mhd", ".nrrd", ".nhdr", ".hdr", ".dcm", ".mgz", ".mgh")
Paths = Mapping[str, Collection[Path]]


@dataclass(frozen=True)
class Listed:
    """One case that is complete on disk; nothing has been opened yet."""

    case: str
    image: Path
    label: Path | None


@dataclass(frozen=True)
class Skipped:
    """One case that is not used. `reason` is a short code; `detail` names files and stays at the site."""

    case: str
    reason: str
    detail: str


class Layout(Protocol):
    """One way to arrange a data set in a folder."""

    name: str
    wants: str
    """What `recognises` looks for, in words."""

    def recognises(self, folder: Path) -> bool:
        """Whether `folder` is arranged this way."""

    def list_cases(self, folder: Path, *, require_label: bool = True) -> tuple[list[Listed], list[Skipped]]:
        """Every case under `folder`, usable or not, each list sorted by case.

        With `require_label` an image without a label is skipped as ``label_missing``; without it such an
        image is listed with `label` None.
        """


def stem(name: str) -> str:
    """Drop `.nii` or `.nii.gz` from a file name; other dots belong to the case (`a.b.nii.gz`: `a.b`)."""
    for suffix in NIFTI:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)]
    return name


def scans(folder: Path) -> list[Path]:
    """NIfTI names in `folder`, sorted; empty if there is no such folder.

    Hidden names are left out: macOS leaves a `._x.nii.gz` beside each `x.nii.gz` that it copies.
    """
    return [path for path in _visible(folder) if path.name.lower().endswith(NIFTI)]


def other_scans(folder: Path) -> list[Skipped]:
    """Skip, by name, scans of a format that is not read here: none goes missing without a word."""
    return [
        Skipped(path.stem, "unsupported_format", f"{path} is not NIfTI; convert it to .nii.gz")
        for path in _visible(folder)
        if path.name.lower().endswith(OTHER_SCANS)
    ]


def by_case(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Files grouped by the case that their name says they belong to."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(stem(path.name), []).append(path)
    return found


def pair(
    cases: Iterable[str], images: Paths, labels: Paths, *, require_label: bool
) -> tuple[list[Listed], list[Skipped]]:
    """Match the files of each case; whoever lacks one, or has two of one kind, is skipped by name."""
    listed, skipped = [], []
    for case in sorted(cases):
        try:
            image = _only("image", images.get(case, ()))
            label = _only("label", labels.get(case, ()))
            if image is None:
                raise CaseError("image_missing", f"no image for the label {label or case}")  # noqa: TRY301
            if label is None and require_label:
                raise CaseError("label_missing", f"no label for the image {image}")  # noqa: TRY301
            listed.append(Listed(case, image, label))
        except CaseError as error:
            skipped.append(Skipped(case, error.reason, str(error)))
    return listed, skipped


def _only(kind: str, paths: Collection[Path]) -> Path | None:
    if len(paths) > 1:
        names = ", ".join(sorted(map(str, paths)))
        raise CaseError("duplicate_case", f"{len(paths)} {kind} files claim this case: {names}. Keep one.")
    return next(iter(paths), None)


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
