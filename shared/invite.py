"""An invite: one line that a coordinator gives to a hospital, good for one enrolment.

``wardround1:<base64url of JSON>.<checksum>``. It carries where the coordinator is, the SHA-256 of the only
certificate authority to trust, and a secret code. The coordinator keeps the code's SHA-256 only. The checksum
finds slips of copying; what protects an invite is that its code cannot be guessed.
"""

import base64
import binascii
import hashlib
import json
import re
import secrets
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import AwareDatetime, Field, ValidationError

from shared.config import Config
from shared.errors import EnrolmentError
from shared.study import Name

VERSION = 1
CODE_BYTES = 20
CHECKSUM_DIGITS = 8
Address = Annotated[str, Field(pattern=r"^[^\s/@]+:[0-9]{1,5}$", description="host:port")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_SHAPE = re.compile(r"wardround(\d+):([A-Za-z0-9_-]+)\.([0-9a-f]+)")


class Invite(Config):
    """What one invite says."""

    site: Name
    control: Address
    fleet: Address
    ca_sha256: Sha256
    code: str = Field(min_length=16, repr=False, description="the secret; good once")
    expires: AwareDatetime

    def __str__(self) -> str:
        """Write the line to hand over."""
        values = self.model_dump(mode="json", exclude={"expires"})
        values["expires"] = int(self.expires.timestamp())
        body = base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode())
        text = body.decode().rstrip("=")
        return f"wardround{VERSION}:{text}.{_checksum(text)}"

    @classmethod
    def read(cls, text: str) -> Self:
        """Parse a line; raise EnrolmentError with reason ``not_an_invite``, ``newer`` or ``damaged``.

        Blanks and line breaks are ignored: mail programs add them.
        """
        found = _SHAPE.fullmatch("".join(text.split()))
        if found is None:
            raise EnrolmentError(
                "not_an_invite",
                f"this is not an invite: expected 'wardround{VERSION}:...', one long word that ends in a "
                f"dot and {CHECKSUM_DIGITS} digits or letters; found {len(text)} characters. Copy it whole.",
            )
        version, body, checksum = found.groups()
        if int(version) != VERSION:
            raise EnrolmentError(
                "newer",
                f"this invite has version {version}, expected {VERSION}. Install a newer Wardround.",
            )
        if checksum != _checksum(body):
            raise _damaged()
        try:
            values = json.loads(
                base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
            )
            return cls.model_validate({**values, "expires": datetime.fromtimestamp(values["expires"], UTC)})
        except (
            binascii.Error,
            ValueError,
            TypeError,
            KeyError,
            OverflowError,
            OSError,
            ValidationError,
        ) as error:
            raise _damaged() from error


def new_code() -> str:
    """Draw a secret code of 160 bits."""
    return secrets.token_urlsafe(CODE_BYTES)


def code_digest(code: str) -> str:
    """SHA-256 of a code, in hexadecimal: all that the coordinator keeps of it."""
    return hashlib.sha256(code.encode()).hexdigest()


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:CHECKSUM_DIGITS]


def _damaged() -> EnrolmentError:
    return EnrolmentError(
        "damaged", "this invite was damaged on its way: its checksum does not fit. Copy the whole line again."
    )
