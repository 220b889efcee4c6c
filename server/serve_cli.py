"""`wardround coordinator serve`: the coordinator's pages."""

from typing import Annotated

import typer

from server.printing import Dir, out


def serve(
    folder: Dir = None,
    port: Annotated[int | None, typer.Option(help="Port. Default: pages.port of coordinator.yaml.")] = None,
) -> None:
    """Serve the coordinator's pages to a browser until ctrl-C: board, runs, studies, calibration, sites."""
    from server.web.app import coordinator_app
    from shared.web.serve import serve as serve_app

    app = coordinator_app(folder, port=port)
    serve_app(app, lambda text: out.print(text, markup=False, highlight=False, soft_wrap=True))
