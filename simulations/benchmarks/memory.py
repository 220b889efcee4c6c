"""Whether the coordinator's memory grows with the number of sites: its peak for a few, some and many.

A real `wardround coordinator up` on disk, and the hospitals of simulations/benchmarks/crowd.py. Beside it, in
a process of its own, Flower's FedAvg, which keeps every reply until the last has come. Reads Linux's /proc.
"""

import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from client.site import Site
from server.store import FINISHED
from shared.errors import FederationError
from shared.model import build
from simulations.benchmarks import rounds
from simulations.benchmarks.comparison import Comparison
from simulations.benchmarks.crowd import crowd, join
from simulations.benchmarks.hospitals import prepared_sites, written
from simulations.benchmarks.proc import peak_mb
from simulations.deployment import Deployment

LIMIT_S = 1800.0
SAMPLE_S = 0.1
PATIENTS = 10
RUN, SUPERLINK = "the run's process", "flower-superlink"


@dataclass(frozen=True)
class Size:
    """How many sites, ascending, and the U-Net whose updates they send."""

    sites: tuple[int, ...]
    channels: tuple[int, ...]


def measure(size: Size, folder: Path) -> tuple[Comparison, ...]:
    """Run one round of each number of sites, ours and FedAvg's."""
    ours, fedavg, superlink = {}, {}, {}
    for sites in size.sites:
        peaks, parameters = _deployed(sites, size, folder / f"{sites}-sites")
        ours[sites], superlink[sites] = peaks[RUN], peaks[SUPERLINK]
        fedavg[sites] = _fedavg(sites, parameters)
    note = (
        f"one round with real hospitals in one process, {4 * parameters / 1e6:.2f} MB an update; peak "
        "resident memory, PyTorch and MONAI included for ours; FedAvg over replies of the same size, with "
        "its nodes in the process"
    )
    few = size.sites[0]
    return (
        *(
            Comparison(
                measure=f"{RUN} with {sites} sites",
                unit="MB",
                better="lower",
                samples={"Wardround": (ours[sites],), "Flower FedAvg": (fedavg[sites],)},
                note=note,
            )
            for sites in size.sites
        ),
        *(
            Comparison(
                measure=f"{what}: {sites} sites against {few}",
                unit="MB",
                better="lower",
                samples={f"{sites} sites": (found[sites],), f"{few} sites": (found[few],)},
                note="1 is flat; " + note,
            )
            for what, found in (("Wardround", ours), ("Flower FedAvg", fedavg), (SUPERLINK, superlink))
            for sites in size.sites[1:]
        ),
    )


def _deployed(sites: int, size: Size, folder: Path) -> tuple[dict[str, float], int]:
    small = rounds.Size(sites=sites, patients_per_site=PATIENTS, rounds=1, repeats=1, channels=size.channels)
    study = rounds.trivial_study(small)
    found = prepared_sites(folder, study, sites=sites, patients_per_site=PATIENTS, shape=(16, 16, 16))
    files = {Site.read(path).name: path for path in found}
    study_file = written(study, folder)
    deployment = Deployment(folder / "deployment", files)
    deployment.init()
    with ExitStack() as stack:
        stack.push(deployment)  # stops it; entering it would start a process for each site
        deployment.up()
        where = ("--dir", str(deployment.coordinator_folder))
        join(files, deployment.command("coordinator", "invite", *files, *where).split())
        with crowd(found), _peaks(deployment) as peaks:
            run = deployment.start(study_file)
            row = deployment.wait(run, limit_s=LIMIT_S)
        if row.state != FINISHED:
            raise FederationError(f"{run} is {row.state}: {row.reason}")
    return peaks, sum(p.numel() for p in build(study).parameters())


@contextmanager
def _peaks(deployment: Deployment) -> Iterator[dict[str, float]]:
    """Peak resident memory by process of the coordinator, in MB, complete at the end."""
    peaks: dict[str, float] = defaultdict(float)
    stop = threading.Event()
    process = deployment.coordinator.process
    if process is None:
        raise FederationError("the coordinator is not up")

    def sample() -> None:
        while not stop.wait(SAMPLE_S):
            for child in psutil.Process(process.pid).children(recursive=True):
                try:
                    role = _role(child)
                    peaks[role] = max(peaks[role], peak_mb(child.pid))
                except (psutil.Error, OSError):
                    continue  # it ended meanwhile

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        stop.set()
        thread.join()


def _role(process: psutil.Process) -> str:
    if "server.superlink" in process.cmdline():
        return SUPERLINK
    parent = process.parent()
    fork_of_a_fork = parent is not None and "forkserver" in " ".join(parent.cmdline())
    return RUN if fork_of_a_fork else "others"


def _fedavg(sites: int, parameters: int) -> float:
    done = subprocess.run(  # noqa: S603 - our own module
        [sys.executable, "-m", "simulations.benchmarks.fedavg", str(sites), str(parameters)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise FederationError(f"FedAvg with {sites} sites failed:\n{done.stderr}")
    return float(done.stdout)
