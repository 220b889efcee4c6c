"""Flower's own deployment on this machine, as its documentation starts it: a SuperLink and SuperNodes."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path

import httpx
from flwr.common.serde import user_config_to_proto
from flwr.proto.control_pb2 import StartRunRequest
from flwr.proto.fab_pb2 import Fab
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor

from shared.bundle import pack
from shared.errors import FederationError
from shared.ports import free_port
from shared.processes import FLOWER_ENVIRONMENT

LOOPBACK = "127.0.0.1"
PAUSE_S = 0.2
LIMIT_S = 600.0
STOP_S = 20.0
PROJECT = """\
[project]
name = "stock"
version = "1.0.0"
license = { text = "Apache-2.0" }
dependencies = []

[tool.flwr.app]
publisher = "wardround"

[tool.flwr.app.config]
out = ""
parameters = 0
rounds = 0
sites = 0

[tool.flwr.app.components]
serverapp = "stock_app:server"
clientapp = "stock_app:client"
"""


def rounds_s(folder: Path, *, sites: int, rounds: int, parameters: int) -> list[float]:
    """Start everything, run `rounds` rounds with `parameters` float32 weights; returns seconds of each.

    Raises FederationError when that takes longer than `LIMIT_S`.
    """
    folder.mkdir(parents=True)
    out = folder / "rounds.json"
    with _deployment(folder, sites) as client:
        content = pack({"pyproject.toml": PROJECT.encode(), "stock_app.py": _source()})
        config: dict[str, bool | float | int | str] = {
            "out": str(out.resolve()),
            "parameters": parameters,
            "rounds": rounds,
            "sites": sites,
        }
        client.StartRun(
            StartRunRequest(
                fab=Fab(hash_str=hashlib.sha256(content).hexdigest(), content=content),
                override_config=user_config_to_proto(config),
            )
        )
        _until(out.exists, f"{rounds} rounds of Flower's own deployment; see the logs in {folder}")
    return [float(seconds) for seconds in json.loads(out.read_text(encoding="utf-8"))]


def _source() -> bytes:
    return (files("simulations") / "benchmarks" / "stock_app.py").read_bytes()


@contextlib.contextmanager
def _deployment(folder: Path, sites: int) -> Iterator[ControlHttpClient]:
    address = f"{LOOPBACK}:{free_port()}"
    common = ("--insecure", "--host", LOOPBACK)
    client = ControlHttpClient.from_server_address(
        address, True, None, [RuntimeVersionHttpInterceptor(component_name="benchmark")]
    )
    with contextlib.ExitStack() as running:
        running.callback(client.close)
        link = ("flower-superlink", *common, "--port", address.split(":")[1])
        running.enter_context(_process((*link, "--disable-runtime-dependency-installation"), folder))
        _until(lambda: _answers(address), f"Flower's SuperLink at {address}")
        for _ in range(sites):
            node = ("flower-supernode", *common, "--superlink", address, "--port", str(free_port()))
            running.enter_context(_process(node, folder))
        yield client


@contextlib.contextmanager
def _process(arguments: Sequence[str], folder: Path) -> Iterator[None]:
    """Run one of Flower's commands, and end it with all that it started."""
    bin_folder = Path(sys.executable).parent
    log = folder / f"{arguments[0]}-{arguments[-1].strip('-')}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - Flower's own programs
            [str(bin_folder / arguments[0]), *arguments[1:]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                **FLOWER_ENVIRONMENT,
                "FLWR_HOME": str(folder / log.stem),
                "PATH": f"{bin_folder}{os.pathsep}{os.environ.get('PATH', '')}",  # it starts others by name
            },
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(address: str) -> bool:
    try:
        httpx.get(f"http://{address}/", timeout=1.0)
    except httpx.HTTPError:
        return False
    return True


def _until(happened: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + LIMIT_S
    while not happened():
        if time.monotonic() > ends:
            raise FederationError(f"waited {LIMIT_S:.0f} s for {what}.")
        time.sleep(PAUSE_S)
