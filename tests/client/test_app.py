"""The ClientApp as Flower calls it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.common.serde import message_to_proto

from client import node as node_module
from client.app import ACTS, SITES_VARIABLE, app, site_of
from client.audit import Audit
from client.site import Site
from shared.errors import ConfigError
from shared.recalibration import FITS_A_FOLD, Recalibration
from shared.wire import RECORDS, Record
from tests.client.hospital import RUN, Fields, Instruction, Weights, message, send, site_at, tiny_study

PERSON = "Erika_Mustermann_1964"

ENROL: Instruction = ("enrol", {"run": RUN, "study": tiny_study().model_dump_json()}, {})
DIGEST: Fields = {"study_digest": tiny_study().digest()}
MAP: Fields = {**DIGEST, "split": "validation", "calibration": ""}
MAPS = json.dumps([{"none": Recalibration().model_dump()}] * 2)
TRAIN: Instruction = ("train", {**DIGEST, "run": RUN, "round": 1}, {})
INSTRUCTIONS: list[Instruction] = [
    ENROL,
    TRAIN,
    ("evaluate", {**DIGEST, "round": 1, "split": "test", "final": True}, {}),
    ("newton", {**DIGEST, "split": "validation"}, {"coefficients": np.zeros((3, 4))}),
    ("newton_map", MAP, {"scores": np.zeros((3, 4)), "coefficients": np.zeros((3 * FITS_A_FOLD, 4))}),
    ("held_out", {**DIGEST, "split": "validation", "maps": MAPS}, {"scores": np.zeros((3, 4))}),
    ("histograms", MAP, {"scores": np.zeros((3, 4))}),
    ("reliability", {**MAP, "calibrated": True}, {"coefficients": np.zeros(4)}),
    ("voxels", {**DIGEST, "split": "validation"}, {}),
    ("describe", DIGEST, {}),
    ("finish", {**DIGEST, "calibration": "", "temperature": ""}, {}),
]
ANSWERS = [
    *("enrolment", "update", "segmentation", "derivatives", "derivatives", "held_out_losses"),
    *("score_histograms", "reliability_bins", "voxel_counts"),
    "failure",  # statistics are not released unless the hospital lists them
    "finished",
]


def kinds_of(reply: Message) -> list[str]:
    records = reply.content.config_records
    return [str(records[str(place)]["kind"]) for place in range(len(records))]


def with_weights(instruction: Instruction, weights: Weights) -> Instruction:
    kind, fields, arrays = instruction
    return kind, fields, weights if kind in ("train", "evaluate", "finish") else arrays


def test_the_node_acts_on_every_instruction_there_is_and_on_nothing_else() -> None:
    assert set(ACTS) == {kind for kind, spec in RECORDS.items() if not spec.leaves_site}
    assert [kind for kind, _, _ in INSTRUCTIONS] == list(ACTS)


@pytest.mark.parametrize("together", [False, True], ids=["a message each", "all in one message"])
def test_every_instruction_has_its_answer_in_order_and_its_audit_line(
    together: bool, phantoms: Path, tmp_path: Path, weights: Weights
) -> None:
    site = site_at(phantoms, tmp_path / "work")
    asked = [with_weights(instruction, weights) for instruction in INSTRUCTIONS]
    messages = [message(*asked)] if together else [message(one) for one in asked]
    assert [kind for m in messages for kind in kinds_of(send(site, m))] == ANSWERS
    log = tmp_path / "work" / "audit.jsonl"
    assert Audit(log).verify() > len(ANSWERS)  # and "enrolled"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["kind"] for line in lines if line["event"] == "released"] == ANSWERS


BROKEN: dict[str, Instruction] = {
    "of another study": ("train", {"study_digest": "0" * 64, "run": RUN, "round": 1}, {}),
    "no instruction": ("gossip", {}, {}),
    "lacks fields": ("train", {"run": RUN}, {}),
    "an answer": ("failure", {"site": "north", "code": "internal", "cases": 0}, {}),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_fails_fails_in_its_own_place_and_the_next_instruction_is_answered(
    fault: str, phantoms: Path, tmp_path: Path, weights: Weights
) -> None:
    site = site_at(phantoms, tmp_path / "work")
    asked = message(ENROL, BROKEN[fault], with_weights(TRAIN, weights))
    assert kinds_of(send(site, asked)) == ["enrolment", "failure", "update"]


def test_a_record_that_policy_keeps_back_does_not_keep_back_the_next_one(
    phantoms: Path, tmp_path: Path, weights: Weights
) -> None:
    site = site_at(
        phantoms,
        tmp_path / "work",
        policy={"minimum_patients": 2, "studies": "any", "release": ["enrolment", "update"]},
    )
    evaluate: Instruction = (
        "evaluate",
        {**DIGEST, "round": 1, "split": "validation", "final": False},
        weights,
    )
    reply = send(site, message(ENROL, evaluate, with_weights(TRAIN, weights)))
    assert kinds_of(reply) == ["enrolment", "failure", "update"]
    assert reply.content.config_records["1"]["code"] == "policy.kind"


@pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=[kind for kind, _, _ in INSTRUCTIONS])
def test_no_byte_of_a_reply_holds_the_text_of_a_failure(
    instruction: Instruction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Record:
        raise FileNotFoundError(f"/archive/{PERSON}/scan.nii.gz")

    monkeypatch.setattr(node_module.Node, "_study", fail)
    monkeypatch.setattr(node_module.Node, "_check_policy", fail)
    reply = send(site_at(tmp_path, tmp_path / "work"), message(instruction))
    assert kinds_of(reply) == ["failure"]
    assert reply.content.config_records["0"]["code"] == "internal"
    assert PERSON.encode() not in message_to_proto(reply).SerializeToString()
    assert b"FileNotFound" not in message_to_proto(reply).SerializeToString()
    assert PERSON in (tmp_path / "work" / "site.log").read_text()


def test_a_node_without_a_usable_site_file_says_nothing_of_it(tmp_path: Path) -> None:
    context = Context(1, 1, {"site": f"{tmp_path}/{PERSON}.yaml"}, RecordDict(), {})
    with pytest.raises(RuntimeError) as failure:
        app(message(ENROL), context)
    assert PERSON not in str(failure.value)  # Flower sends this text to the coordinator
    assert PERSON in str(failure.value.__cause__)  # and logs this at the node


def test_a_node_that_cannot_audit_says_nothing(tmp_path: Path) -> None:
    (tmp_path / PERSON / "audit.jsonl").mkdir(parents=True)
    with pytest.raises(RuntimeError) as failure:
        send(site_at(tmp_path, tmp_path / PERSON), message(ENROL))
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
