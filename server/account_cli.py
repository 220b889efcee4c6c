"""`wardround coordinator account`: who may open the coordinator's pages. Imports as in server/cli.py."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from server.printing import Dir

if TYPE_CHECKING:
    from shared.web.terminal import Terminal

account_app = typer.Typer(help="Who may open the coordinator's pages, as what.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The person, as typed to log in.")]
OneTime = Annotated[
    bool, typer.Option("--one-time", help="Ask for no password: print one that serves to choose another.")
]


@account_app.command()
def add(
    name: Name,
    role: Annotated[list[str], typer.Option(help="coordinator or observer. Repeatable.")],
    one_time: OneTime = False,
    folder: Dir = None,
) -> None:
    """Make an account; asks for its password."""
    _terminal(folder).add(name, role, one_time=one_time)


@account_app.command("list")
def show(folder: Dir = None) -> None:
    """List the accounts with their roles."""
    _terminal(folder).show()


@account_app.command()
def disable(name: Name, folder: Dir = None) -> None:
    """Let an account log in no more and end its sessions."""
    _terminal(folder).disable(name)


@account_app.command()
def enable(name: Name, folder: Dir = None) -> None:
    """Let an account log in again."""
    _terminal(folder).enable(name)


@account_app.command()
def password(name: Name, one_time: OneTime = False, folder: Dir = None) -> None:
    """Give an account another password and end its sessions; asks for it."""
    _terminal(folder).set_password(name, one_time=one_time)


def _terminal(folder: Path | None) -> "Terminal":
    from server.commands import find
    from server.web.roles import ROLES
    from shared.web.terminal import Terminal

    return Terminal(find(folder).folder, ROLES)
