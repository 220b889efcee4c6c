"""The coordinator's app: its menu, its roles, its routers."""

from contextlib import closing
from pathlib import Path

from fastapi import FastAPI

from server.commands import find
from server.store import Store
from server.web import board, calibration, compare, exports, runs, sites, studies, writing
from server.web.office import Office
from server.web.roles import ROLES
from server.web.words import FILTERS
from shared.web import people_page
from shared.web.app import create_app, people_in
from shared.web.look import MenuItem, Product

HERE = Path(__file__).parent
LOOKERS = ("coordinator", "observer")
MENU = (
    MenuItem("/board", "Board", LOOKERS),
    MenuItem("/runs", "Runs", LOOKERS),
    MenuItem("/studies", "Studies", LOOKERS),
    MenuItem("/compare", "Compare", LOOKERS),
    MenuItem("/calibration", "Calibration", LOOKERS),
    MenuItem("/sites", "Sites", ("coordinator",)),
    MenuItem("/people", "People", ("coordinator",)),
)
HOME = {"coordinator": "/board", "observer": "/board"}
PAGES = (board, runs, exports, studies, writing, compare, calibration, sites, people_page)


def coordinator_app(folder: Path | None, *, port: int | None = None) -> FastAPI:
    """Put the coordinator's app together; raise WardroundError where the folder cannot be used."""
    settings = find(folder)
    pages = settings.pages.in_folder(settings.folder)
    if port is not None:
        pages = pages.model_copy(update={"port": port})
    product = Product(
        "coordinator",
        settings.name,
        HOME,
        ROLES,
        MENU,
        HERE / "templates",
        HERE / "static",
        FILTERS,
    )
    people, store = people_in(settings.folder), Store.open(settings.database_url)
    routers = [page.router for page in PAGES]
    app = create_app(product, pages, people, routers, beside=lambda: closing(store))
    app.state.office = Office(settings, store)
    return app
