"""`wardround site ...` as a hospital types it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from typer.testing import CliRunner

from client.approvals import Approvals
from client.audit import Audit
from client.cli import app
from client.repeats import Repeats
from client.site import Site
from shared.errors import ConfigError, PolicyError
from tests.client.hospital import tiny_study

Typed = Callable[..., Result]
STUDY = tiny_study()


@pytest.fixture
def site(tmp_path: Path, phantoms: Path) -> Path:
    path = tmp_path / "site.yaml"
    values = {"name": "north", "data": str(phantoms), "patients": str(phantoms / "patients.csv"), "work": "w"}
    path.write_text(yaml.safe_dump({**values, "policy": {"minimum_patients": 2}}))
    return path


@pytest.fixture
def typed(site: Path) -> Typed:
    """Type a command; `SITE` stands for the site's file. What a command raises is raised."""

    def run(*words: object) -> Result:
        arguments = [str(site) if word == "SITE" else str(word) for word in words]
        return CliRunner().invoke(app, arguments, catch_exceptions=False, env={"COLUMNS": "200"})

    return run


def audit_of(site: Path) -> Audit:
    return Audit(Site.read(site).work / "audit.jsonl")


def test_init_writes_a_file_that_check_can_read(typed: Typed, tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    assert typed("init", path, "--name", "south", "--data", "/scans").exit_code == 0
    assert Site.read(path).name == "south"
    with pytest.raises(ConfigError, match="--force"):
        typed("init", path)


def test_check_prints_a_line_for_each_finding_and_ends_with_its_code(typed: Typed, site: Path) -> None:
    found = typed("check", "SITE")
    assert found.exit_code == 0
    assert "ok       data: 24 cases" in found.output
    assert "not yet  enrolment: this site is not enrolled" in found.output
    site.write_text(site.read_text().replace("data: ", "data: /nowhere"))
    assert typed("check", "SITE").exit_code == 3
    lines = json.loads(typed("check", "SITE", "--json").output)
    assert {line["state"] for line in lines} >= {"ok", "problem", "not yet"}


def test_a_waiting_study_is_listed_explained_approved_and_withdrawn(typed: Typed, site: Path) -> None:
    approvals = Approvals(Site.read(site).work, audit_of(site))
    with pytest.raises(ConfigError, match=r"north is not enrolled.*site enrol .*site\.yaml --invite INVITE"):
        typed("explain", "SITE")
    approvals.ask(STUDY)
    assert STUDY.digest() in typed("approve", "SITE").output
    assert "everything, until somebody allows" in typed("explain", "SITE").output
    assert typed("approve", "SITE", "tiny").output == f"approved: tiny {STUDY.digest()}\n"
    assert approvals.approved(STUDY.digest())
    assert "approved by" in typed("approve", "SITE").output
    typed("approve", "SITE", "tiny", "--withdraw")
    assert not approvals.approved(STUDY.digest())
    with pytest.raises(ConfigError, match="0 approved studies"):
        typed("approve", "SITE", "tiny", "--withdraw")
    with pytest.raises(ConfigError, match="--withdraw needs"):
        typed("approve", "SITE", "--withdraw")


def test_a_waiting_study_is_refused_and_waits_no_longer(typed: Typed, site: Path) -> None:
    approvals = Approvals(Site.read(site).work, audit_of(site))
    approvals.ask(STUDY)
    assert typed("approve", "SITE", "tiny", "--refuse").output == f"refused: tiny {STUDY.digest()}\n"
    assert approvals.pending() == []
    assert approvals.refused(STUDY.digest())
    assert "refused by" in typed("approve", "SITE").output
    with pytest.raises(ConfigError, match="0 waiting studies"):
        typed("approve", "SITE", "tiny", "--refuse")
    with pytest.raises(ConfigError, match="--refuse needs"):
        typed("approve", "SITE", "--refuse")
    with pytest.raises(ConfigError, match="--withdraw for a study that is approved, or --refuse"):
        typed("approve", "SITE", "tiny", "--refuse", "--withdraw")


def test_a_study_can_be_explained_and_approved_from_its_file(typed: Typed, tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(STUDY.to_yaml())
    typed("approve", "SITE", study)
    text = typed("explain", "SITE", study).output
    assert text.startswith("What leaves north under the study tiny\n")
    assert "nothing that this study asks for" in text
    (found,) = json.loads(typed("explain", "SITE", study, "--json").output)
    assert found["digest"] == STUDY.digest()
    assert found["bytes_in_all"] > 0


def test_the_audit_is_verified_and_shown(typed: Typed, site: Path) -> None:
    audit = audit_of(site)
    for number in range(3):
        audit.append("released", kind="update", round=number, patients=12, bytes=2048)
    lines, seal = audit.seal()
    assert f"3 lines, unbroken. The seal of the last is {seal}" in typed("audit", "verify", "SITE").output
    assert typed("audit", "verify", "SITE", "--witness", f"{lines}:{seal}").exit_code == 0
    with pytest.raises(PolicyError, match="witness"):
        typed("audit", "verify", "SITE", "--witness", f"3:{'f' * 64}")
    with pytest.raises(ConfigError, match="LINES:SEAL"):
        typed("audit", "verify", "SITE", "--witness", "3")
    shown = json.loads(typed("audit", "show", "SITE", "--last", "2", "--json").output)
    assert [(line["line"], line["round"]) for line in shown] == [(2, 1), (3, 2)]
    assert "update, round 2, over 12 patients, 2,048 bytes" in typed("audit", "show", "SITE").output
    for _ in range(3):
        Repeats(audit).append(kind="failure", code="policy.approval", bytes=9, patients=0, round=0)
    assert "2 repeated refusals more have left" in typed("audit", "show", "SITE").output
    audit.head_path.unlink()
    with pytest.raises(PolicyError, match="missing"):
        typed("audit", "verify", "SITE")
