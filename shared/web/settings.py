"""How the pages are served; part of site.yaml and of coordinator.yaml."""

import ipaddress
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from shared.config import Config


class Pages(Config):
    """Where the pages listen and how long a person stays logged in."""

    bind: str = Field(default="127.0.0.1", description="address to listen on")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(default=8090, description="0: any free one")
    names: tuple[str, ...] = Field(
        default=(), description="host names and addresses by which browsers may ask, besides `bind`"
    )
    tls_certificate: Path | None = Field(default=None, description="PEM, with its chain")
    tls_key: Path | None = Field(default=None, description="PEM")
    idle_minutes: Annotated[float, Field(gt=0, le=24 * 60)] = Field(
        default=30.0, description="without a request by the person, after which the session is over"
    )
    session_hours: Annotated[float, Field(gt=0, le=7 * 24)] = Field(
        default=12.0, description="after which it is over in any case"
    )

    @model_validator(mode="after")
    def _wider_only_with_tls(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together: give both or neither")
        if not self.tls and not is_loopback(self.bind):
            raise ValueError(
                f"bind {self.bind} can be reached by other machines: give tls_certificate and tls_key, "
                "or bind 127.0.0.1"
            )
        return self

    @property
    def tls(self) -> bool:
        """Whether the pages are served over TLS."""
        return self.tls_certificate is not None

    def in_folder(self, base: Path) -> Self:
        """Take relative paths as relative to a folder."""
        moved = {
            name: base / path
            for name in ("tls_certificate", "tls_key")
            if (path := getattr(self, name)) is not None
        }
        return self.model_copy(update=moved)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
