"""What private training has cost this site's patients: written before the noise is drawn.

One line a round. The line holds the secret seed of that round's sampling and noise, so that a round that
was killed and is run again from the same weights on the same patients repeats the same release: it costs
nothing twice. The file is as secret as the scans and never leaves the site. What is accounted here is
training; sums released for evaluation and calibration are exact and carry no epsilon of their own.
"""

import json
import math
import os
import secrets
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from opacus.accountants import RDPAccountant
from opacus.accountants.utils import get_noise_multiplier

from client.spending import entries, spent
from shared.errors import PolicyError
from shared.study import Study


@dataclass(frozen=True)
class PrivateRound:
    """One round's private release.

    sample_rate : probability that a patient takes part in a step (Poisson sampling)
    noise_multiplier : standard deviation of the noise on the summed gradient, in units of the clip
    epsilon : spent by this run after this round, at the study's delta
    """

    steps: int
    sample_rate: float
    noise_multiplier: float
    epsilon: float
    seed: int

    def generator(self) -> np.random.Generator:
        """256 bits of the operating system's entropy; independent of every public seed."""
        return np.random.default_rng(self.seed)


class Ledger:
    """The ledger of one site, in `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open_round(
        self, *, study: Study, run: str, round_number: int, patients: int, inputs: str
    ) -> PrivateRound:
        """Account one round before it is run; raise PolicyError when the study's epsilon would be passed.

        `inputs` is the digest of all that the release depends on: the weights received and the patients'
        scans. A round already in the ledger with the same inputs is returned as it stands.
        """
        privacy = study.privacy
        if privacy is None:
            raise PolicyError("privacy", "the study asks for no privacy; there is nothing to account.")
        steps_per_epoch = math.ceil(patients / study.training.batch_size)
        steps = study.training.local_epochs * steps_per_epoch
        sample_rate = min(1.0, study.training.batch_size / patients)
        noise = noise_multiplier(
            privacy.epsilon, privacy.delta, sample_rate=sample_rate, steps=steps * study.training.rounds
        )
        earlier = [e for e in entries(self.path) if e["run"] == run and e["study"] == study.digest()]
        for entry in earlier:
            if (entry["round"], entry["inputs"], entry["patients"]) == (round_number, inputs, patients):
                return PrivateRound(steps, sample_rate, noise, entry["epsilon"], entry["seed"])
        history = [(e["noise_multiplier"], e["sample_rate"], e["steps"]) for e in earlier]
        epsilon = epsilon_of([*history, (noise, sample_rate, steps)], privacy.delta)
        if epsilon > privacy.epsilon * (1 + 1e-9):
            raise PolicyError(
                "budget",
                f"round {round_number} would bring epsilon to {epsilon:.3f}, above the study's "
                f"{privacy.epsilon}: rounds were repeated on other inputs. "
                "Start a new run under a new agreement.",
            )
        entry = {
            "run": run,
            "study": study.digest(),
            "round": round_number,
            "inputs": inputs,
            "patients": patients,
            "steps": steps,
            "sample_rate": sample_rate,
            "noise_multiplier": noise,
            "delta": privacy.delta,
            "epsilon": epsilon,
            "seed": secrets.randbits(256),
        }
        self._append(entry)
        return PrivateRound(steps, sample_rate, noise, epsilon, entry["seed"])

    def spent(self) -> dict[tuple[str, str], float]:
        """Epsilon spent so far by each (run, study digest), each at its own study's delta."""
        return {(one.run, one.study): one.epsilon for one in spent(self.path)}

    def _append(self, entry: dict) -> None:  # type: ignore[type-arg]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            self.path.chmod(0o600)
            file.write(json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())


def epsilon_of(history: list[tuple[float, float, int]], delta: float) -> float:
    """Epsilon at `delta` of (noise multiplier, sample rate, steps) entries, by Renyi accounting (Opacus)."""
    accountant = RDPAccountant()
    accountant.history = list(history)
    return float(accountant.get_epsilon(delta=delta))


@lru_cache
def noise_multiplier(epsilon: float, delta: float, *, sample_rate: float, steps: int) -> float:
    """Smallest noise multiplier (to Opacus' tolerance) whose `steps` steps stay within epsilon at delta."""
    return float(
        get_noise_multiplier(
            target_epsilon=epsilon,
            target_delta=delta,
            sample_rate=sample_rate,
            steps=steps,
            accountant="rdp",
            epsilon_tolerance=epsilon / 1000,
        )
    )
