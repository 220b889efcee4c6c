"""A coordinator's control service and its SuperLink's front page, in this process, on loopback, with TLS."""

import contextlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc

from server.authority import fingerprint
from server.board import RunStatus
from server.commands import initialise
from server.control import ControlService
from server.control_server import serve
from server.settings import FILE, Coordinator
from server.store import Store
from shared.invite import Invite, new_code
from shared.ports import free_port

BUNDLE = "b" * 64
NODE = 2**63 + 5


@dataclass
class Office:
    """One coordinator that is up, and what its parts were told."""

    settings: Coordinator
    store: Store
    online: set[bytes] = field(default_factory=set)
    boards: dict[str, RunStatus] = field(default_factory=dict)
    registered: list[tuple[str, bytes]] = field(default_factory=list)
    flower_is_down: bool = False
    shown_ca: bytes | None = None
    _server: grpc.Server | None = None
    _service: ControlService | None = None

    def register(self, site: str, public_key: bytes) -> int:
        """Stand in for Flower's SuperLink."""
        if self.flower_is_down:
            raise ConnectionError("/secret/path of flower")
        self.registered.append((site, public_key))
        return NODE

    def up(self) -> None:
        """Start the control service."""
        self._service = ControlService(
            self.store,
            self.settings,
            bundle=BUNDLE,
            register=self.register,
            online=lambda: self.online,
            status=self.boards.get,
        )
        self._server = serve(self._service, self.settings)

    def down(self) -> None:
        """Stop it."""
        if self._server is not None and self._service is not None:
            self._service.end_streams()
            self._server.stop(grace=None).wait(10)
            self._server = None

    def invite(self, site: str = "north", *, replace: bool = False, days: float = 1) -> Invite:
        """Give out an invite."""
        code, expires = new_code(), datetime.now(UTC) + timedelta(days=days)
        self.store.invite(site, code=code, expires=expires, replace=replace)
        return Invite(
            site=site,
            control=self.settings.control,
            fleet=self.settings.fleet,
            ca_sha256=fingerprint(self.settings.ca_pem),
            code=code,
            expires=expires,
        )


@contextlib.contextmanager
def office(folder: Path) -> Iterator[Office]:
    """Make a coordinator's folder on free ports and bring it up."""
    initialise(folder, address="127.0.0.1", name=None)
    file = folder / FILE
    text = file.read_text().replace("bind: 0.0.0.0", "bind: 127.0.0.1")
    for port in ("9092", "9093"):
        text = text.replace(port, str(free_port()))
    file.write_text(text)
    settings = Coordinator.read(folder)
    made = Office(settings, Store.open(settings.database_url))
    made.up()
    try:
        with front_page(made):
            yield made
    finally:
        made.down()
        made.store.close()


@contextlib.contextmanager
def front_page(made: Office) -> Iterator[None]:
    """Serve /wardround/ca.pem on the fleet port, as the middleware before Flower's SuperLink does."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = made.shown_ca if made.shown_ca is not None else made.settings.ca_pem.read_bytes()
            self.send_response(200 if self.path == "/wardround/ca.pem" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.settings.server_pem, made.settings.server_key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", made.settings.fleet_port), Page)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
