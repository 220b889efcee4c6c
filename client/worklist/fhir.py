"""The worklist as FHIR: a Bundle with a Task and a ServiceRequest for each scan, in R4 or R5.

The Task is the reading: its status follows the worklist's states, its priority is the tier in which the scan
is read, its reasons are those of the score. The ServiceRequest is what the Task fulfils. Cases and patients
bear keyed pseudonyms (client/data/importing/pseudonyms.py), so that only this hospital can tell whom they
mean; readers are left out. Element names and codes: hl7.org/fhir/R4/task.html, hl7.org/fhir/R5/task.html.
"""

import json
import uuid
from collections.abc import Iterable
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any, Literal

from client.data.importing.pseudonyms import Pseudonyms
from client.result import NOTICE
from client.worklist.export import Listed
from client.worklist.order import Why
from client.worklist.records import Row
from client.worklist.tables import READ, READING, WAITING
from shared.files import write_atomically

Release = Literal["R4", "R5"]
SYSTEM = "https://wardround.invalid/"
"""Systems of our identifiers: a name that will never be anybody's."""

TASK_STATUS = {WAITING: "requested", READING: "in-progress", READ: "completed"}
REQUEST_STATUS = {WAITING: "active", READING: "active", READ: "completed"}
WHY: dict[Why, str] = {
    "model": "by the score",
    "ordered": "ordered by a clinician",
    "held": "by an earlier score",
    "waited": "by the longest wait",
}


def write_fhir(path: Path, listed: Listed, work: Path, release: Release) -> None:
    """Write the bundle of a list, open to its owner only; raise as `fhir_text`."""
    text = fhir_text(listed, work, release)
    with write_atomically(path, private=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


def fhir_text(listed: Listed, work: Path, release: Release) -> str:
    """Return the bundle of a list as JSON; which name each pseudonym stands for is written into `work`.

    Raises
    ------
    ConfigError, DataError
        As `Pseudonyms`: the key cannot be used, or two names share a pseudonym.
    """
    names = Pseudonyms.of_key_file(work / "worklist.key", work / "worklist.names.csv")
    values = bundle(listed.rows, names, now=listed.now, release=release)
    names.write_table()
    return json.dumps(values, indent=1) + "\n"


def bundle(rows: Iterable[Row], names: Pseudonyms, *, now: datetime, release: Release) -> dict[str, Any]:
    """Make a Bundle of type collection, a Task and then its ServiceRequest for each row, in their order."""
    entries = []
    for row in rows:
        case, patient = names.of("case", row.case), names.of("patient", row.patient)
        task, request = _urn(f"task/{case}"), _urn(f"request/{case}")
        entries.append({"fullUrl": task, "resource": _task(row, case, patient, request, release)})
        entries.append({"fullUrl": request, "resource": _request(row, case, patient, release)})
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": _instant(now),
        "entry": entries,
    }


def _task(row: Row, case: str, patient: str, request: str, release: Release) -> dict[str, Any]:
    reasons = [*row.reasons, *(f"{label}: not recorded" for label in row.missing)]
    why = "; ".join(reasons) or "no score"
    task: dict[str, Any] = {
        "resourceType": "Task",
        "text": _text(f"Read in tier {row.tier}, {WHY[row.why]}. {why}"),
        "identifier": [_identifier("task", case)],
        "basedOn": [{"reference": request}],
        "status": TASK_STATUS[row.state],
        "intent": "order",
        "priority": row.tier,
        "code": {
            "coding": [{"system": "http://hl7.org/fhir/CodeSystem/task-code", "code": "fulfill"}],
            "text": "Read the scan",
        },
        "description": f"Read the scan ({row.tier}, {WHY[row.why]})",
        "focus": {"reference": request},
        "for": _patient(patient),
        "authoredOn": _instant(row.arrived),
        "lastModified": _instant(row.state_since),
    }
    if row.claimed is not None or row.finished is not None:
        period = {"start": row.claimed or row.finished, "end": row.finished}
        task["executionPeriod"] = {key: _instant(time) for key, time in period.items() if time is not None}
    task |= {"reasonCode": {"text": why}} if release == "R4" else {"reason": [{"concept": {"text": why}}]}
    given = {
        "probability that it is urgent": ("valueDecimal", row.probability),
        "lower end of its 95 % interval": ("valueDecimal", row.low),
        "upper end of its 95 % interval": ("valueDecimal", row.high),
        "tier by the score": ("valueCode", row.model_tier),
        "tier ordered by a clinician": ("valueCode", row.ordered),
        "SHA-256 of the model's weights": ("valueString", row.weights_digest),
        "SHA-256 of the calibration": ("valueString", row.calibration_digest),
    }
    task["input"] = [
        {"type": {"text": what}, key: value} for what, (key, value) in given.items() if value is not None
    ]
    return task


def _request(row: Row, case: str, patient: str, release: Release) -> dict[str, Any]:
    code: dict[str, Any] = {"text": "Reading of a scan"}
    return {
        "resourceType": "ServiceRequest",
        "text": _text("Reading of a scan."),
        "identifier": [_identifier("case", case)],
        "status": REQUEST_STATUS[row.state],
        "intent": "order",
        "category": [
            {"coding": [{"system": "http://snomed.info/sct", "code": "363679005", "display": "Imaging"}]}
        ],
        "priority": row.tier,
        "code": code if release == "R4" else {"concept": code},
        "subject": _patient(patient),
        "authoredOn": _instant(row.arrived),
    }


def _patient(pseudonym: str) -> dict[str, Any]:
    return {"type": "Patient", "identifier": _identifier("patient", pseudonym)}


def _identifier(kind: str, value: str) -> dict[str, str]:
    return {"system": f"{SYSTEM}{kind}", "value": value}


def _text(words: str) -> dict[str, str]:
    div = f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{escape(NOTICE)} {escape(words)}</p></div>'
    return {"status": "generated", "div": div}


def _urn(name: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{SYSTEM}{name}").urn  # of a pseudonym: nobody can guess a case


def _instant(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")
