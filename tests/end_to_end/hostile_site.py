"""`wardround` of a hospital that lies: its answers are altered after the gate, and sent more than once.

hostile_replies.py says what becomes of them, hostile_supernode.py how they are repeated.

python -m tests.end_to_end.hostile_site site run SITE.yaml
"""

from collections.abc import Sequence
from typing import Any

import wardround
from client import supervisor
from shared.processes import Command, WarmForks


class Forks(WarmForks):
    """The site's fork server, in which every answer is altered."""

    def __init__(self, modules: Sequence[str]) -> None:
        super().__init__([*modules, "tests.end_to_end.hostile_replies"])


def command(arguments: Sequence[str], **more: Any) -> Command:
    """The SuperNode that repeats itself, wherever the real one was meant."""
    replaced = {"client.supernode": "tests.end_to_end.hostile_supernode"}
    return Command([replaced.get(argument, argument) for argument in arguments], **more)


if __name__ == "__main__":
    vars(supervisor).update(Command=command, WarmForks=Forks)
    wardround.main()
