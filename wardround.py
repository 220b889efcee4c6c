"""Wardround's front door: one command; each role is imported when it is asked for."""

import os

# Set before Flower is imported anywhere: nothing about a run is reported to anybody.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")

import json
import logging
import sys
import warnings
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from client.cli import app as site_app
from client.data_cli import app as data_app
from client.printing import Quiet, err, out, progress_bars
from server.cli import app as coordinator_app
from shared import __version__
from shared.errors import ConfigError, WardroundError

if TYPE_CHECKING:
    from simulations.cross_validation import CrossValidation
    from simulations.simulate import Simulation

app = typer.Typer(
    name="wardround",
    help="Train one tumour-segmentation U-Net across hospitals that never share a scan, and get a "
    "calibrated, explained reading order.\n\nResearch use, not a medical device.\n\n"
    "Exit codes: 0 done; 2 a file or option is wrong; 3 the data cannot be used; 4 a site's policy refuses; "
    "5 the federation cannot go on; 1 anything else.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")
app.add_typer(site_app, name="site")
app.add_typer(coordinator_app, name="coordinator")


class EngineName(StrEnum):
    """Ways to run many sites on one machine."""

    inline = "inline"
    ray = "ray"
    deploy = "deploy"


class SplitName(StrEnum):
    """Parts of a data set by the study's own hash."""

    all = "all"
    train = "train"
    validation = "validation"
    test = "test"


@app.command()
def simulate(
    scenario: Annotated[Path, typer.Argument(help="Scenario YAML, such as simulations/quickstart.yaml.")],
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="Folder of this run. Default: runs/<study name>.")
    ] = None,
    engine: Annotated[
        EngineName,
        typer.Option(
            help="inline: in this process. ray: Flower's simulation. deploy: real processes, as installed."
        ),
    ] = EngineName.inline,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in --out.")
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a scenario key: --set study.training.rounds=3. Repeatable."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of real scans, for scenarios that need one.")
    ] = None,
    statistics: Annotated[
        bool,
        typer.Option("--statistics", help="Train nothing: sum what a study's window and sizes are set by."),
    ] = False,
    folds: Annotated[
        int, typer.Option(min=1, help="Cross-validate: as many whole runs, each patient tested in one.")
    ] = 1,
    quiet: Quiet = False,
) -> None:
    """Run a whole federated study on this machine: sites, rounds, calibration, baselines, report."""
    from server.summary import summary_table
    from simulations.cross_validation import CrossValidation
    from simulations.scenario import Scenario
    from simulations.simulate import Simulation, quiet_libraries

    quiet_libraries()
    read = Scenario.read(scenario, tuple(settings or ()))
    folder = out_dir or Path("runs") / read.study.name
    simulation = Simulation(read, folder, engine.value, data)
    if statistics:
        if resume:
            raise ConfigError("--statistics asks anew and trains nothing: leave out --resume.")
        _describe(simulation, quiet)
        return
    if folds > 1:
        _cross_validate(CrossValidation(read, folder, folds, engine.value, data), resume, quiet)
        return
    with progress_bars(quiet) as progress:
        results = simulation.run(resume=resume, progress=progress)
    if not quiet:
        for table in summary_table(results):
            out.print(table)
        out.print(f"{results.seconds:.0f} s in the federation. Figures: {folder / 'results.json'}")
    print(folder / "report.html", flush=True)  # noqa: T201 - plain, so that a script can read the last line
    if read.worklist_scans and not quiet:
        site_file = folder / "sites" / read.names[0] / "site.yaml"
        program = sys.argv[0] if Path(sys.argv[0]).name == "wardround" else "wardround"
        what = f"{read.names[0]}'s pages: {program} site serve {site_file}"
        err.print(what, markup=False, highlight=False, soft_wrap=True)


def _cross_validate(runs: "CrossValidation", resume: bool, quiet: bool) -> None:
    from server.summary import cross_validation_table

    with progress_bars(quiet) as progress:
        found = runs.run(resume=resume, progress=progress)
    if not quiet:
        out.print(cross_validation_table(found))
    print(runs.out / "cross_validation.json")  # noqa: T201 - as after a whole run


def _describe(simulation: "Simulation", quiet: bool) -> None:
    from server.statistics_file import PAGE
    from server.statistics_page import statistics_tables

    with progress_bars(quiet) as progress:
        found = simulation.describe(progress=progress)
    if not quiet:
        for table in statistics_tables(found):
            out.print(table)
    print(simulation.out / PAGE)  # noqa: T201 - as after a whole run


@data_app.command()
def phantoms(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write hospital-a, hospital-b, ...")],
    sites: Annotated[int, typer.Option(min=1, help="Hospitals.")] = 4,
    patients: Annotated[int, typer.Option(min=1, help="Patients per hospital.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal files.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that draw.")] = 2,
    quiet: Quiet = False,
) -> None:
    """Draw synthetic hospitals: NIfTI scans, labels, histories, and outcomes of known probability."""
    from simulations.phantoms import write_dataset

    total = sites * patients
    with progress_bars(quiet) as progress:
        written = write_dataset(
            folder,
            sites=sites,
            patients_per_site=patients,
            seed=seed,
            workers=workers,
            progress=lambda done: progress("drawing phantoms", done, total),
        )
    if not quiet:
        for site in written:
            out.print(f"{site}: {patients} patients")


@app.command()
def evaluate(
    model_dir: Annotated[Path, typer.Argument(help="The model/ folder of a finished run.")],
    data_dir: Annotated[Path, typer.Argument(help="Labelled scans in any layout.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
    split: Annotated[
        SplitName, typer.Option(help="Only the cases that the study's hash puts into this split.")
    ] = SplitName.all,
    layout: Annotated[str | None, typer.Option(help="Data set layout. Default: recognised.")] = None,
    patients: Annotated[
        Path | None, typer.Option(help="Patients table. Default: DATA_DIR/patients.csv.")
    ] = None,
    uncertainty: Annotated[
        bool,
        typer.Option("--uncertainty", help="Read each scan mirrored too: does uncertainty rank errors?"),
    ] = False,
    ensemble: Annotated[
        list[Path] | None,
        typer.Option(help="Another model/ folder or round-NNNN.safetensors to read with. Repeatable."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Judge an exported model on labelled scans: Dice, sensitivity, specificity, AUROC, calibration."""
    from client.evaluate import evaluate_folder
    from server.summary import evaluation_table
    from shared.ensemble import members
    from shared.model import TrainedModel

    model = TrainedModel.load(model_dir)
    with progress_bars(quiet or as_json) as progress:
        found = evaluate_folder(
            model,
            data_dir,
            split=split.value,
            layout=layout,
            patients_csv=patients,
            uncertainty=uncertainty,
            others=members(model, ensemble or ()),
            progress=progress,
        )
    if as_json:
        print(json.dumps(found.as_json(), indent=1))  # noqa: T201 - for programs
    else:
        out.print(evaluation_table(found.as_json()))


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)  # noqa: T201


def main() -> None:
    """Run the command line; every deliberate error becomes one message and an exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    warnings.simplefilter("ignore")  # a user cannot act on a library's deprecation
    try:
        app()
    except WardroundError as error:
        text, a_log = f"wardround: {error}", not err.is_terminal  # a log's lines are not broken
        err.print(text, style="red", markup=False, highlight=False, soft_wrap=a_log)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
