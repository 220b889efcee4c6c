"""Arrays of a record as one blob: what went in comes out, equal in gives equal out, nothing else is read."""

import pickle
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from shared.errors import WireError
from shared.packing import pack, unpack

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
