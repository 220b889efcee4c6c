"""What the commands of `wardround site` share: their arguments and how they print."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

SiteFile = Annotated[Path, typer.Argument(metavar="SITE", help="The hospital's site.yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]

out = Console()


def print_json(values: object) -> None:
    """Print values for programs."""
    print(json.dumps(values, indent=1))  # noqa: T201 - for programs
