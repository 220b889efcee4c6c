"""Ports on this machine."""

import socket

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """Find a port of the loopback interface that nobody listens on; raise OSError if there is none."""
    with socket.create_server((LOOPBACK, 0)) as server:
        return int(server.getsockname()[1])
