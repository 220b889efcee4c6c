import numpy as np
import pytest
from flwr.app import ConfigRecord, RecordDict

from client.gate import Released
from client.messages import instruction_of, instructions_in, reply_to
from shared.errors import WireError
from shared.packing import ARRAYS, KIND, VERSION, unpack
from shared.wire import WIRE_VERSION, Record
from tests.client.hospital import Fields, message

FIELDS: Fields = {"run": "run-1", "study_digest": "abc", "round": 3}


def test_an_instruction_is_read_back_as_it_was_sent() -> None:
    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "s": np.array(1.5)}
    found = instruction_of(message(("train", FIELDS, arrays)))
    assert (found.kind, found.fields) == ("train", FIELDS)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype


@pytest.mark.parametrize("version", [WIRE_VERSION + 1, 0])
def test_another_version_is_refused(version: int) -> None:
    with pytest.raises(WireError, match=f"wire version {version}, expected {WIRE_VERSION}"):
        instruction_of(message(("train", FIELDS, {}), version=version))


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
        instruction_of(message((kind, fields, {})))


def test_a_message_of_another_build_is_refused() -> None:
    made = message(("train", FIELDS, {}))
    made.content = RecordDict({"config": ConfigRecord({"lr": 0.1})})
    with pytest.raises(WireError, match="must hold a part 0, found"):
        instruction_of(made)


def test_instructions_are_counted_and_read_by_their_place() -> None:
    first = {"w": np.arange(3, dtype=np.float32)}
    made = message(("train", FIELDS, first), ("train", {**FIELDS, "round": 4}, {"w": first["w"] + 1}))
    assert instructions_in(made) == 2
    found = [instruction_of(made, place) for place in range(2)]
    assert [record.fields["round"] for record in found] == [3, 4]
    assert [record.arrays["w"][0] for record in found] == [0, 1]


def test_a_message_without_an_instruction_is_answered_once_and_cannot_be_read() -> None:
    empty = message()
    assert instructions_in(empty) == 1
    with pytest.raises(WireError, match="must hold"):
        instruction_of(empty)


def test_a_reply_holds_the_released_records_in_order_and_nothing_else() -> None:
    asked = message(("train", FIELDS, {}))
    fields: Fields = {"site": "north", "patients": 9, "judged": 9}
    failed: Fields = {"site": "north", "code": "data", "cases": 0}
    sums = Record("derivatives", fields, {"w": np.ones(2)})
    reply = reply_to(asked, [Released(sums), Released(Record("failure", failed))])
    assert sorted(reply.content) == ["0", "1"]
    first, second = (dict(reply.content.config_records[place]) for place in ("0", "1"))
    np.testing.assert_array_equal(unpack(bytes(first.pop(ARRAYS)))["w"], [1, 1])  # type: ignore[arg-type]
    assert unpack(bytes(second.pop(ARRAYS))) == {}  # type: ignore[arg-type]
    assert first == {VERSION: WIRE_VERSION, KIND: "derivatives", **fields}
    assert second == {VERSION: WIRE_VERSION, KIND: "failure", **failed}
    assert reply.metadata.reply_to_message_id == asked.metadata.message_id
