"""The tables a terminal shows say what results.json says."""

import io

from rich.console import Console
from rich.table import Table

from server.results import Results
from server.summary import evaluation_table, summary_table
from shared.metrics import finish_segmentation, segmentation_sums
from tests.server.fake_sites import scan
from tests.server.sample_results import minimal_results, results_on_points, rich_results


def text(table: Table) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_federated_model_stands_beside_every_baseline_and_every_site() -> None:
    results = rich_results()
    models, calibration = (text(table) for table in summary_table(results))
    federated = results.evaluation.federated
    assert federated is not None
    assert f"{federated.pooled.dice:.3f}" in models
    for site in results.sites:
        assert f"{site} alone" in models
        assert f"{federated.sites[site].dice:.3f}" in models
    assert "all scans pooled" in models
    assert results.calibration is not None
    assert "calibration platt: held-out log loss 0.4012" in calibration
    for figures in (results.calibration.before, results.calibration.after):
        assert f"{figures.ece:.3f}" in calibration


def test_where_points_are_the_truth_az_has_a_table_of_its_own() -> None:
    results = results_on_points()
    dice, az = (text(table) for table in summary_table(results))
    assert "mean Dice on test patients" in dice
    assert "Az on labelled points of test patients" in az
    row = next(line for line in az.splitlines() if "federated" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "federated",
        "0.800",
        "1.000",
        "not defined",
    ]
    assert len(list(summary_table(rich_results()))) == 2  # Dice and calibration, as ever
    shown = evaluation_of(results)
    assert "Az on labelled points" in shown
    assert "Az" not in evaluation_of(rich_results())


def evaluation_of(results: Results) -> str:
    assert results.evaluation.federated is not None
    figures = results.evaluation.federated.pooled.model_dump()
    return text(
        evaluation_table({"segmentation": figures, "calibration": None, "skipped": {}, "split": "test"})
    )


def test_a_run_without_figures_has_no_table() -> None:
    results = minimal_results()
    bare = results.model_copy(
        update={
            "evaluation": type(results.evaluation)(),
            "calibration": None,
        }
    )
    assert list(summary_table(bare)) == []


def test_an_undefined_figure_is_called_so_and_never_zero() -> None:
    clear = finish_segmentation(
        segmentation_sums([scan(overlap=0, truth=0, called=False, score=0.1)], bins=10), ["tumour"]
    )
    shown = text(
        evaluation_table(
            {"segmentation": clear, "calibration": None, "skipped": {"unreadable": 3}, "split": "test"}
        )
    )
    assert "1 scans (split: test)" in shown
    lines = {
        line.split("│")[1].strip(): line.split("│")[2].strip() for line in shown.splitlines() if "│" in line
    }
    assert lines["sensitivity"] == lines["auroc"] == "not defined"
    assert lines["specificity"] == "1.000"
    assert lines["skipped: unreadable"] == "3"


def test_how_well_uncertainty_ranks_errors_is_told_with_counts_and_bound_where_it_was_asked_for() -> None:
    federated = rich_results().evaluation.federated
    assert federated is not None
    found = {
        "segmentation": federated.pooled.model_dump(),
        "calibration": None,
        "skipped": {},
        "split": "all",
    }
    assert "error detection" not in text(evaluation_table({**found, "error_detection": None}))
    detection = {
        "networks": 1,
        "flips": ["x"],
        "acceptable_dice": 0.7,
        "scans": {"cases": 60, "errors": 19, "area": 0.9224, "area_bound": 0.0046},
        "findings": {"cases": 47, "errors": 0, "area": None, "area_bound": None},
    }
    shown = text(evaluation_table({**found, "error_detection": detection}))
    lines = [line.strip("│").split("│") for line in shown.splitlines() if "error detection" in line]
    assert [[cell.strip() for cell in line] for line in lines] == [
        ["error detection, area (19 of 60 scans wrong)", "0.922 +/- 0.005"],
        ["error detection, area (0 of 47 findings wrong)", "not defined"],
    ]
