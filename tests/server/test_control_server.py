"""The control service's port: a certificate that is renewed is shown without a restart."""

import socket
import ssl
from pathlib import Path

from cryptography import x509

from server.authority import renew
from server.settings import Coordinator
from tests.server.federation_office import office


def shown(settings: Coordinator) -> int:
    """The serial number of what a new connection is shown."""
    context = ssl.create_default_context(cafile=str(settings.ca_pem))
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", settings.control_port), 10) as wire,
        context.wrap_socket(wire, server_hostname="127.0.0.1") as secure,
    ):
        found = secure.getpeercert(binary_form=True)
    assert found
    return x509.load_der_x509_certificate(found).serial_number


def filed(settings: Coordinator) -> int:
    return x509.load_pem_x509_certificate(settings.server_pem.read_bytes()).serial_number


def test_a_renewed_certificate_is_shown_to_the_next_connection(tmp_path: Path) -> None:
    with office(tmp_path / "coordinator") as made:
        before = shown(made.settings)
        assert before == filed(made.settings)
        renew(made.settings)
        assert shown(made.settings) == filed(made.settings) != before


def test_a_certificate_that_cannot_be_read_leaves_the_one_before(tmp_path: Path) -> None:
    with office(tmp_path / "coordinator") as made:
        before = filed(made.settings)
        made.settings.server_pem.unlink()
        assert shown(made.settings) == before
