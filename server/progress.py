"""Who wants to know how far a run is. Flower starts the ServerApp, so nothing can be passed to it."""

from collections.abc import Callable

Listener = Callable[[str, int, int], None]
"""(what is being done, how many done, of how many)"""

_listeners: list[Listener] = []


def listen(listener: Listener) -> None:
    """Call `listener` on every step from now on, in this process."""
    _listeners.append(listener)


def forget(listener: Listener) -> None:
    """Stop calling `listener`."""
    _listeners.remove(listener)


def report(what: str, done: int, total: int) -> None:
    """Tell everybody who listens."""
    for listener in _listeners:
        listener(what, done, total)
