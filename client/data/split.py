"""Which patients train the model and which judge it, decided for each patient alone."""

import hashlib
from typing import Literal

from shared.study import Evaluation

Split = Literal["train", "validation", "test"]


def split_of(patient: str, evaluation: Evaluation) -> Split:
    """Decide the part that `patient` belongs to, from the salt, the patient and the two fractions only.

    SHA-256 of salt and patient gives a uniform number in [0, 1): test below `test_fraction`, validation in
    the next `validation_fraction`, train above. So nobody moves when others come or go, all scans of a
    patient stay together, and another validation fraction leaves the test set as it was.
    """
    digest = hashlib.sha256(f"{evaluation.split_salt}\0{patient}".encode()).digest()
    uniform = int.from_bytes(digest[:6], "big") / 2**48  # 48 bits are exact in a float and never round to 1
    if uniform < evaluation.test_fraction:
        return "test"
    if uniform < evaluation.test_fraction + evaluation.validation_fraction:
        return "validation"
    return "train"
