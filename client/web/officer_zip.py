"""All that a data protection officer needs to look at, in one archive: nothing of a patient is in it.

The ledger comes without the seeds of its noise: whoever knows one can take the noise off a weight change.
Paths of this machine are left out of the policy.
"""

import csv
import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from client.audit import Audit
from client.audit_pages import end_of
from client.policy_words import policy_words
from client.site import Site
from client.spending import without_secrets
from shared import __version__
from shared.errors import PolicyError
from shared.web.people import People

PIECE_BYTES = 2**20
README = """\
Wardround {version}: what left the site {site}, what was spent, and who looked at what.
Made {made}. Research use, not a medical device.

audit.jsonl      everything that left, was refused or was decided, one JSON object a line. Each line holds the
                 SHA-256 of the line before. {verified}
audit.head       how many lines there were and the SHA-256 of the last.
repeats.jsonl    answers that were given again and are not in audit.jsonl yet; missing if there are none.
approvals.jsonl  who allowed, refused or withdrew which study, and when; decided/ has the studies' full texts.
ledger.json      what private training has cost, one entry a round. Without the secret seeds of the noise.
                 Only training is accounted here: sums for evaluation and calibration are exact, not counted.
policy.json      what this site lets a study do, from its site.yaml; policy.txt says it in words.
views.csv        who looked at or changed what in the pages. Scans stand in it by their pseudonym.
sha256sums.txt   of all these files: sha256sum -c sha256sums.txt

To check the chain at the site itself: wardround site audit verify site.yaml
"""


def archive(site: Site, people: People) -> BinaryIO:
    """Write the archive into an unnamed temporary file, which is gone when it is closed; read from its start.

    Raises
    ------
    PolicyError
        `ledger`: it is damaged.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed by whoever sends it
    try:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
            sums = [_put(made, name, pieces) for name, pieces in _parts(site, people)]
            made.writestr("sha256sums.txt", "".join(f"{digest}  {name}\n" for name, digest in sums))
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def sent(file: BinaryIO) -> Iterator[bytes]:
    """Read a file to its end in pieces, then close it."""
    with file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def csv_lines(rows: Iterable[Iterable[object]], columns: Iterable[str]) -> Iterator[bytes]:
    """Write a table as CSV; a cell that a spreadsheet would take for a formula is kept from it."""
    yield _line(columns)
    for row in rows:
        yield _line(row)


def _line(cells: Iterable[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(_cell(str(cell)) for cell in cells)
    return text.getvalue().encode()


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _parts(site: Site, people: People) -> Iterator[tuple[str, Iterable[bytes]]]:
    audit = Audit(site.work / "audit.jsonl")
    try:
        found = audit.inspect()
        verified = f"The chain of {found.lines} lines was unbroken."
    except PolicyError as error:
        verified = f"THE CHAIN DID NOT HOLD: {str(error).replace(str(site.work), 'work')}"
    made = datetime.now(UTC).isoformat(timespec="seconds")
    text = README.format(version=__version__, site=site.name, made=made, verified=verified)
    yield "README.txt", [text.encode()]
    yield "audit.jsonl", _whole_lines(audit.path)
    for path in (audit.head_path, site.work / "repeats.jsonl", site.work / "approvals.jsonl"):
        if path.exists():
            yield path.name, [path.read_bytes()]
    for path in sorted((site.work / "decided").glob("*.yaml")):
        yield f"decided/{path.name}", [path.read_bytes()]
    yield "ledger.json", [_json(without_secrets(site.work / "ledger.jsonl"))]
    yield "policy.json", [_json(site.policy.model_dump(mode="json"))]
    yield "policy.txt", [f"{about}: {says}.\n".encode() for about, says in policy_words(site.policy)]
    yield "views.csv", (text.encode() for text in people.views_csv())


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Read up to the last line that was whole when this began: the node may be writing."""
    left = end_of(path).offset
    if left:
        with path.open("rb") as file:
            while left and (piece := file.read(min(PIECE_BYTES, left))):
                left -= len(piece)
                yield piece


def _put(made: zipfile.ZipFile, name: str, pieces: Iterable[bytes]) -> tuple[str, str]:
    digest = hashlib.sha256()
    with made.open(name, "w", force_zip64=True) as entry:
        for piece in pieces:
            digest.update(piece)
            entry.write(piece)
    return name, digest.hexdigest()


def _json(values: object) -> bytes:
    return json.dumps(values, indent=1).encode() + b"\n"
