"""The whole of an import: what is there, what is done already, the rest in processes, the manifest last."""

import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from client.data import layouts
from client.data.importing.archive import unpacked
from client.data.importing.case import FOLDERS, Done, Job, crashed, imported, still_good
from client.data.importing.pseudonyms import Pseudonyms
from client.data.importing.records import JOURNAL, REPORT, Journal, LeftOut, Record, Report
from client.data.importing.table import TABLE, Rewritten, rewritten, write_table
from client.data.layouts.base import Listed, Skipped
from client.data.layouts.manifest import MANIFEST, write_manifest
from client.data.patients import PatientTable
from client.data.workers import cores, each
from shared import __version__
from shared.errors import ConfigError, DataError
from shared.files import one_at_a_time

LOCK = ".import.lock"
UNPACKED = ".unpacked"
OURS = re.compile(r"\.?case-[0-9a-f]{16}[_.].*")
LEFTOVER = re.compile(rf"\.({MANIFEST}|{REPORT}|{TABLE}|{re.escape(JOURNAL)})\.[0-9a-f]{{8}}\.tmp")
OF_FILES = frozenset({"not_in_layout", "unsupported_format", "header_missing", "outside_folder"})
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Request:
    """What was asked for. `key` None: `<dest>.key`. `patients` None: `patients.csv` of the source, if any."""

    source: Path
    dest: Path
    layout: str | None = None
    patients: Path | None = None
    key: Path | None = None
    workers: int = field(default_factory=cores)


@dataclass(frozen=True)
class Imported:
    """What an import did; all but `report` is for the site's own eyes.

    `unchanged`, `written` and `removed` are pseudonyms. `left_out` has the original names and the reasons.
    """

    report: Report
    names: Pseudonyms
    unchanged: tuple[str, ...]
    written: tuple[str, ...]
    removed: tuple[str, ...]
    left_out: tuple[Skipped, ...]
    table: Rewritten | None


def import_data(request: Request, progress: Progress | None = None) -> Imported:
    """Bring a data set into one form; see the package's text.

    A case that cannot be used is left out by name. `progress` is called with (what, done, total).

    Raises
    ------
    ConfigError
        The folders lie in each other, DEST is not an import, or was made with another key.
    DataError
        No layout, no case that is complete, a refused archive, a faulty patients table, a full disk, or
        another import at work in DEST.
    """
    source, dest = request.source.absolute(), request.dest.absolute()
    key = (request.key or dest.with_name(f"{dest.name}.key")).absolute()
    _check(source, dest, key)
    try:
        dest.mkdir(parents=True, exist_ok=True, mode=0o700)
        with ExitStack() as stack:
            busy = f"another import is at work in {dest}. Wait until it has ended."
            stack.enter_context(one_at_a_time(dest / LOCK, busy))
            names = Pseudonyms.of_key_file(key, key.with_name(f"{dest.name}.names.csv"))
            if not source.is_dir():
                source = stack.enter_context(unpacked(source, dest / UNPACKED))
            return _Import(request, source, dest, names, progress=progress or _silent).run()
    except OSError as error:
        raise DataError(f"{dest} cannot be written: {error}. Make room, then run the same again.") from error


class _Import:
    def __init__(
        self, request: Request, source: Path, dest: Path, names: Pseudonyms, *, progress: Progress
    ) -> None:
        self._workers, self._progress = request.workers, progress
        self._source, self._dest, self._names = source, dest, names
        self._layout = layouts.find(source, request.layout)
        self._listed, self._skipped = self._layout.list_cases(source)
        found = source / TABLE
        self._table = PatientTable.load(request.patients or (found if found.is_file() else None))

    def run(self) -> Imported:
        if not self._listed:
            raise DataError(f"no case is complete ({_reasons(self._skipped)}); nothing was changed.")
        items = {self._names.of("case", item.case, self._place(item)): item for item in self._listed}
        patients = {case: self._patient(item) for case, item in items.items()}
        table = rewritten(self._table, self._names, {item.case for item in self._listed})
        for skip in self._skipped:
            self._pseudonym(skip)
        self._names.write_table()  # first: no pseudonym that nobody can resolve
        journal = Journal(self._dest, self._names.fingerprint)
        self._sweep(journal.known)

        kept = self._kept(items, journal)
        self._manifest(_with_patients(kept, patients))
        records, failed = dict(kept), []
        jobs = [Job(item, case, self._dest) for case, item in items.items() if case not in kept]
        for number, (job, result) in enumerate(each(imported, jobs, self._workers), start=1):
            done = result or crashed(job)
            if done.record is None:
                failed.append(done)
            else:
                records[done.pseudonym] = done.record
                journal.add(done.pseudonym, done.record)
            self._progress("importing", number, len(jobs))
        left_out = self._left_out(items, failed)

        if len(records) < len(items):
            table = rewritten(self._table, self._names, {items[case].case for case in records})
        has_table = bool(self._table.columns)
        report = Report(
            version=__version__,
            layout=self._layout.name,
            key=self._names.fingerprint,
            cases=_with_patients(records, patients),
            left_out=tuple(
                LeftOut(name=name, reason=reason)
                for name, reason in sorted((self._pseudonym(skip), skip.reason) for skip in left_out)
            ),
            same_pixels=_same_pixels(records),
            patients=table.report if has_table else None,
        )
        if has_table or (journal.before is not None and journal.before.patients is not None):
            write_table(self._dest, table if has_table else None)
        report.write(self._dest)
        self._manifest(report.cases)
        self._sweep(report.cases)
        journal.close()
        return Imported(
            report,
            self._names,
            unchanged=tuple(sorted(kept)),
            written=tuple(sorted(records.keys() - kept.keys())),
            removed=tuple(sorted(journal.known.keys() - records.keys())),
            left_out=tuple(left_out),
            table=table if has_table else None,
        )

    def _place(self, item: Listed) -> str:
        return next(iter(item.images.values())).relative_to(self._source).as_posix()

    def _patient(self, item: Listed) -> str | None:
        """Name the patient that the layout gives, or else the table."""
        patient = item.patient
        if patient is None and self._table.has_subject_map and not self._table.without_row([item.case]):
            patient = self._table.patient_of(item.case)
        return None if patient is None else self._names.of("patient", patient)

    def _pseudonym(self, skip: Skipped) -> str:
        return self._names.of("file" if skip.reason in OF_FILES else "case", skip.case)

    def _kept(self, items: Mapping[str, Listed], journal: Journal) -> dict[str, Record]:
        """Return what an earlier import made of the same sources, and nobody touched since."""
        known = [
            Job(item, case, self._dest, journal.known[case])
            for case, item in items.items()
            if case in journal.known
        ]
        kept = {}
        for number, (job, good) in enumerate(each(still_good, known, self._workers), start=1):
            if good and job.known is not None:
                kept[job.pseudonym] = job.known
            self._progress("comparing", number, len(known))
        return kept

    def _left_out(self, items: Mapping[str, Listed], failed: Sequence[Done]) -> list[Skipped]:
        found = [Skipped(items[done.pseudonym].case, done.reason, done.detail) for done in failed]
        return sorted([*self._skipped, *found], key=lambda skip: (skip.case, skip.reason, skip.detail))

    def _manifest(self, records: Mapping[str, Record]) -> None:
        """Write the manifest of these cases, unless it is there already; none without a case."""
        path = self._dest / MANIFEST
        if not records:
            path.unlink(missing_ok=True)
            return
        write_manifest(self._dest, [record.listed(case, self._dest) for case, record in records.items()])

    def _sweep(self, records: Mapping[str, Record]) -> None:
        """Remove files of cases that are no more, and what an import that was killed had half written."""
        wanted = {self._dest / path for record in records.values() for path in record.files}
        for folder in FOLDERS:
            inner = self._dest / folder
            for path in inner.iterdir() if inner.is_dir() else ():
                if OURS.fullmatch(path.name) and path not in wanted:
                    path.unlink()
        for path in self._dest.iterdir():
            if LEFTOVER.fullmatch(path.name):
                path.unlink()


def _check(source: Path, dest: Path, key: Path) -> None:
    """Refuse what could destroy data, or carry the key out with them."""
    if not source.exists() or not (source.is_dir() or zipfile.is_zipfile(source)):
        raise ConfigError(f"{source} is neither a folder nor a zip. Give the one that holds the scans.")
    real, into = source.resolve(), dest.resolve()
    if real.is_relative_to(into) or into.is_relative_to(real):
        raise ConfigError(f"{source} and {dest} lie in each other. Import into a folder of its own.")
    if key.resolve().is_relative_to(into):
        raise ConfigError(f"the key {key} would lie in {dest}, which may be handed on. Keep it elsewhere.")
    if dest.exists() and not dest.is_dir():
        raise ConfigError(f"{dest} is a file. Import into a new folder.")
    there = {path.name for path in dest.iterdir()} if dest.is_dir() else set()
    strange = {name for name in there - {LOCK, UNPACKED} if not LEFTOVER.fullmatch(name)}
    if strange and not there & {REPORT, JOURNAL}:
        found = ", ".join(sorted(strange)[:5])
        raise ConfigError(f"{dest} holds {found} and no import. Import into a new folder.")


def _with_patients(records: Mapping[str, Record], patients: Mapping[str, str | None]) -> dict[str, Record]:
    """Sort the records, each with its patient: who that is may change though no scan does."""
    return {case: records[case].model_copy(update={"patient": patients[case]}) for case in sorted(records)}


def _same_pixels(records: Mapping[str, Record]) -> tuple[tuple[str, ...], ...]:
    """Group the cases whose images are the same voxel by voxel."""
    groups: dict[tuple[str | None, ...], list[str]] = defaultdict(list)
    for case in sorted(records):
        images = (file.voxels for file in records[case].files.values() if file.kind == "image")
        groups[tuple(images)].append(case)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _reasons(skipped: Sequence[Skipped]) -> str:
    counts = {
        reason: sum(skip.reason == reason for skip in skipped) for reason in (s.reason for s in skipped)
    }
    words = ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()))
    return f"{words}; the first: {skipped[0].detail}" if skipped else "no scan"


def _silent(_what: str, _done: int, _total: int) -> None:
    """Show nothing."""
