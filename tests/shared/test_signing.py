"""A site's signatures: good for one call of one site at one time, and for nothing else."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from shared.errors import ConfigError
from shared.signing import Signed, checked_public_key, new_key, prove, proven, public_bytes, read_key

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "node.key"
    new_key(path)
    return path


def test_a_key_is_written_for_its_owner_only_and_read_back(key_file: Path) -> None:
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert public_bytes(read_key(key_file)) == public_bytes(read_key(key_file))


def test_flower_reads_the_key_and_names_the_public_half_alike(key_file: Path) -> None:
    as_supernode = serialization.load_ssh_private_key(key_file.read_bytes(), None)
    assert isinstance(as_supernode, ec.EllipticCurvePrivateKey)
    assert public_key_to_bytes(as_supernode.public_key()) == public_bytes(read_key(key_file))


def test_a_call_verifies_and_survives_the_metadata(key_file: Path) -> None:
    key = read_key(key_file)
    signed = Signed.make(key, method="Greet", site="north", request=b"x", now=NOW)
    read = Signed.read(dict(signed.metadata))
    assert read == signed
    assert signed.verified(public_bytes(key), method="Greet", request=b"x")


@pytest.mark.parametrize(
    "change",
    ["another method", "another request", "another site", "another time", "another key", "another signature"],
)
def test_anything_else_does_not_verify(change: str, key_file: Path, tmp_path: Path) -> None:
    key = read_key(key_file)
    signed = Signed.make(key, method="Greet", site="north", request=b"x", now=NOW)
    if change == "another site":
        signed = Signed("south", signed.time, signed.signature)
    if change == "another time":
        signed = Signed(signed.site, signed.time + timedelta(milliseconds=1), signed.signature)
    if change == "another signature":
        signed = Signed(signed.site, signed.time, b"nonsense")
    public = public_bytes(new_key(tmp_path / "other") if change == "another key" else key)
    method = "GetStudy" if change == "another method" else "Greet"
    assert not signed.verified(public, method=method, request=b"y" if change == "another request" else b"x")


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"wardround-site": "north", "wardround-time": "noon", "wardround-signature-bin": b""},
        {"wardround-site": "north", "wardround-time": "2026-01-01T00:00:00", "wardround-signature-bin": b""},
        {"wardround-site": b"north", "wardround-time": NOW.isoformat(), "wardround-signature-bin": b""},
    ],
)
def test_metadata_that_is_no_signature_is_none(metadata: dict[str, str | bytes]) -> None:
    assert Signed.read(metadata) is None


def test_a_proof_is_good_for_one_code_site_and_key(key_file: Path, tmp_path: Path) -> None:
    key = read_key(key_file)
    public, other = public_bytes(key), public_bytes(new_key(tmp_path / "other"))
    proof = prove(key, code="c", site="north")
    assert proven(proof, code="c", site="north", public_key=public)
    assert not proven(proof, code="d", site="north", public_key=public)
    assert not proven(proof, code="c", site="south", public_key=public)
    assert not proven(proof, code="c", site="north", public_key=other)


def test_only_keys_of_the_agreed_curve_are_taken(key_file: Path) -> None:
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    public = public_bytes(read_key(key_file))
    assert checked_public_key(b"\n" + public + b"\n") == public
    others: list[ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey] = [
        ec.generate_private_key(ec.SECP384R1()),
        rsa.generate_private_key(65537, 2048),
    ]
    for bad in [*(key.public_key().public_bytes(*form) for key in others), b"", b"nonsense"]:
        with pytest.raises(ValueError, match=r".+"):
            checked_public_key(bad)


def test_a_file_that_is_no_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "node.key").write_text("nonsense")
    with pytest.raises(ConfigError, match=r"node\.key"):
        read_key(tmp_path / "node.key")
