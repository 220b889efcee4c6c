"""What a line of the audit log says, in words."""

from collections.abc import Callable, Mapping
from typing import Any

from client.audit import Event

SHORT = 12
NOT_SAID = ("time", "event", "previous")

Entry = Mapping[str, Any]


def words(entry: Entry) -> str:
    """Say one line in words; where this version does not know the event or a fact is missing, the values."""
    try:
        return SENTENCES[entry["event"]](entry)
    except KeyError:
        return " ".join(f"{key}={_short(entry[key])}" for key in entry if key not in NOT_SAID)


def _study(entry: Entry) -> str:
    return f"study {entry['name']} ({_short(entry['study'])})"


def _refused(entry: Entry) -> str:
    study = f" for study {_short(entry['study'])}" if "study" in entry else ""
    return f"{entry['kind']} was refused{study}: {entry['code']}"


def _released(entry: Entry) -> str:
    said = [f"{entry['kind']}: {entry['code']}" if "code" in entry else str(entry["kind"])]
    if entry["round"]:
        said.append(f"round {entry['round']}")
    if entry["patients"]:
        said.append(f"over {entry['patients']} patients")
    said.append(f"{entry['bytes']:,} bytes")
    if "study" in entry:
        said.append(f"study {_short(entry['study'])}, run {entry['run']}")
    if "times" in entry:
        said.append(f"{entry['times']} times since its line before")
    return ", ".join(said)


SENTENCES: Mapping[Event, Callable[[Entry], str]] = {
    "started": lambda _: "the node was started",
    "stopped": lambda _: "the node was stopped",
    "enrolled": lambda e: f"this site agreed to take part in run {e['run']} of {_study(e)}",
    "approved": lambda e: f"{e['by']} allowed {_study(e)}",
    "declined": lambda e: f"{e['by']} refused {_study(e)}",
    "withdrawn": lambda e: f"{e['by']} took the approval of {_study(e)} back",
    "training": lambda e: f"round {e['round']} of run {e['run']} was counted against the budget",
    "released": _released,
    "refused": _refused,
    "bundle_refused": lambda e: f"app {_short(e['sent'])} was not run; installed is {_short(e['installed'])}",
}
"""One for each event (tests/client/test_audit_words.py)."""


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:SHORT]}..." if len(text) == 64 else text
