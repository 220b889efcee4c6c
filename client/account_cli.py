"""`wardround site account`: who may open the hospital's pages. Imports as in client/cli.py."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from client.printing import SiteFile

if TYPE_CHECKING:
    from shared.web.terminal import Terminal

account_app = typer.Typer(help="Who may open the hospital's pages, as what.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The person, as typed to log in.")]
OneTime = Annotated[
    bool, typer.Option("--one-time", help="Ask for no password: print one that serves to choose another.")
]


@account_app.command()
def add(
    site_file: SiteFile,
    name: Name,
    role: Annotated[list[str], typer.Option(help="reader, engineer or officer. Repeatable.")],
    one_time: OneTime = False,
) -> None:
    """Make an account; asks for its password."""
    _terminal(site_file).add(name, role, one_time=one_time)


@account_app.command("list")
def show(site_file: SiteFile) -> None:
    """List the accounts with their roles."""
    _terminal(site_file).show()


@account_app.command()
def disable(site_file: SiteFile, name: Name) -> None:
    """Let an account log in no more and end its sessions."""
    _terminal(site_file).disable(name)


@account_app.command()
def enable(site_file: SiteFile, name: Name) -> None:
    """Let an account log in again."""
    _terminal(site_file).enable(name)


@account_app.command()
def password(site_file: SiteFile, name: Name, one_time: OneTime = False) -> None:
    """Give an account another password and end its sessions; asks for it."""
    _terminal(site_file).set_password(name, one_time=one_time)


def _terminal(site_file: Path) -> "Terminal":
    from client.site import Site
    from client.web.roles import ROLES
    from shared.web.terminal import Terminal

    return Terminal(Site.read(site_file).make_work(), ROLES)
