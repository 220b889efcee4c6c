import socket

import pytest

from shared.ports import LOOPBACK, free_port


def test_a_free_port_can_be_listened_on_at_once() -> None:
    number = free_port()
    with socket.create_server((LOOPBACK, number)) as server:
        assert server.getsockname() == (LOOPBACK, number)


def test_a_machine_without_a_port_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError("all taken")

    monkeypatch.setattr(socket, "create_server", none)
    with pytest.raises(OSError, match="all taken"):
        free_port()
