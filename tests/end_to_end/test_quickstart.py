"""What `make demo` shows a newcomer is true: better than any site alone, calibrated, near the known truth."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from client.site import Site
from client.worklist import Worklist
from server.results import Results
from tests.end_to_end.conftest import ROOT, command


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("quickstart") / "run"
    ended = command("simulate", "simulations/quickstart.yaml", "--out", out, "--quiet", timeout_s=1200)
    assert ended.code == 0, ended.stderr
    return out


@pytest.mark.slow
@pytest.mark.timeout(1300)
def test_the_quickstart_keeps_its_promises(quickstart: Path) -> None:
    results = Results.read(quickstart / "results.json")
    evaluation, calibration = results.evaluation, results.calibration
    assert results.events == ()
    assert evaluation.federated is not None
    assert calibration is not None
    for figure in ("dice", "dice_on_positive"):  # with and without the tumour-free scans
        federated = getattr(evaluation.federated.pooled, figure)
        assert federated >= 0.80
        for site, alone in evaluation.local_only.items():
            assert federated > getattr(alone.pooled, figure), site
    assert len(evaluation.local_only) == 4
    before, after = calibration.before.ece, calibration.after.ece
    assert before is not None
    assert after is not None
    assert after < before / 2
    assert calibration.converged
    assert calibration.map is not None
    assert len(calibration.map.candidates) == 5
    assert set(calibration.sites) == set(results.sites)
    for site, own in calibration.sites.items():
        assert own.in_folds == own.patients, site
        assert own.slope is not None
        assert own.slope_error is not None
        assert abs(own.slope - 1) < 3.5 * own.slope_error, site
        urgent = own.tiers["urgent"]
        assert urgent.sensitivity_interval is not None
        assert urgent.sensitivity_interval[1] >= 0.95, site  # what was promised is not ruled out
    for name, fitted in calibration.coefficients.items():
        assert fitted.truth is not None
        assert fitted.standard_error is not None
        # The features come from a network that errs, so 3.5 rather than 3 standard errors of eight estimates.
        assert abs(fitted.estimate - fitted.truth) < 3.5 * fitted.standard_error, name
    for site in results.sites:
        report = quickstart / "sites" / site / "seismometer" / "report.html"
        assert "<svg" in report.read_text(encoding="utf-8")
        with closing(Worklist.open(Site.read(quickstart / "sites" / site / "site.yaml"))) as worklist:
            assert worklist.counts() == {"waiting": 15, "reading": 0, "read": 0}


@pytest.mark.slow
def test_the_exported_model_scores_the_same_on_scans_of_a_hospital_it_never_saw(
    quickstart: Path, tmp_path: Path
) -> None:
    drawn = command("data", "phantoms", tmp_path / "new", "--sites", "1", "--patients", "40", "--seed", "99")
    assert drawn.code == 0, drawn.stderr
    ended = command("evaluate", quickstart / "model", tmp_path / "new" / "hospital-a", "--json")
    assert ended.code == 0, ended.stderr
    figures = json.loads(ended.stdout)["segmentation"]
    results = Results.read(quickstart / "results.json")
    assert results.evaluation.federated is not None
    known = results.evaluation.federated.sites["hospital-a"].dice_on_positive
    assert figures["scans"] == 40
    assert figures["dice_on_positive"] == pytest.approx(known, abs=0.08)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.timeout(1300)
def test_real_hippocampi_are_learned_over_four_sites_and_judged_again_from_the_model(
    real_data: Path, tmp_path: Path
) -> None:
    data = real_data / "hippocampus"
    ended = command(
        "simulate", ROOT / "simulations" / "hippocampus.yaml", "--data", data, "--out", tmp_path / "run",
        "--set", "study.training.rounds=3", "--set", "study.training.local_epochs=2", "--set", "baselines=[]",
        "--set", "seismometer=false", "--quiet", timeout_s=1200,
    )  # fmt: skip
    assert ended.code == 0, ended.stderr
    results = Results.read(tmp_path / "run" / "results.json")
    assert results.evaluation.federated is not None
    federated = results.evaluation.federated.pooled
    assert federated.dice is not None
    assert federated.dice > 0.65  # a fifth of the scenario's epochs; all of them give above 0.85
    assert sum(entry.patients.total for entry in results.sites.values()) == 200
    judged = command("evaluate", tmp_path / "run" / "model", data, "--split", "test", "--json")
    assert judged.code == 0, judged.stderr
    again = json.loads(judged.stdout)["segmentation"]
    assert again["scans"] == federated.scans
    assert again["dice"] == pytest.approx(federated.dice, abs=1e-9)
    assert again["dice_by_class"] == pytest.approx(federated.dice_by_class, abs=1e-9)
