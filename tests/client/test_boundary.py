import logging
from pathlib import Path

import numpy as np
import pytest

from client.audit import Audit
from client.boundary import guarded
from client.gate import Gate
from client.node import Node
from client.policy import Policy
from shared.errors import CaseError, ConfigError, DataError, PolicyError, QuorumError, WireError
from shared.wire import Record, Scalar
from tests.client.hospital import site_at

PERSON = "/archive/patients/Erika_Mustermann_1964/scan.nii.gz"

FAILURES = {
    "internal": ValueError(PERSON),
    "data": DataError(PERSON),
    "data.case": CaseError("label_missing", PERSON),
    "config": ConfigError(PERSON),
    "policy.study": PolicyError("study", PERSON),
    "wire": WireError(PERSON),
    "federation.quorum": QuorumError(PERSON),
}


def raising(error: Exception) -> Record:
    try:
        Path(PERSON).read_bytes()
    except OSError as cause:
        raise error from cause
    raise AssertionError("the scan exists")


@pytest.mark.parametrize(("code", "error"), FAILURES.items())
def test_of_an_exception_only_its_code_leaves_and_the_story_stays_in_the_site_log(
    code: str, error: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = Node(site_at(tmp_path, tmp_path / "work"))
    released = guarded(lambda: raising(error), gate=node.gate, site="north", log=node.log)
    expected: dict[str, Scalar] = {"site": "north", "code": code, "cases": int(isinstance(error, CaseError))}
    assert released.record == Record("failure", expected)
    log = (tmp_path / "work" / "site.log").read_text()
    assert log.count("Traceback") == 2
    assert PERSON in log
    assert "in raising" in log
    assert caplog.records == []  # pytest listens at the root logger
    assert "Mustermann" not in (tmp_path / "work" / "audit.jsonl").read_text()


def test_what_the_gate_refuses_leaves_as_its_rule(tmp_path: Path) -> None:
    gate = Gate(Policy(minimum_patients=10), Audit(tmp_path / "audit.jsonl"))
    sums = Record("derivatives", {"site": "north", "patients": 9, "judged": 9}, {"gradient": np.ones(2)})
    log = logging.getLogger("test.boundary.quiet")
    log.propagate = False
    log.addHandler(logging.NullHandler())
    released = guarded(lambda: sums, gate=gate, site="north", log=log)
    assert released.record.fields["code"] == "policy.minimum_patients"
    assert not released.record.arrays
    assert Audit(tmp_path / "audit.jsonl").verify() == 2  # the refusal and the failure
