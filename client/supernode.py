"""`flower-supernode`, which asks for work every `POLL_S` seconds instead of every three.

Flower 1.41 has the pause between two requests for a message written into its loop
(flwr/supernode/start_client_internal.py: ``time.sleep(3)``, and 0.5 while it waits for the app's reply). With
short rounds that pause is most of a round. Nothing else of Flower is changed.

Run as ``python -m client.supernode POLL_S FLOWER-ARGUMENTS...``.
"""

import sys
import time

from flwr.supernode import start_client_internal
from flwr.supernode.cli import flower_supernode

from shared.processes import end_with_stdin

MESSAGE_PAUSE_S, REPLY_PAUSE_S = 3, 0.5
REPLY_POLL_S = 0.05


class Clock:
    """Stands in for the `time` module in Flower's loop."""

    def __init__(self, poll_s: float) -> None:
        self._pauses = {MESSAGE_PAUSE_S: poll_s, REPLY_PAUSE_S: REPLY_POLL_S}

    def sleep(self, seconds: float) -> None:
        """Sleep; shorter than was asked for when the pause is one of the two, never longer."""
        time.sleep(min(seconds, self._pauses.get(seconds, seconds)))


def main() -> None:
    """Start flower-supernode."""
    poll_s, *rest = sys.argv[1:]
    start_client_internal.time = Clock(float(poll_s))  # type: ignore[assignment, attr-defined]
    sys.argv = ["flower-supernode", *rest]
    end_with_stdin()
    flower_supernode()


if __name__ == "__main__":
    main()
