"""The figures of a run as tables for a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from server.results import Pooled, Results
from server.scores import SegmentationFigures


def summary_table(results: Results) -> Iterator[Table]:
    """Federated against alone and pooled, then calibration."""
    evaluation = results.evaluation
    models: dict[str, Pooled] = {}
    if evaluation.federated is not None:
        models["federated"] = evaluation.federated
    if evaluation.pooled_training is not None:
        models["all scans pooled"] = evaluation.pooled_training
    models |= {f"{name} alone": model for name, model in evaluation.local_only.items()}
    table = Table(title=f"{results.study['name']}: mean Dice on test patients")
    table.add_column("model")
    for site in ("all sites", *results.sites):
        table.add_column(site, justify="right")
    for name, model in models.items():
        cells = [model.pooled, *(model.sites.get(site) for site in results.sites)]
        table.add_row(
            name, *(_dice(figures) for figures in cells), style="bold" if name == "federated" else None
        )
    if models:
        yield table
    if results.calibration is not None:
        yield _calibration(results)


def evaluation_table(found: Mapping[str, Any]) -> Table:
    """One model on one folder."""
    figures = found["segmentation"]
    table = Table(title=f"{figures['scans']} scans (split: {found['split']})", show_header=False)
    table.add_row("Dice, mean over scans and classes", _number(figures["dice"]))
    for name, value in figures["dice_by_class"].items():
        table.add_row(f"  {name}", _number(value))
    for key in ("dice_on_positive", "sensitivity", "specificity", "auroc"):
        table.add_row(key.replace("_", " "), _number(figures[key]))
    if found["calibration"] is not None:
        table.add_row("expected calibration error", _number(found["calibration"]["ece"]))
    for reason, count in sorted(found["skipped"].items()):
        table.add_row(f"skipped: {reason}", str(count))
    return table


def _calibration(results: Results) -> Table:
    calibration = results.calibration
    table = Table(title="Probability that a scan is urgent, on test patients")
    for heading in ("", "n", "ECE", "Brier", "log loss"):
        table.add_column(heading, justify="left" if not heading else "right")
    if calibration is not None:
        for name, figures in (
            ("finding probability", calibration.before),
            ("calibrated priority", calibration.after),
        ):
            table.add_row(
                name, str(figures.n), _number(figures.ece), _number(figures.brier), _number(figures.log_loss)
            )
    return table


def _dice(figures: SegmentationFigures | None) -> str:
    return "-" if figures is None else _number(figures.dice)


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
