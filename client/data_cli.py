"""`wardround data`: look at a folder of scans. Each command imports what it needs when it is run."""

import typer

app = typer.Typer(help="Look at data sets, convert them, make some.", no_args_is_help=True)
