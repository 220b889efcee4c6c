"""A clock that only sleeping moves: where a bound is tested, a stall of the machine is not taken for time."""


class Clock:
    """Stands for the module `time` in what is tested."""

    def __init__(self) -> None:
        self._now_s = 0.0

    def monotonic(self) -> float:
        return self._now_s

    def sleep(self, seconds: float) -> None:
        self._now_s += seconds
