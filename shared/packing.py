"""Records as parts of a message, each a few named scalars and bytes: as few as can be.

Flower moves every part of a message, and every array in it, as an object of its own, with a request for each
and, at the SuperLink, a transaction of its database. A small U-Net has thirty arrays; here a message is as
many parts as it has records, whatever the model. What is large goes on in further parts of `PART_BYTES`, so
that a link that breaks loses little. Arrays travel as safetensors, which holds numbers, names and shapes and
no code. Record number i is part ``i``, and goes on in parts ``i.1``, ``i.2`` and so on.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from shared.errors import WireError
from shared.wire import WIRE_VERSION, Arrays, Record

Part = dict[str, Any]
"""Scalars, and bytes under `ARRAYS`."""

VERSION, KIND, ARRAYS, ARRAYS_OF = "version", "kind", "arrays", "arrays_of"
"""Keys of a part beside the record's own fields; `ARRAYS_OF` names an earlier record with the same arrays."""

PART_BYTES = 4 * 2**20


def parts_of(records: Sequence[Record], packed: dict[int, list[bytes]] | None = None) -> dict[str, Part]:
    """Write a message's records; arrays that two of them share are written once.

    `packed` keeps what was written, by the arrays' id, for other messages with the same arrays: while it is
    used, these must be kept alive.
    """
    packed = {} if packed is None else packed
    parts: dict[str, Part] = {}
    written: dict[int, int] = {}
    for place, record in enumerate(records):
        part: Part = {VERSION: WIRE_VERSION, KIND: record.kind, **record.fields}
        parts[str(place)] = part
        if id(record.arrays) in written:
            part[ARRAYS_OF] = written[id(record.arrays)]
            continue
        written[id(record.arrays)] = place
        if id(record.arrays) not in packed:
            packed[id(record.arrays)] = _pieces(pack(record.arrays))
        part[ARRAYS], *rest = packed[id(record.arrays)]
        for number, piece in enumerate(rest, start=1):
            parts[f"{place}.{number}"] = {ARRAYS: piece}
    return parts


def _pieces(data: bytes) -> list[bytes]:
    return [data[start : start + PART_BYTES] for start in range(0, max(1, len(data)), PART_BYTES)]


def count(parts: Mapping[str, object]) -> int:
    """Count the records in a message."""
    return sum("." not in name for name in parts)


def record_at(parts: Mapping[str, Mapping[str, object]], place: int) -> Record:
    """Read record number `place`; raise WireError when it is not one that this version knows."""
    if str(place) not in parts:
        raise WireError(f"a message must hold a part {place}, found {sorted(parts)}")
    fields = dict(parts[str(place)])
    version, kind = fields.pop(VERSION, None), fields.pop(KIND, None)
    if version != WIRE_VERSION:
        raise WireError(
            f"wire version {version!r}, expected {WIRE_VERSION}. Install the same Wardround on both sides."
        )
    fields.pop(ARRAYS, None)
    source = fields.pop(ARRAYS_OF, place)
    return Record(str(kind), fields, unpack(_data(parts, source)))  # type: ignore[arg-type]  # Record checks


def pack(arrays: Arrays) -> bytes:
    """Serialise named arrays; equal arrays under equal names give equal bytes."""
    return save({name: np.asarray(array, order="C") for name, array in arrays.items()})


def unpack(data: bytes) -> dict[str, np.ndarray]:
    """Read what `pack` wrote; raise WireError for anything else."""
    try:
        return load(data)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise WireError(f"the arrays of a record cannot be read: {error}") from error


def _data(parts: Mapping[str, Mapping[str, object]], place: object) -> bytes:
    found = [parts.get(str(place), {}).get(ARRAYS)]
    while f"{place}.{len(found)}" in parts:
        found.append(parts[f"{place}.{len(found)}"].get(ARRAYS))
    pieces = [piece for piece in found if isinstance(piece, bytes)]
    if len(pieces) < len(found):
        raise WireError(f"part {place} of a message holds no arrays, expected bytes of safetensors")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
