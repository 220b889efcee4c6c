"""The ClientApp as Flower calls it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.common.serde import message_to_proto

from client import node as node_module
from client.app import SITES_VARIABLE, app, site_of
from client.audit import Audit
from client.site import Site
from shared.errors import ConfigError
from shared.wire import Record
from tests.client.hospital import RUN, Weights, message, send, site_at, tiny_study

PERSON = "Erika_Mustermann_1964"

ENROL: tuple[str, str, dict[str, Any]] = (
    "query.enrol",
    "enrol",
    {"run": RUN, "study": tiny_study().model_dump_json()},
)
DIGEST = {"study_digest": tiny_study().digest()}
INSTRUCTIONS: list[tuple[str, str, dict[str, Any]]] = [
    ENROL,
    ("train.round", "train", {**DIGEST, "run": RUN, "round": 1}),
    ("evaluate.segmentation", "evaluate", {**DIGEST, "round": 1, "split": "test", "final": True}),
    ("evaluate.newton", "newton", {**DIGEST, "split": "validation", "site_index": 0, "sites": 1}),
    ("evaluate.reliability", "reliability", {**DIGEST, "split": "validation", "calibrated": True}),
    ("query.finish", "finish", {**DIGEST, "calibration": ""}),
]
ANSWERS = ["enrolment", "update", "segmentation", "derivatives", "reliability_bins", "finished"]


def kind_of(reply: Message) -> str:
    return str(reply.content.config_records["fields"]["kind"])


def test_every_instruction_has_its_answer_and_its_audit_line(
    phantoms: Path, tmp_path: Path, weights: Weights
) -> None:
    site = site_at(phantoms, tmp_path / "work")
    coefficients = {"coefficients": np.zeros(4)}
    arrays = [{}, weights, weights, coefficients, coefficients, weights]
    replies = [send(site, message(*i, a)) for i, a in zip(INSTRUCTIONS, arrays, strict=True)]
    assert [kind_of(reply) for reply in replies] == ANSWERS
    assert Audit(tmp_path / "work" / "audit.jsonl").verify() == len(ANSWERS) + 1  # and "enrolled"


@pytest.mark.parametrize(("action", "kind", "fields"), INSTRUCTIONS)
def test_no_byte_of_a_reply_holds_the_text_of_a_failure(
    action: str, kind: str, fields: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(node: node_module.Node, record: Record) -> Record:
        raise FileNotFoundError(f"/archive/{PERSON}/scan.nii.gz")

    monkeypatch.setattr(node_module.Node, "_study", fail)
    monkeypatch.setattr(node_module.Node, "_check_policy", fail)
    reply = send(site_at(tmp_path, tmp_path / "work"), message(action, kind, fields))
    assert kind_of(reply) == "failure"
    assert reply.content.config_records["fields"]["code"] == "internal"
    assert PERSON.encode() not in message_to_proto(reply).SerializeToString()
    assert b"FileNotFound" not in message_to_proto(reply).SerializeToString()
    assert PERSON in (tmp_path / "work" / "site.log").read_text()


def test_a_node_without_a_usable_site_file_says_nothing_of_it(tmp_path: Path) -> None:
    context = Context(1, 1, {"site": f"{tmp_path}/{PERSON}.yaml"}, RecordDict(), {})
    with pytest.raises(RuntimeError) as failure:
        app(message(*ENROL), context)
    assert PERSON not in str(failure.value)  # Flower sends this text to the coordinator
    assert PERSON in str(failure.value.__cause__)  # and logs this at the node


def test_a_node_that_cannot_audit_says_nothing(tmp_path: Path) -> None:
    (tmp_path / PERSON / "audit.jsonl").mkdir(parents=True)
    with pytest.raises(RuntimeError) as failure:
        send(site_at(tmp_path, tmp_path / PERSON), message(*ENROL))
    assert PERSON not in str(failure.value)


def test_a_simulated_node_finds_its_site_by_partition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sites: list[Site] = []
    for name in ("north", "south"):
        sites.append(site_at(tmp_path, tmp_path / "work", name=name))
        (tmp_path / f"{name}.yaml").write_text(sites[-1].to_yaml())
    monkeypatch.setenv(SITES_VARIABLE, f"{tmp_path}/north.yaml:{tmp_path}/south.yaml")
    for partition, site in enumerate(sites):
        assert site_of(Context(1, 1, {"partition-id": partition}, RecordDict(), {})) == site
    configs: list[dict[str, Any]] = [{}, {"partition-id": 2}]
    for config in configs:
        with pytest.raises(ConfigError, match="--node-config"):
            site_of(Context(1, 1, config, RecordDict(), {}))
