"""The study in which everything goes wrong: it finishes, and nothing that went wrong is hidden."""

from pathlib import Path

import pytest

from server.results import Results
from tests.end_to_end.conftest import ROOT, Forked

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, forked: Forked) -> Results:
    out: Path = tmp_path_factory.mktemp("pathological") / "run"
    ended = forked("simulate", ROOT / "simulations" / "pathological.yaml", "--out", out, "--quiet")
    assert ended.code == 0, ended.stderr
    return Results.read(out / "results.json")


def test_every_damaged_case_is_named_with_a_reason(results: Results) -> None:
    skipped = results.sites["broken-files"].skipped
    assert len({skip.case for skip in skipped}) == len(skipped) == 6
    assert all(skip.case is not None and skip.case.startswith("phantom_") for skip in skipped)
    assert len({skip.reason for skip in skipped}) >= 5
    patients = results.sites["broken-files"].patients
    assert patients.total == 30
    assert all(entry.skipped == () for name, entry in results.sites.items() if name != "broken-files")


def test_the_late_site_is_late_in_round_two_only(results: Results) -> None:
    found = [(entry.sites["late"].status, entry.sites["late"].reason) for entry in results.rounds]
    assert found == [("used", None), ("late", "deadline"), ("used", None)]


def test_nan_is_refused_in_every_round(results: Results) -> None:
    found = {(entry.sites["sends-nan"].status, entry.sites["sends-nan"].reason) for entry in results.rounds}
    assert found == {("refused", "not_finite")}


def test_the_others_are_used_in_every_round(results: Results) -> None:
    for entry in results.rounds:
        for site in ("healthy-one", "healthy-two", "broken-files", "no-tumours"):
            assert entry.sites[site].status == "used"


def test_the_events_are_exactly_what_was_not_used(results: Results) -> None:
    found = {(e.phase, e.round, e.site, e.status, e.reason) for e in results.events}
    refused = {("training", n, "sends-nan", "refused", "not_finite") for n in (1, 2, 3)}
    late = {(phase, n, "late", "late", "deadline") for phase, n in (("validation", 1), ("training", 2))}
    few = {entry for entry in found if entry[0].endswith("histograms")}  # few urgent ones, or few others
    assert {(status, reason) for *_, status, reason in few} <= {("refused", "policy.minimum_patients")}
    assert found - few == {*late, *refused}  # the same message asks for both


def test_without_tumours_sensitivity_is_undefined_and_specificity_is_not(results: Results) -> None:
    assert results.evaluation.federated is not None
    figures = results.evaluation.federated.sites["no-tumours"]
    assert figures.sensitivity is None
    assert figures.auroc is None
    assert figures.specificity is not None
