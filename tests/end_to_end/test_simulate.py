"""`wardround simulate` as a user starts it: everything that the design promises is there."""

import csv
import json
import math
import shutil
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from client.audit import Audit
from client.result import Result
from client.site import Site
from client.worklist import Worklist
from server.results import SCHEMA_FILE
from shared.calibration import logistic_sums_many
from shared.folds import folds_of
from shared.model import TrainedModel, digest
from shared.priority import coefficient_names, design_matrix
from shared.shrinkage import fit_shrunk, intercept_at, with_deviation_names, with_deviations
from shared.study import Study
from simulations.reading_room import read_scans
from tests.end_to_end.conftest import TINY, FinishedRun, Forked, command

SITES = ["east", "north", "south", "west"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_results_json_keeps_its_schema(finished: FinishedRun) -> None:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    written = json.loads((finished.out / "results.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(written)
    assert sorted(written["sites"]) == SITES
    assert [entry["round"] for entry in written["rounds"]] == [1, 2, 3]
    assert {s["status"] for entry in written["rounds"] for s in entry["sites"].values()} == {"used"}
    assert written["events"] == []
    assert all(entry["validation"] is not None for entry in written["rounds"])


def test_the_last_line_printed_is_the_report_and_it_loads_nothing(finished: FinishedRun) -> None:
    report = Path(finished.ended.stdout.splitlines()[-1])
    assert report == finished.out / "report.html"
    text = report.read_text(encoding="utf-8")
    assert "http://" not in text.replace("http://www.w3.org/", "")  # an SVG namespace is not loaded
    assert "https://" not in text
    assert all(site in text for site in SITES)
    assert "mean Dice on test patients" in finished.ended.stdout


def test_every_site_has_a_reading_order_whose_reasons_add_up(finished: FinishedRun) -> None:
    for site in SITES:
        folder = finished.out / "sites" / site
        worklist = rows(folder / "worklist.csv")
        probabilities = [float(row["probability"]) for row in worklist]
        assert probabilities == sorted(probabilities, reverse=True)
        predictions = {row["case"]: row for row in rows(folder / "predictions.csv")}
        assert len(worklist) == finished.results.sites[site].patients.test
        for row in worklist:
            assert predictions[row["case"]]["split"] == "test"
            because = (float(v) for k, v in row.items() if k.startswith("because_"))
            terms = [float(row["intercept"]), float(row["calibration"]), *because]
            assert 1 / (1 + math.exp(-math.fsum(terms))) == pytest.approx(float(row["probability"]), abs=1e-6)


def test_every_sites_audit_log_is_whole(finished: FinishedRun) -> None:
    for site in SITES:
        path = finished.out / "sites" / site / "audit.jsonl"
        assert Audit(path).verify() > 3
        kinds = [json.loads(line).get("kind") for line in path.read_text().splitlines()]
        assert kinds.count("update") == 3
        assert kinds.count("finished") == 1


def test_a_site_reads_test_scans_onto_its_worklist_for_its_pages(
    finished: FinishedRun, tmp_path: Path
) -> None:
    shutil.copytree(finished.out / "sites", tmp_path / "sites")
    sites = {name: tmp_path / "sites" / name / "site.yaml" for name in SITES[:2]}
    now, said = datetime(2026, 3, 4, 17, tzinfo=UTC), list[tuple[str, int, int]]()
    for _ in range(2):  # the second time nothing is read or listed again
        listed = read_scans(sites, 3, seed=7, now=now, progress=lambda *step: said.append(step))
        assert listed == dict.fromkeys(sites, 3)
    assert said[-1] == ("reading scans", 6, 6)
    for name, site_file in sites.items():
        tested = {
            r["case"] for r in rows(finished.out / "sites" / name / "predictions.csv") if r["split"] == "test"
        }
        with closing(Worklist.open(Site.read(site_file))) as worklist:
            kept = worklist.rows()
        assert len(kept) == 3 < len(tested)
        assert {scan.case for scan in kept} < tested
        assert len({scan.arrived for scan in kept}) == 3
        assert all(now - timedelta(hours=8) <= scan.arrived <= now for scan in kept)
        for scan in kept:
            assert scan.result is not None
            result = Result.read(Path(scan.result))
            assert result.priority is not None
            assert {"mask", "probability", "page"} <= set(result.files)
            assert all((Path(scan.result).parent / file).is_file() for file in result.files.values())


def test_sites_and_coordinator_hold_the_same_model(finished: FinishedRun) -> None:
    model = TrainedModel.load(finished.out / "model")
    assert model.priority is not None
    for site in SITES:
        own = TrainedModel.load(finished.out / "sites" / site / "model")
        assert digest(own.weights) == digest(model.weights)
        assert own.priority == model.priority.at_site(site)
        assert own.priority != model.priority


@pytest.mark.parametrize("site", SITES)
def test_evaluate_gives_exactly_that_sites_figures_again(
    site: str, finished: FinishedRun, forked: Forked
) -> None:
    (data,) = (finished.out / "data").glob(f"{site}-*")
    arguments = ("evaluate", finished.out / "model", data, "--split", "test", "--json")
    ended = command(*arguments) if site == "north" else forked(*arguments)
    assert ended.code == 0, ended.stderr
    found = json.loads(ended.stdout)
    federated = finished.results.evaluation.federated
    assert federated is not None
    assert found["segmentation"] == federated.sites[site].model_dump(mode="json")


def test_evaluate_says_how_well_uncertainty_ranks_errors_with_rounds_as_an_ensemble(
    finished: FinishedRun, forked: Forked
) -> None:
    (data,) = (finished.out / "data").glob("north-*")
    rounds = sorted((finished.out / "checkpoints").iterdir())
    ended = forked(
        "evaluate", finished.out / "model", data, "--uncertainty", "--ensemble", rounds[0], "--json"
    )
    assert ended.code == 0, ended.stderr
    found = json.loads(ended.stdout)
    detection = found["error_detection"]
    assert (detection["flips"], detection["networks"]) == (["x", "y", "z"], 2)
    assert detection["scans"]["cases"] == found["segmentation"]["scans"] == 40
    damaged = forked("evaluate", finished.out / "model", data, "--ensemble", data)
    assert damaged.code == 2
    assert "no network of this model's shape" in damaged.stderr


def test_nothing_that_leaves_a_site_names_a_case(finished: FinishedRun) -> None:
    for path in [finished.out / "results.json", *(finished.out / "checkpoints").iterdir()]:
        assert b"phantom_" not in path.read_bytes()
        assert b"patient_0" not in path.read_bytes()


def test_baselines_are_judged_beside_the_federated_model(prepared: Path, forked: Forked) -> None:
    ended = forked(
        "simulate", TINY, "--out", prepared, "--quiet", "--set", "baselines=[local_only, pooled_training]"
    )
    assert ended.code == 0, ended.stderr
    evaluation = FinishedRun(prepared, ended).results.evaluation
    assert sorted(evaluation.local_only) == SITES
    assert evaluation.pooled_training is not None
    assert sorted(evaluation.pooled_training.sites) == SITES
    assert evaluation.federated is not None
    for site, model in evaluation.local_only.items():
        assert model.own == model.sites[site]
        assert model.own.scans == evaluation.federated.sites[site].scans


def test_the_priority_is_what_the_rows_of_all_sites_give_in_one_place(finished: FinishedRun) -> None:
    """A witness: the same mathematics on rows that no coordinator ever sees together."""
    study = Study.load(finished.out / "study.yaml")
    assert study.priority is not None
    terms, folds = study.priority.terms, study.priority.folds
    designs, outcomes, fold = [], [], []
    for site in SITES:
        (kept,) = (finished.out / "sites" / site / "studies").glob("*.scans.json")
        scans = [row for row in json.loads(kept.read_text()) if row["split"] == "validation"]
        scans = [row for row in scans if row["outcome"] is not None]
        designs.append(design_matrix(terms, [row["features"] for row in scans]))
        outcomes.append(np.array([row["outcome"] for row in scans]))
        salt = f"{study.evaluation.split_salt}\0{study.seed}"
        fold.append(folds_of([row["patient"] for row in scans], folds=folds, salt=salt, minimum_patients=2))
    number = np.repeat(np.arange(len(SITES)), [len(rows) for rows in designs])
    wide = with_deviations(np.vstack(designs), number, len(SITES))
    fits = fit_shrunk(
        lambda b: logistic_sums_many(wide, np.concatenate(outcomes), b, fold=np.concatenate(fold)),
        folds + 1,
        names=with_deviation_names(coefficient_names(terms), SITES),
        ridge=study.priority.ridge,
        max_steps=study.priority.max_steps,
    )
    assert finished.results.calibration is not None
    found = {name: c.estimate for name, c in finished.results.calibration.coefficients.items()}
    for site in SITES:
        assert found[f"intercept[{site}]"] == pytest.approx(intercept_at(fits[-1], site), abs=1e-8)
    assert found["intercept"] == pytest.approx(intercept_at(fits[-1], None), abs=1e-8)
    slopes = fits[-1].coefficients[-len(terms) :]
    assert [found[term.name] for term in terms] == pytest.approx(slopes, abs=1e-8)
