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
    if found.get("error_detection") is not None:
        for case in ("scans", "findings"):
            table.add_row(*_error_detection(case, found["error_detection"]))
    for reason, count in sorted(found["skipped"].items()):
        table.add_row(f"skipped: {reason}", str(count))
    return table


def cross_validation_table(found: Mapping[str, Any]) -> Table:
    """Every patient tested once, by models that had not seen them; one column a group of patients."""
    groups = found["groups"]
    title = f"{found['folds']} runs, each patient tested in one of them; 95 % intervals"
    table = Table(title=title)
    table.add_column("")
    for name in groups:
        table.add_column(name, justify="right")
    table.add_row("patients", *(str(group["patients"]) for group in groups.values()))
    table.add_row("urgent", *(str(group["urgent"]) for group in groups.values()))
    for name, figure in (("finding probability", "finding_probability"), ("priority", "priority")):
        table.add_row(f"AUROC of the {name}", *(_estimate(g["auroc"][figure]) for g in groups.values()))
    for figure in ("sensitivity", "specificity", "dice"):
        table.add_row(figure, *(_estimate(group[figure]) for group in groups.values()))
    for label, figure in (
        ("expected calibration error", "ece"),
        ("Brier", "brier"),
        ("log loss", "log_loss"),
    ):
        table.add_row(label, *(_number(group["reliability"][figure]) for group in groups.values()))
    return table


def _estimate(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "not defined"
    low, high = found["interval"]
    return f"{found['value']:.3f} ({low:.3f} to {high:.3f})"


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
        table.caption = None if calibration.map is None else f"calibration {calibration.map.why}"
        for name, figures in (
            ("finding probability", calibration.before),
            ("calibrated priority", calibration.after),
        ):
            table.add_row(
                name, str(figures.n), _number(figures.ece), _number(figures.brier), _number(figures.log_loss)
            )
    return table


def _error_detection(case: str, found: Mapping[str, Any]) -> tuple[str, str]:
    figures = found[case]
    wrong = f"{figures['errors']} of {figures['cases']} {case} wrong"
    bound = "" if figures["area"] is None else f" +/- {figures['area_bound']:.3f}"
    return f"error detection, area ({wrong})", _number(figures["area"]) + bound


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
