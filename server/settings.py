"""The coordinator's folder: coordinator.yaml and where everything else in it lies."""

import fcntl
import ipaddress
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PrivateAttr, field_validator
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from shared.config import Config
from shared.errors import ConfigError
from shared.study import Name
from shared.web.settings import Pages

FILE = "coordinator.yaml"
Port = Annotated[int, Field(ge=1, le=65535)]
HOST = r"^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9a-fA-F:]+)$"
Host = Annotated[str, Field(pattern=HOST, max_length=253, description="a host name or an IP address")]

TEMPLATE = """\
# Wardround's coordinator. Research use, not a medical device.
# Changes take effect at the next `wardround coordinator up`.

# What hospitals see in certificates: lower-case letters, digits, - and _.
name: {name}

# Host name or IP address under which hospitals reach this machine. It is written into the server certificate
# and into every invite: after changing it, run `wardround coordinator renew` and invite again.
address: {address}

# Address of the network interface to listen on; 0.0.0.0 is all.
bind: 0.0.0.0

# Port of Flower's SuperLink, over which weights and sums travel. Hospitals connect to it.
fleet_port: 9092

# Port of the control service: enrolment, studies, status. Hospitals connect to it as well.
control_port: 9093

# Further host names and IP addresses for the server certificate; after a change run
# `wardround coordinator renew`.
alternative_names: []

# Where sites, invites and runs are kept. A relative SQLite path is in this folder. For PostgreSQL install
# wardround[postgres] and write postgresql+psycopg://user:password@host/database.
database: sqlite:///coordinator.db

# Days for which an invite is good.
invite_days: 7

# Days for which a server certificate is good. `up` renews it when fewer than 30 are left.
certificate_days: 397

# Largest request and largest answer of a site, in megabytes. It must hold one set of model weights.
max_message_mb: 512

# Minutes that a run waits for its sites to connect and for their people to approve the study.
enrol_wait_minutes: 60

# Seconds that a run waits for sites that are not connected, once those that are connected have all answered
# and are enough for the study's quorum. Approvals are waited for as above.
grace_seconds: 120

# Days for which logs are kept.
log_days: 14

# The pages of `wardround coordinator serve`; changes take effect when that is started again.
pages:
  # Address to listen on, and the port; 0 is any free one. Another address than this machine's own needs TLS.
  bind: 127.0.0.1
  port: 8091
  # Host names and addresses by which browsers ask, besides `bind`.
  names: []
  # Certificate with its chain, and its key: PEM, paths in this folder.
  tls_certificate: null
  tls_key: null
  # A person's session is over after so many minutes without a request, and after so many hours in any case.
  idle_minutes: 30
  session_hours: 12
"""


class OfficePages(Pages):
    """Where the coordinator's pages listen; another port than a hospital's, which may run beside it."""

    port: Annotated[int, Field(ge=0, le=65535)] = Field(default=8091, description="0: any free one")


class Coordinator(Config):
    """coordinator.yaml, and the paths of the folder that it lies in."""

    name: Name = "coordinator"
    address: Host
    bind: Host = "0.0.0.0"  # noqa: S104 - hospitals connect from elsewhere
    fleet_port: Port = 9092
    control_port: Port = 9093
    alternative_names: tuple[Host, ...] = ()
    database: str = "sqlite:///coordinator.db"
    invite_days: Annotated[float, Field(gt=0, le=365)] = 7
    certificate_days: Annotated[int, Field(ge=1, le=825)] = 397
    max_message_mb: Annotated[int, Field(ge=1, le=2047)] = 512
    enrol_wait_minutes: Annotated[float, Field(ge=0)] = 60
    grace_seconds: Annotated[float, Field(ge=0)] = 120
    log_days: Annotated[int, Field(ge=1)] = 14
    pages: OfficePages = OfficePages()

    _folder: Path = PrivateAttr(default=Path())

    @field_validator("database")
    @classmethod
    def _supported(cls, value: str) -> str:
        try:
            backend = make_url(value).get_backend_name()
        except ArgumentError as error:
            raise ValueError("expected a URL such as sqlite:///coordinator.db") from error
        if backend not in {"sqlite", "postgresql"}:
            raise ValueError(f"expected an sqlite or postgresql URL, found {backend}")
        return value

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the coordinator.yaml of `folder`; raise ConfigError when there is none."""
        path = folder / FILE
        if not path.exists():
            raise ConfigError(
                f"{folder} is not a coordinator's folder: it holds no {FILE}. Make one with "
                "`wardround coordinator init DIR`, or name another with --dir."
            )
        settings = cls.load(path)
        settings._folder = folder.resolve()
        return settings

    @property
    def folder(self) -> Path:
        """Where coordinator.yaml lies."""
        return self._folder

    @property
    def database_url(self) -> str:
        """`database` with a relative SQLite path made absolute; it may hold a password."""
        url = make_url(self.database)
        if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
            url = url.set(database=str(self.folder / url.database))
        return url.render_as_string(hide_password=False)

    @property
    def fleet(self) -> str:
        """host:port of Flower's SuperLink, as hospitals reach it."""
        return f"{bracketed(self.address)}:{self.fleet_port}"

    @property
    def control(self) -> str:
        """host:port of the control service, as hospitals reach it."""
        return f"{bracketed(self.address)}:{self.control_port}"

    @property
    def local_fleet(self) -> str:
        """host:port of Flower's SuperLink, as this machine reaches it."""
        return f"{self._local_host}:{self.fleet_port}"

    @property
    def local_control(self) -> str:
        """host:port of the control service, as this machine reaches it."""
        return f"{self._local_host}:{self.control_port}"

    @property
    def _local_host(self) -> str:
        return bracketed({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.bind, self.bind))  # noqa: S104

    @property
    def certificate_names(self) -> tuple[str, ...]:
        """All names and addresses that the server certificate is for."""
        bound = () if self.bind in {"0.0.0.0", "::"} else (self.bind,)  # noqa: S104
        names = (self.address, "localhost", "127.0.0.1", "::1", *bound, *self.alternative_names)
        return tuple(dict.fromkeys(names))

    @property
    def secrets(self) -> Path:
        """Folder of keys and tokens; only its owner may enter."""
        return self.folder / "secrets"

    @property
    def ca_key(self) -> Path:
        """Key of the certificate authority."""
        return self.secrets / "ca.key"

    @property
    def server_key(self) -> Path:
        """Key of the server certificate."""
        return self.secrets / "server.key"

    @property
    def admin_token(self) -> Path:
        """What the command line shows to the control service."""
        return self.secrets / "admin.token"

    @property
    def superexec_secret(self) -> Path:
        """What a process shows to Flower's runtime API."""
        return self.secrets / "superexec.secret"

    @property
    def superlink_token(self) -> Path:
        """What the supervisor shows to the SuperLink."""
        return self.secrets / "superlink.token"

    @property
    def ca_pem(self) -> Path:
        """Certificate of the authority; every site pins it."""
        return self.folder / "certificates" / "ca.pem"

    @property
    def server_pem(self) -> Path:
        """Server certificate, followed by the authority's."""
        return self.folder / "certificates" / "server.pem"

    @property
    def superlink_db(self) -> Path:
        """Flower's own database."""
        return self.folder / "superlink.db"

    @property
    def flower_home(self) -> Path:
        """Where Flower keeps what it would otherwise put into the user's home."""
        return self.folder / "flower"

    @property
    def logs(self) -> Path:
        """Folder of log files."""
        return self.folder / "logs"

    @property
    def runs(self) -> Path:
        """Folder of all runs."""
        return self.folder / "runs"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold this folder for one `up`; raise ConfigError when another process holds it."""
        with (self.folder / ".lock").open("w", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConfigError(
                    f"a coordinator is up in {self.folder} already. Stop it first, or name another folder."
                ) from error
            yield

    def run_folder(self, run: str) -> Path:
        """Folder of one run; raise ConfigError for what cannot be the name of a run."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", run):
            raise ConfigError(f"{run!r} cannot be a run. `wardround coordinator runs` lists them.")
        return self.runs / run


def bracketed(host: str) -> str:
    """Write an IPv6 address as it stands before a port."""
    try:
        return f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        return host
