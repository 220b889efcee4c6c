"""The figures of a run as tables for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from server.results import Pooled, Results


def summary_table(results: Results) -> Iterator[Table]:
    """Federated against alone and pooled, by Dice and, where it is defined, by Az; then calibration."""
    evaluation = results.evaluation
    models: dict[str, Pooled] = {}
    if evaluation.federated is not None:
        models["federated"] = evaluation.federated
    if evaluation.pooled_training is not None:
        models["all scans pooled"] = evaluation.pooled_training
    models |= {f"{name} alone": model for name, model in evaluation.local_only.items()}
    name = results.study["name"]
    if models:
        yield _models(f"{name}: mean Dice on test patients", models, list(results.sites), "dice")
    if any(model.pooled.az is not None for model in models.values()):
        yield _models(f"{name}: Az on labelled points of test patients", models, list(results.sites), "az")
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
    if figures["az"] is not None:
        table.add_row("Az on labelled points", _number(figures["az"]))
    if found["calibration"] is not None:
        table.add_row("expected calibration error", _number(found["calibration"]["ece"]))
    for reason, count in sorted(found["skipped"].items()):
        table.add_row(f"skipped: {reason}", str(count))
    return table


def _models(title: str, models: Mapping[str, Pooled], sites: Sequence[str], figure: str) -> Table:
    """One row a model, one column a site."""
    table = Table(title=title)
    table.add_column("model")
    for site in ("all sites", *sites):
        table.add_column(site, justify="right")
    for name, model in models.items():
        cells = [model.pooled, *(model.sites.get(site) for site in sites)]
        shown = ("-" if found is None else _number(getattr(found, figure)) for found in cells)
        table.add_row(name, *shown, style="bold" if name == "federated" else None)
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


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
