import numpy as np
import pytest
from flwr.app import ConfigRecord, RecordDict

from client.gate import Released
from client.messages import instruction_of, reply_to
from shared.errors import WireError
from shared.wire import WIRE_VERSION, Record
from tests.client.hospital import Fields, message

FIELDS: Fields = {"run": "run-1", "study_digest": "abc", "round": 3}


def test_an_instruction_is_read_back_as_it_was_sent() -> None:
    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "s": np.array(1.5)}
    found = instruction_of(message("train.round", "train", FIELDS, arrays))
    assert (found.kind, found.fields) == ("train", FIELDS)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype


@pytest.mark.parametrize("version", [WIRE_VERSION + 1, 0])
def test_another_version_is_refused(version: int) -> None:
    with pytest.raises(WireError, match=f"wire version {version}, expected {WIRE_VERSION}"):
        instruction_of(message("train.round", "train", FIELDS, version=version))


@pytest.mark.parametrize(
    ("kind", "fields", "fault"),
    [
        ("gossip", {}, "unknown record kind"),
        ("train", {**FIELDS, "extra": 1}, "has fields"),
        ("train", {**FIELDS, "round": "3"}, "train.round is str, expected int"),
        ("failure", {"site": "a", "code": "internal", "cases": 0}, "is an answer, not an instruction"),
    ],
)
def test_what_is_no_instruction_is_refused(kind: str, fields: Fields, fault: str) -> None:
    with pytest.raises(WireError, match=fault):
        instruction_of(message("train.round", kind, dict(fields)))


def test_a_message_of_another_build_is_refused() -> None:
    made = message("train.round", "train", {**FIELDS})
    made.content = RecordDict({"config": ConfigRecord({"lr": 0.1})})
    with pytest.raises(WireError, match="must hold 'fields' and 'arrays'"):
        instruction_of(made)


def test_a_reply_holds_the_released_record_and_nothing_else() -> None:
    asked = message("train.round", "train", dict(FIELDS))
    fields: Fields = {"site": "north", "round": 3, "patients": 9, "loss": 0.5, "epsilon": -1.0, "delta": -1.0}
    reply = reply_to(asked, Released(Record("update", fields, {"w": np.ones(2, np.float32)})))
    assert dict(reply.content["fields"]) == {"version": WIRE_VERSION, "kind": "update", **fields}
    assert sorted(reply.content) == ["arrays", "fields"]
    np.testing.assert_array_equal(reply.content.array_records["arrays"]["w"].numpy(), [1, 1])
    assert reply.metadata.reply_to_message_id == asked.metadata.message_id
