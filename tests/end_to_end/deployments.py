"""Deployments for tests: phantom hospitals drawn once a session, copied for each coordinator with its sites.

`phantoms` and `deploy` are fixtures (tests/end_to_end/conftest.py imports them). Everything else polls: a
test waits for something to be so, with a deadline, and never just sleeps.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
import yaml

from client.audit import Audit
from client.data import cache
from client.site import Site
from server.results import Results
from server.watching import live
from simulations.deployment import PROGRAM, Deployment
from simulations.scenario import Scenario
from simulations.sites import set_up

TINY = Path(__file__).with_name("tiny.yaml")
SITES = ("east", "north", "south", "west")
POLL_S = 0.05
OVER = ("finished", "failed", "stopped")
FAST = {"poll_s": 0.1}
"""What a site asks in a test: often, so that a round takes as long as its training."""
IMPATIENT = {"grace_seconds": 30}
"""A coordinator in a test waits that long for sites that are away."""

T = TypeVar("T")


class Deploy(Protocol):
    """Makes deployments that are ended with the test module, however it ends."""

    def __call__(
        self,
        sites: int | Sequence[str] = 2,
        *,
        policies: Mapping[str, Mapping[str, Any]] | None = None,
        coordinator: Mapping[str, Any] | None = None,
        start: bool = True,
        program: Sequence[str] = PROGRAM,
    ) -> Deployment:
        """Set up so many of `SITES`, or those named; with `start` all are running on return.

        policies : by site, what differs from `any` study and two patients
        coordinator : values of coordinator.yaml that differ from its defaults
        """


def until(
    condition: Callable[[], T], limit_s: float = 120.0, what: str | Callable[[], str] = "what was waited for"
) -> T:
    """Poll until `condition` gives something true, and return that; fail after `limit_s` seconds."""
    ends = time.monotonic() + limit_s
    while not (found := condition()):
        if time.monotonic() > ends:
            pytest.fail(f"{what if isinstance(what, str) else what()}: not within {limit_s:.0f} s")
        time.sleep(POLL_S)
    return found


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Folders of prepared phantom hospitals, by site: site.yaml and a filled cache. Do not write there."""
    out = tmp_path_factory.mktemp("phantoms")
    scenario = Scenario.read(TINY)
    files, _ = set_up(scenario, out, None, lambda *_: None)
    for file in files.values():
        site = Site.read(file)
        cache.prepare(
            site.data,
            layout=site.layout,
            patients_csv=site.patients,
            study=scenario.study,
            cache_folder=site.work / "cache",
        )
    return {name: file.parent for name, file in files.items()}


@pytest.fixture(scope="module")
def deploy(phantoms: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deploy]:
    """A factory of deployments; all that it made are stopped at the end of the module."""
    with ExitStack() as stack:

        def make(
            sites: int | Sequence[str] = 2,
            *,
            policies: Mapping[str, Mapping[str, Any]] | None = None,
            coordinator: Mapping[str, Any] | None = None,
            start: bool = True,
            program: Sequence[str] = PROGRAM,
        ) -> Deployment:
            folder = tmp_path_factory.mktemp("deployment")
            names = SITES[:sites] if isinstance(sites, int) else sites
            files = {
                name: copy_site(phantoms[name], folder / "sites" / name, (policies or {}).get(name, {}))
                for name in names
            }
            deployment = Deployment(folder, files, program=program)
            deployment.init()
            values = {**IMPATIENT, **(coordinator or {})}
            set_values(deployment.coordinator_folder / "coordinator.yaml", **values)
            stack.push(deployment)
            return deployment.__enter__() if start else deployment

        yield make


def copy_site(prepared: Path, folder: Path, policy: Mapping[str, Any]) -> Path:
    """Copy a prepared site, its `work` being a folder below; returns its site.yaml."""
    shutil.copytree(prepared / "cache", folder / "work" / "cache")
    values = yaml.safe_load((prepared / "site.yaml").read_text())
    values |= {"work": "work", "policy": {**values["policy"], **policy}, **FAST}
    (folder / "work").chmod(0o700)
    (folder / "site.yaml").write_text(yaml.safe_dump(values))
    return folder / "site.yaml"


def set_values(file: Path, **values: Any) -> None:
    """Change top-level keys of a YAML file."""
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **values}))


def study_file(deployment: Deployment, changes: Mapping[str, Any] | None = None) -> Path:
    """Write tiny.yaml's study for `coordinator start`; `changes` by dotted key, such as training.rounds."""
    values = yaml.safe_load(TINY.read_text())["study"]
    for key, value in (changes or {}).items():
        *path, last = key.split(".")
        inner = values
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    file = deployment.folder / f"{values['name']}.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


def started(deployment: Deployment, changes: Mapping[str, Any] | None = None) -> str:
    """Start the tiny study with `changes`; returns the run."""
    return deployment.start(study_file(deployment, changes))


def status(deployment: Deployment, run: str = "") -> dict[str, Any]:
    """What `coordinator status RUN --json` prints."""
    given = ("--json", "--dir", str(deployment.coordinator_folder))
    printed = deployment.command("coordinator", "status", *([run] if run else []), *given)
    found: dict[str, Any] = json.loads(printed)
    return found


def site_status(deployment: Deployment, run: str, site: str) -> dict[str, Any]:
    """What `coordinator status` says of one site in one run."""
    shown = status(deployment, run)["runs"][0]["sites"]
    return next((s for s in shown if s["name"] == site), {})


def online(deployment: Deployment) -> set[str]:
    """Sites that are connected, as the coordinator sees it; without the cost of a command."""
    for now in live(deployment.settings):
        return {site.name for site in now.sites if site.online}
    return set()


def connections(deployment: Deployment, site: str) -> int:
    """How often a site's SuperNode has connected so far. One that was killed is `online` for a while yet."""
    log = work(deployment, site) / "supernode.log"
    return log.read_text(errors="replace").count("SuperNode ID") if log.exists() else 0


def start_again(deployment: Deployment, *sites: str, limit_s: float = 55.0) -> None:
    """Start sites that have ended, however; wait until they are connected.

    The limit is below the minute for which Flower refuses the successor of a SuperNode that was killed, if
    nobody takes leave in its name.
    """
    before = {site: connections(deployment, site) for site in sites}
    for site in sites:
        deployment.nodes[site].start()
    for site in sites:
        until(lambda site=site: connections(deployment, site) > before[site], limit_s, f"{site} connected")  # type: ignore[misc]


def board(deployment: Deployment, run: str) -> dict[str, Any]:
    """The run's status.json; {} before there is one. Much faster than `status`."""
    path = deployment.results(run) / "status.json"
    return json.loads(path.read_text()) if path.exists() else {}


def state(deployment: Deployment, run: str, site: str) -> str:
    """State of one site on the run's board: awaited, used, late and so on; "" before it is there."""
    return str(board(deployment, run).get("sites", {}).get(site, {}).get("state", ""))


def until_training(deployment: Deployment, run: str, site: str, number: int) -> None:
    """Wait until a site is in the middle of a round's training in this run."""

    def begun() -> bool:
        since = board(deployment, run).get("started", "~")
        lines = [a for a in audit(deployment, site) if a["time"] >= since]
        return any(a["event"] == "training" and a["round"] == number for a in lines)

    until(begun, what=f"{site} trains in round {number}")


def until_round(deployment: Deployment, run: str, number: int, limit_s: float = 120.0) -> None:
    """Wait until a round of training has begun."""

    def reached() -> bool:
        now = board(deployment, run)
        return now.get("phase") == "training" and now["round"] >= number

    until(reached, limit_s, lambda: f"round {number}; the board says {board(deployment, run)}")


def results(deployment: Deployment, run: str) -> Results:
    """results.json of a finished run."""
    return Results.read(deployment.results(run) / "results.json")


def events(found: Results, site: str | None = None) -> list[tuple[str, int | None, str, str, str | None]]:
    """(phase, round, site, status, reason) of everything that was not used."""
    return [(e.phase, e.round, e.site, e.status, e.reason) for e in found.events if site in (None, e.site)]


def in_rounds(found: Results, site: str) -> list[str]:
    """Status and reason of one site in each round: "used", "late: deadline"."""
    return [
        r.sites[site].status + (f": {r.sites[site].reason}" if r.sites[site].reason else "")
        for r in found.rounds
    ]


def audit(deployment: Deployment, site: str) -> list[dict[str, Any]]:
    """Lines of a site's audit log."""
    return list(Audit(work(deployment, site) / "audit.jsonl").entries())


def audited(deployment: Deployment, site: str, event: str, **facts: Any) -> bool:
    """Whether the audit log has a line with these facts."""
    return any({"event": event, **facts}.items() <= line.items() for line in audit(deployment, site))


def work(deployment: Deployment, site: str) -> Path:
    """A site's work folder."""
    return deployment.folder / "sites" / site / "work"
