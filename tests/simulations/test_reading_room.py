"""How a simulation ends for who wants to see its pages."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from simulations.simulate import Simulation
from tests.end_to_end.conftest import TINY
from tests.server.sample_results import rich_results
from wardround import app


@pytest.mark.parametrize(("scans", "told"), [(3, 1), (0, 0)])
def test_a_run_with_read_scans_ends_by_naming_the_command_that_opens_the_pages(
    scans: int, told: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Simulation, "run", lambda *_, **__: rich_results())
    words = ["simulate", str(TINY), "--out", str(tmp_path), "--set", f"worklist_scans={scans}"]
    done = CliRunner().invoke(app, words, catch_exceptions=False, env={"COLUMNS": "40"})
    named = f"wardround site serve {tmp_path / 'sites' / 'east' / 'site.yaml'}"
    assert done.stderr.count(named) == told
    assert done.stdout.splitlines()[-1] == str(tmp_path / "report.html")  # for scripts, in either case
