"""The preflight: every fault is found, named with a cure, and hides no other."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from client.approvals import Approvals
from client.audit import Audit
from client.check_line import Line
from client.preflight import Membership, Reached, Surroundings, as_json, exit_code, preflight
from client.site import Site
from shared import __version__
from shared.errors import FederationError
from tests.client.hospital import PATIENTS, tiny_study

NETWORK = ("enrolment", "coordinator", "certificate", "clock", "version")


@dataclass(frozen=True)
class Member:
    control: str = "coordinator.example:9093"
    node_id: int = 7


@dataclass(frozen=True)
class Found:
    clock_offset_s: float = 0.4
    version: str = __version__
    bundle: str = "b" * 64
    certificate_days_left: float = 300.0


def around(found: Reached | Exception | None = None) -> Surroundings:
    """A coordinator that answers with `found`; None: the site is not enrolled."""

    def reach(_: Membership) -> Reached:
        if isinstance(found, Exception):
            raise found
        assert found is not None
        return found

    member = None if found is None else Member()
    return Surroundings(membership=lambda _: member, reach=reach, bundle=lambda: "b" * 64)


def site_file(folder: Path, phantoms: Path, **changes: Any) -> Path:
    values = {
        "name": "north",
        "data": str(phantoms),
        "patients": str(phantoms / "patients.csv"),
        "work": "work",
    }
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump({**values, "policy": {"minimum_patients": 2}, **changes}))
    return path


def checked(path: Path, world: Surroundings | None = None) -> list[Line]:
    return list(preflight(path, world or around(Found())))


def states(lines: list[Line], name: str) -> list[str]:
    return [line.state for line in lines if line.name == name]


def test_a_hospital_that_is_ready_has_no_problem(phantoms: Path, tmp_path: Path) -> None:
    lines = checked(site_file(tmp_path, phantoms))
    assert [line for line in lines if line.state != "ok"] == []
    assert exit_code(lines) == 0
    assert {line.name for line in lines} >= {
        *NETWORK, *("site file", "data", "patients", "patients table", "work folder", "disk"),
        *("memory", "device", "threads", "port", "policy", "audit"),
    }  # fmt: skip
    (patients,) = [line for line in lines if line.name == "patients"]
    assert f"{PATIENTS} patients" in patients.finding
    assert not (tmp_path / "work").exists()


def test_before_enrolment_the_coordinators_lines_wait_and_the_next_step_is_said(
    phantoms: Path, tmp_path: Path
) -> None:
    lines = checked(site_file(tmp_path, phantoms), around(None))
    assert [states(lines, name) for name in NETWORK] == [["not yet"]] * 5
    (enrolment,) = [line for line in lines if line.name == "enrolment"]
    assert "wardround site enrol" in enrolment.cure
    assert exit_code(lines) == 0


def test_a_faulty_site_file_is_the_only_line(tmp_path: Path) -> None:
    lines = checked(site_file(tmp_path, tmp_path, threads=0))
    assert [(line.name, line.state) for line in lines] == [("site file", "problem")]
    assert exit_code(lines) == 2


FAULTS: dict[str, tuple[dict[str, Any], str, str, int]] = {
    "no data": ({"data": "nowhere"}, "data", "problem", 3),
    "another layout": ({"layout": "folders"}, "data", "problem", 3),
    "no such table": ({"patients": "none.csv"}, "data", "problem", 3),
    "no table": ({"patients": None}, "patients table", "warning", 0),
    "more patients wanted": ({"policy": {"minimum_patients": 100}}, "patients", "problem", 3),
    "few to validate on": ({"policy": {"minimum_patients": 10}}, "patients", "warning", 0),
    "no such device": ({"device": "cuda:77"}, "device", "problem", 2),
    "no device at all": ({"device": "abacus"}, "device", "problem", 2),
    "more threads than cores": ({"threads": 9999}, "threads", "warning", 0),
    "no update": ({"policy": {"release": ["enrolment"], "minimum_patients": 2}}, "policy", "warning", 0),
    "no enrolment": ({"policy": {"release": ["update"], "minimum_patients": 2}}, "policy", "problem", 4),
    "no study": ({"policy": {"studies": [], "minimum_patients": 2}}, "policy", "problem", 4),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_a_line_and_hides_no_other(fault: str, phantoms: Path, tmp_path: Path) -> None:
    changes, name, state, code = FAULTS[fault]
    lines = checked(site_file(tmp_path, phantoms, **changes))
    assert state in states(lines, name)
    assert exit_code(lines) == code
    for other in ("work folder", "memory", "port", "audit", *NETWORK):
        assert states(lines, other) == ["ok"], other
    for line in lines:
        if line.state in ("problem", "warning") and line.name != "data":
            assert line.cure, line


def test_a_table_that_names_other_cases_is_a_problem(phantoms: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("case,patient\nelsewhere,x\n")
    assert states(checked(site_file(tmp_path, phantoms, patients=str(table))), "patients table") == [
        "problem"
    ]
    rows = (phantoms / "patients.csv").read_text().splitlines()
    table.write_text("\n".join(rows[:-3]))
    assert states(checked(site_file(tmp_path, phantoms, patients=str(table))), "patients table") == [
        "warning"
    ]


def test_cases_that_would_be_skipped_are_counted(phantoms: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(phantoms, tmp_path / "data"))
    sorted((data / "labelsTr").iterdir())[0].unlink()
    lines = checked(site_file(tmp_path, data))
    assert states(lines, "data") == ["ok", "warning"]


def test_an_open_work_folder_a_full_disk_and_a_small_memory_are_found(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work").chmod(0o755)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    memory = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=10**8))
    lines = checked(site_file(tmp_path, phantoms))
    assert states(lines, "work folder") == ["ok", "warning"]
    assert states(lines, "disk") == states(lines, "memory") == ["problem"]


def test_a_check_that_breaks_hides_no_other(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ZeroDivisionError("nobody thought of this")

    monkeypatch.setattr(psutil, "virtual_memory", broken)
    lines = checked(site_file(tmp_path, phantoms))
    assert states(lines, "memory") == ["problem"]
    assert states(lines, "device") == ["ok"]
    assert exit_code(lines) == 1


def test_a_broken_audit_and_damaged_approvals_are_found(phantoms: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    for _ in range(2):
        Audit(work / "audit.jsonl").append("started")
    (work / "audit.head").unlink()
    (work / "approvals.jsonl").write_text("x\n")
    lines = checked(site_file(tmp_path, phantoms))
    assert states(lines, "audit") == states(lines, "policy") == ["problem"]
    assert exit_code(lines) == 4


def test_studies_that_wait_are_named(phantoms: Path, tmp_path: Path) -> None:
    path = site_file(tmp_path, phantoms)
    site = Site.read(path)
    Approvals(site.work, Audit(site.work / "audit.jsonl")).ask(tiny_study())
    found = [line for line in checked(path) if line.name == "policy"]
    assert [line.state for line in found] == ["warning", "ok"]
    assert "tiny" in found[0].finding


COORDINATORS: dict[str, tuple[Found, str, str]] = {
    "an hour off": (Found(clock_offset_s=-3600), "clock", "problem"),
    "a minute off": (Found(clock_offset_s=60), "clock", "warning"),
    "an expired certificate": (Found(certificate_days_left=-1), "certificate", "problem"),
    "a certificate that ends soon": (Found(certificate_days_left=5), "certificate", "warning"),
    "another version": (Found(version="9.9.9"), "version", "problem"),
    "another build": (Found(bundle="c" * 64), "version", "problem"),
}


@pytest.mark.parametrize("case", COORDINATORS)
def test_what_is_wrong_with_the_coordinator_is_told_apart(case: str, phantoms: Path, tmp_path: Path) -> None:
    found, name, state = COORDINATORS[case]
    lines = checked(site_file(tmp_path, phantoms), around(found))
    assert states(lines, name) == [state]
    assert [line.name for line in lines if line.state != "ok"] == [name]
    assert exit_code(lines) == (5 if state == "problem" else 0)


def test_a_coordinator_that_does_not_answer_is_a_problem_with_its_own_words(
    phantoms: Path, tmp_path: Path
) -> None:
    lines = checked(site_file(tmp_path, phantoms), around(FederationError("nobody at port 9093")))
    assert states(lines, "coordinator") == ["problem"]
    assert states(lines, "clock") == ["not yet"]
    assert "nobody at port 9093" in {line.finding for line in lines}
    assert exit_code(lines) == 5


def test_the_lines_are_values_for_programs(tmp_path: Path) -> None:
    (line,) = as_json(checked(tmp_path / "none.yaml"))
    assert line.keys() == {"name", "state", "finding", "cure", "exit_code"}
