"""The certificate authority: what it signs holds up to OpenSSL, and a renewal needs no site."""

import socket
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from server.authority import create_authority, days_left, fingerprint, renew, renew_if_due
from server.settings import FILE, Coordinator
from shared.errors import ConfigError


@pytest.fixture
def settings(tmp_path: Path) -> Coordinator:
    (tmp_path / FILE).write_text("address: fl.example.org\nalternative_names: [10.1.2.3]\n")
    read = Coordinator.read(tmp_path)
    create_authority(read)
    return read


def change(settings: Coordinator, **values: object) -> Coordinator:
    changed = settings.model_copy(update=values)
    changed._folder = settings.folder
    return changed


def handshake(settings: Coordinator, ca_pem: bytes, name: str) -> str:
    """The name of the certificate that a client which trusts `ca_pem` sees when it asks for `name`."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(settings.server_pem, settings.server_key)
    ours, theirs = socket.socketpair()

    def serve() -> None:
        try:
            with server.wrap_socket(theirs, server_side=True):
                pass
        except OSError:
            pass  # the client's refusal is what the test looks at

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client = ssl.create_default_context(cadata=ca_pem.decode())
        with client.wrap_socket(ours, server_hostname=name) as secure:
            found = secure.getpeercert()
            assert found
            return str(found["serialNumber"])
    finally:
        ours.close()
        thread.join()


@pytest.mark.parametrize("name", ["fl.example.org", "localhost", "127.0.0.1", "10.1.2.3"])
def test_a_client_that_trusts_the_authority_accepts_every_name(name: str, settings: Coordinator) -> None:
    assert handshake(settings, settings.ca_pem.read_bytes(), name)


def test_another_name_and_another_authority_are_refused(settings: Coordinator, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        handshake(settings, settings.ca_pem.read_bytes(), "evil.example.org")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / FILE).write_text("address: fl.example.org\n")
    other = Coordinator.read(tmp_path / "other")
    create_authority(other)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(settings, other.ca_pem.read_bytes(), "fl.example.org")


def test_a_renewed_certificate_is_trusted_by_who_trusted_the_old_one(settings: Coordinator) -> None:
    trusted = settings.ca_pem.read_bytes()
    before = handshake(settings, trusted, "fl.example.org")
    renew(change(settings, alternative_names=("new.example.org",)))
    assert handshake(settings, trusted, "new.example.org") != before
    assert settings.ca_pem.read_bytes() == trusted


def test_keys_and_tokens_are_for_their_owner_only(settings: Coordinator) -> None:
    assert settings.secrets.stat().st_mode & 0o777 == 0o700
    names = {path.name for path in settings.secrets.iterdir()}
    assert names == {"ca.key", "server.key", "admin.token", "superexec.secret", "superlink.token"}
    assert {path.stat().st_mode & 0o777 for path in settings.secrets.iterdir()} == {0o600}
    tokens = {path.read_bytes() for path in settings.secrets.iterdir()}
    assert len(tokens) == 5


def test_the_root_may_sign_certificates_and_the_server_may_not(settings: Coordinator) -> None:
    root = x509.load_pem_x509_certificate(settings.ca_pem.read_bytes())
    leaf, chained = x509.load_pem_x509_certificates(settings.server_pem.read_bytes())
    assert chained == root
    assert root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    leaf.verify_directly_issued_by(root)
    assert 3600 < days_left(settings.ca_pem) <= 3650
    assert 396 < days_left(settings.server_pem) <= 397
    assert fingerprint(settings.ca_pem) == root.fingerprint(hashes.SHA256()).hex()


def test_it_is_renewed_only_when_it_is_due(settings: Coordinator) -> None:
    assert not renew_if_due(settings)
    renew(change(settings, certificate_days=20))
    assert days_left(settings.server_pem) < 20.1
    assert renew_if_due(settings)
    assert days_left(settings.server_pem) > 396


def test_a_lost_key_is_named(settings: Coordinator) -> None:
    settings.ca_key.unlink()
    with pytest.raises(ConfigError, match=r"ca\.key"):
        renew(settings)
