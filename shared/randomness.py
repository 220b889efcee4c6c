"""Generators that depend only on what they are for, so that a resumed or reordered run draws the same."""

import hashlib

import numpy as np


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Make the generator of a purpose, such as (study seed, site, round); unequal ones are independent."""
    key = hashlib.sha256(repr((seed, purpose)).encode()).digest()
    return np.random.default_rng(np.frombuffer(key, dtype=np.uint32))
