"""Records as parts of a message: what went in comes out, equal in gives equal out, nothing else is read."""

import pickle
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from shared import packing
from shared.errors import WireError
from shared.packing import ARRAYS, ARRAYS_OF, VERSION, count, pack, parts_of, record_at, unpack
from shared.wire import WIRE_VERSION, Record, Scalar

NAMED = st.dictionaries(
    st.text(min_size=1, max_size=20).filter(lambda name: name != "__metadata__"),
    st.sampled_from([np.float32, np.float64, np.int64]).flatmap(
        lambda kind: arrays(kind, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3))
    ),
    max_size=4,
)


@given(NAMED)
def test_what_is_packed_comes_out_bit_for_bit(named: dict[str, np.ndarray]) -> None:
    found = unpack(pack(named))
    assert found.keys() == named.keys()
    for name, array in named.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == np.ascontiguousarray(array).tobytes()


@given(NAMED)
def test_equal_arrays_give_equal_bytes_in_whatever_order(named: dict[str, np.ndarray]) -> None:
    assert pack(named) == pack(dict(reversed(named.items())))


def test_an_array_that_is_not_contiguous_keeps_its_values() -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4).T
    np.testing.assert_array_equal(unpack(pack({"a": array}))["a"], array)


@pytest.mark.parametrize(
    "data", [b"", b"short", pickle.dumps({"a": 1}), pack({"a": np.ones(3)})[:-1], b"\xff" * 64]
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(WireError, match="cannot be read"):
        unpack(data)


@given(st.data())
def test_a_damaged_blob_never_raises_anything_else(data: st.DataObject) -> None:
    blob = bytearray(pack({"weight": np.arange(4, dtype=np.float32), "bias": np.zeros((), np.float64)}))
    place = data.draw(st.integers(0, len(blob) - 1))
    blob[place] = data.draw(st.integers(0, 255))
    with suppress(WireError):
        unpack(bytes(blob))


# A message's records

FIELDS: dict[str, Scalar] = {"run": "run-1", "study_digest": "abc", "round": 3}


def train(named: dict[str, np.ndarray]) -> Record:
    return Record("train", FIELDS, named)


@given(st.lists(NAMED, max_size=4), st.integers(1, 200))
def test_records_come_out_at_their_place_whatever_the_size_of_a_part(
    sent: list[dict[str, np.ndarray]], part_bytes: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(packing, "PART_BYTES", part_bytes)
        parts = parts_of([train(named) for named in sent])
    assert all(len(part.get(ARRAYS, b"")) <= part_bytes for part in parts.values())
    assert count(parts) == len(sent)
    for place, named in enumerate(sent):
        found = record_at(parts, place)
        assert (found.kind, found.fields) == ("train", FIELDS)
        assert pack(found.arrays) == pack(named)


def test_arrays_that_two_records_share_are_written_once() -> None:
    shared = {"w": np.arange(5.0)}
    parts = parts_of([train(shared), train({"w": np.zeros(2)}), train(shared)])
    assert ARRAYS not in parts["2"]
    for place, first in enumerate([0.0, 0.0, 0.0]):
        assert record_at(parts, place).arrays["w"][0] == first
    assert record_at(parts, 2).arrays["w"].shape == (5,)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({VERSION: WIRE_VERSION + 1}, "wire version"),
        ({VERSION: None}, "wire version"),
        ({"kind": "gossip"}, "unknown record kind"),
        ({"extra": 1}, "has fields"),
        ({"round": 3.0}, "train.round is float, expected int"),
        ({ARRAYS: b"junk"}, "cannot be read"),
        ({ARRAYS: "text"}, "holds no arrays"),
        ({ARRAYS_OF: 1}, "holds no arrays"),
        ({ARRAYS_OF: -1}, "holds no arrays"),
        ({ARRAYS_OF: "../0"}, "holds no arrays"),
    ],
)
def test_a_part_that_is_no_record_is_refused(change: dict[str, object], fault: str) -> None:
    parts = parts_of([train({"w": np.ones(3)})])
    parts["0"] |= change
    with pytest.raises(WireError, match=fault):
        record_at(parts, 0)


def test_a_part_that_is_missing_is_named() -> None:
    with pytest.raises(WireError, match=r"must hold a part 1, found \['0'\]"):
        record_at(parts_of([train({})]), 1)
