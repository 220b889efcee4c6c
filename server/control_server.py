"""The control service's and the health service's port: gRPC over TLS."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from server.settings import Coordinator
from shared.control import control_pb2 as pb
from shared.control import control_pb2_grpc
from shared.errors import ConfigError

THREADS = 64


def serve(service: control_pb2_grpc.ControlServicer, settings: Coordinator) -> grpc.Server:
    """Start the control service and the health service; raise ConfigError when the port is taken."""
    server = grpc.server(
        ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="control"),
        options=(
            ("grpc.so_reuseport", 0),  # a second coordinator on this port must fail, not share it
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ),
    )
    control_pb2_grpc.add_ControlServicer_to_server(service, server)
    healthy = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    for name in ("", pb.DESCRIPTOR.services_by_name["Control"].full_name):
        healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
    certificate = _Certificate(settings)
    credentials = grpc.dynamic_ssl_server_credentials(certificate(), certificate)
    host = f"[{settings.bind}]" if ":" in settings.bind else settings.bind
    address = f"{host}:{settings.control_port}"
    try:
        if not server.add_secure_port(address, credentials):
            raise RuntimeError(address)  # noqa: TRY301 - what newer versions of grpcio raise by themselves
    except RuntimeError as error:
        raise ConfigError(
            f"the control service cannot listen on {address}. Is another coordinator running? Otherwise "
            "change bind or control_port in coordinator.yaml."
        ) from error
    server.start()
    return server


class _Certificate:
    """Shows each new connection what lies in the files then, so that a renewal needs no restart."""

    def __init__(self, settings: Coordinator) -> None:
        self._settings = settings
        self._shown = self._read()

    def __call__(self) -> grpc.ServerCertificateConfiguration:
        with suppress(OSError):  # it goes on with the one before
            self._shown = self._read()
        return self._shown

    def _read(self) -> grpc.ServerCertificateConfiguration:
        pair = (self._settings.server_key.read_bytes(), self._settings.server_pem.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair])
