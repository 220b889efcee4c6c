"""Which studies `wardround site explain` speaks of when none is named; with a real coordinator."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

import server.control
from client.approvals import Approvals
from client.audit import Audit
from client.cli import app
from client.enrolment import enrol
from client.site import Site
from shared.errors import ConfigError, FederationError
from shared.study import Study
from tests.client.hospital import site_at, tiny_study
from tests.server.federation_office import Office, office

FIRST, SECOND, OVER = tiny_study(), tiny_study(name="second"), tiny_study(name="over")


@pytest.fixture
def coordinator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    monkeypatch.setattr(server.control, "PAUSE_S", 0.0)
    with office(tmp_path / "coordinator") as made:
        yield made


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(site_at(tmp_path / "data", tmp_path / "work").to_yaml(), encoding="utf-8")
    return path


@pytest.fixture
def enrolled(coordinator: Office, site_file: Path) -> Path:
    enrol(Site.read(site_file), str(coordinator.invite()))
    return site_file


def explain(site_file: Path) -> Result:
    return CliRunner().invoke(app, ["explain", str(site_file), "--json"], catch_exceptions=False)


def names(result: Result) -> list[str]:
    return [one["study"] for one in json.loads(result.stdout)]


def start(coordinator: Office, study: Study) -> str:
    return coordinator.store.start(
        study_name=study.name, study_digest=study.digest(), study_yaml=study.to_yaml()
    )


def wait_here(site_file: Path, study: Study) -> None:
    work = Site.read(site_file).work
    Approvals(work, Audit(work / "audit.jsonl")).ask(study)


def test_each_study_that_the_coordinator_asks_about_is_explained_once_and_what_waits_comes_first(
    coordinator: Office, enrolled: Path
) -> None:
    for study in (FIRST, SECOND, SECOND):
        start(coordinator, study)
    coordinator.store.stop(start(coordinator, OVER))
    assert sorted(names(explain(enrolled))) == ["second", "tiny"]
    wait_here(enrolled, SECOND)
    found = explain(enrolled)
    assert names(found) == ["second", "tiny"]
    assert [one["digest"] for one in json.loads(found.stdout)] == [SECOND.digest(), FIRST.digest()]
    assert found.stderr == ""


def test_with_nothing_asked_the_person_is_told_to_name_a_file(coordinator: Office, enrolled: Path) -> None:
    with pytest.raises(ConfigError, match=r"no run that is not over\. Give the study's YAML file"):
        explain(enrolled)


def test_while_the_coordinator_is_away_what_waits_here_is_explained(
    coordinator: Office, enrolled: Path
) -> None:
    coordinator.down()
    with pytest.raises(FederationError, match="does not answer"):
        explain(enrolled)
    wait_here(enrolled, FIRST)
    found = explain(enrolled)
    assert names(found) == ["tiny"]
    assert "only what waits here is explained" in found.stderr


def test_a_site_that_is_not_enrolled_still_explains_what_waits(site_file: Path) -> None:
    with pytest.raises(ConfigError, match="Give the study's YAML file, or enrol first"):
        explain(site_file)
    wait_here(site_file, FIRST)
    assert names(explain(site_file)) == ["tiny"]


@pytest.mark.parametrize("text", ["name: [", "name: tiny\nunknown: 1\n"])
def test_what_is_no_study_is_the_coordinators_fault_and_named(
    text: str, coordinator: Office, enrolled: Path
) -> None:
    run = coordinator.store.start(study_name="odd", study_digest="d" * 64, study_yaml=text)
    with pytest.raises(FederationError, match=f"the study of run {run}, sent by the coordinator"):
        explain(enrolled)
