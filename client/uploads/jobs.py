"""The queue of uploads: what the pages put in, what the worker takes out, where each scan stands.

The worker takes the oldest first. What was under way when it ended is taken again, `ATTEMPTS` times in all:
a scan that ends the process each time is called crashed, and the others go on.
"""

import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import ClassVar, Self

from sqlalchemy import Table, delete, select, update
from sqlalchemy.orm import Session

from client.site import Site
from client.uploads.records import Found, Taken, Upload, listed_of, listed_values, upload_of
from client.uploads.tables import (
    CHECKED,
    CHECKING,
    FAILED,
    OPEN,
    READ,
    READING,
    RECEIVED,
    SCHEMA_TABLE,
    SKIPPED,
    WAITING,
    ScanRow,
    UploadRow,
)
from shared import database
from shared.database import utc_now
from shared.errors import DataError

FILE = "uploads.db"
ATTEMPTS = 3
MOST_REFUSED = 1000  # files of one upload that are told by name while it comes in
CRASHED = "Reading it ended the process that reads, each of {} times."


class Jobs(database.Database):
    """The queue; safe to use from several threads and processes."""

    schema: ClassVar[int] = 1
    schema_table: ClassVar[Table] = SCHEMA_TABLE

    @classmethod
    def open(cls, site: Site) -> Self:
        """Open the site's queue, or make it; raise ConfigError when that cannot be done."""
        path = (site.make_work() / FILE).absolute()
        path.touch(mode=0o600)  # before SQLite does, which would let others read it
        return cls.open_url(f"sqlite:///{path}")

    # What a person does.

    def begin(self, owner: str) -> str:
        """Begin an upload; returns its name, which nobody can guess."""
        name = secrets.token_hex(8)
        with self._writing() as session:
            session.add(UploadRow(id=name, owner=owner, state=OPEN, begun=utc_now(), notes=[]))
        return name

    def refuse(self, upload: str, found: Found) -> None:
        """Note a file that was refused while it came in."""
        with self._writing() as session:
            if len(_scans(session, upload)) < MOST_REFUSED:
                session.add(_row(upload, found))

    def finish(self, upload: str, notes: Sequence[str] = ()) -> None:
        """Hand an upload that is complete to the worker; DataError if that was done before."""
        with self._writing() as session:
            row = _open(session, upload)
            row.state, row.finished, row.notes = RECEIVED, utc_now(), list(notes)

    def discard(self, upload: str) -> None:
        """Forget an upload that is not finished; DataError if it is."""
        with self._writing() as session:
            session.delete(_open(session, upload))

    def note_removed(self, upload: str) -> None:
        """Note that an upload's files are deleted; DataError while it is under way."""
        with self._writing() as session:
            row = session.get(UploadRow, upload)
            if row is None or row.state == OPEN or upload_of(row, _scans(session, upload)).under_way:
                raise DataError("the files of this upload are still needed. Wait until it is done.")
            row.removed = row.removed or utc_now()

    # What the pages show.

    def find(self, upload: str) -> Upload | None:
        """Return one upload."""
        with self._reading() as session:
            row = session.get(UploadRow, upload)
            return None if row is None else upload_of(row, _scans(session, upload))

    def recent(self, owner: str | None = None, *, limit: int = 20) -> list[Upload]:
        """Return the newest uploads, of one person or of all."""
        query = select(UploadRow).order_by(UploadRow.begun.desc()).limit(limit)
        if owner is not None:
            query = query.where(UploadRow.owner == owner)
        with self._reading() as session:
            rows = session.scalars(query).all()
            scans: dict[str, list[ScanRow]] = {row.id: [] for row in rows}
            for scan in session.scalars(select(ScanRow).where(ScanRow.upload.in_(scans))):
                scans[scan.upload].append(scan)
            return [upload_of(row, scans[row.id]) for row in rows]

    def contents(self, case: str) -> set[str]:
        """SHA-256 of the files of every upload that were, or are to be, read as this case."""
        query = select(ScanRow.content).where(
            ScanRow.case == case, ScanRow.state.in_((WAITING, READING, READ))
        )
        with self._reading() as session:
            return {content for content in session.scalars(query) if content is not None}

    # What the worker does.

    def requeue(self) -> None:
        """Put back what was under way when an earlier worker ended; only one worker may be there."""
        with self._writing() as session:
            for upload in session.scalars(select(UploadRow).where(UploadRow.state == CHECKING)):
                upload.state = RECEIVED
                if upload.attempts >= ATTEMPTS:
                    upload.state = FAILED
                    upload.reason = "Checking it ended the process that checks. Send fewer files at a time."
            for scan in session.scalars(select(ScanRow).where(ScanRow.state == READING)):
                scan.state = WAITING
                if scan.attempts >= ATTEMPTS:
                    scan.state, scan.reason = FAILED, "crashed"
                    scan.detail = CRASHED.format(ATTEMPTS)

    def next_to_check(self) -> str | None:
        """Take the oldest upload that came in whole."""
        query = select(UploadRow).where(UploadRow.state == RECEIVED).order_by(UploadRow.finished).limit(1)
        with self._writing() as session:
            row = session.scalar(query)
            if row is None:
                return None
            row.state = CHECKING
            row.attempts += 1
            return row.id

    def checked(self, upload: str, found: Iterable[Found], notes: Sequence[str] = ()) -> None:
        """Say what an upload held; what can be read waits from now on."""
        with self._writing() as session:
            if (row := session.get(UploadRow, upload)) is None:
                return
            row.state, row.notes = CHECKED, [*row.notes, *notes]
            session.add_all(_row(upload, one) for one in found)

    def failed(self, upload: str, why: str) -> None:
        """Say that an upload as a whole cannot be used."""
        with self._writing() as session:
            session.execute(update(UploadRow).where(UploadRow.id == upload).values(state=FAILED, reason=why))

    def next_to_read(self) -> Taken | None:
        """Take the first waiting scan of the oldest upload."""
        query = (
            select(ScanRow)
            .join(UploadRow, ScanRow.upload == UploadRow.id)
            .where(ScanRow.state == WAITING)
            .order_by(UploadRow.finished, ScanRow.id)
            .limit(1)
        )
        with self._writing() as session:
            row = session.scalar(query)
            if row is None or row.case is None or row.listed is None:
                return None
            row.state = READING
            row.attempts += 1
            return Taken(row.id, row.upload, row.case, listed_of(row.case, row.listed))

    def read(self, scan: int) -> None:
        """Say that a scan was read."""
        self._end(scan, state=READ, reason=None, detail=None)

    def unread(self, scan: int, reason: str, detail: str) -> None:
        """Say that a scan could not be read."""
        self._end(scan, state=FAILED, reason=reason, detail=detail)

    def put_back_upload(self, upload: str) -> None:
        """Give back what was taken to be checked, and do not count it: the worker was told to end."""
        with self._writing() as session:
            values = {"state": RECEIVED, "attempts": UploadRow.attempts - 1}
            session.execute(update(UploadRow).where(UploadRow.id == upload).values(values))

    def put_back_scan(self, scan: int) -> None:
        """Give back what was taken to be read, and do not count it: the worker was told to end, or waits."""
        with self._writing() as session:
            values = {"state": WAITING, "attempts": ScanRow.attempts - 1}
            session.execute(update(ScanRow).where(ScanRow.id == scan).values(values))

    def forget_unfinished(self, older_than: timedelta, now: datetime | None = None) -> None:
        """Forget uploads that were begun long ago and never finished."""
        before = (now or utc_now()) - older_than
        with self._writing() as session:
            session.execute(delete(UploadRow).where(UploadRow.state == OPEN, UploadRow.begun < before))

    def with_files(self) -> set[str]:
        """Names of the uploads whose files are to be kept."""
        with self._reading() as session:
            return set(session.scalars(select(UploadRow.id).where(UploadRow.removed.is_(None))))

    def _end(self, scan: int, *, state: str, reason: str | None, detail: str | None) -> None:
        with self._writing() as session:
            values = {"state": state, "reason": reason, "detail": detail}
            session.execute(update(ScanRow).where(ScanRow.id == scan).values(**values))


def _open(session: Session, upload: str) -> UploadRow:
    row = session.get(UploadRow, upload)
    if row is None or row.state != OPEN:
        raise DataError("this upload is finished or was discarded. Begin another one.")
    return row


def _scans(session: Session, upload: str) -> list[ScanRow]:
    return list(session.scalars(select(ScanRow).where(ScanRow.upload == upload).order_by(ScanRow.id)))


def _row(upload: str, found: Found) -> ScanRow:
    return ScanRow(
        upload=upload,
        sent=found.sent,
        case=found.case,
        content=found.content,
        listed=None if found.listed is None else listed_values(found.listed),
        state=SKIPPED if found.listed is None else WAITING,
        reason=found.reason,
        detail=found.detail,
    )
