"""Records to Flower messages and back, on the coordinator's side, and one exchange with many sites."""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from server.arrivals import REASONS
from server.rounds import OFFLINE
from shared.packing import count, parts_of, record_at
from shared.wire import RECORDS, Record

MESSAGE_TYPE = "query"
"""Flower's kind of every message of ours; what is asked stands in the records."""

OFFLINE_CODES = (3, 5)
"""Flower's MESSAGE_UNAVAILABLE and NODE_UNAVAILABLE: the node was not there to take the message."""

POLL_S = 0.05
LONGEST_POLL_S = 0.25


@dataclass(frozen=True)
class Reply:
    """One node's reply: its records in order, or the reason why there are none.

    A record that cannot be read is None; `reason` is None, ``offline``, ``wire``, ``too_large`` or Flower's
    own error code.
    """

    node: int
    records: tuple[Record | None, ...]
    reason: str | None
    seconds: float


class Mailbox:
    """Messages under way: `send` more at any time, and take the replies as they arrive."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._under_way: dict[str, tuple[int, float]] = {}
        self._unsent: list[int] = []
        self._pause_s = POLL_S

    @property
    def nodes(self) -> Set[int]:
        """Nodes that owe a reply."""
        return {*self._unsent, *(node for node, _ in self._under_way.values())}

    def send(self, instructions: Mapping[int, Sequence[Record]]) -> None:
        """Send each node its instructions, in one message; what is for many is written once."""
        written: dict[tuple[int, ...], RecordDict] = {}
        packed: dict[int, list[bytes]] = {}
        messages = []
        for node, records in instructions.items():
            alike = tuple(map(id, records))
            if alike not in written:
                written[alike] = content_of(records, packed)
            messages.append(Message(written[alike], node, MESSAGE_TYPE))
        sent_at = time.monotonic()
        for node, message_id in zip(instructions, self._grid.push_messages(messages), strict=True):
            if message_id:
                self._under_way[message_id] = (node, sent_at)
            else:  # Flower takes no message for a node that was removed
                self._unsent.append(node)

    def arrived(self) -> Iterator[Reply]:
        """Yield the replies that are there now; where there is none, wait a moment and yield nothing.

        A reply is let go as soon as it is yielded, so that memory grows with the replies that arrive at the
        same moment and not with the number of sites.
        """
        while self._unsent:
            yield Reply(self._unsent.pop(), (), OFFLINE, 0.0)
        asked = time.monotonic()
        found = deque(self._grid.pull_messages(self._under_way.keys())) if self._under_way else deque()
        self._pause_s = POLL_S if found else min(self._pause_s * 1.5, LONGEST_POLL_S)
        if not found:
            time.sleep(max(0.0, self._pause_s - (time.monotonic() - asked)))  # some grids wait by themselves
        while found:
            message = found.popleft()
            node, sent_at = self._under_way.pop(message.metadata.reply_to_message_id, (None, 0.0))
            if node is not None:
                reply = _reply(node, message, time.monotonic() - sent_at)
                del message
                yield reply


def exchange(
    grid: Grid, instructions: Mapping[int, Sequence[Record]], *, deadline_s: float
) -> Iterator[Reply]:
    """Send each node its instructions and yield replies as they arrive, until all did or time is up.

    A node that says nothing before the deadline yields nothing; what it sends later belongs to a message
    nobody waits for. Nobody is late because the coordinator was busy: what is there at the end is taken.
    """
    ends = time.monotonic() + deadline_s
    mailbox = Mailbox(grid)
    mailbox.send(instructions)
    over = False
    while mailbox.nodes and not over:
        over = time.monotonic() >= ends
        yield from mailbox.arrived()


def content_of(records: Sequence[Record], packed: dict[int, list[bytes]] | None = None) -> RecordDict:
    """Write records as the content of one message; `packed` as in `parts_of`."""
    content = RecordDict()
    for name, part in parts_of(records, packed).items():
        content[name] = ConfigRecord(part)
    return content


def _reply(node: int, message: Message, seconds: float) -> Reply:
    if message.has_error():
        # Flower's own error: the node is gone or its app did not start. Its text may name paths; drop it.
        code = message.error.code
        reason = OFFLINE if code in OFFLINE_CODES else REASONS.get(code, f"flower.{code}")
        return Reply(node, (), reason, seconds)
    try:
        parts = message.content.config_records
        records = tuple(_record(parts, place) for place in range(count(parts)))
    except Exception:  # whatever a site sends, reading it must not end the run
        return Reply(node, (), "wire", seconds)
    return Reply(node, records, None, seconds)


def _record(parts: Mapping[str, ConfigRecord], place: int) -> Record | None:
    try:
        record = record_at(parts, place)
    except Exception:  # as above: one record that cannot be read does not spoil the others
        return None
    return record if RECORDS[record.kind].leaves_site else None
