"""Serve an app of pages until it is stopped."""

import logging
import socket
import ssl
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from shared.errors import ConfigError
from shared.web.settings import Pages, is_loopback
from shared.web.tls import tls_context
from shared.web.visit import Web

ACCOUNT_COMMAND = {
    "hospital": "wardround site account add SITE NAME --role engineer",
    "coordinator": "wardround coordinator account add NAME --role coordinator",
}


def serve(app: FastAPI, say: Callable[[str], None]) -> None:
    """Listen where the app's settings say; raise ConfigError when that cannot be done.

    Requests are not logged: who looked at what stands in the views.
    """
    web: Web = app.state.web
    pages, nobody_yet = web.pages, web.people.nobody_yet()
    if nobody_yet and not is_loopback(pages.bind):
        raise ConfigError(
            f"nobody has an account yet, and {pages.bind} can be reached by other machines. Make an account "
            f"first: {ACCOUNT_COMMAND.get(web.look.product.kind, 'account add')}"
        )
    config, listening = server_config(app), listen(pages)
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    say(f"pages: {'https' if pages.tls else 'http'}://{shown}:{port}/")
    if nobody_yet:
        say(f"nobody has an account yet; the first is made with this code: {app.state.first_code.text}")
    uvicorn.Server(config).run(sockets=[listening])


def listen(pages: Pages) -> socket.socket:
    """Return the socket to listen on; raise ConfigError where it cannot be had."""
    family = socket.AF_INET6 if ":" in pages.bind else socket.AF_INET
    try:
        return socket.create_server((pages.bind, pages.port), family=family)
    except OSError as error:
        raise ConfigError(
            f"the pages cannot listen on {pages.bind}:{pages.port}: {error.strerror}. Is another "
            "one running? Name another port with --port."
        ) from error


def server_config(app: FastAPI) -> uvicorn.Config:
    """Return how the server runs; raise ConfigError for a certificate or key that cannot be used."""
    pages = app.state.web.pages
    context: ssl.SSLContext | None = None
    if pages.tls_certificate is not None and pages.tls_key is not None:
        context = tls_context(pages.tls_certificate, pages.tls_key)
    return uvicorn.Config(
        app,
        host=pages.bind,
        port=pages.port,
        ssl_context_factory=None if context is None else lambda *_: context,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        log_level=logging.WARNING,
        timeout_graceful_shutdown=5,
    )
