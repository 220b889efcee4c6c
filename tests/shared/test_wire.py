from typing import Any

import numpy as np
import pytest

from shared.errors import WireError
from shared.wire import NO_ARRAYS, RECORDS, Record

VALUES: dict[type, Any] = {str: "text", int: 12, float: 0.5, bool: True}
WRONG: dict[type, list[Any]] = {
    str: [1, None, b"text"],
    int: [True, 1.0, "1", np.int64(1)],
    float: [1, True, "1", np.float64(1)],
    bool: [1, 0, "true", np.bool_(True)],
}


def fields_of(kind: str) -> dict[str, Any]:
    return {name: VALUES[of] for name, of in RECORDS[kind].fields.items()}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_has_exactly_the_fields_of_its_kind(kind: str) -> None:
    fields = fields_of(kind)
    assert Record(kind, fields).fields == fields
    with pytest.raises(WireError, match="has fields"):
        Record(kind, {**fields, "extra": 1})
    for name in fields:
        with pytest.raises(WireError, match="has fields"):
            Record(kind, {other: value for other, value in fields.items() if other != name})


@pytest.mark.parametrize("kind", RECORDS)
def test_a_field_has_exactly_the_type_of_its_name(kind: str) -> None:
    for name, of in RECORDS[kind].fields.items():
        for wrong in WRONG[of]:
            with pytest.raises(WireError, match=rf"{kind}\.{name} is"):
                Record(kind, {**fields_of(kind), name: wrong})


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(WireError, match="unknown record kind 'gossip'"):
        Record("gossip", {})


@pytest.mark.parametrize("dtype", [object, "U4", "S4", bool, complex, "M8[s]", np.uint8])
def test_arrays_are_floats_or_signed_integers(dtype: Any) -> None:
    with pytest.raises(WireError, match="expected floats or integers"):
        Record("update", fields_of("update"), {"a": np.zeros(2).astype(dtype)})


@pytest.mark.parametrize("kind", [kind for kind, spec in RECORDS.items() if spec.arrays == NO_ARRAYS])
def test_a_kind_without_arrays_carries_none(kind: str) -> None:
    with pytest.raises(WireError, match=rf"{kind} carries arrays \['pixels'\], expected none"):
        Record(kind, fields_of(kind), {"pixels": np.zeros(2)})


def test_the_size_counts_arrays_and_fields() -> None:
    empty = Record("update", fields_of("update"))
    full = Record("update", fields_of("update"), {"a": np.zeros((2, 3), np.float32), "b": np.zeros(2)})
    assert full.size_bytes == empty.size_bytes + 24 + 16
    assert (full.text("site"), full.integer("patients")) == ("text", 12)


def test_a_sum_that_leaves_says_over_how_many_patients() -> None:
    counts_only = {"enrolment", "failure", "membership", "greeting"}
    for kind, spec in RECORDS.items():
        assert not spec.leaves_site or kind in counts_only or spec.fields["patients"] is int
