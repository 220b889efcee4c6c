"""`wardround site worklist ...` as a hospital types it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import Result as Typed
from typer.testing import CliRunner

from client.cli import app
from client.site import Site
from client.worklist import Worklist
from shared.errors import CaseError, ConfigError
from shared.model import TrainedModel, digest, initial_weights
from tests.client.hospital import priority_of, tiny_study
from tests.client.worklist.scans import result

FEATURES = {"finding_probability": 0.9, "volume_ml": 3.0, "age": 70.0}
Type = Callable[..., Typed]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(
        yaml.safe_dump({"name": "north", "data": "d", "work": "w", "worklist": {"reader": "dr a"}})
    )
    return path


@pytest.fixture
def listed(site: Path) -> Path:
    """A site file whose worklist has three scans."""
    worklist = Worklist.open(Site.read(site))
    for case, tier in (("a", "routine"), ("b", "stat"), ("c", "urgent")):
        worklist.put(result(case, tier, features=FEATURES))  # type: ignore[arg-type]
    worklist.close()
    return site


@pytest.fixture
def typed(site: Path) -> Type:
    """Type a command; `SITE` stands for the site's file. What a command raises is raised."""

    def run(*words: object) -> Typed:
        arguments = ["worklist", *(str(site) if word == "SITE" else str(word) for word in words)]
        return CliRunner().invoke(app, arguments, catch_exceptions=False, env={"COLUMNS": "200"})

    return run


def cases(typed: Type, *words: str) -> list[str]:
    return [scan["case"] for scan in json.loads(typed("SITE", "--json", *words).output)["scans"]]


def test_an_empty_list_says_what_comes_next(typed: Type) -> None:
    found = typed("SITE")
    assert found.exit_code == 0
    assert "No scan is listed yet. Next: wardround site predict" in found.output
    assert typed("claim", "SITE").output == "No scan waits.\n"


def test_the_list_is_in_order_with_reasons_and_says_what_it_is_not(typed: Type, listed: Path) -> None:
    output = typed("SITE").output
    assert "waiting" in typed("show", "SITE").output
    assert [output.index(f" {case} ") for case in "bca"] == sorted(
        output.index(f" {case} ") for case in "abc"
    )
    assert "largest finding 31 mm: +1.40; prior cancer: +0.80; age not recorded" in output
    assert "0.90 (0.45-0.95)" in output
    assert "3 waiting, 0 being read, 0 read" in output
    assert "Research use, not a medical device." in output
    assert "2 shown" not in output
    assert "2 shown" in typed("SITE", "--limit", "2").output


def test_a_scan_is_claimed_released_read_and_reopened(typed: Type, listed: Path) -> None:
    assert typed("claim", "SITE").output.startswith("b is read by dr a. Then: wardround site worklist done")
    with pytest.raises(CaseError, match="being read by dr a"):
        typed("claim", "SITE", "b", "--reader", "dr b")
    assert "reading: dr a" in typed("SITE").output
    assert cases(typed, "--state", "waiting") == ["c", "a"]
    assert typed("release", "SITE", "b", "--reader", "dr b", "--force").output == "b waits again\n"
    typed("claim", "SITE", "b", "--reader", "dr b")
    assert typed("done", "SITE", "b", "--reader", "dr b").output == "b was read by dr b\n"
    assert cases(typed) == ["c", "a"]
    assert cases(typed, "--state", "all") == ["c", "a", "b"]
    assert typed("reopen", "SITE", "b").output == "b waits again\n"
    assert "dr b" in typed("history", "SITE", "b").output
    assert [
        line["what"] for line in json.loads(typed("history", "SITE", "b", "--json").output) if "what" in line
    ]


def test_a_clinicians_order_is_shown_as_such(typed: Type, listed: Path) -> None:
    assert typed("order", "SITE", "a", "stat").output == "a is ordered stat and read as stat\n"
    assert "stat (ordered, score routine)" in typed("SITE").output
    assert cases(typed)[0] == "a"
    assert typed("order", "SITE", "a", "soon").exit_code == 2


def test_files_are_written_and_said(typed: Type, listed: Path, tmp_path: Path) -> None:
    found = typed("SITE", "--csv", tmp_path / "l.csv", "--fhir", tmp_path / "l.json", "--fhir-release", "R5")
    assert found.output == "3 scans are written.\n"
    assert (tmp_path / "l.csv").read_text().count("\n") == 4
    assert len(json.loads((tmp_path / "l.json").read_text())["entry"]) == 6
    with pytest.raises(ConfigError, match="--watch"):
        typed("SITE", "--watch", "--json")


def test_a_new_calibration_is_used_when_the_list_is_shown_and_older_ones_are_marked(
    typed: Type, site: Path
) -> None:
    study = tiny_study()
    weights = initial_weights(study)
    slopes = {"finding_probability": 1.0, "volume_ml": 0.5, "age": 0.1}
    priority = priority_of(study, {"intercept": 9.0, **slopes})
    TrainedModel(study, weights, priority).save(Site.read(site).work / "model")
    worklist = Worklist.open(Site.read(site))
    worklist.put(result("a", "routine", features=FEATURES, weights=digest(weights)))
    worklist.put(result("b", "routine", features=FEATURES, weights="another"))
    worklist.close()
    output = typed("SITE").output
    assert "1 scored anew: the calibration changed" in output
    assert "* 1 by an earlier model or calibration" in output
    assert f"calibration {priority.digest()[:12]}" in output
    assert "scored anew" not in typed("SITE").output
    texts = typed("history", "SITE", "a").output
    assert "first reading: routine" in texts
    assert "new calibration: stat" in texts
    (Site.read(site).work / "model" / "calibration.json").write_text("{")
    output = typed("SITE").output
    assert "is damaged" in output
    assert " a " in output


def test_watching_shows_changes_until_it_is_stopped(
    typed: Type, listed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = iter(range(2))

    def wait(_: float) -> None:
        if next(rounds, None) is None:
            raise KeyboardInterrupt
        worklist = Worklist.open(Site.read(listed))
        worklist.claim_next("dr b")
        worklist.close()

    monkeypatch.setattr("client.worklist_cli.time.sleep", wait)
    found = typed("SITE", "--watch")
    assert found.exit_code == 0
    assert "1 waiting, 2 being read" in found.output


def test_ctrl_c_ends_the_watching_as_wanted(listed: Path) -> None:
    command = "import sys; from wardround import main; sys.exit(main())"
    arguments = [sys.executable, "-c", command, "site", "worklist", str(listed), "--watch"]
    ours, its = os.openpty()
    with subprocess.Popen(
        arguments,
        stdout=its,
        stderr=its,
        env={**os.environ, "TERM": "xterm"},
        # Tests that a shell started in the background ignore ctrl-C, and what they start would as well.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    ) as process:
        os.close(its)
        seen = b""
        while b"3 waiting" not in seen:
            seen += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    os.close(ours)
