"""A site's key, and what it signs: every call on the control plane, and once the proof that it holds the key.

The key is EC P-256, the one Flower's node authentication uses as well. What is signed opens with the name of
its purpose, so that a signature for one purpose is never good for another.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.errors import ConfigError
from shared.files import write_atomically

SITE, TIME, SIGNATURE = "wardround-site", "wardround-time", "wardround-signature-bin"
"""gRPC metadata keys; a name that ends in -bin has bytes as its value."""

CLOCK_TOLERANCE = timedelta(seconds=120)
_ECDSA = ec.ECDSA(hashes.SHA256())
_ENCODING = serialization.Encoding.PEM

PrivateKey = ec.EllipticCurvePrivateKey


def new_key(path: Path) -> PrivateKey:
    """Make a key and write it for its owner only, in OpenSSH format, as flower-supernode wants it."""
    key = ec.generate_private_key(ec.SECP256R1())
    data = key.private_bytes(_ENCODING, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    with write_atomically(path, private=True) as temporary:
        temporary.write_bytes(data)
    return key


def read_key(path: Path) -> PrivateKey:
    """Read a key that `new_key` wrote; raise ConfigError when it is not one."""
    try:
        key = serialization.load_ssh_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"{path} cannot be read as a site's key: {error}. Enrol this site again."
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"{path} holds {type(key).__name__}, expected an EC P-256 key. Enrol again.")
    return key


def public_bytes(key: PrivateKey) -> bytes:
    """Public half as PEM, as Flower's RegisterNode wants it."""
    return _pem(key.public_key())


def checked_public_key(data: bytes) -> bytes:
    """Bring a public key into the one form that is stored; raise ValueError unless it is EC P-256."""
    key = serialization.load_pem_public_key(data)
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError(f"found {type(key).__name__}, expected an EC P-256 key")  # noqa: TRY004 - of the value
    return _pem(key)


def prove(key: PrivateKey, *, code: str, site: str) -> bytes:
    """Sign an enrolment: whoever redeems `code` for `site` holds this key."""
    return key.sign(_proof_text(code, site, public_bytes(key)), _ECDSA)


def proven(proof: bytes, *, code: str, site: str, public_key: bytes) -> bool:
    """Whether `proof` was made by the holder of `public_key`, in the form of `checked_public_key`."""
    return _verified(public_key, proof, _proof_text(code, site, public_key))


@dataclass(frozen=True)
class Signed:
    """Who says to have made a call, when by their clock, and the signature."""

    site: str
    time: datetime
    signature: bytes

    @classmethod
    def make(cls, key: PrivateKey, *, method: str, site: str, request: bytes, now: datetime) -> Self:
        """Sign a call of `method` with the serialised `request`."""
        return cls(site, now, key.sign(_call_text(method, site, now, request), _ECDSA))

    @classmethod
    def read(cls, metadata: Mapping[str, str | bytes]) -> Self | None:
        """Find the three keys in a call's metadata; None when they are missing or not as they should be."""
        site, time, signature = (metadata.get(key) for key in (SITE, TIME, SIGNATURE))
        if not isinstance(site, str) or not isinstance(time, str) or not isinstance(signature, bytes):
            return None
        try:
            parsed = datetime.fromisoformat(time)
        except ValueError:
            return None
        return cls(site, parsed, signature) if parsed.tzinfo is not None else None

    @property
    def metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """As gRPC sends it."""
        return ((SITE, self.site), (TIME, _time_text(self.time)), (SIGNATURE, self.signature))

    def verified(self, public_key: bytes, *, method: str, request: bytes) -> bool:
        """Whether the holder of `public_key` signed this very call at this time."""
        return _verified(public_key, self.signature, _call_text(method, self.site, self.time, request))


def _proof_text(code: str, site: str, public_key: bytes) -> bytes:
    return b"\n".join((b"wardround enrolment 1", code.encode(), site.encode(), public_key))


def _call_text(method: str, site: str, time: datetime, request: bytes) -> bytes:
    digest = hashlib.sha256(request).hexdigest()
    return "\n".join(("wardround call 1", method, site, _time_text(time), digest)).encode()


def _time_text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds")


def _verified(public_key: bytes, signature: bytes, text: bytes) -> bool:
    key = serialization.load_pem_public_key(public_key)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        key.verify(signature, text, _ECDSA)
    except InvalidSignature:
        return False
    return True


def _pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(_ENCODING, serialization.PublicFormat.SubjectPublicKeyInfo)
