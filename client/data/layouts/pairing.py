"""From parts to cases: the files of a case are matched, and nothing that looks like a scan goes missing."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from client.data.layouts.base import Kind, LabelKind, Listed, Part, Skipped, Sorted
from client.data.layouts.tree import UNREAD, VOXELS, Tree, ending
from shared.errors import CaseError


def assembled(
    tree: Tree,
    found: Sorted,
    *,
    layout: str,
    label_kind: LabelKind,
    shows_names: bool,
    require_label: bool,
) -> tuple[list[Listed], list[Skipped]]:
    """Return the cases that are complete, and all else by name; see `Layout.list_cases`."""
    cases: dict[str, list[Part]] = {}
    for part in found.parts:
        cases.setdefault(part.case, []).append(part)
    listed, skipped = [], list(found.skipped)
    for case, parts in cases.items():
        try:
            _closed(tree, parts)
            listed.append(_case(case, parts, found, label_kind, require_label=require_label))
        except CaseError as error:
            others = [str(part.path) for part in parts if str(part.path) not in str(error)]
            detail = f"{error} Also of this case: {', '.join(others)}." if others else str(error)
            skipped.append(Skipped(case, error.reason, detail))
    used = {part.path for part in found.parts} | found.used
    skipped += _left_over(tree, used, layout=layout, shows_names=shows_names)
    return sorted(listed, key=lambda item: item.case), sorted(skipped, key=_order)


def opaque(kind: str, text: str) -> str:
    """Return a short name that is the same for the same text and does not show it."""
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _closed(tree: Tree, parts: Iterable[Part]) -> None:
    """Refuse a folder of slices with a link in it: who reads the folder would follow that."""
    folders = {part.path for part in parts}
    if links := [str(link) for link in tree.refused if link.parent in folders]:
        raise CaseError(
            "outside_folder",
            f"{', '.join(links[:5])} among the slices lead out of {tree.folder}. Put the files there.",
        )


def _case(
    case: str, parts: list[Part], found: Sorted, label_kind: LabelKind, *, require_label: bool
) -> Listed:
    wanted = tuple(channel for channel in found.channels if (case, channel) not in found.absent)
    files = ", ".join(sorted(str(part.path) for part in parts))
    images: dict[str, list[Path]] = {}
    for part in parts:
        if part.kind == "image":
            images.setdefault(part.channel, []).append(part.path)
    chosen = {
        channel: _only(f"{channel} image" if wanted else "image", images[channel]) for channel in images
    }
    label, region = (_of_kind(kind, parts) for kind in ("label", "region"))
    if not chosen:
        raise CaseError("image_missing", f"no image for {files}. Add it, or remove what belongs to it.")
    if missing := [channel for channel in wanted if channel not in chosen]:
        raise CaseError(
            "channel_missing", f"no {' and no '.join(missing)} beside {files}. Add what is missing."
        )
    if label is None and require_label:
        raise CaseError("label_missing", f"no label for the image {files}")
    patients = {part.patient for part in parts if part.patient is not None}
    if len(patients) > 1:
        raise CaseError(
            "patient_mismatch", f"{files} are said to be of {len(patients)} patients, expected one."
        )
    return Listed(
        case=case,
        images=_ordered(chosen, wanted),
        label=label,
        label_kind=next((part.label_kind for part in parts if part.label_kind), label_kind),
        patient=next(iter(patients), None),
        region=region,
        components=next((part.components for part in parts if part.components), ()),
    )


def _ordered(chosen: Mapping[str, Path], wanted: tuple[str, ...]) -> dict[str, Path]:
    further = sorted(chosen.keys() - set(wanted))
    return {channel: chosen[channel] for channel in (*wanted, *further)}


def _of_kind(kind: Kind, parts: Iterable[Part]) -> Path | None:
    paths = [part.path for part in parts if part.kind == kind]
    return _only(kind, paths) if paths else None


def _only(kind: str, paths: Collection[Path]) -> Path:
    if len(paths) > 1:
        names = ", ".join(sorted(map(str, paths)))
        raise CaseError("duplicate_case", f"{len(paths)} {kind} files claim this case: {names}. Keep one.")
    return next(iter(paths))


def _left_over(tree: Tree, used: Collection[Path], *, layout: str, shows_names: bool) -> list[Skipped]:
    """Skip, by name, what looks like a scan and is no part of a case."""

    def named(path: Path) -> str:
        text = tree.relative(path)
        return text if shows_names else opaque("file", text)

    left = [
        Skipped(
            named(path),
            "outside_folder",
            f"{path} is a link to a folder or out of {tree.folder}; it is not followed. Put the scans there.",
        )
        for path in tree.refused
    ]
    for path in tree.scans:
        if path in used or path.parent in used:
            continue
        if (end := ending(path.name).lower()) in UNREAD:
            left.append(
                Skipped(named(path), "unsupported_format", f"{path} is {end}, which is not read. Convert it.")
            )
        elif end in VOXELS:
            left.append(Skipped(named(path), "header_missing", f"{path} has no header beside it. Add it."))
        else:
            detail = f"{path} is no part of a case in the layout {layout}. Move or rename it."
            left.append(Skipped(named(path), "not_in_layout", detail))
    return left


def _order(skip: Skipped) -> tuple[str, str, str]:
    return skip.case, skip.reason, skip.detail
