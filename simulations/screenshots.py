"""Pictures of the pages for the README, 1280 pixels wide: `python -m simulations.screenshots RUN OUT`.

RUN is what `make demo` leaves: phantoms, nobody's scans. Its first hospital's worklist and scan are taken as
they are; for the board its hospitals train the same study once more, as real processes.
"""

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import yaml

from client.site import Site
from shared.errors import ConfigError
from shared.files import write_atomically
from simulations.chromium import executable, launched
from simulations.deployment import Deployment
from simulations.served_pages import Answering, add_account, add_keeper, coordinator_served, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ACCOUNT, PASSWORD = "amal", "only for the pictures"
WIDTH = 1280
HEIGHTS = {"worklist": 900, "scan": 1060, "board": 1190}
MOST_BYTES = 250_000
FOLDERS = ("cache", "model")
"""What a hospital needs of the demo's to train again: the rest of its work folder is made anew."""
OVER = 6
"""So many rounds are over when the board's picture is taken."""
PATIENCE_MS = 600_000


def take(run: Path, out: Path) -> list[Path]:
    """Write worklist.png, scan.png and board.png; returns them. Raises WardroundError."""
    files = sorted(run.glob("sites/*/site.yaml"))
    chromium = executable()
    if not files:
        raise ConfigError(f"{run} holds no hospital: `make demo` leaves a folder that does.")
    if chromium is None:
        raise ConfigError("there is no chromium on the path: apt-get install chromium")
    out.mkdir(parents=True, exist_ok=True)
    with launched(chromium) as browser, TemporaryDirectory() as folder:
        hospital = Path(shutil.copytree(files[0].parent, Path(folder) / "hospital")) / "site.yaml"
        taken = [*_hospital(browser, hospital, out)]
        with _trial(files, Path(folder) / "trial") as trial:
            taken.append(_board(browser, trial, run / "study.yaml", out))
    return taken


def _hospital(browser: "Browser", site_file: Path, out: Path) -> Iterator[Path]:
    add_account(site_file, ACCOUNT, PASSWORD)
    with served(site_file) as pages:
        page = _window(browser, pages)
        page.goto("/worklist")
        page.locator("#list[data-ready=true]").wait_for()
        yield _picture(page, out / "worklist.png")
        page.locator("tbody th a").first.click()
        page.locator("#viewer[data-ready=true]").wait_for(timeout=60_000)
        page.locator("[data-jump='1']").first.click()
        page.wait_for_timeout(1000)  # of drawing
        page.evaluate("scrollTo(0, 0)")
        yield _picture(page, out / "scan.png")


@contextmanager
def _trial(files: list[Path], folder: Path) -> Iterator[Deployment]:
    """Run the demo's hospitals, with its scans and what was prepared of them, and a coordinator."""
    copies: Mapping[str, Path] = {file.parent.name: folder / file.parent.name / "site.yaml" for file in files}
    for file in files:
        copy = copies[file.parent.name]
        (copy.parent / "work").mkdir(parents=True, mode=0o700)
        for name in FOLDERS:
            shutil.copytree(Site.read(file).work / name, copy.parent / "work" / name)
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
        copy.write_text(yaml.safe_dump({**values, "work": "work", "seismometer": False}), encoding="utf-8")
    with Deployment(folder, copies) as trial:
        yield trial


def _board(browser: "Browser", trial: Deployment, study: Path, out: Path) -> Path:
    add_keeper(trial.coordinator_folder, ACCOUNT, PASSWORD)
    with ExitStack() as stack:
        page = _window(browser, stack.enter_context(coordinator_served(trial.coordinator_folder)))
        run = trial.start(study)
        card = page.locator(f"#run-{run}")
        card.locator(f"progress[value='{OVER}']").wait_for(timeout=PATIENCE_MS)
        picture = _picture(page, out / "board.png")
        trial.command("coordinator", "stop", run, "--dir", str(trial.coordinator_folder))
    return picture


def _window(browser: "Browser", pages: Answering) -> "Page":
    """Open a window and log in."""
    context = browser.new_context(
        base_url=pages.origin, viewport={"width": WIDTH, "height": 900}, color_scheme="light"
    )
    page = context.new_page()
    page.goto("/login")
    page.get_by_label("Name").fill(ACCOUNT)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    return page


def _picture(page: "Page", path: Path) -> Path:
    """Keep what the window shows; raise ConfigError where it is too large for a README."""
    page.set_viewport_size({"width": WIDTH, "height": HEIGHTS[path.stem]})
    page.wait_for_timeout(500)  # the canvas takes the new size
    with write_atomically(path) as target:
        target.write_bytes(page.screenshot(animations="disabled"))
    if (size := path.stat().st_size) > MOST_BYTES:
        raise ConfigError(f"{path} has {size} bytes, expected at most {MOST_BYTES}. Lower HEIGHTS.")
    return path


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder that `make demo` left: runs/quickstart")
    parser.add_argument("out", type=Path, help="folder for the pictures: docs")
    given = parser.parse_args()
    for path in take(given.run, given.out):
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
