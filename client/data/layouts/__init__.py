"""One data set layout a file; `layouts.find` picks the one that recognises a folder."""

from pathlib import Path

from client.data.layouts.base import Layout
from client.data.layouts.decathlon import Decathlon
from client.data.layouts.folders import Folders
from shared.errors import DataError

LAYOUTS: tuple[Layout, ...] = (Decathlon(), Folders())


def find(folder: Path, name: str | None) -> Layout:
    """Return the layout called `name`, or with None the first that recognises `folder`.

    Raises
    ------
    DataError
        No such folder, no layout of that name, or nothing in the folder that was looked for.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder. Give the folder that holds the scans.")
    chosen = [layout for layout in LAYOUTS if name in (None, layout.name)]
    if not chosen:
        known = ", ".join(layout.name for layout in LAYOUTS)
        raise DataError(f"no layout is called {name!r}. Choose one of {known}, or leave it out.")
    for layout in chosen:
        if layout.recognises(folder):
            return layout
    looked_for = "; ".join(f"{layout.name}: {layout.wants}" for layout in chosen)
    found = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
    raise DataError(f"{folder} has none of the layouts looked for ({looked_for}). Found in it: {found}.")
