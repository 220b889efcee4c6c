"""A real flower-superlink on loopback, its coordinator's folder, and somebody outside."""

import logging
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import httpx
import pytest

from server import upkeep
from server.authority import create_authority
from server.flower import Flower, Link
from server.settings import FILE, TEMPLATE, Coordinator
from shared.ports import LOOPBACK, free_port
from shared.processes import Command
from shared.signing import PrivateKey, new_key

MAX_MESSAGE_MB = 3
numbers = count(1)


def until(holds: Callable[[], object], what: str, *, within_s: float = 30.0) -> None:
    """Wait for something; fail after `within_s` seconds."""
    ends = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends, f"{what}: not within {within_s} s"
        time.sleep(0.02)


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
    """Make a coordinator's folder, on a free port of this machine alone."""
    folder.mkdir(exist_ok=True)
    text = TEMPLATE.format(name="coordinator", address=LOOPBACK)
    for before, after in (
        ("bind: 0.0.0.0", f"bind: {LOOPBACK}"),
        ("fleet_port: 9092", f"fleet_port: {free_port()}"),
        ("max_message_mb: 512", f"max_message_mb: {MAX_MESSAGE_MB}"),
    ):
        assert before in text
        text = text.replace(before, after)
    (folder / FILE).write_text(text)
    settings = Coordinator.read(folder)
    create_authority(settings)
    return settings


@contextmanager
def superlink(folder: Path) -> Iterator[SuperLink]:
    """Start a SuperLink as the coordinator does, and stop it whatever happens."""
    settings = new_folder(folder)
    lines: list[str] = []
    command = upkeep.superlink(settings, heard=lines.append)
    link = SuperLink(command, lines, settings=settings, address=settings.local_fleet)
    try:
        command.keep()
        link.until_it_answers()
        yield link
    finally:
        command.stop(grace_s=5.0)
        command.log.close()


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuperLink]:
    """One SuperLink for all tests of a file."""
    with superlink(tmp_path_factory.mktemp("coordinator")) as link:
        yield link


@pytest.fixture
def flower(link: SuperLink) -> Iterator[Flower]:
    """The coordinator's client of that SuperLink."""
    flower = Flower(link.link)
    yield flower
    flower.close()


@pytest.fixture
def key(tmp_path: Path) -> PrivateKey:
    """A new node's key."""
    return new_key(tmp_path / "node.key")


@pytest.fixture
def site() -> str:
    """A name that no other test has."""
    return f"hospital-{next(numbers)}"


def connection(link: SuperLink) -> ssl.SSLSocket:
    """Connect to the port as somebody outside."""
    host, port = link.address.split(":")
    context = ssl.create_default_context(cafile=str(link.settings.ca_pem))
    return context.wrap_socket(socket.create_connection((host, int(port)), 10), server_hostname=host)


def status(wire: ssl.SSLSocket) -> int:
    """Read an answer's status."""
    return int(wire.recv(4096).split(b" ", 2)[1])
