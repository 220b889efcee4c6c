"""The documents' commands and outputs against the program."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from client.explain import explain
from client.gate import COUNTS_ONLY
from client.site import Site
from shared import errors
from shared.errors import WardroundError
from shared.study import Study
from shared.wire import RECORDS
from tests.end_to_end.walk import COORDINATOR_COMMANDS
from wardround import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {
    role: ROOT / "docs" / f"{role}.md"
    for role in ("hospital", "reading", "pages", "coordinator", "researcher")
}
ROLES = {
    "site": "hospital",
    "coordinator": "coordinator",
    "coordinator account": "pages",
    "coordinator serve": "pages",
    "data import": "hospital",
    "data inspect": "hospital",
    "site account": "pages",
    "site predict": "reading",
    "site serve": "pages",
    "site waiting": "reading",
    "site worklist": "reading",
}
"""Whose page explains a command, or all of a group; the researcher's explains the others."""
DOCUMENTS = [ROOT / "README.md", *PAGES.values(), ROOT / "sites" / "README.md"]

PROGRAM = ".venv/bin/wardround"


def console(text: str) -> list[tuple[list[str], str]]:
    """Each ``$ command`` of the console blocks, split into words, with the output shown under it."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL):
        for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = entry.partition("\n")
            found.append((shlex.split(command), output))
    return found


COMMANDS = [(*entry, path.name) for path in DOCUMENTS for entry in console(path.read_text(encoding="utf-8"))]


def parse(arguments: list[str]) -> click.Context:
    """Parse a command line down to its last subcommand, as the program would, without running it."""
    command: click.Command = typer.main.get_command(app)
    context = command.make_context("wardround", list(arguments))
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        command, context = found, found.make_context(name, rest, parent=context)
    return context


def leaves(command: click.Command, *path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its full name."""
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from leaves(inner, *path, name)
    else:
        yield " ".join(path), command


PROGRAM_COMMANDS = dict(leaves(typer.main.get_command(app)))


def role_of(name: str) -> str:
    """Whose page explains a command."""
    words = name.split()
    found = (ROLES.get(" ".join(words[:n])) for n in range(len(words), 0, -1))
    return next((role for role in found if role), "researcher")


def table_rows(text: str, heading: str) -> list[list[str]]:
    """Cells of the Markdown table whose first heading is `heading`."""
    (table,) = re.findall(
        rf"^\| {re.escape(heading)} \|.*\n\|[ -|]+\n((?:\|.*\n)+)", text, flags=re.MULTILINE
    )
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()]


@pytest.mark.parametrize(("words", "output", "document"), COMMANDS, ids=lambda value: str(value)[:60])
def test_every_command_shown_exists_and_parses(words: list[str], output: str, document: str) -> None:
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        assert words[1] in targets
        return
    if words[0] == "python3" or words[0].endswith("/python"):
        return  # what installs it, not the program
    assert words[0] == PROGRAM, f"{document} shows {words[0]}, which nobody has on the path"
    context = parse(words[1:])
    if "scenario" in context.params:
        assert (ROOT / context.params["scenario"]).exists()


def test_a_wrong_option_would_be_noticed() -> None:
    with pytest.raises(click.NoSuchOption):
        parse(["simulate", "x.yaml", "--engin", "ray"])


def test_the_output_shown_for_a_quiet_run_is_the_path_of_its_report() -> None:
    quiet = [(words, output) for words, output, _ in COMMANDS if output and words[1] == "simulate"]
    assert quiet
    for words, output in quiet:
        context = parse(words[1:])
        assert context.params["quiet"]
        assert output == f"{context.params['out_dir']}/report.html\n"


def test_the_table_of_commands_is_the_programs_own() -> None:
    shown = {usage.strip("`"): what for usage, what in table_rows(README, "command")}
    expected = {}
    for name, command in PROGRAM_COMMANDS.items():
        arguments = [
            p.make_metavar(click.Context(command)) for p in command.params if p.param_type_name == "argument"
        ]
        expected[" ".join(["wardround", name, *arguments])] = " ".join((command.help or "").split())
    assert shown == expected


def test_the_explanation_shown_is_the_programs_own() -> None:
    (shown,) = [output for words, output, _ in COMMANDS if words[1:3] == ["site", "explain"] and output]
    site = Site.read(ROOT / "sites" / "example.yaml")
    assert shown == explain(site, Study.load(ROOT / "docs" / "study.yaml")).text()


@pytest.mark.parametrize("role", ["hospital", "reading", "coordinator", "pages"])
def test_a_role_finds_its_commands_on_its_page(role: str) -> None:
    groups = ("site ", "coordinator ")
    text = PAGES[role].read_text(encoding="utf-8")
    shown = [usage.strip("`").split()[1:] for usage, _ in table_rows(text, "command")]
    names = [" ".join(w for w in words if w.islower()) for words in shown]
    own = (name for name in PROGRAM_COMMANDS if name.startswith(groups) and role_of(name) == role)
    assert sorted(names) == sorted(own)


def test_a_hospital_types_four_commands_to_a_running_node_and_nobody_more_than_eight_in_all() -> None:
    first = console(PAGES["hospital"].read_text(encoding="utf-8"))
    typed = [words[2] for words, _ in first if words[:2] == [PROGRAM, "site"]]
    assert typed[: typed.index("run") + 1] == ["init", "check", "enrol", "run"]
    walk = console(PAGES["coordinator"].read_text(encoding="utf-8"))
    assert [words[2] for words, _ in walk] == [c.split()[2] for c in COORDINATOR_COMMANDS]
    assert len(walk) <= 8


@pytest.mark.parametrize("name", sorted(PROGRAM_COMMANDS))
def test_every_option_is_explained_on_the_page_of_its_role(name: str) -> None:
    options = {o for p in PROGRAM_COMMANDS[name].params if p.param_type_name == "option" for o in p.opts}
    explained = set(re.findall(r"--[a-z-]+", PAGES[role_of(name)].read_text(encoding="utf-8")))
    assert {o for o in options if o.startswith("--")} <= explained


def test_every_option_mentioned_exists() -> None:
    known = {o for c in PROGRAM_COMMANDS.values() for p in c.params for o in [*p.opts, *p.secondary_opts]}
    known |= {"--help"}
    for path in DOCUMENTS:
        assert set(re.findall(r"`(--[a-z-]+)", path.read_text(encoding="utf-8"))) <= known, path.name


def test_the_exit_codes_are_the_errors_own() -> None:
    shown = {int(code): meaning for code, meaning in table_rows(README, "exit code")}
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, WardroundError)]
    assert set(shown) == {0} | {c.exit_code for c in classes}
    said = " ".join((app.info.help or "").split())
    for code, meaning in shown.items():
        assert f"{code} {meaning}" in said


def what_leaves() -> str:
    """The README's table, from the wire's vocabulary and the gate's rule."""
    rows = ["| record | what it holds | fields | minimum of patients |", "| --- | --- | --- | --- |"]
    for kind, spec in RECORDS.items():
        if spec.leaves_site:
            fields = ", ".join(f"`{name}`" for name in spec.fields)
            minimum = "no: counts only" if kind in COUNTS_ONLY else "yes"
            rows.append(f"| `{kind}` | {spec.meaning} | {fields} | {minimum} |")
    return "\n".join(rows) + "\n"


def test_what_leaves_a_site_is_said_in_full() -> None:
    assert what_leaves() in README, f"the README's table must be:\n{what_leaves()}"
