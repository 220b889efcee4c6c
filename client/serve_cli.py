"""`wardround site serve`: the hospital's pages."""

from typing import Annotated

import typer

from client.printing import SiteFile, out


def serve(
    site_file: SiteFile,
    port: Annotated[int | None, typer.Option(help="Port. Default: pages.port of SITE.")] = None,
) -> None:
    """Serve the hospital's pages to a browser until ctrl-C: worklist, scans, upload, studies, privacy."""
    from client.web.app import hospital_app
    from shared.web.serve import serve as serve_app

    app = hospital_app(site_file, port=port, worker=True)
    serve_app(app, lambda text: out.print(text, markup=False, highlight=False, soft_wrap=True))
