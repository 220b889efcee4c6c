"""`wardround site waiting`: what the order saves. It imports what it needs when it is run."""

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from client.printing import AsJson, SiteFile, out, print_json

if TYPE_CHECKING:
    from client.site import Site
    from client.waiting import Analysis, Recorded


def waiting(
    site_file: SiteFile,
    readers: Annotated[int | None, typer.Option(min=1, help="Radiologists who read at once.")] = None,
    read_minutes: Annotated[float | None, typer.Option(help="Mean minutes that a reading takes.")] = None,
    load: Annotated[
        float | None, typer.Option(help="Share of their time that readers read; below 1.")
    ] = None,
    prevalence: Annotated[float | None, typer.Option(help="Share of patients who are urgent.")] = None,
    sensitivity: Annotated[
        float | None, typer.Option(help="Share of urgent patients who come first; with --specificity.")
    ] = None,
    specificity: Annotated[
        float | None, typer.Option(help="Share of the others who do not; two tiers, not the site's own.")
    ] = None,
    emergency_share: Annotated[
        float, typer.Option(help="Share of scans that nobody ranks and that interrupt every reading.")
    ] = 0.0,
    emergency_minutes: Annotated[float, typer.Option(help="Mean minutes that such a scan takes.")] = 5.0,
    interrupting: Annotated[
        bool, typer.Option("--interrupting", help="A scan of a higher tier interrupts a reading.")
    ] = False,
    hours: Annotated[
        str | None,
        typer.Option(help="When scans are read, such as 'mon-fri 8-18, sat 9-13'. Default: always."),
    ] = None,
    longest_wait: Annotated[
        float | None,
        typer.Option(metavar="HOURS", help="Hours in a tier after which a scan moves up by one."),
    ] = None,
    arrivals: Annotated[
        str | None,
        typer.Option(help="random, week (this site's rate by hour of the week) or days (its days)."),
    ] = None,
    scatter: Annotated[
        str | None, typer.Option(help="Of reading times: exponential, lognormal or own (as seen here).")
    ] = None,
    scans: Annotated[int, typer.Option(help="How many scans are simulated.")] = 200_000,
    seed: Annotated[int, typer.Option(help="Another seed draws other scans.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Say how long urgent, other and missed patients wait: first come first served, and by tier."""
    from client.site import Site
    from client.waiting import Options, analyse

    options = Options.parse(
        {
            "readers": readers,
            "read_minutes": read_minutes,
            "utilisation": load,
            "prevalence": prevalence,
            "sensitivity": sensitivity,
            "specificity": specificity,
            "emergency_share": emergency_share,
            "emergency_minutes": emergency_minutes,
            "interrupting": interrupting,
            "hours": hours,
            "longest_wait_h": longest_wait,
            "arrivals": arrivals,
            "scatter": scatter,
            "scans": scans,
            "seed": seed,
        },
        "the command line",
    )
    found = analyse(options, _recorded(Site.read(site_file)))
    if as_json:
        print_json(found.as_json())
    else:
        _show(found)


def _recorded(site: "Site") -> "Recorded":
    """Take what the site's files tell; outcomes only of patients that the model has not seen."""
    import pandas as pd

    from client.waiting import Recorded, own_times
    from client.worklist import Worklist

    with closing(Worklist.open(site)) as worklist:
        arrivals, readings = own_times(worklist.arrivals())
    longest = site.worklist.longest_wait_h.model_dump()
    path = site.work / "predictions.csv"
    judged = None
    if path.is_file():
        rows = pd.read_csv(path)
        judged = rows[(rows["split"] == "test") & rows["urgent"].notna() & rows["probability"].notna()]
    return Recorded(predictions=judged, arrivals=arrivals, readings=readings, longest_wait_h=longest)


def _show(found: "Analysis") -> None:
    table = Table("assumed", "", "from", title="What this rests on", title_justify="left")
    for one in found.assumptions:
        table.add_row(one.name, one.value, one.source)
    out.print(table)
    _show_waits(found)
    for line in _notes(found):
        out.print(line, highlight=False, soft_wrap=True)


def _notes(found: "Analysis") -> Iterator[str]:
    yield "± is the 95 % interval of the simulated mean. A wait excludes the reading itself."
    if any("missed" in groups for groups in found.waits.values()):
        yield "Missed: urgent patients in the lowest tier; without an order they wait as all do."
    else:
        yield "No urgent patient is in the lowest tier: none is missed."
    if found.no_formula:
        yield f"No formula: {found.no_formula}."
    if found.point is not None and found.threshold is not None:
        yield (
            f"By formula, with two tiers, a threshold of {found.threshold:.2f} would save the urgent most: "
            f"{found.point.diseased:.1f} minutes (sensitivity {found.point.sensitivity:.2f}, specificity "
            f"{found.point.specificity:.2f}); the others wait {found.point.others:.1f} minutes longer."
        )


def _show_waits(found: "Analysis") -> None:
    names = {"diseased": "urgent", "others": "other", "missed": "missed"}
    table = Table("order", "patients", title="Waits in minutes", title_justify="left")
    for column in ("mean", "by formula", "95 % wait less than", "longest"):
        table.add_column(column, justify="right")
    for policy, groups in found.waits.items():
        for group, summary in groups.items():
            formula = found.formula.get(policy)
            table.add_row(
                policy if group == "diseased" else "",
                names[group],
                f"{summary.mean:.1f} ± {summary.half_width:.1f}",
                "–" if formula is None else f"{getattr(formula, group):.1f}",
                f"{summary.percentile_95:.0f}",
                f"{summary.maximum:.0f}",
                end_section=group == list(groups)[-1],
            )
    out.print(table)
