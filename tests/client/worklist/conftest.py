from collections.abc import Iterator
from pathlib import Path

import pytest

from client.worklist import Worklist
from tests.client.worklist.scans import site_of
from tests.databases import postgres, url  # noqa: F401 - fixtures


@pytest.fixture
def worklist(tmp_path: Path) -> Iterator[Worklist]:
    """An empty one, with the longest waits that are the default."""
    opened = Worklist.open(site_of(tmp_path))
    yield opened
    opened.close()
