"""The hospital's app: its menu, its roles, its routers."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

from fastapi import FastAPI

from client.site import Site
from client.uploads.keeper import kept_worker
from client.web import data, privacy, reading, reports, scan, studies, upload, worklist
from client.web.desk import Desk
from client.web.hospital import Hospital
from client.web.library import Library
from client.web.roles import ROLES
from shared.web import people_page
from shared.web.app import create_app, people_in
from shared.web.look import MenuItem, Product

HERE = Path(__file__).parent
MENU = (
    MenuItem("/worklist", "Worklist", ("reader", "engineer")),
    MenuItem("/upload", "Upload", ("reader", "engineer")),
    MenuItem("/data", "Data", ("engineer",)),
    MenuItem("/studies", "Studies", ("engineer", "officer")),
    MenuItem("/privacy", "Privacy", ("officer", "engineer")),
    MenuItem("/reports", "Reports", ("engineer", "officer", "reader")),
    MenuItem("/people", "People", ("engineer",)),
)
PAGES = (worklist, reading, scan, upload, data, studies, privacy, reports, people_page)
LARGE = ("/upload/",)  # which counts for itself
HOME = {"reader": "/worklist", "engineer": "/worklist", "officer": "/privacy"}


def hospital_app(site_file: Path, *, port: int | None = None, worker: bool = False) -> FastAPI:
    """Put the hospital's app together; raise WardroundError where the site cannot be used.

    `worker`: while it is served, keep the process that reads uploaded scans.
    """
    site = Site.read(site_file)
    pages = site.pages if port is None else site.pages.model_copy(update={"port": port})
    product = Product("hospital", site.name, HOME, ROLES, MENU, HERE / "templates", HERE / "static")
    people = people_in(site.make_work())
    hospital = Hospital(site, site_file)
    routers = [page.router for page in PAGES]

    @contextmanager
    def beside() -> Iterator[None]:
        with closing(hospital), kept_worker(site_file, site) if worker else nullcontext():
            yield

    app = create_app(product, pages, people, routers, large=LARGE, beside=beside)
    app.state.hospital = hospital
    app.state.desk, app.state.library = Desk(hospital), Library(hospital)
    return app
