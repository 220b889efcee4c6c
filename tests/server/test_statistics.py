"""A run that asks for statistics: one exchange, every answer judged, figures of all that were used."""

import html
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, RecordDict

from server.app import app
from server.board import RunStatus
from server.run import RunSettings
from server.statistics import StatisticsRun
from server.statistics_file import FILE, PAGE, Statistics
from server.statistics_page import write_page
from shared.described import finish_statistics
from shared.errors import ConfigError, QuorumError
from shared.statistics import Scan, statistics_sums
from shared.wire import Record, Scalar
from tests.server.fake_sites import STUDY, Act, FakeGrid, FakeSite, failing, hospitals, silent, usual
from tests.shared.statistics_samples import scan


def scans_of(site: FakeSite) -> list[list[Scan]]:
    """As many patients as the site enrols, unlike those of the others."""
    return [[scan(spacing_mm=(1.0, 1.0, 1.0 + len(site.name) / 2))] for _ in range(site.patients)]


def described(site: FakeSite, record: Record) -> Record:
    """What a healthy site answers."""
    if record.kind != "describe":
        answer = usual(site, record)
        assert isinstance(answer, Record)
        return answer
    sums = statistics_sums(scans_of(site), channels=1, classes=1)
    fields: dict[str, Scalar] = {"site": site.name, "patients": site.patients, "unread": 2}
    return Record("statistics", fields, sums.to_arrays())


def changed(arrays: dict[str, np.ndarray] | None = None, **fields: Any) -> Act:
    def act(site: FakeSite, record: Record) -> Record:
        good = described(site, record)
        return Record("statistics", {**good.fields, **fields}, {**good.arrays, **(arrays or {})})

    return act


def sites_with(*names: str, **instead: Act) -> list[FakeSite]:
    sites = hospitals(*names)
    for site in sites:
        site.instead["describe"] = instead.get(site.name, described)
    return sites


def asked(sites: list[FakeSite], out: Path) -> Statistics:
    settings = RunSettings(STUDY, out, engine="fake", expected_sites=len(sites))
    return StatisticsRun(FakeGrid(sites), settings).execute()


def test_the_sites_are_asked_once_and_nothing_is_trained(tmp_path: Path) -> None:
    sites = sites_with("north", "east")
    found = asked(sites, tmp_path)
    for site in sites:
        assert [record.kind for record in site.asked] == ["enrol", "describe"]
    assert {name: vars(site) for name, site in found.sites.items()} == {
        site.name: {"status": "used", "reason": None, "patients": site.patients, "unread": 2}
        for site in sites
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == [PAGE, FILE, "status.json"]
    assert RunStatus.read(tmp_path / "status.json").phase == "done"


def test_the_figures_are_those_of_all_patients_together(tmp_path: Path) -> None:
    sites = sites_with("north", "east", "up")
    pooled = statistics_sums([patient for site in sites for patient in scans_of(site)], channels=1, classes=1)
    found = asked(sites, tmp_path)
    assert found.figures == finish_statistics(pooled, STUDY.task)
    assert found.figures.patients == sum(site.patients for site in sites)
    assert found == Statistics.read(tmp_path / FILE)


BAD: dict[str, tuple[Act, tuple[str, str]]] = {
    "its policy does not list statistics": (failing("policy.kind"), ("refused", "policy.kind")),
    "it could not": (failing("data"), ("failed", "data")),
    "it says nothing": (silent, ("late", "deadline")),
    "it counts more patients than it enrolled": (changed(patients=10_000), ("refused", "patients")),
    "it counts nobody": (changed(patients=0), ("refused", "patients")),
    "it could not read fewer than no cases": (changed(unread=-1), ("refused", "content")),
    "it answers for another": (changed(site="north"), ("refused", "site")),
    "its sums are of another number of patients": (changed(patients=3), ("refused", "content")),
    "one patient weighs more": (
        changed({"findings": np.full(21, 10**6)}),
        ("refused", "content"),
    ),
    "its shapes are others": (changed({"shape": np.zeros((3, 3), np.int64)}), ("refused", "content")),
    "a count is negative": (changed({"labelled": np.array(-1)}), ("refused", "content")),
    "it sends floats": (changed({"findings": np.zeros(21)}), ("refused", "content")),
}


@pytest.mark.parametrize("how", BAD)
def test_a_site_that_cannot_be_used_is_named_and_the_others_count(how: str, tmp_path: Path) -> None:
    act, (status, reason) = BAD[how]
    found = asked(sites_with("north", "east", "south", south=act), tmp_path)
    assert (found.sites["south"].status, found.sites["south"].reason) == (status, reason)
    assert [(e.phase, e.site, e.status, e.reason) for e in found.events] == [
        ("statistics", "south", status, reason)
    ]
    assert found.figures == asked(sites_with("north", "east"), tmp_path / "two").figures
    state = RunStatus.read(tmp_path / "status.json").sites["south"]
    assert (state.state, state.reason) == (status, reason)


def test_fewer_sites_than_the_quorum_end_it_and_are_named(tmp_path: Path) -> None:
    with pytest.raises(QuorumError, match=r"1 site\(s\) contributed.*east refused \(policy\.kind\)"):
        asked(sites_with("north", "east", east=failing("policy.kind")), tmp_path)
    assert not (tmp_path / FILE).exists()
    status = RunStatus.read(tmp_path / "status.json")
    assert (status.phase, status.error) == ("failed", "federation.quorum")


def test_the_run_configuration_decides_between_training_and_statistics(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(STUDY.to_yaml(), encoding="utf-8")
    config: dict[str, Any] = {
        "study": str(study),
        "out": str(tmp_path / "out"),
        "sites": 2,
        "statistics": True,
    }
    app(FakeGrid(sites_with("north", "east")), Context(1, 0, {}, RecordDict(), config))
    assert Statistics.read(tmp_path / "out" / FILE).figures.patients > 0
    assert not (tmp_path / "out" / "results.json").exists()


def test_the_page_shows_the_figures_and_loads_nothing(tmp_path: Path) -> None:
    found = asked(sites_with("north", "east", "south", south=failing("policy.kind")), tmp_path)
    text = html.unescape((tmp_path / PAGE).read_text(encoding="utf-8"))
    for expected in ("north", "policy.kind", "training.window", "spacing z, mm", "Quantiles"):
        assert expected in text
    assert "default-src 'none'" in text
    assert "http" not in text.replace("http-equiv", "")
    assert "<script" not in text
    write_page(found.model_copy(update={"study": {"name": "<b>{x}"}}), tmp_path / "odd.html")
    assert "<b>" not in (tmp_path / "odd.html").read_text(encoding="utf-8")


def test_what_is_no_statistics_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / FILE
    with pytest.raises(ConfigError, match="cannot be read"):
        Statistics.read(path)
    asked(sites_with("north", "east"), tmp_path)
    values = json.loads(path.read_text())
    assert values["schema"] == "wardround.statistics/1"
    path.write_text(json.dumps({**values, "schema": "wardround.statistics/2"}))
    with pytest.raises(ConfigError, match="schema"):
        Statistics.read(path)
