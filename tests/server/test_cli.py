"""`wardround coordinator`, as it is typed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

import server.printing
from server.board import RunStatus, SiteStatus
from server.cli import app
from server.job import Job
from server.settings import Coordinator
from server.store import Store
from shared.errors import ConfigError, FederationError
from shared.invite import Invite
from shared.study import Study
from tests.server.federation_office import Office, office

ROOT = Path(__file__).parents[2]
STUDY = Study.parse({"name": "quick", "task": {"classes": ["tumour"]}, "strategy": {"quorum": 2}}, "test")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "coordinator"
    typed("init", str(made), "--address", "127.0.0.1")
    return made


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY.to_yaml())
    return path


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Office]:
    with office(tmp_path / "up") as made:
        yield made


def typed(*words: str) -> str:
    """What a command prints; its error, raised again, if it ends with one."""
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def in_folder(folder: Path, *words: str) -> str:
    return typed(*words, "--dir", str(folder))


def finish(folder: Path, run: str, state: str) -> None:
    store = Store.open(Coordinator.read(folder).database_url)
    store.set_run(run, state="running")
    store.set_run(run, state=state, reason="quorum" if state == "failed" else None)
    store.close()


def test_init_makes_a_folder_that_only_its_owner_enters(folder: Path) -> None:
    settings = Coordinator.read(folder)
    assert settings.address == "127.0.0.1"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert settings.server_pem.exists()


def test_init_refuses_a_folder_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(ConfigError, match="not an empty folder"):
        typed("init", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_init_with_a_bad_value_leaves_nothing_behind(tmp_path: Path) -> None:
    for bad in (("--address", "a b"), ("--name", "Upper")):
        with pytest.raises(ConfigError):
            typed("init", str(tmp_path / "new"), *bad)
        assert not (tmp_path / "new").exists()


def test_invite_prints_one_line_a_site_and_nothing_else(folder: Path) -> None:
    lines = in_folder(folder, "invite", "hospital-a", "hospital-b").splitlines()
    invites = [Invite.read(line) for line in lines]
    assert [invite.site for invite in invites] == ["hospital-a", "hospital-b"]
    assert {invite.fleet for invite in invites} == {"127.0.0.1:9092"}
    for bad in (("Hospital A",), ("a", "a")):
        with pytest.raises(ConfigError):
            in_folder(folder, "invite", *bad)


def test_start_prints_the_run_and_warns_while_sites_are_missing(folder: Path, study: Path) -> None:
    done = CliRunner().invoke(app, ["start", str(study), "--dir", str(folder)])
    run = done.stdout.strip()
    assert run.startswith("quick-")
    assert "0 site(s) are enrolled, and quick needs 2" in " ".join(done.stderr.split())
    shown = json.loads(in_folder(folder, "runs", "--json"))
    assert shown["up"] is False
    assert [(r["id"], r["state"]) for r in shown["runs"]] == [(run, "waiting")]
    assert "sites" not in shown or shown["sites"] == []
    kept = Store.open(Coordinator.read(folder).database_url)
    assert kept.run(run).study_digest == STUDY.digest()
    kept.close()


def test_start_refuses_a_study_with_a_fault_and_too_much_or_too_little(folder: Path, study: Path) -> None:
    for words in ((), (str(study), "--resume", "quick-1")):
        with pytest.raises(ConfigError, match="either"):
            in_folder(folder, "start", *words)
    study.write_text("name: quick\ncolour: red\n")
    with pytest.raises(ConfigError, match="colour"):
        in_folder(folder, "start", str(study))
    assert json.loads(in_folder(folder, "runs", "--json"))["runs"] == []


def test_a_run_is_stopped_and_resumed(folder: Path, study: Path) -> None:
    run = in_folder(folder, "start", str(study)).strip()
    assert "stopped" in in_folder(folder, "stop", run)
    assert in_folder(folder, "start", "--resume", run).strip() == run
    assert "waiting" in in_folder(folder, "runs")
    finish(folder, run, "finished")
    with pytest.raises(FederationError, match="finished"):
        in_folder(folder, "stop", run)
    with pytest.raises(FederationError, match="finished"):
        in_folder(folder, "start", "--resume", run)


def test_export_copies_results_report_and_model_of_a_run_that_is_over(
    folder: Path, study: Path, tmp_path: Path
) -> None:
    run = in_folder(folder, "start", str(study)).strip()
    target = tmp_path / "out"
    with pytest.raises(ConfigError, match="is waiting"):
        in_folder(folder, "export", run, str(target))
    finish(folder, run, "finished")
    with pytest.raises(FederationError, match="left no model"):
        in_folder(folder, "export", run, str(target))
    made = folder / "runs" / run
    (made / "model").mkdir(parents=True)
    (made / "model" / "weights").write_text("w")
    for name in ("results.json", "report.html", "status.json"):
        (made / name).write_text(name)
    assert in_folder(folder, "export", run, str(target)).strip() == str(target)
    assert {p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()} == {
        "results.json",
        "report.html",
        "model/weights",
    }
    with pytest.raises(ConfigError, match="not an empty folder"):
        in_folder(folder, "export", run, str(target))


def test_a_run_for_statistics_is_started_as_one_and_exports_them(
    folder: Path, study: Path, tmp_path: Path
) -> None:
    for more in (("--resume", "quick-1"), (str(study), "--weights", "w.safetensors")):
        with pytest.raises(ConfigError, match="trains nothing"):
            in_folder(folder, "start", "--statistics", *more)
    trains = in_folder(folder, "start", str(study)).strip()
    asks = in_folder(folder, "start", str(study), "--statistics").strip()
    for run, expected in ((trains, False), (asks, True)):
        job = Job(folder / "runs" / run, {}, enrol_wait_s=1, grace_s=1, max_reply_bytes=1)
        assert job.configuration()["statistics"] is expected
    finish(folder, asks, "finished")
    for name in ("statistics.json", "statistics.html", "status.json"):
        (folder / "runs" / asks / name).write_text(name)
    target = Path(in_folder(folder, "export", asks, str(tmp_path / "out")).strip())
    assert sorted(path.name for path in target.iterdir()) == ["statistics.html", "statistics.json"]


def test_a_study_that_starts_from_a_model_needs_none_for_statistics(folder: Path, study: Path) -> None:
    study.write_text(STUDY.model_copy(update={"start": "phantoms"}).to_yaml())
    with pytest.raises(ConfigError, match="--weights"):
        in_folder(folder, "start", str(study))
    assert in_folder(folder, "start", str(study), "--statistics").startswith("quick-")


def test_status_without_a_coordinator_says_so_and_shows_what_the_store_knows(
    folder: Path, study: Path
) -> None:
    run = in_folder(folder, "start", str(study)).strip()
    finish(folder, run, "failed")
    done = CliRunner().invoke(app, ["status", "--dir", str(folder)])
    assert "no coordinator is up" in done.stderr
    assert run in done.stdout
    assert "quorum" in done.stdout
    with pytest.raises(ConfigError, match="no run"):
        in_folder(folder, "status", "quick-000000")


def enrolled(coordinator: Office, *names: str) -> None:
    for name in names:
        invite = coordinator.invite(name)
        coordinator.store.redeem(invite.code, site=name, public_key=name.encode(), version="0.1.0")


def test_status_shows_every_site_and_why_it_was_not_used(
    coordinator: Office, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled(coordinator, "north", "south", "east", "west")
    coordinator.store.revoke("west")
    coordinator.online = {b"north", b"south"}
    folder = coordinator.settings.folder
    run = in_folder(folder, "start", str(study)).strip()
    coordinator.store.set_run(run, state="running")
    sites = {
        "north": SiteStatus(
            state="used", patients=12, seconds=3.25, bytes_up=2_000_000, bytes_down=3_400_000
        ),
        "south": SiteStatus(state="awaited"),
        "east": SiteStatus(state="late", reason="deadline"),
    }
    coordinator.boards[run] = RunStatus(
        phase="training", round=2, rounds=5, started="", updated="", sites=sites
    )
    monkeypatch.setattr(server.printing.out, "_width", 160)
    shown = in_folder(folder, "status")
    rows = {line.split("│")[1].strip(): line for line in shown.splitlines() if line.count("│") > 6}
    assert [c.strip() for c in rows["north"].split("│") if c.strip()][1:] == [
        "used",
        "12",
        "3.2",
        "2.0",
        "3.4",
    ]
    assert "deadline" in rows["east"]
    assert "2/5" in rows[run]
    assert "south" in rows[run]
    assert "1 used, 1 awaited, 1 late" in shown
    assert in_folder(folder, "status", run, "--json").startswith('{\n "up": true')  # one, for people too
    listed = json.loads(in_folder(folder, "sites", "--json"))
    assert listed["up"] is True
    assert {s["name"]: (s["online"], s["revoked"] > 0) for s in listed["sites"]} == {
        "north": (True, False),
        "south": (True, False),
        "east": (False, False),
        "west": (False, True),
    }


def test_watch_goes_on_until_the_run_is_over(coordinator: Office, study: Path) -> None:
    folder = coordinator.settings.folder
    run = in_folder(folder, "start", str(study)).strip()
    command = [sys.executable, "-m", "wardround", "coordinator", "status", run, "--watch", "--json"]
    watching = subprocess.Popen([*command, "--dir", str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert watching.stdout is not None
    seen: list[str] = []
    for line in watching.stdout:  # each is a whole document
        (shown,) = json.loads(line)["runs"]
        seen += [] if shown["state"] in seen else [shown["state"]]  # an unchanged one is sent now and then
        following = {"waiting": "running", "running": "failed"}.get(shown["state"])
        if following and coordinator.store.run(run).state == shown["state"]:
            coordinator.store.set_run(run, state=following)
    assert watching.wait(60) == 0
    watching.stdout.close()
    assert seen == ["waiting", "running", "failed"]


def test_watch_ends_with_an_error_when_the_coordinator_stops(coordinator: Office, study: Path) -> None:
    folder = coordinator.settings.folder
    run = in_folder(folder, "start", str(study)).strip()
    command = [sys.executable, "-m", "wardround", "coordinator", "status", run, "--watch", "--json"]
    watching = subprocess.Popen(
        [*command, "--dir", str(folder)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert watching.stdout is not None
    assert json.loads(watching.stdout.readline())["up"] is True
    coordinator.down()
    _, errors = watching.communicate(timeout=60)
    assert watching.returncode == 5
    assert "coordinator up" in errors


def test_revoke_and_renew_leave_the_others_as_they_are(coordinator: Office) -> None:
    enrolled(coordinator, "north", "south")
    folder = coordinator.settings.folder
    ca, certificate = coordinator.settings.ca_pem.read_bytes(), coordinator.settings.server_pem.read_bytes()
    in_folder(folder, "revoke", "north")
    in_folder(folder, "renew")
    assert coordinator.settings.ca_pem.read_bytes() == ca
    assert coordinator.settings.server_pem.read_bytes() != certificate
    assert {s.name: s.revoked_at is None for s in coordinator.store.sites()} == {
        "north": False,
        "south": True,
    }


def test_the_folder_is_found_in_the_documented_order(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    typed("runs")  # ./coordinator
    monkeypatch.chdir(folder)
    typed("runs")  # this folder
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(ConfigError, match="coordinator init"):
        typed("runs")
    monkeypatch.setenv("WARDROUND_COORDINATOR", str(folder))
    typed("runs")
    with pytest.raises(ConfigError, match="coordinator init"):
        in_folder(tmp_path / "empty", "runs")


def test_the_help_loads_neither_torch_nor_grpc_nor_sqlalchemy() -> None:
    program = (
        "import sys, wardround\n"
        "try: wardround.app(['coordinator', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'grpc', 'sqlalchemy', 'flwr'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
