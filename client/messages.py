"""Flower messages to records and back, on the hospital's side. Only a `Released` can become a reply."""

from collections.abc import Sequence

from flwr.app import ConfigRecord, Error, Message, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.common.constant import ErrorCode

from client.gate import Released
from shared.errors import WireError
from shared.packing import count, parts_of, record_at
from shared.wire import RECORDS, Record


def instructions_in(message: Message) -> int:
    """Count the instructions; a message without any counts as one, which cannot be read."""
    return max(1, count(message.content.config_records))


def instruction_of(message: Message, place: int = 0) -> Record:
    """Read instruction number `place`; raise WireError when it is not one this version knows."""
    record = record_at(message.content.config_records, place)
    if RECORDS[record.kind].leaves_site:
        raise WireError(f"{record.kind} is an answer, not an instruction")
    return record


def without_content(metadata: Metadata) -> Message:
    """Rebuild as much of a message as is needed to reply to it."""
    return make_message(metadata=metadata, content=RecordDict())


def wordless(metadata: Metadata) -> Message:
    """Reply with Flower's own code for an app that crashed, where nothing can be released."""
    return Message(Error(ErrorCode.CLIENT_APP_CRASHED), reply_to=without_content(metadata))


def reply_to(message: Message, answers: Sequence[Released]) -> Message:
    """Wrap what the gate let through, one answer to each instruction in order, as the reply to `message`."""
    content = RecordDict()
    for name, part in parts_of([released.record for released in answers]).items():
        content[name] = ConfigRecord(part)
    return Message(content, reply_to=message)
