from pathlib import Path

import numpy as np
import pytest

from server.checkpoint import Checkpoint
from server.results import Results
from server.so_far import rounds_so_far
from tests.server.sample_results import rich_results


@pytest.fixture(scope="module")
def results() -> Results:
    return rich_results()


def keep(folder: Path, results: Results, over: int) -> None:
    rounds = [each.model_dump(mode="json") for each in results.rounds[:over]]
    Checkpoint(over, {"w": np.zeros(4, np.float32)}, {}, {"rounds": rounds}).save(folder)


def test_the_rounds_of_the_newest_checkpoint_are_read_back(tmp_path: Path, results: Results) -> None:
    for over in (0, 1, 2, 3):
        keep(tmp_path, results, over)
    assert rounds_so_far(tmp_path) == results.rounds[:3]


def test_a_damaged_newest_checkpoint_is_passed_over(tmp_path: Path, results: Results) -> None:
    keep(tmp_path, results, 2)
    (tmp_path / "round-0003.safetensors").write_bytes(b"\xff" * 64)
    assert rounds_so_far(tmp_path) == results.rounds[:2]


def test_before_a_run_began_there_are_no_rounds(tmp_path: Path) -> None:
    assert rounds_so_far(tmp_path / "checkpoints") == ()
