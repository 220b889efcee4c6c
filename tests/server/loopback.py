"""A real flower-superlink on loopback, its coordinator's folder, and somebody outside."""

import logging
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from server.authority import create_authority
from server.flower import Flower, Link
from server.settings import FILE, TEMPLATE, Coordinator
from shared.processes import Command, rotating_log

MAX_MESSAGE_MB = 1


def until(holds: Callable[[], object], what: str, *, within_s: float = 30.0) -> None:
    """Wait for something; fail after `within_s` seconds."""
    ends = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends, f"{what}: not within {within_s} s"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Kept:
    """A command of ours, and every line that it printed."""

    command: Command
    lines: list[str] = field(default_factory=list)

    @classmethod
    def make(cls, *arguments: str, log: logging.Handler, environment: Mapping[str, str]) -> "Kept":
        lines: list[str] = []
        command = Command([sys.executable, *arguments], log, environment, heard=lines.append)
        return cls(command, lines)

    @property
    def pid(self) -> int:
        assert self.command._process is not None
        return self.command._process.pid

    def start_again(self) -> None:
        """As a supervisor does it once the pause after a crash is over."""
        until(lambda: self.command.keep() is None and self.command.running, "the restart")


@dataclass
class SuperLink(Kept):
    """A SuperLink in a child process."""

    settings: Coordinator = field(kw_only=True)
    address: str = field(kw_only=True)

    @property
    def link(self) -> Link:
        settings = self.settings
        return Link(
            self.address,
            settings.ca_pem.read_bytes(),
            settings.superlink_token.read_text().strip(),
            settings.superexec_secret.read_bytes(),
        )

    def until_it_answers(self) -> None:
        flower = Flower(self.link)

        def answers() -> bool:
            assert self.command.running, "\n".join(self.lines)
            try:
                flower.nodes()
            except httpx.TransportError:
                return False
            return True

        try:
            until(answers, "an answer from the SuperLink")
        finally:
            flower.close()


def outsider(ca: Path, address: str) -> httpx.Client:
    """Somebody who reaches the port and knows the certificate, but has no token."""
    return httpx.Client(base_url=f"https://{address}", verify=ssl.create_default_context(cafile=str(ca)))


def new_folder(folder: Path) -> Coordinator:
    """Make a coordinator's folder."""
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_text(TEMPLATE.format(name="coordinator", address="127.0.0.1"))
    settings = Coordinator.read(folder)
    create_authority(settings)
    return settings


@contextmanager
def superlink(folder: Path) -> Iterator[SuperLink]:
    """Start a SuperLink as the coordinator does, and stop it whatever happens."""
    settings = new_folder(folder)
    port = free_port()
    log = rotating_log(folder / "logs" / "superlink.log", days=1)
    kept = Kept.make(
        *("-m", "server.superlink"),
        *(str(settings.superlink_token), str(settings.ca_pem), str(MAX_MESSAGE_MB)),
        *("--isolation", "process", "--superexec-auth-secret-file", str(settings.superexec_secret)),
        *("--enable-supernode-auth", "--disable-runtime-dependency-installation"),
        *("--ssl-certfile", str(settings.server_pem), "--ssl-keyfile", str(settings.server_key)),
        *("--ssl-ca-certfile", str(settings.ca_pem), "--database", str(settings.superlink_db)),
        *("--host", "127.0.0.1", "--port", str(port)),
        log=log,
        environment={"FLWR_HOME": str(folder / "flower")},
    )
    link = SuperLink(kept.command, kept.lines, settings=settings, address=f"127.0.0.1:{port}")
    try:
        link.command.keep()
        link.until_it_answers()
        yield link
    finally:
        link.command.stop(grace_s=5.0)
        log.close()


def connection(link: SuperLink) -> ssl.SSLSocket:
    """Connect to the port as somebody outside."""
    host, port = link.address.split(":")
    context = ssl.create_default_context(cafile=str(link.settings.ca_pem))
    return context.wrap_socket(socket.create_connection((host, int(port)), 10), server_hostname=host)


def status(wire: ssl.SSLSocket) -> int:
    """Read an answer's status."""
    return int(wire.recv(4096).split(b" ", 2)[1])
