"""What a hostile site sends instead of its answers to `train`; imported by its fork server.

In a study called ``hostile`` round number i is answered with attack number i of `ATTACKS`. The rest, and
everything in another study, is honest.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from client import worker
from client.kept import Kept
from client.messages import instruction_of, instructions_in
from shared.packing import ARRAYS, pack, record_at

Fields = dict[str, Any]
Arrays = dict[str, np.ndarray]
honest_app: ClientApp = vars(worker)["app"]

MEGABYTE = 2**20
KEPT = "kept_for_later.json"


def first(arrays: Arrays) -> str:
    return min(arrays)


def changed(arrays: Arrays, value: Callable[[np.ndarray], np.ndarray]) -> Arrays:
    return {**arrays, first(arrays): value(arrays[first(arrays)])}


def filled(number: float) -> Callable[[Fields, Arrays], tuple[Fields, Arrays]]:
    return lambda fields, arrays: (
        fields,
        changed(arrays, lambda a: np.full(a.shape, number, dtype=np.float32)),
    )


ATTACKS: Mapping[str, Callable[[Fields, Arrays], tuple[Fields, Arrays]] | None] = {
    "a wrong shape": lambda fields, arrays: (fields, changed(arrays, lambda a: a[..., None])),
    "the answer of the round before": None,
    "an answer of another run": lambda fields, arrays: ({**fields, "run": "0" * 16}, arrays),
    "not a number": filled(np.nan),
    "an enormous norm": filled(1e9),
    "a negative number of patients": lambda fields, arrays: ({**fields, "patients": -50}, arrays),
    "one answer more than was asked": None,
    "bytes that are no arrays": None,
    "many parts that are too much together": None,
    "more bytes than a message may have": lambda fields, arrays: (
        fields,
        changed(arrays, lambda _: np.ones(MEGABYTE, dtype=np.float32)),
    ),
}
"""By round, from 1; None is written out in `attacked`."""


def app(message: Message, context: Context) -> Message:
    reply: Message = honest_app(message, context)
    folder = Path(str(context.node_config["site"])).parent
    for place in range(instructions_in(message)):
        instruction = instruction_of(message, place)
        if instruction.kind != "train":
            continue
        study = Kept(folder / "work").study(instruction.text("study_digest"))
        if study.name == "hostile":
            attack = list(ATTACKS)[instruction.integer("round") - 1]
            reply = Message(attacked(reply.content, place, attack, folder), reply_to=message)
    return reply


def attacked(content: RecordDict, place: int, attack: str, folder: Path) -> RecordDict:
    """The whole reply, with its answer number `place` altered."""
    record = record_at(content.config_records, place)
    fields: Fields = dict(content.config_records[str(place)])
    del fields[ARRAYS]
    arrays = dict(record.arrays)
    stale = folder / KEPT
    change = ATTACKS[attack]
    if change is not None:
        write(content, place, *change(fields, arrays))
    elif attack == "the answer of the round before":
        old = json.loads(stale.read_text())
        kept = {n: np.asarray(v, np.float32).reshape(arrays[n].shape) for n, v in old.pop("arrays").items()}
        write(content, place, old, kept)
    elif attack == "one answer more than was asked":
        write(content, place + 1, fields, arrays)
    elif attack == "many parts that are too much together":
        for number in range(1, 5):
            content[f"{place}.{number}"] = ConfigRecord({ARRAYS: bytes([number]) * (MEGABYTE // 2)})
    else:
        content[str(place)] = ConfigRecord({**fields, ARRAYS: b"\x00\xff\x00\xff"})
    stale.write_text(json.dumps({**fields, "arrays": {n: a.ravel().tolist() for n, a in arrays.items()}}))
    return content


def write(content: RecordDict, place: int, fields: Fields, arrays: Arrays) -> None:
    content[str(place)] = ConfigRecord({**fields, ARRAYS: pack(arrays)})


vars(worker)["app"] = app
