"""Unlike hospitals full of patients whose true probability of being urgent is known.

A patient has a history of his or her own and one of the scans that were really drawn and really read by the
trained model (measured.py), so that the image features carry the model's own errors without an inference for
each patient. Whether the patient is urgent is drawn from the true burden and history, never from what the
model saw, with a baseline of the hospital's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from client.kept import ScanRow
from simulations.outcomes import Burden, draw_history, draw_urgent, recorded, true_features, true_probability


@dataclass(frozen=True)
class ReadScan:
    """What is in a scan, and what the model made of it, by feature."""

    burden: Burden
    features: Mapping[str, float]


@dataclass(frozen=True)
class Hospital:
    """One hospital: how many patients, and how much more often they are urgent, in log-odds."""

    name: str
    patients: int
    baseline: float


HOSPITALS = (
    Hospital("hospital-a", 1500, 0.0),
    Hospital("hospital-b", 1200, -0.5),
    Hospital("hospital-c", 900, 0.4),
    Hospital("hospital-d", 700, 0.8),
    Hospital("hospital-e", 450, -0.3),
    Hospital("hospital-f", 250, 0.2),
)
"""5,000 patients."""


@dataclass(frozen=True)
class Patients:
    """Rows as a site keeps them, and the true probability (n,) of each."""

    rows: Sequence[ScanRow]
    truth: np.ndarray


def draw(
    hospital: Hospital, scans: Sequence[ReadScan], patients: int, *, split: str, rng: np.random.Generator
) -> Patients:
    """Draw patients of a hospital, each with one of its scans."""
    rows, truth = [], []
    for number in range(patients):
        scan = scans[int(rng.integers(len(scans)))]
        history = draw_history(rng)
        exact = true_probability(true_features(history, scan.burden))
        probability = float(expit(logit(exact) + hospital.baseline))
        written = {name: float(text) for name, text in recorded(rng, history).items() if _is_number(text)}
        name = f"{hospital.name}-{split}-{number:06}"
        outcome = draw_urgent(rng, probability)
        rows.append(ScanRow(name, name, split, {**written, **scan.features}, outcome, ()))
        truth.append(probability)
    return Patients(rows, np.array(truth))


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
