"""What the coordinator's commands print with, and the option that all of them have."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

out = Console()
err = Console(stderr=True)

Dir = Annotated[
    Path | None,
    typer.Option(
        "--dir", help="The coordinator's folder. Default: $WARDROUND_COORDINATOR, this folder, ./coordinator."
    ),
]
