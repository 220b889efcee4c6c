"""A hospital that is asked for statistics: policy first, then scans; one audited record that names nobody."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.data import cache, statistics
from client.node import Node
from client.policy import RELEASABLE
from shared.errors import ConfigError, PolicyError
from shared.packing import record_at
from shared.statistics import check_statistics, statistics_shapes
from shared.sums import Sums
from shared.wire import Record
from tests.client.hospital import enrol, message, send, site_at, tiny_study

STUDY = tiny_study()
ASKED = Record("describe", {"study_digest": STUDY.digest()})
OPEN: dict[str, Any] = {"studies": "any", "minimum_patients": 2, "release": RELEASABLE}


def node_at(phantoms: Path, tmp_path: Path, **policy: Any) -> Node:
    node = Node(site_at(phantoms, tmp_path / "work", policy={**OPEN, **policy}))
    enrol(node, STUDY)
    return node


def ask(node: Node) -> Record:
    """The one record of the ClientApp's reply."""
    reply = send(node.site, message(("describe", {"study_digest": STUDY.digest()}, {})))
    return record_at(reply.content.config_records, 0)


def audited(node: Node) -> list[tuple[Any, ...]]:
    return [(e["event"], e["kind"], e.get("patients"), e.get("code")) for e in map(json.loads, _lines(node))]


def _lines(node: Node) -> list[str]:
    return [line for line in node.audit.path.read_text().splitlines() if '"kind"' in line]


def test_the_answer_is_over_the_training_patients_and_passes_the_coordinators_check(
    phantoms: Path, tmp_path: Path
) -> None:
    node = node_at(phantoms, tmp_path)
    found = ask(node)
    train = cache.load(node.cache_folder, STUDY).patients("train")
    assert dict(found.fields) == {"site": "north", "patients": train, "unread": 0}
    sums = Sums.from_arrays(found.arrays, statistics_shapes(1, 1))
    check_statistics(sums, patients=train)
    assert int(sums["labelled"]) == train
    assert audited(node)[-1] == ("released", "statistics", train, None)


def test_a_policy_that_does_not_list_statistics_refuses_before_a_scan_is_read(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Any] = []
    monkeypatch.setattr(statistics, "measured", lambda item, _: read.append(item))
    node = Node(site_at(phantoms, tmp_path / "work"))  # its `release` is the default
    enrol(node, STUDY)
    assert ask(node).fields["code"] == "policy.kind"
    assert audited(node)[-2:] == [
        ("refused", "statistics", None, "policy.kind"),
        ("released", "failure", 0, "policy.kind"),
    ]
    assert read == []


def test_too_few_patients_stay_at_home(phantoms: Path, tmp_path: Path) -> None:
    node = node_at(phantoms, tmp_path, minimum_patients=1000)
    assert ask(node).fields["code"] == "policy.minimum_patients"
    assert ("refused", "statistics", None, "policy.minimum_patients") in audited(node)


def test_statistics_wait_for_the_sites_hours_and_for_its_approval(phantoms: Path, tmp_path: Path) -> None:
    node_at(phantoms, tmp_path)
    closed = Node(site_at(phantoms, tmp_path / "work", policy={**OPEN, "hours": []}))
    with pytest.raises(PolicyError) as refusal:
        closed.describe(ASKED)
    assert refusal.value.code == "policy.hours"
    unapproved = Node(site_at(phantoms, tmp_path / "work", policy={**OPEN, "studies": "ask"}))
    with pytest.raises(PolicyError) as refusal:
        unapproved.describe(ASKED)
    assert refusal.value.code == "policy.approval"


def test_a_site_that_has_not_enrolled_says_so(phantoms: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="enrol first"):
        Node(site_at(phantoms, tmp_path / "work", policy=OPEN)).describe(ASKED)


def test_a_case_that_cannot_be_read_is_named_in_the_sites_log_alone(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = node_at(phantoms, tmp_path)
    first = cache.load(node.cache_folder, STUDY).split("train")[0]
    whole = statistics.measured

    def broken(item: Any, *others: Any) -> Any:
        if item.case == first.case:
            raise OSError(f"{item.case} is on a disk that is not there")
        return whole(item, *others)

    monkeypatch.setattr(statistics, "measured", broken)
    found = node.describe(ASKED)
    assert found.fields["unread"] == 1
    assert first.case in (node.site.work / "site.log").read_text()
    assert first.case not in json.dumps(dict(found.fields))
    assert all(array.dtype == np.int64 for array in found.arrays.values())
