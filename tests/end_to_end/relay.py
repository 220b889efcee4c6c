"""A TCP relay that stands for the network between a hospital and its coordinator, and can fail as one."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

CHUNK = 65536
POLL_S = 0.05


class Relay:
    """Passes bytes on from a port of its own to `target` ("host:port"); `cut` lets none through."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._through = threading.Event()
        self._through.set()
        self._ended = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(POLL_S)
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"

    def __enter__(self) -> Self:
        """Start to relay."""
        self._accepter = threading.Thread(target=self._accept, daemon=True)
        self._accepter.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Close all."""
        self._ended.set()
        self._through.set()
        self._accepter.join()
        self._server.close()

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Lose the link: no byte passes and no connection is made; nobody is told. Then it is there again."""
        self._through.clear()
        try:
            yield
        finally:
            self._through.set()

    def _accept(self) -> None:
        connections = []
        while not self._ended.is_set():
            with suppress(TimeoutError):
                if not self._through.wait(POLL_S):
                    continue  # the system completes a handshake or two, and then hears nothing
                near, _ = self._server.accept()
                thread = threading.Thread(target=self._connect, args=(near,), daemon=True)
                thread.start()
                connections.append(thread)
        for thread in connections:
            thread.join()

    def _connect(self, near: socket.socket) -> None:
        with near, suppress(OSError), socket.create_connection(self._target) as far:
            other = {near: far, far: near}
            while not self._ended.is_set():
                readable, _, _ = select.select(list(other), [], [], POLL_S)
                for source in readable:
                    if not self._through.wait(POLL_S):
                        break
                    data = source.recv(CHUNK)
                    if not data:
                        return
                    other[source].sendall(data)
