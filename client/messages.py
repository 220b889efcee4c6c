"""Flower messages to records and back, on the hospital's side. Only a `Released` can become a reply."""

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from client.gate import Released
from shared.errors import WireError
from shared.npy import from_bytes
from shared.wire import RECORDS, WIRE_VERSION, Record


def instruction_of(message: Message) -> Record:
    """Read the coordinator's instruction; raise WireError when it is not one this version knows."""
    content = message.content
    try:
        fields = dict(content.config_records["fields"])
        arrays = {
            name: from_bytes(array.data, dtype=array.dtype, shape=tuple(array.shape))
            for name, array in content.array_records["arrays"].items()
        }
    except KeyError as error:
        raise WireError(f"a message must hold 'fields' and 'arrays', found {sorted(content)}") from error
    except (ValueError, TypeError) as error:
        raise WireError(f"an array is not what its message says: {error}") from error
    version, kind = fields.pop("version", None), fields.pop("kind", None)
    if version != WIRE_VERSION:
        raise WireError(
            f"wire version {version!r}, expected {WIRE_VERSION}. Install the same Wardround on both sides."
        )
    record = Record(str(kind), fields, arrays)  # type: ignore[arg-type]  # Record checks every field's type
    if RECORDS[record.kind].leaves_site:
        raise WireError(f"{record.kind} is an answer, not an instruction")
    return record


def reply_to(message: Message, released: Released) -> Message:
    """Wrap what the gate let through as the reply to `message`."""
    record = released.record
    content = RecordDict(
        {
            "fields": ConfigRecord({"version": WIRE_VERSION, "kind": record.kind, **record.fields}),
            "arrays": ArrayRecord(
                {name: Array(np.asarray(array, order="C")) for name, array in record.arrays.items()}
            ),
        }
    )
    return Message(content, reply_to=message)
