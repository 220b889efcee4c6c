"""Which fold a patient is in, so that a score is judged only on patients that its fit never saw."""

import hmac
from collections.abc import Sequence

import numpy as np

from shared.sums import IntArray

NO_FOLD = -1
"""The fold of patients that every fit sees and none is judged on."""


def folds_of(patients: Sequence[str], *, folds: int, salt: str, minimum_patients: int) -> IntArray:
    """Deal one site's patients to `folds` folds; all scans of a patient are in the same one.

    The patients, in the order of their keyed hash (HMAC-SHA-256 under `salt`), are dealt out in turn, so that
    folds differ by one patient at most and nobody can tell who is where without knowing the identifiers.

    Sums over all patients less the sums without a fold are that fold's own sums. They say no more than the
    site may release only if the fold has `minimum_patients` or more. A site that is too small for that puts
    everybody into no fold: its patients are in every fit and judge none.

    Parameters
    ----------
    patients
        (n,), the patient of each scan, with repeats.

    Returns
    -------
    IntArray
        (n,), 0..folds-1, or NO_FOLD throughout.
    """
    known = sorted(set(patients), key=lambda patient: _keyed(patient, salt))
    if len(known) // folds < minimum_patients:  # the smallest fold's patients
        return np.full(len(patients), NO_FOLD)
    place = {patient: rank % folds for rank, patient in enumerate(known)}
    return np.array([place[patient] for patient in patients], dtype=np.int64)


def _keyed(patient: str, salt: str) -> str:
    # Unlike the split's hash in client/data/split.py, which is uniform on an interval within one split.
    return hmac.digest(salt.encode(), f"fold\0{patient}".encode(), "sha256").hex()
