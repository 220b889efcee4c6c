"""The processes below a service, for tests that kill, freeze or look at one of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil

from simulations.deployment import Service


def family(service: Service) -> list[psutil.Process]:
    """A service's process and all below it, the service itself first."""
    if service.process is None or service.process.poll() is not None:
        return []
    top = psutil.Process(service.process.pid)
    return [top, *top.children(recursive=True)]


def called(service: Service, module: str) -> psutil.Process | None:
    """The process below a service whose command line holds `module`, such as client.supernode."""
    for process in family(service):
        try:
            if any(module in part for part in process.cmdline()):
                return process
        except psutil.NoSuchProcess:
            continue
    return None


def kill_all(service: Service) -> None:
    """SIGKILL to a service and everything below it, as a power cut; waits until they are gone."""
    processes = family(service)
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    service.kill()
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive


def workers(service: Service) -> list[psutil.Process]:
    """The forks in which a service computes: what its fork server started."""
    found = []
    for process in family(service):
        with suppress(psutil.NoSuchProcess):
            parent = process.parent()
            if parent is not None and any("multiprocessing.forkserver" in part for part in parent.cmdline()):
                found.append(process)
    return found


@contextmanager
def frozen(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """Keep processes from running (SIGSTOP), and let them go on at the end."""
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()
