"""The arrays of one record as one blob: safetensors, which holds numbers, names and shapes and no code.

Flower moves each array as objects of its own, with a request for each (and, at the SuperLink, a commit to its
database). A small U-Net has thirty arrays; packed, a message is a handful of objects whatever the model.
"""

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from shared.errors import WireError
from shared.wire import Arrays

PACKED = "packed"
"""Name of the one array that travels."""

FORMAT = "safetensors"


def pack(arrays: Arrays) -> bytes:
    """Serialise named arrays; equal arrays under equal names give equal bytes."""
    return save({name: np.asarray(array, order="C") for name, array in arrays.items()})


def unpack(data: bytes) -> dict[str, np.ndarray]:
    """Read what `pack` wrote; raise WireError for anything else."""
    try:
        return load(data)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise WireError(f"the arrays of a record cannot be read: {error}") from error
