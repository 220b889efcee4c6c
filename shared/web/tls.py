"""The pages' certificate and key: TLS 1.2 or later, and a key that nobody else can read."""

import ssl
import stat
from pathlib import Path

from shared.errors import ConfigError

OTHERS = stat.S_IRWXO | stat.S_IWGRP | stat.S_IXGRP
"""What a key's mode may not have; a group that reads it is how Debian shares keys (ssl-cert)."""


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return what a server speaks TLS with.

    Raises
    ------
    ConfigError
        A file that cannot be read or is of another kind, a key that others can read or that is encrypted, or
        that is not the certificate's.
    """
    for path in (certificate, key):
        try:
            path.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be read: {error.strerror}. Correct pages.tls_certificate and "
                "pages.tls_key, or let the account that runs the pages read the file."
            ) from error
    mode = stat.S_IMODE(key.stat().st_mode)
    if mode & OTHERS:
        raise ConfigError(
            f"{key} is open to other accounts (mode {mode:03o}). Close it: chmod 600 {key}. If others "
            "had it, ask for a new certificate."
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, _no_password)
    except ssl.SSLError as error:
        raise ConfigError(
            f"{certificate} and {key} are not a PEM certificate and its key: {error.reason or error}. Give "
            "the certificate with its chain, and the key that it was issued for."
        ) from error
    return context


def _no_password() -> str:
    raise ConfigError(
        "pages.tls_key is encrypted, and nobody would be there to type its password. Write it unencrypted, "
        "for one account only: openssl pkey -in KEY -out NEW, then chmod 600 NEW."
    )
