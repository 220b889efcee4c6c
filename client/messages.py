"""Flower messages to records and back, on the hospital's side. Only a `Released` can become a reply."""

from collections.abc import Sequence

from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, Metadata, RecordDict
from flwr.app.message import make_message
from flwr.common.constant import ErrorCode

from client.gate import Released
from shared.errors import WireError
from shared.packing import FORMAT, PACKED, pack, unpack
from shared.wire import RECORDS, WIRE_VERSION, Record, arrays_key, fields_key


def instructions_in(message: Message) -> int:
    """Count the instructions; a message without any counts as one, which cannot be read."""
    return max(1, len(message.content.config_records))


def instruction_of(message: Message, place: int = 0) -> Record:
    """Read instruction number `place`; raise WireError when it is not one this version knows."""
    content = message.content
    try:
        fields = dict(content.config_records[fields_key(place)])
        arrays = unpack(content.array_records[arrays_key(place)][PACKED].data)
    except KeyError as error:
        raise WireError(
            f"a message must hold {fields_key(place)!r} and {arrays_key(place)!r}, found {sorted(content)}"
        ) from error
    version, kind = fields.pop("version", None), fields.pop("kind", None)
    if version != WIRE_VERSION:
        raise WireError(
            f"wire version {version!r}, expected {WIRE_VERSION}. Install the same Wardround on both sides."
        )
    record = Record(str(kind), fields, arrays)  # type: ignore[arg-type]  # Record checks every field's type
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
    for place, released in enumerate(answers):
        record = released.record
        fields = ConfigRecord({"version": WIRE_VERSION, "kind": record.kind, **record.fields})
        data = pack(record.arrays)
        content[fields_key(place)] = fields
        content[arrays_key(place)] = ArrayRecord({PACKED: Array("uint8", (len(data),), FORMAT, data)})
    return Message(content, reply_to=message)
