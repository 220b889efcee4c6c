"""`flower-superlink` behind a door (server/door.py), with a certificate that is renewed while it runs.

Run as ``python -m server.superlink TOKEN_FILE CA_FILE MAX_MESSAGE_MB FLOWER-ARGUMENTS...``.
"""

import asyncio
import ssl
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import uvicorn
from flwr.supercore import sql_mixin
from flwr.superlink import extensions
from flwr.superlink.cli.flower_superlink import flower_superlink
from starlette.middleware import Middleware

from server.door import Door
from shared.processes import end_with_stdin

GRACE_S = 2
"""How long an orderly end waits for requests under way."""
LOOK_EVERY_S = 5.0
"""How often to look for a renewed certificate."""
SMALL_DATABASE = {"cache_size": "-2000", "mmap_size": "0"}
"""SQLite's own defaults; Flower asks for 64 MB a connection, of which there are more the more sites ask."""


def renewing(config: uvicorn.Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Make uvicorn's TLS context; a new certificate in its file is shown from the next connection on."""
    context = default()
    loop = asyncio.get_running_loop()  # OpenSSL lets no other thread change what it makes connections from
    certificate, key = Path(str(config.ssl_certfile)), Path(str(config.ssl_keyfile))

    def look(shown_ns: int) -> None:
        try:
            found_ns = certificate.stat().st_mtime_ns
            if found_ns != shown_ns:
                context.load_cert_chain(certificate, key)
                shown_ns = found_ns
        except OSError as error:  # the certificate before goes on being shown
            sys.stderr.write(f"the server certificate cannot be read: {error}\n")
        loop.call_later(LOOK_EVERY_S, look, shown_ns)

    look(certificate.stat().st_mtime_ns)
    return context


def main() -> None:
    """Start flower-superlink with the door in front, through Flower's own hook for middleware."""
    token_file, ca_file, max_message_mb, *rest = sys.argv[1:]
    token = Path(token_file).read_text(encoding="ascii").strip()
    if not token:  # a request without a token would carry the right one
        sys.exit(f"{token_file} is empty, expected the coordinator's token. Restore it from a backup.")
    door = Middleware(
        Door,
        token=token,
        ca=Path(ca_file).read_bytes(),
        max_message_bytes=int(max_message_mb) * 2**20,
    )
    extensions.get_middleware = lambda: (door,)
    pragmas = dict(vars(sql_mixin)["SQLITE_PRAGMAS"])
    vars(sql_mixin)["SQLITE_PRAGMAS"] = tuple((pragmas | SMALL_DATABASE).items())
    uvicorn.run = partial(
        uvicorn.run,
        ssl_context_factory=renewing,
        # Sites rest between two requests on a connection, and TLS waits for each to take its leave.
        timeout_graceful_shutdown=GRACE_S,
    )
    sys.argv = ["flower-superlink", *rest]
    end_with_stdin()
    flower_superlink()


if __name__ == "__main__":
    main()
