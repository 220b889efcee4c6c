"""What can go wrong between a site and the coordinator, put into a simulation on purpose.

A fault sits where the network would: behind the site's gate, before the coordinator's admission.
"""

import time
from collections.abc import Mapping

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message
from flwr.clientapp import ClientApp

from client.app import site_of
from client.messages import instructions_in
from shared.packing import FORMAT, PACKED, pack, unpack
from shared.wire import arrays_key, fields_key
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
        fields = message.content.config_records[fields_key(place)]
        if fields["kind"] == "train":
            return place, int(str(fields["round"]))
    return None, 0


def _apply(fault: Fault, reply: Message, place: int) -> None:
    if fault.kind == "late":
        time.sleep(fault.seconds)
        return
    arrays = unpack(reply.content.array_records[arrays_key(place)][PACKED].data)
    data = pack({name: np.full_like(array, np.nan) for name, array in arrays.items()})
    reply.content[arrays_key(place)] = ArrayRecord({PACKED: Array("uint8", (len(data),), FORMAT, data)})
