"""The list for programs: JSON, CSV and FHIR."""

import csv
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from client.data.importing.pseudonyms import Pseudonyms
from client.worklist import STATES, Worklist
from client.worklist.export import COLUMNS, Listed, as_json, case_history, write_csv
from client.worklist.fhir import Release, write_fhir
from shared.errors import CaseError
from tests.client.worklist.scans import HOUR, START, result

PRIORITIES = ["routine", "urgent", "asap", "stat"]
CODING = {
    "type": "object",
    "required": ["system", "code"],
    "properties": {"system": {"type": "string"}, "code": {"type": "string"}, "display": {"type": "string"}},
    "additionalProperties": False,
}
CONCEPT = {
    "type": "object",
    "properties": {"coding": {"type": "array", "items": CODING}, "text": {"type": "string", "minLength": 1}},
    "additionalProperties": False,
    "minProperties": 1,
}
IDENTIFIER = {
    "type": "object",
    "required": ["system", "value"],
    "properties": {"system": {"type": "string", "format": "uri"}, "value": {"type": "string"}},
    "additionalProperties": False,
}
SUBJECT = {
    "type": "object",
    "required": ["type", "identifier"],
    "properties": {"type": {"const": "Patient"}, "identifier": IDENTIFIER},
    "additionalProperties": False,
}
REFERENCE = {
    "type": "object",
    "required": ["reference"],
    "properties": {"reference": {"type": "string", "pattern": "^urn:uuid:[0-9a-f-]{36}$"}},
    "additionalProperties": False,
}
INSTANT = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$"}
TEXT = {
    "type": "object",
    "required": ["status", "div"],
    "properties": {"status": {"enum": ["generated"]}, "div": {"pattern": '^<div xmlns="http://www.w3.org'}},
    "additionalProperties": False,
}
INPUT = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "type": CONCEPT,
        "valueDecimal": {"type": "number"},
        "valueCode": {"enum": PRIORITIES},
        "valueString": {"type": "string"},
    },
    "additionalProperties": False,
    "minProperties": 2,
    "maxProperties": 2,
}
REASON: dict[Release, dict[str, Any]] = {
    "R4": {"reasonCode": CONCEPT},
    "R5": {"reason": {"type": "array", "items": {"type": "object", "properties": {"concept": CONCEPT}}}},
}


def of_spec(release: Release) -> dict[str, dict[str, Any]]:
    """The part of https://hl7.org/fhir/R4/task.html, servicerequest.html (R5 likewise) that is written here.

    What the specification requires is required, what it does not know is refused.
    """
    code = CONCEPT if release == "R4" else {"type": "object", "properties": {"concept": CONCEPT}}
    return {
        "Task": {
            "type": "object",
            "required": ["resourceType", "status", "intent", "text", "priority", "for", "authoredOn"],
            "additionalProperties": False,
            "properties": {
                "resourceType": {"const": "Task"},
                "text": TEXT,
                "identifier": {"type": "array", "items": IDENTIFIER},
                "basedOn": {"type": "array", "items": REFERENCE},
                "status": {"enum": ["requested", "in-progress", "completed"]},
                "intent": {"const": "order"},
                "priority": {"enum": PRIORITIES},
                "code": CONCEPT,
                "description": {"type": "string"},
                "focus": REFERENCE,
                "for": SUBJECT,
                "executionPeriod": {
                    "type": "object",
                    "properties": {"start": INSTANT, "end": INSTANT},
                    "additionalProperties": False,
                },
                "authoredOn": INSTANT,
                "lastModified": INSTANT,
                "input": {"type": "array", "minItems": 1, "items": INPUT},
                **REASON[release],
            },
        },
        "ServiceRequest": {
            "type": "object",
            "required": ["resourceType", "status", "intent", "subject", "text"],
            "additionalProperties": False,
            "properties": {
                "resourceType": {"const": "ServiceRequest"},
                "text": TEXT,
                "identifier": {"type": "array", "items": IDENTIFIER},
                "status": {"enum": ["active", "completed"]},
                "intent": {"const": "order"},
                "category": {"type": "array", "items": CONCEPT},
                "priority": {"enum": PRIORITIES},
                "code": code,
                "subject": SUBJECT,
                "authoredOn": INSTANT,
            },
        },
    }


@pytest.fixture
def listed(worklist: Worklist) -> Listed:
    """A stat that waits, an urgent one being read, a routine one that was read, one without a score."""
    for case, tier in (("read <1>", "routine"), ("reading", "urgent"), ("waiting", "stat"), ("=1+1", None)):
        worklist.put(result(case, tier), ordered="asap" if case == "reading" else None)  # type: ignore[arg-type]
    worklist.claim("reading", "dr a", now=START + HOUR)
    worklist.claim("read <1>", "dr b", now=START + HOUR)
    worklist.finish("read <1>", "dr b", now=START + 2 * HOUR)
    return Listed(
        site="north",
        now=START + 3 * HOUR,
        rows=worklist.rows(START + 3 * HOUR, states=STATES),
        counts=worklist.counts(),
        weights_digest="w",
        calibration_digest="c",
    )


def fhir_of(listed: Listed, folder: Path, release: Release) -> list[dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    write_fhir(folder / "list.json", listed, folder, release)
    bundle = json.loads((folder / "list.json").read_text())
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "collection")
    return list(bundle["entry"])


def test_json_holds_every_row_with_the_columns_in_their_order(listed: Listed) -> None:
    values = json.loads(json.dumps(as_json(listed)))
    assert values["schema"] == "wardround.worklist/1"
    assert "not a medical device" in values["notice"]
    assert [scan["case"] for scan in values["scans"]] == ["waiting", "reading", "=1+1", "read <1>"]
    assert [scan["older"] for scan in values["scans"]] == [False, False, True, False]
    assert list(values["scans"][0]) == [*COLUMNS, "older"]
    assert COLUMNS[:6] == ("rank", "case", "patient", "tier", "why", "model_tier")
    assert values["scans"][0]["reasons"][0] == "largest finding 31 mm: +1.40"
    assert values["scans"][1]["claimed"] == "2026-03-02T09:00:00+00:00"


def test_csv_has_a_line_for_each_scan_and_nothing_that_a_spreadsheet_runs(
    listed: Listed, tmp_path: Path
) -> None:
    write_csv(tmp_path / "list.csv", listed.rows)
    assert stat.S_IMODE((tmp_path / "list.csv").stat().st_mode) == 0o600
    with (tmp_path / "list.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["case"] for row in rows] == ["waiting", "reading", "'=1+1", "read <1>"]
    assert rows[0]["reasons"].count("; ") == 2
    assert float(rows[0]["probability"]) == 0.9


@pytest.mark.parametrize("release", ["R4", "R5"])
def test_fhir_keeps_to_names_and_codes_of_the_specification(
    listed: Listed, tmp_path: Path, release: Release
) -> None:
    entries = fhir_of(listed, tmp_path, release)
    assert len(entries) == 2 * len(listed.rows)
    urls = [entry["fullUrl"] for entry in entries]
    assert len(set(urls)) == len(urls)
    for entry in entries:
        resource = entry["resource"]
        Draft202012Validator(of_spec(release)[resource["resourceType"]]).validate(resource)
        assert "Research use, not a medical device." in resource["text"]["div"]
    tasks = [entry["resource"] for entry in entries if entry["resource"]["resourceType"] == "Task"]
    assert [(task["status"], task["priority"]) for task in tasks] == [
        ("requested", "stat"),
        ("in-progress", "asap"),
        ("requested", "routine"),
        ("completed", "routine"),
    ]
    assert all(task["focus"]["reference"] in urls for task in tasks)
    assert set(tasks[3]["executionPeriod"]) == {"start", "end"}
    reason = tasks[0]["reasonCode"] if release == "R4" else tasks[0]["reason"][0]["concept"]
    assert reason["text"].startswith("largest finding 31 mm: +1.40; prior cancer")


def test_fhir_names_no_case_patient_or_reader_but_its_key_tells_them(listed: Listed, tmp_path: Path) -> None:
    entries = fhir_of(listed, tmp_path, "R4")
    text = json.dumps(entries)
    for secret in ('reading"', "patient of", "dr a", "dr b", "read <1>"):
        assert secret not in text
    names = Pseudonyms.of_key_file(tmp_path / "worklist.key", tmp_path / "worklist.names.csv")
    subjects = [names.name_of(entry["resource"]["for"]["identifier"]["value"]) for entry in entries[::2]]
    assert subjects == [f"patient of {row.case}" for row in listed.rows]
    for name in ("list.json", "worklist.key", "worklist.names.csv"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert fhir_of(listed, tmp_path, "R4") == entries
    assert fhir_of(listed, tmp_path / "another key", "R4") != entries


def test_the_history_of_a_scan_is_told_in_time(worklist: Worklist) -> None:
    worklist.put(result("a", "asap"))
    worklist.order("a", "stat", by="dr a", now=START + HOUR)
    texts = [line["text"] for line in case_history(worklist, "a")]
    assert sorted(texts) == [
        "arrived",
        "first reading: asap, probability 0.60, calibration c",
        "ordered stat by dr a",
    ]
    assert texts[:2] == ["arrived", "ordered stat by dr a"]
    with pytest.raises(CaseError, match="not on the worklist"):
        case_history(worklist, "nobody")
