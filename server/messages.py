"""Records to Flower messages and back, on the coordinator's side, and one exchange with many sites."""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from shared.npy import from_bytes
from shared.wire import RECORDS, WIRE_VERSION, Record

ACTIONS: Mapping[str, str] = {
    "enrol": "query.enrol",
    "train": "train.round",
    "evaluate": "evaluate.segmentation",
    "newton": "evaluate.newton",
    "reliability": "evaluate.reliability",
    "finish": "query.finish",
}
"""Kind of instruction -> Flower message type."""

POLL_S = 0.01
LONGEST_POLL_S = 0.5


@dataclass(frozen=True)
class Reply:
    """One node's answer: a record, or the reason why there is none that can be read."""

    node: int
    record: Record | None
    reason: str | None
    seconds: float


def exchange(grid: Grid, instructions: Mapping[int, Record], *, deadline_s: float) -> Iterator[Reply]:
    """Send one instruction to each node and yield replies as they arrive, until all did or time is up.

    A reply is let go as soon as it is yielded, so that memory grows with the replies that arrive at the same
    moment and not with the number of sites. A node that says nothing before the deadline yields nothing; what
    it sends later belongs to a message nobody waits for.
    """
    started = time.monotonic()
    arrays: dict[int, ArrayRecord] = {}  # sites that get the same weights share one serialised copy
    waiting = {
        message_id: node
        for node, message_id in zip(
            instructions,
            grid.push_messages([_message(n, r, arrays) for n, r in instructions.items()]),
            strict=True,
        )
    }
    pause = POLL_S
    while waiting and time.monotonic() - started < deadline_s:
        asked = time.monotonic()
        replies = deque(grid.pull_messages(waiting.keys()))
        pause = POLL_S if replies else min(pause * 1.5, LONGEST_POLL_S)
        if waiting and not replies:
            time.sleep(max(0.0, pause - (time.monotonic() - asked)))  # some grids wait by themselves
        while replies:
            message = replies.popleft()
            node = waiting.pop(message.metadata.reply_to_message_id, None)
            if node is not None:
                reply = _reply(node, message, time.monotonic() - started)
                del message
                yield reply


def _message(node: int, record: Record, arrays: dict[int, ArrayRecord]) -> Message:
    key = id(record.arrays)
    if key not in arrays:
        arrays[key] = ArrayRecord(
            {name: Array(np.asarray(array, order="C")) for name, array in record.arrays.items()}
        )
    fields = ConfigRecord({"version": WIRE_VERSION, "kind": record.kind, **record.fields})
    content = RecordDict({"fields": fields, "arrays": arrays[key]})
    return Message(content, node, ACTIONS[record.kind])


def _reply(node: int, message: Message, seconds: float) -> Reply:
    if message.has_error():
        # Flower's own error: the node is gone or its app did not start. Its text may name paths; drop it.
        return Reply(node, None, f"flower.{message.error.code}", seconds)
    try:
        content = message.content
        fields = dict(content.config_records["fields"])
        version, kind = fields.pop("version", None), str(fields.pop("kind", None))
        if version != WIRE_VERSION or kind not in RECORDS or not RECORDS[kind].leaves_site:
            return Reply(node, None, "wire", seconds)
        received = {
            name: from_bytes(array.data, dtype=array.dtype, shape=tuple(array.shape))
            for name, array in content.array_records["arrays"].items()
        }
        return Reply(node, Record(kind, fields, received), None, seconds)  # type: ignore[arg-type]
    except Exception:  # whatever a site sends, reading it must not end the run
        return Reply(node, None, "wire", seconds)
