"""`wardround site run` by somebody who does not care what the coordinator answers to his greeting.

python -m tests.end_to_end.evil_site SITE_FILE
"""

import sys
from pathlib import Path
from typing import Any

from client.supervisor import Supervisor


class Shameless(Supervisor):
    """Goes on where an honest site waits."""

    def _introduce(self, **_: Any) -> None:
        pass


if __name__ == "__main__":
    Shameless.of(Path(sys.argv[1]), print).run()
