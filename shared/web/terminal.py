"""Accounts at the terminal, the same for a hospital and a coordinator.

A password is asked for at the prompt and is never an option: others would see it in the list of processes and
in the shell's history.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from pathlib import Path

import typer

from shared.person import person
from shared.web.app import people_in
from shared.web.keeper import Keeper
from shared.web.people import ONE_TIME


class Terminal:
    """What the `account` commands do in one folder; `roles` are those of its pages."""

    def __init__(self, folder: Path, roles: Mapping[str, str]) -> None:
        self._folder = folder
        self._roles = roles

    def add(self, name: str, roles: Collection[str], *, one_time: bool) -> None:
        """Make an account."""
        password = None if one_time else _asked()
        self._done(lambda keeper: keeper.add(name, roles, password), f"{name} may log in")

    def set_password(self, name: str, *, one_time: bool) -> None:
        """Give another password."""
        password = None if one_time else _asked()
        self._done(lambda keeper: keeper.set_password(name, password), f"{name} has another password")

    def disable(self, name: str) -> None:
        """Let an account log in no more."""
        self._done(lambda keeper: keeper.disable(name), f"{name} cannot log in any more")

    def enable(self, name: str) -> None:
        """Let an account log in again."""
        self._done(lambda keeper: keeper.enable(name), f"{name} can log in again")

    def show(self) -> None:
        """List the accounts."""
        with closing(people_in(self._folder)) as people:
            accounts = people.accounts()
        if not accounts:
            typer.echo("nobody has an account yet", err=True)
        width = max((len(account.name) for account in accounts), default=0)
        for account in accounts:
            state = "disabled" if account.disabled else "one-time password" if account.one_time else "active"
            typer.echo(f"{account.name:{width}}  {state:17}  {', '.join(account.roles)}")

    def _done(self, change: Callable[[Keeper], str | None], said: str) -> None:
        with closing(people_in(self._folder)) as people:
            one_time = change(Keeper(people, self._roles, f"{person()} (terminal)"))
        typer.echo(said)
        if one_time is not None:
            typer.echo(f"with this password, to choose another: {one_time} (it serves {ONE_TIME.days} days)")


def _asked() -> str:
    asked: str = typer.prompt("Password, 12 characters or more", hide_input=True, confirmation_prompt=True)
    return asked
