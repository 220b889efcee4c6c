"""The temperature of the probability map over a federation, against what the pooled counts give."""

from pathlib import Path

import numpy as np
import pytest

from shared.histograms import WHOLE
from shared.model import TrainedModel
from shared.study import Study
from shared.sums import Sums
from shared.voxel_temperature import BINS, VoxelTemperature, fit, judge, voxel_shapes
from shared.wire import Record, Scalar
from tests.server.fake_sites import STUDY, Act, Answer, FakeSite, failing, hospitals, run, voxel_counts

SITES = ("north", "east", "south")


def pooled(*names: str) -> Sums:
    sites = [site for site in hospitals(*SITES) if site.name in names]
    return Sums.total(Sums(voxel_counts(site).arrays) for site in sites)


def test_the_fit_is_that_of_the_pooled_counts_and_stands_in_model_sites_and_results(tmp_path: Path) -> None:
    sites = hospitals(*SITES)
    found = run(sites, tmp_path).voxels
    expected = fit(pooled(*SITES), study=STUDY.digest())
    assert found is not None
    assert found.temperature == pytest.approx(expected.temperature, abs=1e-8)
    assert (found.low, found.high, found.patients) == (expected.low, expected.high, expected.patients)
    assert found.temperature == pytest.approx(2.0, abs=0.1)
    assert found.used
    assert found.sites == found.judged == tuple(sorted(SITES))
    assert found.before is not None
    assert found.after is not None
    assert found.before.model_dump() == pytest.approx(judge(pooled(*SITES)))
    assert found.after.model_dump() == pytest.approx(judge(pooled(*SITES), expected.temperature))
    assert TrainedModel.load(tmp_path / "model").temperature == expected
    for site in sites:
        (told,) = [record.text("temperature") for record in site.asked if record.kind == "finish"]
        assert VoxelTemperature.model_validate_json(told) == expected


def test_a_site_that_releases_no_counts_is_left_out_and_noted(tmp_path: Path) -> None:
    results = run(hospitals(*SITES, south={"voxels": failing("policy.minimum_patients")}), tmp_path)
    assert results.voxels is not None
    assert results.voxels.sites == ("east", "north")
    expected = fit(pooled("north", "east"), study=STUDY.digest())
    assert results.voxels.temperature == pytest.approx(expected.temperature, abs=1e-8)
    noted = {(e.phase, e.site, e.reason) for e in results.events}
    assert noted == {("voxel temperature", "south", "policy.minimum_patients")}


def test_test_patients_that_nobody_released_leave_a_temperature_that_is_not_judged(tmp_path: Path) -> None:
    def fitted_alone(site: FakeSite, record: Record) -> Answer:
        if record.fields["split"] == "test":
            return failing("policy.minimum_patients")(site, record)
        return voxel_counts(site)

    results = run(
        hospitals("north", "east", north={"voxels": fitted_alone}, east={"voxels": fitted_alone}), tmp_path
    )
    assert results.voxels is not None
    assert (results.voxels.judged, results.voxels.before, results.voxels.after) == ((), None, None)


def test_a_network_worse_than_chance_gets_no_temperature_and_the_run_goes_on(tmp_path: Path) -> None:
    def swapped(site: FakeSite, record: Record) -> Answer:
        sent = voxel_counts(site)
        return Record(
            sent.kind, sent.fields, {"other": sent.arrays["finding"], "finding": sent.arrays["other"]}
        )

    results = run(hospitals("north", "east", north={"voxels": swapped}, east={"voxels": swapped}), tmp_path)
    assert results.voxels is not None
    assert (results.voxels.temperature, results.voxels.used, results.voxels.after) == (None, False, None)
    assert results.voxels.before is not None
    assert results.events == ()
    assert TrainedModel.load(tmp_path / "model").temperature is None


def test_a_temperature_that_would_worsen_findings_is_told_and_not_used(tmp_path: Path) -> None:
    def timid_and_bold(site: FakeSite, record: Record) -> Answer:
        other, finding = (np.zeros(BINS, np.int64) for _ in range(2))
        other[BINS // 2 - 16] = site.patients * (WHOLE - 10_000)  # background at log-odds of -2
        other[BINS // 2 + 16] = site.patients * 6_000
        finding[BINS // 2 + 16] = site.patients * 4_000
        fields: dict[str, Scalar] = {"site": site.name, "patients": site.patients}
        return Record("voxel_counts", fields, {"other": other, "finding": finding})

    act: dict[str, Act] = {"voxels": timid_and_bold}
    found = run(hospitals("north", "east", north=act, east=act), tmp_path).voxels
    assert found is not None
    assert found.before is not None
    assert found.after is not None
    assert not found.used
    assert found.after.log_loss < found.before.log_loss  # type: ignore[operator]  # there are voxels
    assert found.after.called_log_loss > found.before.called_log_loss  # type: ignore[operator]  # as above
    assert TrainedModel.load(tmp_path / "model").temperature is None


@pytest.mark.parametrize("fault", ["shape", "name", "negative"])
def test_counts_of_another_form_are_refused(fault: str, tmp_path: Path) -> None:
    def wrong(site: FakeSite, record: Record) -> Answer:
        arrays = {name: np.ones(shape, np.int64) for name, shape in voxel_shapes().items()}
        if fault == "shape":
            arrays["other"] = arrays["other"][1:]
        elif fault == "name":
            arrays["more"] = arrays["other"]
        else:
            arrays["other"] = -arrays["other"]
        return Record("voxel_counts", {"site": site.name, "patients": site.patients}, arrays)

    results = run(hospitals(*SITES, south={"voxels": wrong}), tmp_path)
    assert results.voxels is not None
    assert results.voxels.sites == ("east", "north")
    assert {(e.site, e.status, e.reason) for e in results.events} == {("south", "refused", "wire")}


def test_a_study_that_switches_it_off_asks_for_nothing(tmp_path: Path) -> None:
    evaluation = STUDY.evaluation.model_copy(update={"voxel_temperature": False})
    study: Study = STUDY.model_copy(update={"evaluation": evaluation})
    sites = hospitals("north", "east", study=study)
    results = run(sites, tmp_path, study=study)
    assert results.voxels is None
    assert results.events == ()
    assert "voxels" not in {record.kind for site in sites for record in site.asked}
