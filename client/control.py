"""The hospital's side of the control plane: the only file of a site that opens connections of its own.

It trusts one certificate authority, the one whose SHA-256 the invite named, and signs every call. What it
sends about the site it takes as a `Released`, that is, through the gate.
"""

import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from client.control_answers import CURES, Admitted, Greeting, Reached, RunStudy
from client.gate import Released
from client.membership import Enrolment
from shared.control import control_pb2 as pb
from shared.control.control_pb2_grpc import ControlStub
from shared.errors import EnrolmentError, FederationError
from shared.signing import Signed, prove, read_key

TIMEOUT_S = 20.0
CA_PATH = "/wardround/ca.pem"
LONGEST_CA_BYTES = 65_536


class Control:
    """Signed calls to the coordinator; every failure is a FederationError that says what to do."""

    def __init__(self, enrolment: Enrolment, *, timeout_s: float = TIMEOUT_S) -> None:
        self._enrolment = enrolment
        self._timeout_s = timeout_s
        self._key = read_key(enrolment.private_key)
        self._channel, self._stub = _channel(enrolment.control, enrolment.ca_pem.read_bytes())

    def __enter__(self) -> Self:
        """Use as a context manager, which closes the connection."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def greet(self, released: Released) -> Greeting:
        """Send the site's `greeting`, which the gate let through."""
        record = released.record
        asked = datetime.now(UTC)
        request = pb.GreetRequest(
            version=record.text("version"),
            clock=float(record.fields["clock"]),
            audit_lines=record.integer("audit_lines"),
            audit_seal=record.text("audit_seal"),
        )
        reply = self._call("Greet", request)
        return Greeting(_offset_s(reply.server_time, asked), reply.version, reply.bundle, reply.problem)

    def study(self, run: str | None = None) -> list[RunStudy]:
        """Fetch the study of one run, or those of all runs that are not over."""
        reply = self._call("GetStudy", pb.StudyRequest(run=run or ""))
        return [RunStudy(r.run, r.state, r.digest, r.study) for r in reply.runs]

    def watch(self, run: str | None = None, *, follow: bool = True) -> Iterator[pb.Status]:
        """Receive the status of all runs and of this site, once or at each change."""
        request = pb.StatusRequest(run=run or "", follow=follow)
        with self._translated():
            yield from self._stub.WatchStatus(
                request,
                metadata=self._signed("WatchStatus", request),
                timeout=None if follow else self._timeout_s,
            )

    def reach(self) -> Reached:
        """Look whether the coordinator answers, and by which clock, version and certificate."""
        days = certificate_days_left(self._enrolment.control, self._enrolment.ca_pem.read_bytes())
        asked = datetime.now(UTC)
        reply = self._call("Reach", pb.ReachRequest())
        return Reached(_offset_s(reply.server_time, asked), reply.version, reply.bundle, days)

    def _call(self, method: str, request: Any) -> Any:
        with self._translated():
            send = getattr(self._stub, method)
            return send(request, metadata=self._signed(method, request), timeout=self._timeout_s)

    def _signed(self, method: str, request: Any) -> tuple[tuple[str, str | bytes], ...]:
        return Signed.make(
            self._key,
            method=method,
            site=self._enrolment.site,
            request=request.SerializeToString(deterministic=True),
            now=datetime.now(UTC),
        ).metadata

    @contextmanager
    def _translated(self) -> Iterator[None]:
        with _translated(self._enrolment.control, self._enrolment.ca_pem.read_bytes(), self._timeout_s):
            yield


def reach(enrolment: Enrolment) -> Reached:
    """Look at the coordinator; raise FederationError when it cannot be reached or turns this site away."""
    with Control(enrolment) as control:
        return control.reach()


def redeem(released: Released, *, code: str, key_file: Path, control: str, ca_pem: bytes) -> Admitted:
    """Send the site's `membership`, which the gate let through, with the invite's code and a proof."""
    record = released.record
    site = record.text("site")
    request = pb.EnrolRequest(
        code=code,
        site=site,
        public_key=record.text("public_key").encode(),
        proof=prove(read_key(key_file), code=code, site=site),
        version=record.text("version"),
    )
    channel, stub = _channel(control, ca_pem)
    asked = datetime.now(UTC)
    try:
        with _translated(control, ca_pem):
            reply = stub.Enrol(request, timeout=TIMEOUT_S)
    finally:
        channel.close()
    return Admitted(
        reply.node_id, reply.fleet, reply.version, reply.bundle, _offset_s(reply.server_time, asked)
    )


def fetch_authority(fleet: str, sha256: str) -> bytes:
    """Fetch the coordinator's CA certificate (PEM), trusting nobody, and compare it with `sha256`.

    Nothing about the site is sent. Raises EnrolmentError with reason ``unreachable`` or ``fingerprint``.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the fingerprint decides, below
    host, port = _host_and_port(fleet)
    connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
    try:
        connection.request("GET", CA_PATH)
        with connection.getresponse() as response:
            found = response.read(LONGEST_CA_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise EnrolmentError(
            "unreachable",
            _silent(fleet, error),
        ) from error
    finally:
        connection.close()
    try:
        fingerprint = x509.load_pem_x509_certificate(found).fingerprint(hashes.SHA256()).hex()
    except ValueError as error:
        raise EnrolmentError(
            "fingerprint",
            f"{fleet} answered with status {response.status} and no certificate; expected a Wardround "
            "coordinator. Ask the coordinator for its address.",
        ) from error
    if fingerprint != sha256:
        raise EnrolmentError(
            "fingerprint",
            f"the coordinator at {fleet} shows another authority than the invite: found "
            f"{fingerprint[:16]}..., expected {sha256[:16]}.... Nothing was sent. Somebody "
            "may stand between: ask the coordinator.",
        )
    return found


def certificate_days_left(address: str, ca_pem: bytes, timeout_s: float = TIMEOUT_S) -> float:
    """Count the days until the server's certificate expires; raise FederationError when it is not good."""
    context = ssl.create_default_context(cadata=ca_pem.decode("ascii"))
    context.set_alpn_protocols(["h2"])
    host, port = _host_and_port(address)
    try:
        with (
            socket.create_connection((host, port), timeout=timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=host) as secure,
        ):
            der = secure.getpeercert(binary_form=True)
    except ssl.SSLCertVerificationError as error:
        raise FederationError(
            f"the certificate of the coordinator at {address} is not good: {error.verify_message}. If it has "
            "expired, the coordinator runs `wardround coordinator renew` and starts `up` again; no site"
            " enrols again. If a name differs, compare the coordinator's address with its certificate."
        ) from error
    except OSError as error:
        raise FederationError(_silent(address, error)) from error
    if der is None:
        raise FederationError(f"the coordinator at {address} showed no certificate. Tell the coordinator.")
    left = x509.load_der_x509_certificate(der).not_valid_after_utc - datetime.now(UTC)
    return left.total_seconds() / 86_400


def _channel(address: str, ca_pem: bytes) -> tuple[grpc.Channel, ControlStub]:
    channel = grpc.secure_channel(
        address,
        grpc.ssl_channel_credentials(root_certificates=ca_pem),
        options=(
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.enable_http_proxy", 0),  # a proxy would have to break the TLS that is pinned here
        ),
    )
    return channel, ControlStub(channel)


@contextmanager
def _translated(address: str, ca_pem: bytes, timeout_s: float = TIMEOUT_S) -> Iterator[None]:
    """Turn gRPC's errors into ours."""
    try:
        yield
    except grpc.RpcError as error:
        code, details = error.code(), str(error.details())
        if code == grpc.StatusCode.UNAVAILABLE:
            certificate_days_left(address, ca_pem, timeout_s)  # knows more about why: raises
        kind, _, reason = details.partition(".")
        if kind == "enrolment" and reason in CURES:
            raise EnrolmentError(reason, f"the coordinator refuses ({reason}). {CURES[reason]}") from error
        raise FederationError(
            f"the coordinator at {address} could not answer ({code.name.lower()}: {details}). Try again "
            "later; its own log, logs/coordinator.log, says more."
        ) from error


def _silent(address: str, error: Exception) -> str:
    return (
        f"the coordinator does not answer at {address}: {error}. Is it running, and does this hospital's "
        "firewall let connections to it out?"
    )


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _offset_s(server_time: float, asked: datetime) -> float:
    """Subtract this site's clock from the coordinator's, taking the answer to be half-way."""
    now = datetime.now(UTC)
    return server_time - (asked + (now - asked) / 2).timestamp()
