"""Plain `images/` and `labels/` folders whose files match by name."""

from pathlib import Path

from client.data.layouts.base import Listed, Skipped, by_case, other_scans, pair, scans


class Folders:
    """`images/<case>.nii.gz` with `labels/<case>.nii.gz`."""

    name = "folders"
    wants = "a folder images/ (and labels/)"

    def recognises(self, folder: Path) -> bool:
        """Whether there is an `images/` folder."""
        return (folder / "images").is_dir()

    def list_cases(self, folder: Path, *, require_label: bool = True) -> tuple[list[Listed], list[Skipped]]:
        """Cases of both folders; see `Layout.list_cases`."""
        images = by_case(scans(folder / "images"))
        labels = by_case(scans(folder / "labels"))
        listed, skipped = pair(images.keys() | labels.keys(), images, labels, require_label=require_label)
        skipped += other_scans(folder / "images")
        return listed, sorted(skipped, key=lambda skip: skip.case)
