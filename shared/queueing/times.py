"""How reading times scatter around their mean: exponential, lognormal, or as a hospital's own were."""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from shared.errors import ConfigError
from shared.queueing.classes import EXPONENTIAL
from shared.sums import FloatArray

FEWEST_READINGS = 30


class Times(Protocol):
    """Reading times of mean 1."""

    @property
    def square(self) -> float:
        """Mean of the squared time."""

    def draw(self, count: int, generator: np.random.Generator) -> FloatArray:
        """Draw (count,) times of mean 1."""


@dataclass(frozen=True)
class Exponential:
    """Most readings short, a few long: what the formulas for several readers assume."""

    @property
    def square(self) -> float:
        """As `Times.square`."""
        return EXPONENTIAL

    def draw(self, count: int, generator: np.random.Generator) -> FloatArray:
        """As `Times.draw`."""
        return generator.exponential(1.0, count)


@dataclass(frozen=True)
class Lognormal:
    """Logarithms scatter normally; `variation` is the standard deviation over the mean."""

    variation: float

    @property
    def square(self) -> float:
        """As `Times.square`."""
        return 1 + self.variation**2

    def draw(self, count: int, generator: np.random.Generator) -> FloatArray:
        """As `Times.draw`."""
        variance = np.log(self.square)
        return generator.lognormal(-variance / 2, np.sqrt(variance), count)


@dataclass(frozen=True, eq=False)
class Empirical:
    """Drawn with replacement from what was seen, over its mean."""

    seen: FloatArray

    @classmethod
    def of(cls, minutes: npt.ArrayLike) -> Self:
        """From a hospital's own reading times; ConfigError for fewer than 30, or one that is not above 0."""
        seen = np.asarray(minutes, dtype=np.float64)
        if seen.ndim != 1 or seen.size < FEWEST_READINGS or not np.all(np.isfinite(seen) & (seen > 0)):
            raise ConfigError(
                f"{seen.size} reading times, expected {FEWEST_READINGS} at least, all above 0. "
                "Give --read-minutes instead."
            )
        return cls(seen / seen.mean())

    @property
    def square(self) -> float:
        """As `Times.square`."""
        return float(np.mean(self.seen**2))

    def draw(self, count: int, generator: np.random.Generator) -> FloatArray:
        """As `Times.draw`."""
        return generator.choice(self.seen, count)
