"""One real data set dealt out to several sites, with a shift between them that real hospitals show."""

from pathlib import Path

import numpy as np

from client.data import layouts
from client.data.layouts.base import Listed
from client.data.volumes import read_volume
from shared.errors import CaseError, ConfigError, DataError
from shared.randomness import generator
from simulations.scenario import Folder


def deal(source: Folder, data: Path, out: Path) -> dict[str, Path]:
    """Link every case of `data` into one site's folder under `out`; returns site -> folder.

    Cases are ordered by the scan's own property `by`, the order is blurred by `mixing`, and consecutive parts
    go to the sites in the order of `shares`. A site's folder is in the Decathlon layout; a case that cannot
    be read goes to a site as well, which then skips it by name.

    Raises
    ------
    DataError
        `data` holds fewer cases than sites.
    """
    listed, _ = layouts.find(data, None).list_cases(data)
    if len(listed) < len(source.shares):
        raise DataError(f"{data} holds {len(listed)} labelled cases, for {len(source.shares)} sites.")
    values = np.array([_property(item, source.by) for item in listed])
    ranks = values.argsort(kind="stable").argsort(kind="stable") / len(listed)
    noise = generator(source.seed, "partition").normal(0, source.mixing, len(listed))
    order = np.argsort(ranks + noise, kind="stable")
    edges = np.rint(np.cumsum([0.0, *source.shares.values()]) * len(listed)).astype(int)
    for link in out.glob("*/*/*"):
        link.unlink()  # of an earlier deal, perhaps from another folder
    folders = {}
    for site, begin, end in zip(source.shares, edges[:-1], edges[1:], strict=True):
        folders[site] = out / site
        for index in order[begin:end]:
            _link(listed[index], out / site)
    return folders


def _property(item: Listed, by: str) -> float:
    path = item.image if by == "intensity" else item.label
    if path is None:
        raise ConfigError(f"{item.case} has no label; only labelled cases can be dealt out.")
    try:
        array = read_volume(path).array
    except CaseError:
        return 0.0
    return float(np.percentile(array, 99)) if by == "intensity" else float(np.count_nonzero(array))


def _link(item: Listed, folder: Path) -> None:
    for name, path in (("imagesTr", item.image), ("labelsTr", item.label)):
        if path is None:
            continue
        target = folder / name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path.resolve())
