"""Updates into the next model: an exact running sum, then FedAvg's or FedAdam's step.

The sum is kept in 64-bit fixed point, so that addition is associative: in whatever order sites answer, in
whatever groups they are added, the model is the same to the last bit. Memory is one model, however many
sites there are. Resolution is 2^-32 (a float32 weight near 0.1 has 2^-27); the range holds 2^30 in all.
"""

from collections.abc import Mapping

import numpy as np

from shared.errors import CheckpointError, NothingTrainedError
from shared.model import Weights
from shared.study import Strategy

FRACTION_BITS = 32
LIMIT = 2.0**62


class RunningSum:
    """Sum over sites of patients x weight change, and of patients."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self._sum = {name: np.zeros(w.shape, dtype=np.int64) for name, w in weights.items()}
        self.patients = 0

    def add(self, delta: Mapping[str, np.ndarray], patients: int) -> bool:
        """Add one admitted update; False, and nothing added, when the sum could overflow."""
        scaled = {
            name: np.rint(np.asarray(d, dtype=np.float64) * patients * 2.0**FRACTION_BITS)
            for name, d in delta.items()
        }
        if not all(  # written so that NaN fails it
            float(np.abs(scaled[name]).max(initial=0)) + float(np.abs(total).max(initial=0)) < LIMIT
            for name, total in self._sum.items()
        ):
            return False
        for name, total in self._sum.items():
            np.add(total, scaled[name].astype(np.int64), out=total)
        self.patients += patients
        return True

    def mean(self) -> Weights:
        """Patient-weighted mean change, float64; raise NothingTrainedError when nothing was added."""
        if self.patients == 0:
            raise NothingTrainedError("no site's update was used; there is nothing to average.")
        return {
            name: total.astype(np.float64) / (self.patients * 2.0**FRACTION_BITS)
            for name, total in self._sum.items()
        }


class Step:
    """Applies the mean change; FedAdam keeps moments, which belong into every checkpoint.

    FedAvg and FedProx add the mean change (McMahan et al., arXiv 1602.05629, Algorithm 1). FedAdam treats it
    as a pseudo-gradient (Reddi et al., arXiv 2003.00295, Algorithm 2).
    """

    def __init__(self, strategy: Strategy, state: Mapping[str, np.ndarray] | None = None) -> None:
        self._strategy = strategy
        self.state: Weights = {} if state is None else dict(state)

    def apply(self, weights: Mapping[str, np.ndarray], change: Mapping[str, np.ndarray]) -> Weights:
        """Next weights, float32."""
        if self._strategy.name != "fedadam":
            return {n: (w.astype(np.float64) + change[n]).astype(np.float32) for n, w in weights.items()}
        return {name: self._adam(name, w, change[name]) for name, w in weights.items()}

    def _adam(self, name: str, weight: np.ndarray, change: np.ndarray) -> np.ndarray:
        s = self._strategy
        first, second = f"m/{name}", f"v/{name}"
        m = self.state.get(first, np.zeros(weight.shape))
        v = self.state.get(second, np.full(weight.shape, s.tau**2))
        if m.shape != weight.shape or v.shape != weight.shape:
            raise CheckpointError(
                f"FedAdam's moments for {name} have shape {m.shape}, expected {weight.shape}."
            )
        self.state[first] = s.beta_1 * m + (1 - s.beta_1) * change
        self.state[second] = s.beta_2 * v + (1 - s.beta_2) * np.square(change)
        step = s.server_learning_rate * self.state[first] / (np.sqrt(self.state[second]) + s.tau)
        return (weight.astype(np.float64) + step).astype(np.float32)
