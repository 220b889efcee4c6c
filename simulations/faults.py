"""What can go wrong between a site and the coordinator, put into a simulation on purpose.

A fault sits where the network would: behind the site's gate, before the coordinator's admission.
"""

import time
from collections.abc import Mapping

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message
from flwr.clientapp import ClientApp

from client.app import site_of
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
        if fault is not None and message.metadata.message_type == "train.round":
            asked = message.content.config_records["fields"]["round"]
            if fault.rounds is None or asked in fault.rounds:
                _apply(fault, reply)
        return reply


def _apply(fault: Fault, reply: Message) -> None:
    if fault.kind == "late":
        time.sleep(fault.seconds)
        return
    arrays = reply.content.array_records["arrays"]
    broken = {name: Array(np.full(a.shape, np.nan, dtype=np.float32)) for name, a in arrays.items()}
    reply.content["arrays"] = ArrayRecord(broken)
