"""`wardround coordinator`: what a coordinator types, done in server/commands.py and server/watching.py."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from server.account_cli import account_app
from server.printing import Dir, err, out
from server.serve_cli import serve
from shared.errors import FederationError

app = typer.Typer(
    help="Coordinate a federation: invite sites, start studies, watch them.", no_args_is_help=True
)
app.add_typer(account_app, name="account")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    address: Annotated[
        str | None,
        typer.Option(help="Host name or IP address that hospitals use. Default: this machine's name."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name in certificates. Default: coordinator.")] = None,
) -> None:
    """Make a coordinator's folder: configuration, certificate authority, certificate, store."""
    from server.authority import days_left, fingerprint
    from server.commands import initialise

    settings = initialise(folder, address=address, name=name)
    out.print(f"{settings.folder / 'coordinator.yaml'}: read it and correct it", soft_wrap=True)
    out.print(f"hospitals reach {settings.fleet} and {settings.control}: open both ports", soft_wrap=True)
    out.print(f"authority: SHA-256 {fingerprint(settings.ca_pem)}", soft_wrap=True)
    out.print(f"server certificate: {days_left(settings.server_pem):.0f} days")


@app.command()
def invite(
    sites: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="Names of sites, such as hospital-a.")
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="An enrolled site may enrol again with a new key.")
    ] = False,
    folder: Dir = None,
) -> None:
    """Print one invite a line: good once, for one site, until it expires. Hand it over in confidence."""
    from server.commands import invite as make

    for line in make(folder, sites, replace=replace):
        print(line)  # noqa: T201 - plain, so that it can be piped and copied


@app.command()
def renew(folder: Dir = None) -> None:
    """Issue a new server certificate. A coordinator that is up uses it at once, and no site has to act."""
    from server.authority import days_left
    from server.commands import renew_certificate

    settings = renew_certificate(folder)
    out.print(f"server certificate: {days_left(settings.server_pem):.0f} days")


@app.command()
def revoke(site: Annotated[str, typer.Argument(help="Name of the site.")], folder: Dir = None) -> None:
    """End a site's membership: it is not heard any more. The others stay as they are."""
    from server.commands import revoke as end

    end(folder, site)
    out.print(f"{site} is revoked; a new invite would let it enrol again")


@app.command()
def sites(folder: Dir = None, as_json: AsJson = False) -> None:
    """List the sites: who is enrolled, who is online, what is wrong."""
    from server.status_tables import as_json as to_json
    from server.status_tables import sites_table
    from server.watching import status as look

    now, up = look(folder, "")
    if as_json:
        del now.runs[:]
        print(to_json(now, up=up))  # noqa: T201 - for programs
        return
    _say_whether(up)
    out.print(sites_table(now))


@app.command()
def up(folder: Dir = None) -> None:
    """Run the coordinator until it is stopped: SuperLink, control service, and every run that is due."""
    from server.commands import find
    from server.supervisor import Supervisor

    Supervisor(find(folder), _say).run()


@app.command()
def start(
    study: Annotated[
        Path | None,
        typer.Argument(metavar="STUDY.yaml", help="The study to run, or a scenario that holds one."),
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Let a failed or stopped run go on from its last checkpoint."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Safetensors file to start from, for a study with `start: phantoms`."),
    ] = None,
    statistics: Annotated[
        bool,
        typer.Option("--statistics", help="Train nothing: ask the sites to sum what a study is set up by."),
    ] = False,
    folder: Dir = None,
) -> None:
    """Ask for a run; the coordinator that is up starts it. Prints the run's name."""
    from server.commands import start as ask

    asked = ask(folder, study, resume=resume, weights=weights, statistics=statistics)
    if asked.enrolled < asked.quorum:
        err.print(
            f"warning: {asked.enrolled} site(s) are enrolled, and {asked.study} needs {asked.quorum}. The "
            "run waits, and fails if no more come. Invite more: wardround coordinator invite NAME",
            style="yellow",
            soft_wrap=True,
        )
    print(asked.run)  # noqa: T201 - plain, so that a script can read it


@app.command()
def status(
    run: Annotated[str, typer.Argument(help="Only this run.")] = "",
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing it until the run is over.")] = False,
    as_json: AsJson = False,
    folder: Dir = None,
) -> None:
    """Show sites and runs: who is online, awaited, used, late, failed or refused, and why."""
    from server.status_tables import as_json as to_json
    from server.status_tables import tables
    from server.watching import status as look

    now, up = look(folder, run)
    if watch and up:
        _watch(folder, run, as_json=as_json)
        return
    if as_json:
        print(to_json(now, up=up, one_line=watch))  # noqa: T201 - for programs
        return
    _say_whether(up)
    out.print(tables(now, run=run))


@app.command()
def stop(run: Annotated[str, typer.Argument(help="Name of the run.")], folder: Dir = None) -> None:
    """Stop a run. It can go on later: start --resume RUN."""
    from server.commands import stop as end

    state = end(folder, run)
    out.print(
        f"{run} is {state}; to go on with it: wardround coordinator start --resume {run}", soft_wrap=True
    )


@app.command()
def runs(folder: Dir = None, as_json: AsJson = False) -> None:
    """List all runs."""
    from server.status_tables import as_json as to_json
    from server.status_tables import runs_table
    from server.watching import status as look

    now, up = look(folder, "")
    if as_json:
        del now.sites[:]
        print(to_json(now, up=up))  # noqa: T201 - for programs
        return
    _say_whether(up)
    out.print(runs_table(now))


@app.command()
def export(
    run: Annotated[str, typer.Argument(help="Name of the run.")],
    target: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    folder: Dir = None,
) -> None:
    """Copy a finished run's results.json, report.html and model/, or its statistics."""
    from server.commands import export as copy

    print(copy(folder, run, target))  # noqa: T201 - plain, so that a script can read it


app.command()(serve)


def _say(text: str) -> None:
    print(f"{datetime.now():%H:%M:%S} {text}", flush=True)  # noqa: T201 - local time, for a person


def _watch(folder: Path | None, run: str, *, as_json: bool) -> None:
    from rich.live import Live

    from server.commands import find
    from server.status_tables import as_json as to_json
    from server.status_tables import tables
    from server.watching import live

    stream = live(find(folder), run=run, follow=True)
    try:
        if as_json:
            for now in stream:
                print(to_json(now, up=True, one_line=True), flush=True)  # noqa: T201 - for programs
                if _over(now, run):
                    return
        else:
            with Live(console=out, auto_refresh=False) as shown:
                for now in stream:
                    shown.update(tables(now, run=run), refresh=True)
                    if _over(now, run):
                        return
    except KeyboardInterrupt:
        sys.exit(130)
    raise FederationError("the coordinator has stopped. Start it again: wardround coordinator up")


def _over(status: "object", run: str) -> bool:
    states = [r.state for r in getattr(status, "runs", ())]
    return bool(run) and bool(states) and states[0] in {"finished", "failed", "stopped"}


def _say_whether(up: bool) -> None:
    if not up:
        err.print(
            "no coordinator is up: this is what the store knows. Start it: wardround coordinator up",
            style="yellow",
            soft_wrap=True,
        )
