"""Which of an upload's files are scans that the model can read; the others by name, with the reason.

Only headers are read here, within the site's limits: voxels are judged when the scan is read.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from client.data import formats, layouts
from client.data.importing.pseudonyms import Pseudonyms
from client.data.layouts.base import Evidence, Listed, Skipped
from client.data.layouts.tree import UNREAD, VOXELS, Tree, ending
from client.data.limits import Limits
from client.data.preparing.channels import chosen_files
from client.data.store import files_digest
from client.predict.scans import list_scans
from client.uploads.records import Found
from client.uploads.sorting import Entry
from shared.errors import CaseError, DataError
from shared.study import Task

BESIDE = "not_a_scan"
NAMED = 5
OF_A_SERIES = "series-"  # how layouts/dicom_series.py calls a case: by an identifier that no two scans share


@dataclass(frozen=True)
class Known:
    """What the site has of a case already: `contents` of earlier uploads, whether it is listed, and where."""

    contents: Callable[[str], set[str]]
    listed: frozenset[str]
    pseudonyms: Pseudonyms


def found_in(entries: Iterable[Entry], task: Task, limits: Limits, known: Known) -> list[Found]:
    """Everything in an upload: each scan, and each file that is none."""
    found: list[Found] = []
    seen: dict[str, str] = {}
    for entry in entries:
        try:
            found.extend(_once(one, seen, limits, known) for one in _in(entry, task, limits))
        except DataError as error:
            sent = entry.sent or entry.path.name
            found.append(Found(sent, None, reason="not_in_layout", detail=str(error)))
    return found


def _in(entry: Entry, task: Task, limits: Limits) -> Iterator[Found]:
    """Each scan and each refused file of one entry."""
    tree = Tree.of(entry.path)
    yield from _beside(entry, tree)
    if not tree.scans:
        return
    listed, skipped = _listed(tree)
    for skip in skipped:
        yield Found(entry.sent or skip.case, skip.case, reason=skip.reason, detail=skip.detail)
    for item in listed:
        first = next(iter(item.images.values()))
        sent = entry.sent or (f"{item.case}, DICOM" if first.is_dir() else first.name)
        try:
            files = chosen_files(item, task)
            for path in dict.fromkeys(files.values()):
                formats.header(path, limits)
            content = _content(item, limits)
        except (CaseError, OSError) as error:
            skip = Skipped.after(error, item.case)
            yield Found(sent, item.case, reason=skip.reason, detail=skip.detail)
        else:
            yield Found(sent, item.case, listed=item, content=content)


def _listed(tree: Tree) -> tuple[list[Listed], list[Skipped]]:
    """List a folder by its layout; where it has none, each file at its top is a scan."""
    loose = [path for path in tree.scans if path.parent == tree.folder]
    if not loose or any(layout.evidence(tree) > Evidence.NONE for layout in layouts.LAYOUTS):
        return list_scans([tree.folder], None)
    listed, skipped = list_scans([path for path in loose if path in tree.readable], None)
    for path in tree.scans:
        end = ending(path.name).lower()
        if path not in loose:
            text = f"{tree.relative(path)} lies in a folder of no known layout. Send the file itself."
            skipped.append(Skipped(tree.relative(path), "not_in_layout", text))
        elif end in UNREAD:
            text = f"{path.name} is of a format that is not read here."
            skipped.append(Skipped(path.name, "unsupported_format", text))
        elif end in VOXELS:
            text = f"{path.name} came without the header that explains it."
            skipped.append(Skipped(path.name, "header_missing", text))
    return listed, skipped


def _beside(entry: Entry, tree: Tree) -> Iterator[Found]:
    """Files that are no scans: each of its own where it came alone, else together."""
    scans = frozenset(tree.scans)
    files = sorted(path for path in entry.path.rglob("*") if path.is_file() or path.is_symlink())
    others = [p for p in files if p not in scans and not (p in tree and ending(p.name).lower() in VOXELS)]
    if entry.sent is None:
        for path in others:
            yield Found(path.name, None, reason=BESIDE, detail=f"{path.name} is no scan.")
    elif others:
        names = ", ".join(path.name for path in others[:NAMED])
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        holds = "" if scans else " and no scan"
        text = f"it holds {len(others)} files that are no scans{holds}: {names}{more}."
        yield Found(entry.sent, None, reason=BESIDE, detail=text)
    elif not scans:
        yield Found(entry.sent, None, reason=BESIDE, detail="it holds no file at all.")


def _once(found: Found, seen: dict[str, str], limits: Limits, known: Known) -> Found:
    """Refuse a scan called as another one is: it would take its place on the worklist."""
    case, content = found.case, found.content
    if found.listed is None or case is None or content is None:
        return found
    if case in seen:
        again = "the same scan is in this upload twice and is read once"
        other = "two scans of this upload have this name, expected one. Rename one of them"
        text = f"{again if seen[case] == content else other}."
        return Found(found.sent, case, reason="duplicate_case", detail=text)
    seen[case] = content
    if case.startswith(OF_A_SERIES) or content in (earlier := known.contents(case)):
        return found
    if earlier or (case in known.listed and not _is_where_it_was(case, found.listed, limits, known)):
        text = (
            f"another scan called {case} is here already. Rename the file: each scan has a name of its own."
        )
        return Found(found.sent, case, reason="name_taken", detail=text)
    return found


def _is_where_it_was(case: str, item: Listed, limits: Limits, known: Known) -> bool:
    """Whether a listed scan that nobody uploaded was read from an equal file."""
    place = known.pseudonyms.place_of(known.pseudonyms.of("case", case))
    if place is None or not Path(place).exists():
        return False
    try:
        return files_digest(Path(place), limits) == files_digest(next(iter(item.images.values())), limits)
    except (CaseError, OSError):
        return False


def _content(item: Listed, limits: Limits) -> str:
    total = hashlib.sha256()
    for name, path in sorted(item.images.items()):
        total.update(name.encode() + b"\0" + files_digest(path, limits))
    return total.hexdigest()
