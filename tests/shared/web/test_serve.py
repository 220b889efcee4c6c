"""Serving over TLS, and what is refused before anything listens."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx2
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from fastapi import FastAPI

from shared.errors import ConfigError
from shared.web.app import create_app, people_in
from shared.web.people import People
from shared.web.serve import listen, serve, server_config
from shared.web.settings import Pages
from shared.web.tls import tls_context
from tests.shared.web.conftest import few_pages, product


def write_pair(folder: Path, encryption: KeySerializationEncryption | None = None) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "wardround")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(exist_ok=True)
    pem, key_path = folder / "pages.pem", folder / "pages.key"
    pem.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_path.touch(mode=0o600)
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()))
    return pem, key_path


@contextmanager
def served(app: FastAPI) -> Iterator[int]:
    """Serve an app by the real server in a thread; gives its port."""
    config = server_config(app)
    listening = listen(app.state.web.pages)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture
def tls_app(people: People, tmp_path: Path) -> FastAPI:
    pem, key = write_pair(tmp_path / "tls")
    pages = Pages(tls_certificate=pem, tls_key=key, port=0)
    return create_app(product(tmp_path), pages, people, [few_pages()])


def test_pages_are_served_over_tls_1_2_and_later(tls_app: FastAPI) -> None:
    pages: Pages = tls_app.state.web.pages
    trusted = ssl.create_default_context(cafile=str(pages.tls_certificate))
    with served(tls_app) as port:
        with httpx2.Client(verify=trusted) as client:
            answer = client.get(f"https://127.0.0.1:{port}/login")
            assert answer.status_code == 200
            assert "strict-transport-security" in answer.headers
            assert "server" not in answer.headers
        with pytest.raises(httpx2.ConnectError), httpx2.Client() as stranger:
            stranger.get(f"https://127.0.0.1:{port}/login")
        with pytest.raises(httpx2.TransportError), httpx2.Client() as plain:
            plain.get(f"http://127.0.0.1:{port}/login")
        modern = ssl.create_default_context(cafile=str(pages.tls_certificate))
        with (
            socket.create_connection(("127.0.0.1", port)) as connection,
            modern.wrap_socket(connection, server_hostname="127.0.0.1") as secure,
        ):
            assert secure.version() == "TLSv1.3"


def test_older_tls_is_not_spoken(tmp_path: Path) -> None:
    assert tls_context(*write_pair(tmp_path)).minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o644, 0o666])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    pem, key = write_pair(tmp_path)
    key.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode {mode:03o}.*chmod 600"):
        tls_context(pem, key)
    key.chmod(0o640)  # a group such as ssl-cert
    tls_context(pem, key)


def test_files_that_are_no_pair_are_refused_by_name(tmp_path: Path) -> None:
    pem, key = write_pair(tmp_path / "a")
    _, other_key = write_pair(tmp_path / "b")
    with pytest.raises(ConfigError, match="not a PEM certificate and its key"):
        tls_context(pem, other_key)
    with pytest.raises(ConfigError, match="not a PEM certificate and its key"):
        tls_context(key, key)
    with pytest.raises(ConfigError, match=r"nowhere.pem cannot be read"):
        tls_context(tmp_path / "nowhere.pem", key)
    with pytest.raises(ConfigError, match=r"nowhere.key cannot be read"):
        tls_context(pem, tmp_path / "nowhere.key")


def test_an_encrypted_key_is_refused_and_nobody_is_asked(tmp_path: Path) -> None:
    pem, key = write_pair(tmp_path, BestAvailableEncryption(b"password"))
    with pytest.raises(ConfigError, match=r"encrypted.*openssl pkey"):
        tls_context(pem, key)


def test_nothing_wider_than_this_machine_without_tls() -> None:
    for bind in ("0.0.0.0", "::", "10.0.0.1", "wardround.example"):  # noqa: S104 - refused
        with pytest.raises(ConfigError, match="can be reached by other machines"):
            Pages.parse({"bind": bind}, "site.yaml")
    for bind in ("127.0.0.1", "127.0.0.9", "::1", "localhost"):
        Pages.parse({"bind": bind}, "site.yaml")
    with pytest.raises(ConfigError, match="belong together"):
        Pages.parse({"tls_key": "a.key"}, "site.yaml")


def test_nothing_wider_than_this_machine_before_there_is_an_account(tmp_path: Path) -> None:
    """Else whoever is first at the door from elsewhere could try codes."""
    pem, key = write_pair(tmp_path / "tls")
    bind = "0.0.0.0"  # noqa: S104 - refused
    pages = Pages(bind=bind, port=0, tls_certificate=pem, tls_key=key)
    people = people_in(tmp_path)
    app = create_app(product(tmp_path), pages, people, [few_pages()])
    with pytest.raises(ConfigError, match="wardround site account add SITE NAME"):
        serve(app, lambda text: None)
    people.close()


def test_a_port_that_is_taken_is_told(people: People, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        pages = Pages(port=taken.getsockname()[1])
        app = create_app(product(tmp_path), pages, people, [few_pages()])
        with pytest.raises(ConfigError, match=r"cannot listen.*in use.*--port"):
            serve(app, lambda text: None)
