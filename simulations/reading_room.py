"""What the hospitals' pages show after a simulation: test scans, read by the final model, on worklists."""

import csv
import logging
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import torch

from client.predict.run import Request, predict
from client.result import Result
from client.site import Site
from client.worklist import Worklist
from server.progress import Listener
from shared.model import TrainedModel
from shared.randomness import generator

WORKING_DAY_H = 8.0

_log = logging.getLogger("wardround.simulation")


def read_scans(
    sites: Mapping[str, Path], scans: int, *, seed: int, now: datetime, progress: Listener
) -> dict[str, int]:
    """Read up to `scans` test scans at each site of a finished run; returns site -> scans on its worklist.

    They are drawn by `seed` and came, by `seed` too, at any time of the working day that ends `now`: a scan
    that is listed already keeps its time. What cannot be read is logged by name.
    """
    listed = {}
    for number, (name, site_file) in enumerate(sites.items()):
        site = Site.read(site_file)
        tested = sorted(_tested(site))
        rng = generator(seed, "reading room", name)
        chosen = [tested[i] for i in rng.permutation(len(tested))[:scans]]
        hours = WORKING_DAY_H * rng.random(len(chosen))
        came = {case: now - timedelta(hours=float(h)) for case, h in zip(chosen, hours, strict=True)}
        progress("reading scans", number * scans, len(sites) * scans)
        listed[name] = _read(site, came)
    progress("reading scans", len(sites) * scans, len(sites) * scans)
    return listed


def _tested(site: Site) -> list[str]:
    with (site.work / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return [row["case"] for row in csv.DictReader(file) if row["split"] == "test"]


def _read(site: Site, came: Mapping[str, datetime]) -> int:
    model = TrainedModel.load(site.work / "model")
    asked = Request((site.data,), layout=site.layout, cases=frozenset(came))
    threads = torch.get_num_threads()
    torch.set_num_threads(site.threads)
    try:
        with closing(Worklist.open(site)) as worklist:

            def put(result: Result, path: Path) -> None:
                worklist.put(result, path=path, arrived=came[result.case])

            done = predict(site, model, asked, done=put)
    finally:
        torch.set_num_threads(threads)
    for skip in done.failed:
        _log.warning("%s is not on the worklist of %s: %s", skip.case, site.name, skip.detail)
    return len(done.read)
