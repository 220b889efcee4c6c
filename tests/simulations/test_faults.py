"""Faults strike the sites and rounds that a scenario names, and no others."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict

from client.gate import Released
from client.messages import instruction_of, instructions_in, reply_to
from server.messages import content_of
from shared.packing import record_at
from shared.wire import Record
from simulations.engine import InlineGrid
from simulations.faults import FaultyClientApp
from simulations.scenario import Fault


class Echo:
    """Answers training with ones and anything else with a count."""

    def __call__(self, message: Message, context: Context) -> Message:
        fields: dict[str, Any] = {
            "site": "x",
            "run": "r",
            "round": 1,
            "patients": 3,
            "loss": 0.1,
            "epsilon": -1.0,
            "delta": -1.0,
        }
        update = Record("update", fields, {"w": np.ones(3, np.float32)})
        finished = Record("finished", {"site": "x", "patients": 1, "seismometer": "off"})
        kinds = [instruction_of(message, place).kind for place in range(instructions_in(message))]
        return reply_to(message, [Released(update if kind == "train" else finished) for kind in kinds])


def ask(
    tmp_path: Path, fault: Fault, *, site: str = "north", round_number: int = 2, kind: str = "train"
) -> Message:
    path = tmp_path / f"{site}.yaml"
    path.write_text(f"name: {site}\ndata: data\nwork: work\n")
    InlineGrid(None, [], workers=1)  # type: ignore[arg-type]  # says who we are, as Flower's messages ask
    fields: dict[str, dict[str, str | int]] = {
        "train": {"run": "r", "study_digest": "d", "round": round_number},
        "finish": {"study_digest": "d", "calibration": "", "temperature": ""},
    }
    # training is never alone after the first round
    before = Record("finish", fields["finish"])
    message = Message(content_of([before, Record(kind, fields[kind])]), 1, "query")
    app = FaultyClientApp(Echo(), {"north": fault})  # type: ignore[arg-type]
    return app(message, Context(1, 1, {"site": str(path)}, RecordDict(), {}))


def weights(reply: Message) -> np.ndarray:
    return record_at(reply.content.config_records, 1).arrays["w"]


def test_nan_replaces_every_weight_and_keeps_shape_and_type(tmp_path: Path) -> None:
    found = weights(ask(tmp_path, Fault(kind="nan")))
    assert found.shape == (3,)
    assert found.dtype == np.float32
    assert np.isnan(found).all()


def test_a_fault_strikes_only_its_site_its_rounds_and_training(tmp_path: Path) -> None:
    fault = Fault(kind="nan", rounds=(2, 4))
    struck = {n: bool(np.isnan(weights(ask(tmp_path, fault, round_number=n))).any()) for n in range(1, 6)}
    assert struck == {1: False, 2: True, 3: False, 4: True, 5: False}
    assert not np.isnan(weights(ask(tmp_path, fault, site="south"))).any()
    finished = ask(tmp_path, fault, kind="finish")
    assert finished.content.config_records["1"]["kind"] == "finished"


@pytest.mark.parametrize(("round_number", "held_back"), [(1, False), (2, True)])
def test_late_holds_the_reply_back_and_changes_nothing(
    round_number: int, held_back: bool, tmp_path: Path
) -> None:
    started = time.monotonic()
    reply = ask(tmp_path, Fault(kind="late", rounds=(2,), seconds=0.3), round_number=round_number)
    assert (time.monotonic() - started >= 0.3) == held_back
    assert np.array_equal(weights(reply), np.ones(3))
