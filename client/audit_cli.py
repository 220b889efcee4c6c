"""`wardround site audit`: looking at the log. Each command imports what it needs when it is run."""

from typing import Annotated

import typer
from rich.table import Table

from client.printing import AsJson, SiteFile, out, print_json
from shared.errors import ConfigError

audit_app = typer.Typer(help="Look at the log of everything that left or was refused.", no_args_is_help=True)


@audit_app.command()
def verify(
    site_file: SiteFile,
    witness: Annotated[
        str | None,
        typer.Option(metavar="LINES:SEAL", help="What the coordinator was told earlier, to compare."),
    ] = None,
) -> None:
    """Check that no line of the log was edited, removed, moved or cut off."""
    from client.audit import Audit
    from client.site import Site

    told = None
    if witness is not None:
        lines, separator, seal = witness.partition(":")
        if not (separator and lines.isdecimal() and seal):
            raise ConfigError(f"--witness is LINES:SEAL, found {witness!r}; the coordinator can look it up.")
        told = (int(lines), seal)
    audit = Audit(Site.read(site_file).work / "audit.jsonl")
    found = audit.inspect(told)
    out.print(
        f"{found.lines} lines, unbroken. The seal of the last is {found.seal}",
        highlight=False,
        soft_wrap=True,
    )
    if found.note:
        out.print(f"{found.note}; the next line mends it.", highlight=False, soft_wrap=True)


@audit_app.command()
def show(
    site_file: SiteFile,
    last: Annotated[int, typer.Option(min=1, help="How many lines, from the end.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show what left, what was refused and what was decided."""
    from client.audit import Audit
    from client.audit_words import words
    from client.repeats import Repeats
    from client.site import Site

    audit = Audit(Site.read(site_file).work / "audit.jsonl")
    numbered = list(enumerate(audit.entries(), start=1))[-last:]
    if as_json:
        print_json([{"line": number, **entry} for number, entry in numbered])
        return
    table = Table("line", "time", "event", "what")
    for number, entry in numbered:
        table.add_row(str(number), entry["time"], entry["event"], words(entry))
    out.print(table)
    if more := Repeats(audit).outstanding():
        out.print(f"{more} repeated refusals more have left and are counted; the next line says so.")
