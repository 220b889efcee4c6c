"""What can go wrong between a site and the coordinator, put into a simulation on purpose.

A fault sits where the network would: behind the site's gate, before the coordinator's admission.
"""

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from client.app import site_of
from client.messages import instruction_of, instructions_in
from server.messages import content_of
from shared.packing import record_at
from simulations.scenario import Fault


class FaultyClientApp(ClientApp):
    """The same app, whose training replies go wrong at the sites named in `faults`."""

    def __init__(self, app: ClientApp, faults: Mapping[str, Fault]) -> None:
        super().__init__()
        self._app = app
        self._faults = dict(faults)

    def __call__(self, message: Message, context: Context) -> Message:
        """Answer `message` as the app would, then apply the site's fault."""
        reply = self._app(message, context)
        fault = self._faults.get(site_of(context).name)
        place, round_number = _training(message)
        if fault is not None and place is not None and (fault.rounds is None or round_number in fault.rounds):
            _apply(fault, reply, place)
        return reply


def _training(message: Message) -> tuple[int | None, int]:
    """Place and round of the training instruction in `message`; None where it holds none."""
    for place in range(instructions_in(message)):
        record = instruction_of(message, place)
        if record.kind == "train":
            return place, record.integer("round")
    return None, 0


def _apply(fault: Fault, reply: Message, place: int) -> None:
    if fault.kind == "late":
        time.sleep(fault.seconds)
        return
    answers = [record_at(reply.content.config_records, i) for i in range(instructions_in(reply))]
    bad = {name: np.full_like(array, np.nan) for name, array in answers[place].arrays.items()}
    answers[place] = replace(answers[place], arrays=bad)
    reply.content = content_of(answers)
