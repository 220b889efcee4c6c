"""The hospital's pages: a long worklist, a large scan on the screen, and memory over many opened scans.

The pages are served by `wardround site serve` and opened in Chromium, which draws in software. Beside ours
stand what was promised, memory earlier in the same run, and for the long list NiceGUI's own table in a
process of its own, where nicegui is installed. Reads Linux's /proc.
"""

import http.client
import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import nibabel as nib
import numpy as np
import psutil

from client.predict.pipeline import Readings
from client.predict.run import Request, predict
from client.result import Result
from client.site import Site
from client.worklist import Worklist
from shared.errors import DataError, WardroundError
from shared.randomness import generator
from simulations.anatomy import SHIFTS, draw_scan
from simulations.benchmarks import reading
from simulations.benchmarks.comparison import Comparison
from simulations.benchmarks.hospitals import SEED
from simulations.benchmarks.proc import anonymous_mb
from simulations.benchmarks.workload import OURS
from simulations.chromium import executable, launched
from simulations.served_pages import Served, add_account, served
from simulations.shapes import Shape

PROMISED = "what was promised"
NICEGUI = "NiceGUI ui.table"
LIST_S, SCAN_S = 1.0, 3.0
ACCOUNT, PASSWORD = "bench", "many opened scans"
DRAWN_S = 60.0


@dataclass(frozen=True)
class Size:
    """A worklist of `listed` scans, of which `scans` of `shape` voxels (X, Y, Z, 1 mm) are opened in turn."""

    listed: int
    shape: Shape
    window: Shape
    scans: int
    opened: int
    repeats: int


def measure(size: Size, folder: Path) -> tuple[Comparison, ...]:
    """Make a hospital with a long worklist, then open its pages again and again."""
    site_file = _site(folder)
    scans = _read(size, Site.read(site_file))
    add_account(site_file, ACCOUNT, PASSWORD)
    with served(site_file) as pages:
        long_list = _long_list(size, pages, folder)
    return (long_list, *_opened(size, site_file, scans))


def _site(folder: Path) -> Path:
    (folder / "data").mkdir()
    path = folder / "site.yaml"
    path.write_text("name: benchmark\ndata: data\nwork: work\nseismometer: false\n", encoding="utf-8")
    return path


def _read(size: Size, site: Site) -> list[str]:
    """Read the scans and list them, then the same under other names; returns the pseudonyms of the first."""
    x, y, z = size.shape
    coarse = SHIFTS[0].model_copy(update={"spacing_mm": (2.0, 2.0, 1.0), "prevalence": 1.0})
    for number in range(size.scans):
        drawn = draw_scan(generator(SEED, "pages", number), coarse, ((x + 1) // 2, (y + 1) // 2, z))
        voxels = np.rint(drawn.image).astype(np.int16).repeat(2, 0).repeat(2, 1)[:x, :y]
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), site.data / f"large_{number}.nii.gz")
    trained = reading.Size(size.shape, (1.0, 1.0, 1.0), size.window, volumes=4, epochs=3, repeats=1)
    model = reading.quick_model(trained)
    model.save(site.make_work() / "model")
    with closing(Worklist.open(site)) as worklist:
        asked = Request((site.data,), readings=Readings(explained=False))
        done = predict(site, model, asked, done=lambda result, path: worklist.put(result, path=path))
        if done.failed:
            raise DataError(f"a scan of the benchmark cannot be read: {done.failed[0]}")
        _list_more(worklist, [one.result for one in done.read], size.listed - size.scans)
    return [one.folder.name for one in done.read]


def _list_more(worklist: Worklist, results: list[Result], more: int) -> None:
    now, rng = datetime.now(UTC), generator(SEED, "pages")
    for number, hours in enumerate(72 * rng.random(max(0, more))):
        one = results[number % len(results)]
        copy = {
            "case": f"scan_{number:05d}",
            "patient": f"patient_{number:05d}",
            "source_digest": str(number),
        }
        worklist.put(one.model_copy(update=copy), arrived=now - timedelta(hours=float(hours)))


def _long_list(size: Size, pages: Served, folder: Path) -> Comparison:
    host = pages.origin.removeprefix("http://")
    cookie = {"Cookie": _session(host)}
    samples, sizes = {}, {}
    samples[OURS], sizes[OURS] = _asked(host, "/worklist", cookie, size.repeats)
    samples[PROMISED] = (LIST_S,)
    if importlib.util.find_spec("nicegui") is None:
        told = "nicegui is not installed here: pip install nicegui to have its table measured too"
    else:
        with _nicegui(size.listed, folder) as other:
            samples[NICEGUI], sizes[NICEGUI] = _asked(other, "/", {}, size.repeats)
        told = "NiceGUI has its rows in memory and sends them as JSON; ours asks a database and orders them"
    kb = ", ".join(f"{name} {length / 1000:.0f} kB" for name, length in sizes.items())
    return Comparison(
        measure=f"page of a worklist of {size.listed:,} scans, server's time",
        unit="s",
        better="lower",
        samples=samples,
        note=f"over loopback, the whole answer, {os.cpu_count()} cores; sent: {kb}; {told}",
    )


def _session(host: str) -> str:
    """Log in; returns the cookie."""
    with closing(http.client.HTTPConnection(host, timeout=DRAWN_S)) as connection:
        form = urlencode({"name": ACCOUNT, "password": PASSWORD})
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", "/login", body=form, headers=kind)
        cookie = connection.getresponse().getheader("Set-Cookie")
    if cookie is None:
        raise WardroundError("the benchmark could not log in to the pages.")
    return cookie.partition(";")[0]


def _asked(host: str, path: str, headers: dict[str, str], repeats: int) -> tuple[tuple[float, ...], int]:
    """Ask for a page; returns seconds of each answer but the first, which fills caches, and its bytes."""
    seconds, length = [], 0
    for _ in range(repeats + 1):
        with closing(http.client.HTTPConnection(host, timeout=DRAWN_S)) as connection:
            start = time.perf_counter()
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            length = len(answer.read())
            seconds.append(time.perf_counter() - start)
        if answer.status != http.client.OK:
            raise WardroundError(f"{path} answered {answer.status}, expected 200.")
    return tuple(seconds[1:]), length


@contextmanager
def _nicegui(rows: int, folder: Path) -> Iterator[str]:
    """Serve as many rows by NiceGUI until the block ends; yields host:port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "simulations.benchmarks.nicegui_table", str(port), str(rows)]
    with (folder / "nicegui.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - our own program
    try:
        end = time.monotonic() + DRAWN_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > end or process.poll() is not None:
                    told = (folder / "nicegui.log").read_text(encoding="utf-8")
                    raise WardroundError(f"NiceGUI does not answer: {told}") from None
                time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(DRAWN_S)


def _opened(size: Size, site_file: Path, scans: list[str]) -> tuple[Comparison, ...]:
    """Open scans in a browser; nothing where there is none, which is said."""
    chromium = executable()
    if chromium is None or importlib.util.find_spec("playwright") is None:
        sys.stderr.write(
            "pages: no Chromium or no playwright, so no scan is opened. apt-get install chromium\n"
        )
        return ()
    first, memory = [], {"server": list[float](), "browser": list[float]()}
    with launched(chromium) as browser, served(site_file) as pages:
        page = browser.new_page(base_url=pages.origin, viewport={"width": 1280, "height": 800})
        page.set_default_timeout(1000 * DRAWN_S)
        page.goto("/login")
        page.fill("[name=name]", ACCOUNT)
        page.fill("[name=password]", PASSWORD)
        page.click("main button")
        page.wait_for_url("**/worklist")
        devtools = page.context.new_cdp_session(page)
        for number in range(size.opened):
            start = time.perf_counter()
            page.goto(f"/scan/{scans[number % len(scans)]}", wait_until="commit")
            page.wait_for_selector("[data-ready=true]")
            if number < len(scans):
                first.append(time.perf_counter() - start)
            devtools.send("HeapProfiler.collectGarbage")  # when it does so by itself is chance
            memory["server"].append(anonymous_mb(pages.pid))
            memory["browser"].append(_browser_mb())
    return (_on_screen(size, first), *(_flat(name, values) for name, values in memory.items()))


def _browser_mb() -> float:
    """Memory of the browser's processes."""
    total = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            total += anonymous_mb(child.pid) if child.name().startswith("chrom") else 0.0
        except (OSError, psutil.Error):
            continue  # it has just ended
    return total


def _on_screen(size: Size, seconds: list[float]) -> Comparison:
    return Comparison(
        measure=f"a scan of {'x'.join(map(str, size.shape))} voxels with its mask on the screen",
        unit="s",
        better="lower",
        samples={OURS: tuple(seconds), PROMISED: (SCAN_S,)},
        note="from the click until it is drawn, each scan opened for the first time; headless Chromium "
        f"without a GPU on {os.cpu_count()} cores",
    )


def _flat(name: str, memory_mb: list[float]) -> Comparison:
    tenth = max(1, len(memory_mb) // 10)
    late, early = f"the last {tenth}", f"the second {tenth}"
    return Comparison(
        measure=f"memory of the {name} over {len(memory_mb)} opened scans",
        unit="MB",
        better="lower",
        samples={
            late: tuple(memory_mb[-tenth:]),
            early: tuple(memory_mb[tenth : 2 * tenth] or memory_mb[:1]),
        },
        note="1 is flat; resident memory that no file stands behind, after each scan was drawn; the browser "
        "has collected its garbage",
    )
