"""`wardround site worklist`: looking at the list, taking scans from it. Imports as in client/cli.py."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click
import typer
from typer.core import TyperGroup

from client.printing import AsJson, SiteFile, out, print_json
from shared.errors import ConfigError

if TYPE_CHECKING:
    from client.site import Site
    from client.worklist import Worklist
    from client.worklist.export import Listed

STATES = {
    "open": ("waiting", "reading"),
    "waiting": ("waiting",),
    "reading": ("reading",),
    "read": ("read",),
    "all": ("waiting", "reading", "read"),
}
TIERS = ("routine", "urgent", "asap", "stat")
LIMIT = 50
REFRESH_S = 2.0
FOOTER_LINES, LINES_A_SCAN = 6, 3  # on a narrow terminal


class _ShowByDefault(TyperGroup):
    """`worklist SITE` is `worklist show SITE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["show", *args]
        return super().parse_args(ctx, args)


worklist_app = typer.Typer(
    cls=_ShowByDefault,
    help="Which scan is read next, by whom and why; `worklist SITE` shows the list.",
    no_args_is_help=True,
)

Case = Annotated[str, typer.Argument(metavar="CASE", help="The scan, as the list names it.")]
Reader = Annotated[
    str | None, typer.Option(help="Who reads. Default: worklist.reader of SITE, then the account's name.")
]


@worklist_app.command()
def show(
    site_file: SiteFile,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again every 2 seconds, until ctrl-C.")
    ] = False,
    state: Annotated[
        str, typer.Option(click_type=click.Choice(list(STATES)), help="Which scans; open: not yet read.")
    ] = "open",
    limit: Annotated[
        int | None,
        typer.Option(min=1, help=f"How many. Default: {LIMIT} in the table, all in files and JSON."),
    ] = None,
    as_json: AsJson = False,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the list as CSV.")] = None,
    fhir: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it as FHIR, with pseudonyms.")
    ] = None,
    fhir_release: Annotated[str, typer.Option(click_type=click.Choice(["R4", "R5"]), help="Of FHIR.")] = "R4",
) -> None:
    """Show the scans, the next to be read first, with their reasons."""
    from client.worklist.look import look
    from client.worklist.show import shown

    if watch and (as_json or csv or fhir):
        raise ConfigError("--watch shows the list on the terminal. Leave out --json, --csv and --fhir.")
    files = as_json or csv is not None or fhir is not None
    with _open(site_file) as (site, worklist):
        if watch:
            _watch(lambda: look(worklist, site, states=STATES[state], limit=limit or _fitting()), site_file)
            return
        listed = look(worklist, site, states=STATES[state], limit=limit or (None if files else LIMIT))
    if csv is not None:
        from client.worklist.export import write_csv

        write_csv(csv, listed.rows)
    if fhir is not None:
        from client.worklist.fhir import write_fhir

        write_fhir(fhir, listed, site.work, fhir_release)  # type: ignore[arg-type]  # R4 or R5
    if as_json:
        from client.worklist.export import as_json as values_of

        print_json(values_of(listed))
    elif files:
        out.print(f"{len(listed.rows)} scans are written.", highlight=False)
    else:
        out.print(shown(listed, str(site_file)))


@worklist_app.command()
def claim(
    site_file: SiteFile,
    case: Annotated[
        str | None, typer.Argument(metavar="[CASE]", help="The scan. Default: the first that waits.")
    ] = None,
    reader: Reader = None,
) -> None:
    """Take a scan to read it; nobody else can take it then."""
    from client.worklist.look import look

    with _open(site_file) as (site, worklist):
        who = _reader(site, reader)
        if case is not None:
            worklist.claim(case, who)
        else:
            look(worklist, site, limit=1)  # so that the calibration in use decides which is first
            case = worklist.claim_next(who)
    if case is None:
        _say("No scan waits.")
        return
    _say(f"{case} is read by {who}. Then: wardround site worklist done {site_file} {case}")


@worklist_app.command()
def release(
    site_file: SiteFile,
    case: Case,
    reader: Reader = None,
    force: Annotated[bool, typer.Option("--force", help="Also when another reader has it.")] = False,
) -> None:
    """Give a scan back to the list; its wait goes on."""
    with _open(site_file) as (site, worklist):
        worklist.release(case, _reader(site, reader), force=force)
    _say(f"{case} waits again")


@worklist_app.command()
def done(site_file: SiteFile, case: Case, reader: Reader = None) -> None:
    """Say that a scan was read."""
    with _open(site_file) as (site, worklist):
        who = _reader(site, reader)
        worklist.finish(case, who)
    _say(f"{case} was read by {who}")


@worklist_app.command()
def reopen(site_file: SiteFile, case: Case, reader: Reader = None) -> None:
    """Put a scan that was read back on the list."""
    with _open(site_file) as (site, worklist):
        worklist.reopen(case, _reader(site, reader))
    _say(f"{case} waits again")


@worklist_app.command()
def order(
    site_file: SiteFile,
    case: Case,
    tier: Annotated[
        str, typer.Argument(metavar="TIER", click_type=click.Choice(TIERS), help=" | ".join(TIERS))
    ],
    reader: Reader = None,
) -> None:
    """Note a clinician's own tier; no score lowers it."""
    with _open(site_file) as (site, worklist):
        worklist.order(case, tier, by=_reader(site, reader))  # type: ignore[arg-type]  # one of TIERS
        (row,) = [row for row in worklist.rows() if row.case == case]
    _say(f"{case} is ordered {tier} and read as {row.tier}")


@worklist_app.command()
def history(site_file: SiteFile, case: Case, as_json: AsJson = False) -> None:
    """Show everything that happened to a scan and every priority it was given."""
    from client.worklist.export import case_history

    with _open(site_file) as (_, worklist):
        lines = case_history(worklist, case)
    if as_json:
        print_json(lines)
        return
    for line in lines:
        _say(f"{line['time'][:19].replace('T', ' ')} UTC  {line['text']}")


@contextmanager
def _open(site_file: Path) -> "Iterator[tuple[Site, Worklist]]":
    from client.site import Site
    from client.worklist import Worklist

    site = Site.read(site_file)
    with closing(Worklist.open(site)) as worklist:
        yield site, worklist


def _reader(site: "Site", given: str | None) -> str:
    from client.person import person

    return given or site.worklist.reader or person()


def _say(text: str) -> None:
    from client.printing import printable

    out.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def _fitting() -> int:
    return max(1, (out.height - FOOTER_LINES) // LINES_A_SCAN)


def _watch(draw: "Callable[[], Listed]", site_file: Path) -> None:
    from rich.live import Live

    from client.worklist.show import shown

    try:
        with Live(shown(draw(), str(site_file)), console=out, auto_refresh=False) as live:
            while True:
                time.sleep(REFRESH_S)
                live.update(shown(draw(), str(site_file)), refresh=True)
    except KeyboardInterrupt:
        return
