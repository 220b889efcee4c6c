"""Serve an app of pages until it is stopped."""

import logging
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from shared.errors import ConfigError
from shared.web.visit import Web


def serve(app: FastAPI, say: Callable[[str], None]) -> None:
    """Listen where the app's settings say; raise ConfigError when that cannot be done.

    Requests are not logged: who looked at what stands in the views.
    """
    web: Web = app.state.web
    pages = web.pages
    config = uvicorn.Config(
        app,
        host=pages.bind,
        port=pages.port,
        ssl_certfile=pages.tls_certificate,
        ssl_keyfile=pages.tls_key,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        log_level=logging.WARNING,
        timeout_graceful_shutdown=5,
    )
    try:
        config.load()
        listening = config.bind_socket()
    except (OSError, SystemExit) as error:
        raise ConfigError(
            f"the pages cannot listen on {pages.bind}:{pages.port}: {error}. Is another one running? "
            "Name another port with --port."
        ) from error
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    say(f"pages: {'https' if pages.tls else 'http'}://{shown}:{port}/")
    if web.people.nobody_yet():
        say(f"nobody has an account yet; the first is made with this code: {app.state.first_code.text}")
    uvicorn.Server(config).run(sockets=[listening])
