"""The status as tables for a terminal, and as JSON for programs."""

import json
from datetime import UTC, datetime

from google.protobuf.json_format import MessageToDict
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shared.control import control_pb2 as pb

COLOURS = {
    "used": "green",
    "finished": "green",
    "running": "cyan",
    "awaited": "cyan",
    "late": "yellow",
    "approval": "yellow",
    "failed": "red",
    "refused": "red",
}


def as_json(status: pb.Status, *, up: bool, one_line: bool = False) -> str:
    """Write the status as JSON; `up` says whether a coordinator that is up gave it."""
    values = MessageToDict(
        status, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return json.dumps({"up": up, **values}, indent=None if one_line else 1)


def tables(status: pb.Status, *, run: str = "") -> RenderableType:
    """Show the sites, the runs, and the sites of `run` or of every run that is under way."""
    parts: list[RenderableType] = [sites_table(status), runs_table(status)]
    parts += [
        _run_sites(r) for r in status.runs if r.sites and (r.id == run or r.state in {"running", "stopping"})
    ]
    return Group(*parts)


def sites_table(status: pb.Status) -> Table:
    """Show who is a member and who is there."""
    table = Table(title="Sites", title_justify="left")
    for heading in ("site", "online", "problem", "last greeting", "version"):
        table.add_column(heading, overflow="fold")
    for site in status.sites:
        there = "revoked" if site.revoked else "yes" if site.online else "no"
        style = "red" if site.revoked else "green" if site.online else "yellow"
        table.add_row(
            Text(site.name),
            Text(there, style),
            Text(site.problem, "red"),
            _time(site.last_seen),
            Text(site.version),
        )
    return table


def runs_table(status: pb.Status) -> Table:
    """Show each run, where it is and whom it waits for."""
    table = Table(title="Runs", title_justify="left")
    for heading in ("run", "state", "phase", "round", "awaited", "reason"):
        table.add_column(heading, overflow="fold")
    for run in status.runs:
        rounds = f"{run.round}/{run.rounds}" if run.rounds else ""
        awaited = ", ".join(run.awaited) if run.state == "running" else ""
        table.add_row(
            Text(run.id), _coloured(run.state), Text(run.phase), rounds, Text(awaited), Text(run.reason)
        )
    return table


def _run_sites(run: pb.RunStatus) -> Table:
    table = Table(title=run.id, title_justify="left")
    for heading in ("site", "answer", "reason"):
        table.add_column(heading, overflow="fold")
    for heading in ("patients", "seconds", "MB received", "MB sent"):
        table.add_column(heading, justify="right")
    for site in run.sites:
        table.add_row(
            Text(site.name),
            _coloured(site.state),
            Text(site.reason),
            str(site.patients),
            f"{site.seconds:.1f}",
            f"{site.bytes_up / 1e6:.1f}",
            f"{site.bytes_down / 1e6:.1f}",
        )
    counts = [f"{sum(s.state == state for s in run.sites)} {state}" for state in COLOURS]
    table.caption = ", ".join(text for text in counts if not text.startswith("0 "))
    return table


def _coloured(state: str) -> Text:
    return Text(state, COLOURS.get(state, ""))


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC" if seconds else "never"
