"""`wardround site`: everything a hospital types. Each command imports what it needs when it is run."""

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from client.account_cli import account_app
from client.audit_cli import audit_app
from client.predict_cli import predict
from client.printing import AsJson, SiteFile, out, print_json
from client.serve_cli import serve
from client.waiting_cli import waiting
from client.worklist_cli import worklist_app
from shared.errors import ConfigError

if TYPE_CHECKING:
    from client.preflight import Surroundings
    from client.site import Site
    from shared.study import Study

app = typer.Typer(
    help="Run a hospital's node: describe it, check it, join, decide what may leave, see what left.",
    no_args_is_help=True,
)
app.add_typer(account_app, name="account")
app.add_typer(audit_app, name="audit")
app.add_typer(worklist_app, name="worklist")
app.command()(predict)
app.command()(waiting)
app.command()(serve)

COLOURS = {"ok": "green", "warning": "yellow", "problem": "red", "not yet": "dim"}


@app.command()
def init(
    site_file: Annotated[
        Path, typer.Argument(metavar="[SITE]", help="Where to write it. Default: site.yaml.")
    ] = Path("site.yaml"),
    name: Annotated[str | None, typer.Option(help="The site's name, such as hospital-a.")] = None,
    data: Annotated[str | None, typer.Option(help="Folder with the scans.")] = None,
    patients: Annotated[str | None, typer.Option(help="CSV of patients, history and outcomes.")] = None,
    work: Annotated[str | None, typer.Option(help="Folder for cache, logs and worklist.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a commented site.yaml."""
    from client.site_file import write_site_file

    given = {"name": name, "data": data, "patients": patients, "work": work}
    write_site_file(
        site_file, force=force, **{key: value for key, value in given.items() if value is not None}
    )
    out.print(
        f"{site_file} is written. Read it, then: wardround site check {site_file}",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def check(
    site_file: SiteFile,
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]",
            help="Its name, digest or YAML file: then every case is read and prepared as it wants.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say line by line, with a cure, whether this machine is ready to be a node, and its data for a study."""
    from client.preflight import as_json as values_of
    from client.preflight import exit_code, preflight

    wanted = None if study is None else lambda site: _study_called(site, study)
    lines = []
    for line in preflight(site_file, _surroundings(), wanted, _counted_on_stderr()):
        lines.append(line)
        if not as_json:
            out.print(f"[{COLOURS[line.state]}]{line.state:8}[/] [bold]{line.name}[/]: ", end="")
            out.print(line.finding, markup=False, highlight=False, soft_wrap=True)
            if line.cure and line.state != "ok":
                out.print(f"         {line.cure}", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        print_json(values_of(lines))
    raise typer.Exit(exit_code(lines))


@app.command()
def explain(
    site_file: SiteFile,
    study_file: Annotated[
        Path | None,
        typer.Argument(metavar="[STUDY]", help="The study's YAML. Default: all that are asked about."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say in plain words what would leave this hospital under a study, and how it is guarded."""
    from client.asked import studies_asked
    from client.explain import explain as explained
    from client.site import Site
    from shared.study import Study

    site = Site.read(site_file)
    approvals = _approvals(site)
    if study_file is not None:
        studies = [Study.load(study_file)]
    else:
        studies = studies_asked(site, site_file, tell=lambda text: typer.echo(text, err=True))
    found = [explained(site, study, approved=approvals.approved(study.digest())) for study in studies]
    if as_json:
        print_json([one.as_json() for one in found])
    else:
        print("\n\n".join(one.text() for one in found), end="")  # noqa: T201 - to be printed and signed


@app.command()
def approve(
    site_file: SiteFile,
    study: Annotated[
        str | None,
        typer.Argument(metavar="[STUDY]", help="Its name, digest or YAML file. Default: list what waits."),
    ] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take an approval back.")] = False,
    refuse: Annotated[bool, typer.Option("--refuse", help="Say no: the study waits no longer.")] = False,
) -> None:
    """Allow a study to train here or refuse it, or list those that wait and those that are allowed."""
    from client.site import Site

    site = Site.read(site_file)
    approvals = _approvals(site)
    if withdraw and refuse:
        raise ConfigError("give --withdraw for a study that is approved, or --refuse for one that waits.")
    if study is None:
        if withdraw or refuse:
            raise ConfigError(f"--{'withdraw' if withdraw else 'refuse'} needs the study's name or digest.")
        _list_approvals(site)
    elif withdraw:
        digest = _approved_digest(site, study)
        approvals.withdraw(digest)
        out.print(f"withdrawn: {digest}", highlight=False, soft_wrap=True)
    else:
        found = _study_called(site, study)
        (approvals.refuse if refuse else approvals.approve)(found)
        done = "refused" if refuse else "approved"
        out.print(f"{done}: {found.name} {found.digest()}", highlight=False, soft_wrap=True)


@app.command()
def enrol(
    site_file: SiteFile,
    invite: Annotated[
        str, typer.Option(help="The line that the coordinator gave you; - reads it from the input.")
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Enrol an enrolled site anew, with a new key.")
    ] = False,
) -> None:
    """Join a federation: make the key here, check the coordinator against the invite, become a member."""
    from client.enrolment import enrol as join
    from client.site import Site

    enrolment = join(Site.read(site_file), sys.stdin.read() if invite == "-" else invite, replace=replace)
    out.print(
        f"{enrolment.site} is enrolled with {enrolment.control}; its key is {enrolment.private_key}",
        soft_wrap=True,
    )
    out.print(f"next: wardround site check {site_file}, then wardround site run {site_file}", soft_wrap=True)


@app.command()
def run(site_file: SiteFile) -> None:
    """Run the node until it is stopped: connect, answer what the policy allows, come back after a break."""
    from client.supervisor import Supervisor

    Supervisor.of(site_file, _say).run()


def _say(text: str) -> None:
    print(f"{datetime.now():%H:%M:%S} {text}", flush=True)  # noqa: T201 - local time, for a person


def _counted_on_stderr() -> Callable[[int, int], None]:
    """Show how many cases are done, where somebody is looking."""

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            end = "\n" if done == total else ""
            print(f"\r{done} of {total} cases", end=end, file=sys.stderr, flush=True)  # noqa: T201 - for a person

    return show


def _surroundings() -> "Surroundings":
    from client.control import reach
    from client.membership import Enrolment
    from client.preflight import Surroundings
    from shared.bundle import bundle_digest

    return Surroundings(membership=Enrolment.load, reach=reach, bundle=bundle_digest)  # type: ignore[arg-type]


def _approvals(site: "Site") -> Any:
    from client.approvals import Approvals
    from client.audit import Audit

    return Approvals(site.work, Audit(site.work / "audit.jsonl"))


def _study_called(site: "Site", wanted: str) -> "Study":
    from shared.study import Study

    if wanted.endswith((".yaml", ".yml")):
        return Study.load(Path(wanted))
    found: Study = _approvals(site).find(wanted)
    return found


def _approved_digest(site: "Site", wanted: str) -> str:
    approved = [d for d in _approvals(site).decisions().values() if d.approved]
    found = [
        d.study for d in approved if d.name == wanted or (len(wanted) >= 8 and d.study.startswith(wanted))
    ]
    if len(found) != 1:
        known = ", ".join(f"{d.name} ({d.study[:12]})" for d in approved) or "none"
        raise ConfigError(f"{len(found)} approved studies are called {wanted!r}; approved: {known}.")
    return str(found[0])


def _list_approvals(site: "Site") -> None:
    approvals = _approvals(site)
    table = Table("study", "digest", "state", "since")
    for one in approvals.pending():
        table.add_row(one.study.name, one.study.digest(), "waits", one.asked)
    for decision in approvals.decisions().values():
        table.add_row(decision.name, decision.study, f"{decision.word} by {decision.by}", decision.time)
    out.print(table)
