import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.audit import Audit
from client.gate import COUNTS_ONLY, Gate, Released
from client.policy import ON_REQUEST, RELEASABLE, RELEASES, Policy
from shared.errors import PolicyError
from shared.wire import NO_ARRAYS, RECORDS, Record

VALUES: dict[type, Any] = {str: "text", int: 12, float: 0.5, bool: True}


def record(kind: str, arrays: dict[str, np.ndarray] | None = None, **changes: Any) -> Record:
    fields = {name: VALUES[of] for name, of in RECORDS[kind].fields.items()}
    return Record(kind, {**fields, **changes}, arrays or {})


def gate_in(folder: Path, **policy: Any) -> Gate:
    return Gate(Policy(**policy), Audit(folder / "audit.jsonl"))


def lines(folder: Path) -> list[dict[str, Any]]:
    path = folder / "audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize("kind", RELEASES)
def test_a_kind_that_the_policy_lists_leaves_with_one_audit_line(kind: str, tmp_path: Path) -> None:
    sent = record(kind)
    assert gate_in(tmp_path).release(sent) == Released(sent)
    (line,) = lines(tmp_path)
    assert (line["event"], line["kind"], line["bytes"]) == ("released", kind, sent.size_bytes)


@pytest.mark.parametrize("kind", sorted(ON_REQUEST))
def test_what_no_training_needs_leaves_only_where_a_hospital_lists_it(kind: str, tmp_path: Path) -> None:
    assert kind not in Policy().release
    with pytest.raises(PolicyError, match="does not list"):
        gate_in(tmp_path).release(record(kind))
    assert gate_in(tmp_path, release=(kind,)).release(record(kind)).record.kind == kind


def test_a_kind_is_refused_before_the_work_for_it_as_it_would_be_after(tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as refusal:
        gate_in(tmp_path).require("statistics")
    assert refusal.value.code == "policy.kind"
    (line,) = lines(tmp_path)
    assert (line["event"], line["kind"], line["code"]) == ("refused", "statistics", "policy.kind")
    gate_in(tmp_path, release=RELEASABLE).require("statistics")
    assert len(lines(tmp_path)) == 1


@pytest.mark.parametrize("kind", [kind for kind in RELEASABLE if kind != "failure"])
def test_a_kind_that_the_policy_does_not_list_is_refused_with_one_audit_line(
    kind: str, tmp_path: Path
) -> None:
    others = tuple(k for k in RELEASABLE if k != kind)
    with pytest.raises(PolicyError, match="does not list") as refusal:
        gate_in(tmp_path, release=others).release(record(kind))
    assert refusal.value.code == "policy.kind"
    (line,) = lines(tmp_path)
    assert (line["event"], line["kind"], line["code"]) == ("refused", kind, "policy.kind")


@pytest.mark.parametrize("kind", [kind for kind, spec in RECORDS.items() if not spec.leaves_site])
def test_an_instruction_can_never_leave(kind: str, tmp_path: Path) -> None:
    with pytest.raises(PolicyError):
        gate_in(tmp_path).release(record(kind))


def test_a_failure_passes_a_policy_that_releases_nothing(tmp_path: Path) -> None:
    gate_in(tmp_path, release=()).release(record("failure"))
    assert [line["event"] for line in lines(tmp_path)] == ["released"]


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(sorted(set(RELEASABLE) - COUNTS_ONLY)),
    patients=st.integers(-5, 40),
    minimum=st.integers(1, 40),
)
def test_a_sum_leaves_exactly_if_it_is_over_the_minimum_of_patients(
    kind: str, patients: int, minimum: int, tmp_path: Path
) -> None:
    gate = gate_in(tmp_path, minimum_patients=minimum, release=RELEASABLE)
    before = len(lines(tmp_path))
    if patients >= minimum:
        gate.release(record(kind, patients=patients))
    else:
        with pytest.raises(PolicyError) as refusal:
            gate.release(record(kind, patients=patients))
        assert refusal.value.code == "policy.minimum_patients"
    written = lines(tmp_path)[before:]
    assert [line["event"] for line in written] == ["released" if patients >= minimum else "refused"]


@pytest.mark.parametrize("kind", sorted(COUNTS_ONLY))
def test_counts_need_no_minimum_and_so_can_carry_no_array(kind: str, tmp_path: Path) -> None:
    gate_in(tmp_path, minimum_patients=10**6).release(record(kind))
    assert RECORDS[kind].arrays == NO_ARRAYS


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bad=st.sampled_from([np.nan, np.inf, -np.inf]),
    size=st.integers(1, 20),
    place=st.integers(0, 19),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_one_bad_number_anywhere_keeps_the_whole_record_at_home(
    bad: float, size: int, place: int, dtype: type, tmp_path: Path
) -> None:
    array: np.ndarray = np.zeros(size, dtype)
    array[place % size] = bad
    with pytest.raises(PolicyError) as refusal:
        gate_in(tmp_path).release(record("update", {"good": np.ones(3), "bad": array}))
    assert refusal.value.code == "policy.not_finite"
    assert lines(tmp_path)[-1]["event"] == "refused"


@pytest.mark.parametrize("name", ["loss", "epsilon", "delta"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_bad_number_in_a_field_keeps_the_record_at_home(name: str, bad: float, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="NaN or infinity"):
        gate_in(tmp_path).release(record("update", None, **{name: bad}))


def test_nothing_leaves_that_the_audit_could_not_write(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").mkdir()
    with pytest.raises(OSError, match="directory"):
        gate_in(tmp_path).release(record("failure"))
