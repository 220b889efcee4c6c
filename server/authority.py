"""The coordinator's own certificate authority: one root, one server certificate, EC P-256.

Hospitals pin the root by its SHA-256, so the server certificate can be renewed without telling them. The
root's key signs nothing but server certificates: sites are known by their keys, not by certificates.
"""

import ipaddress
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from server.settings import Coordinator
from shared.errors import ConfigError
from shared.files import write_atomically

CA_DAYS = 3650
RENEW_DAYS = 30
BACKDATED = timedelta(days=1)
"""A hospital's clock may be behind; a certificate from the future would look wrong to it."""

_PEM = serialization.Encoding.PEM


def create_authority(settings: Coordinator) -> None:
    """Make the root, the server certificate and all secrets of a new folder."""
    settings.secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.secrets.chmod(0o700)
    key = _new_key(settings.ca_key)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Wardround {settings.name}")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    now = datetime.now(UTC)
    root = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    with write_atomically(settings.ca_pem) as path:
        path.write_bytes(root.public_bytes(_PEM))
    _new_key(settings.server_key)
    renew(settings)
    for secret in (settings.admin_token, settings.superexec_secret, settings.superlink_token):
        with write_atomically(secret, private=True) as path:
            path.write_text(secrets.token_urlsafe(32), encoding="ascii")


def renew(settings: Coordinator) -> None:
    """Issue a new server certificate under the same root and key; sites need do nothing.

    Raises ConfigError when the root has expired or a key cannot be read.
    """
    root, root_key = _certificate(settings.ca_pem), _read_key(settings.ca_key)
    key = _read_key(settings.server_key)
    now = datetime.now(UTC)
    end = min(now + timedelta(days=settings.certificate_days), root.not_valid_after_utc)
    if end <= now:
        raise ConfigError(
            f"{settings.ca_pem} expired on {end:%Y-%m-%d}. Make a new folder with `wardround coordinator "
            "init` and invite every site again."
        )
    common_name = x509.NameAttribute(NameOID.COMMON_NAME, f"Wardround {settings.name} server")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([common_name]))
        .issuer_name(root.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([_general_name(name) for name in settings.certificate_names]),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False
        )
        .sign(root_key, hashes.SHA256())
    )
    with write_atomically(settings.server_pem) as path:
        path.write_bytes(certificate.public_bytes(_PEM) + root.public_bytes(_PEM))


def renew_if_due(settings: Coordinator, *, days: float = RENEW_DAYS) -> bool:
    """Renew the server certificate when fewer than `days` are left; return whether that was done."""
    root_left = days_left(settings.ca_pem)
    left = days_left(settings.server_pem)
    if left >= days or left >= root_left - 1:  # a root about to expire cannot give more
        return False
    renew(settings)
    return True


def days_left(path: Path) -> float:
    """Days until the first certificate in `path` expires; negative when it has."""
    return (_certificate(path).not_valid_after_utc - datetime.now(UTC)) / timedelta(days=1)


def fingerprint(path: Path) -> str:
    """SHA-256 of the first certificate in `path` (its DER bytes), in hexadecimal."""
    return _certificate(path).fingerprint(hashes.SHA256()).hex()


def _new_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    data = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with write_atomically(path, private=True) as temporary:
        temporary.write_bytes(data)
    return key


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read as a key: {error}. Restore it from a backup.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"{path} holds {type(key).__name__}, expected an EC key. Restore it from a backup.")
    return key


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as a certificate: {error}") from error


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
