"""`wardround` whose runs can be held at a named moment (tests/end_to_end/held_run.py).

python -m tests.end_to_end.held_coordinator coordinator up --dir DIR
"""

from collections.abc import Sequence

import wardround
from server import supervisor
from shared.processes import WarmForks


class Forks(WarmForks):
    """The coordinator's fork server, which knows the moments as well."""

    def __init__(self, modules: Sequence[str]) -> None:
        super().__init__([*modules, "tests.end_to_end.held_run"])


if __name__ == "__main__":
    vars(supervisor).update(WarmForks=Forks)
    wardround.main()
