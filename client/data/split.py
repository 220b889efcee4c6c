"""Which patients train the model and which judge it, decided for each patient alone."""

import hashlib
from typing import Literal

from shared.study import Evaluation

CIRCLE = 2**48
Split = Literal["train", "validation", "test"]


def split_of(patient: str, evaluation: Evaluation) -> Split:
    """Decide the part that `patient` belongs to, from salt, patient, the two fractions and the turn only.

    SHA-256 of salt and patient gives a place on a circle of 2^48 points, `turn` where on it the parts begin:
    first `test_fraction` of them test, the next `validation_fraction` validate, the others train. So nobody
    moves when others come or go, all scans of a patient stay together, and another validation fraction leaves
    the test set as it was. With test_fraction 1/K the turns 0, 1/K, ..., (K-1)/K test each patient once.
    """
    digest = hashlib.sha256(f"{evaluation.split_salt}\0{patient}".encode()).digest()
    place = (int.from_bytes(digest[:6], "big") - round(evaluation.turn * CIRCLE)) % CIRCLE
    if place < evaluation.test_fraction * CIRCLE:  # 48 bits are exact in a float
        return "test"
    if place < (evaluation.test_fraction + evaluation.validation_fraction) * CIRCLE:
        return "validation"
    return "train"
