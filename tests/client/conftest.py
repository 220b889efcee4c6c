"""One hospital of phantoms for all tests of this folder, written once."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from client.node import Node
from shared.model import initial_weights
from simulations.phantoms import PhantomSite, write_site
from tests.client.hospital import PATIENTS, SIDE, Weights, enrol, site_at, tiny_study
from tests.server.loopback import flower, link  # noqa: F401 - fixtures for tests with a real SuperLink


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Decathlon folder with patients.csv; only ever read."""
    folder = tmp_path_factory.mktemp("hospital") / "data"
    write_site(folder, PhantomSite(patients=PATIENTS, shape=(SIDE, SIDE, SIDE)), seed=3, site_index=0)
    return folder


@pytest.fixture(scope="session")
def weights() -> Weights:
    """The tiny study's start."""
    return initial_weights(tiny_study())


@pytest.fixture
def node(phantoms: Path, tmp_path: Path) -> Node:
    """A node that has enrolled in the tiny study."""
    made = Node(site_at(phantoms, tmp_path / "work"))
    enrol(made, tiny_study())
    return made


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Networks as small as these only wait for a second one."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _closed_logs() -> Iterator[None]:
    yield
    for name in [n for n in logging.root.manager.loggerDict if n.startswith("wardround.site.")]:
        log = logging.getLogger(name)
        for handler in list(log.handlers):
            log.removeHandler(handler)
            handler.close()
