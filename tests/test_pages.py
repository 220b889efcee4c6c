"""The hospital's and the coordinator's page against the code: keys, files, states, options and codes."""

import ast
import inspect
import re
import shutil
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from client.policy import Policy
from server import board, store
from server.enrolment import Enrolment
from server.rounds import DEADLINE, OFFLINE
from server.settings import Coordinator
from shared import errors
from shared.config import Config
from shared.errors import EnrolmentError, PolicyError, WardroundError
from simulations.phantoms import PhantomSite, site_shift, write_site
from tests.test_readme import PROGRAM_COMMANDS, console, role_of, table_rows
from wardround import app

ROOT = Path(__file__).parents[1]
HOSPITAL = (ROOT / "docs" / "hospital.md").read_text(encoding="utf-8")
READING = (ROOT / "docs" / "reading.md").read_text(encoding="utf-8")
COORDINATOR = (ROOT / "docs" / "coordinator.md").read_text(encoding="utf-8")
RESEARCHER = (ROOT / "docs" / "researcher.md").read_text(encoding="utf-8")


def named(cell: str) -> list[str]:
    return re.findall(r"`(.*?)`", cell)


def table(text: str, *headings: str) -> list[list[str]]:
    """Rows of the one table with exactly these headings."""
    head = re.escape(f"| {' | '.join(headings)} |")
    (rows,) = re.findall(rf"^{head}\n\|[ -|]+\n((?:\|.*\n?)+)", text, flags=re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows.splitlines()]


def defaults(config: type[Config], prefix: str = "") -> dict[str, object]:
    """Every key with its default as YAML reads it, dotted where one holds others."""
    found: dict[str, object] = {}
    for name, field in config.model_fields.items():
        if isinstance(field.default, Config):
            found |= defaults(type(field.default), f"{prefix}{name}.")
        else:
            default = "needed" if field.is_required() else field.default
            found[prefix + name] = list(default) if isinstance(default, tuple) else default
    return found


@pytest.mark.parametrize(
    ("text", "heading", "config"),
    [(HOSPITAL, "what it decides", Policy), (COORDINATOR, "what", Coordinator)],
)
def test_every_key_is_listed_with_its_default(text: str, heading: str, config: type[Config]) -> None:
    rows = table(text, "key", "default", heading)
    assert {key.strip("`"): yaml.safe_load(value.strip("`")) for key, value, _ in rows} == defaults(config)


@pytest.mark.parametrize(
    ("text", "role", "group"),
    [
        (HOSPITAL, "hospital", "site"),
        (READING, "reading", "site"),
        (COORDINATOR, "coordinator", "coordinator"),
    ],
)
def test_every_option_is_listed_beside_its_commands_and_no_other(text: str, role: str, group: str) -> None:
    own = [name for name in PROGRAM_COMMANDS if name.startswith(f"{group} ") and role_of(name) == role]
    shown = set()
    for options, commands, _ in table(text, "option", "of", "what"):
        spelt = [name if name.startswith(group) else f"{group} {name}" for name in named(commands)]
        of = [name for name in own if name not in spelt] if commands.startswith("all but") else spelt
        shown |= {(name, option) for name in of for option in named(options)}
    assert shown == {
        (name, option)
        for name in own
        for parameter in PROGRAM_COMMANDS[name].params
        if parameter.param_type_name == "option"
        for option in parameter.opts
        if option.startswith("--")
    }


def test_a_nodes_work_folder_is_listed_with_all_that_a_simulated_site_writes() -> None:
    listed = {path for cell, _ in table(HOSPITAL, "path", "what") for path in named(cell)}
    simulated = set(re.findall(r"^\| `sites/<name>/(.*?)` \|", RESEARCHER, flags=re.MULTILINE))
    only_deployed = {"node/", "approvals.jsonl", "pending/", "repeats.jsonl", "supernode.log"}
    of_a_reading_room = {
        *("predictions/", "predictions.key", "predictions.names.csv"),
        *("worklist.db", "worklist.key", "worklist.names.csv"),
    }
    of_the_pages = {"decided/", "pages.db", "pages/", "uploads/", "uploads.db", "uploads.log"}
    of_the_pages |= {"datasets/", "reports/"}
    assert listed == (simulated - {"site.yaml"}) | only_deployed | of_a_reading_room | of_the_pages


def test_every_path_of_the_coordinators_folder_is_listed() -> None:
    settings = Coordinator(address="localhost")
    paths = {
        value.relative_to(settings.folder).as_posix()
        for name, kind in vars(Coordinator).items()
        if isinstance(kind, property) and isinstance(value := getattr(settings, name), Path)
        if value != settings.folder
    }
    assert len(paths) > 8
    listed = [path for cell, *_ in table(COORDINATOR, "path", "what", "keep a copy") for path in named(cell)]
    places = [path.split("<")[0] for path in listed]
    assert {
        p for p in paths if not any(f"{p}/".startswith(f"{place.rstrip('/')}/") for place in places)
    } == set()
    secrets = {path.removeprefix("secrets/") for path in paths if path.startswith("secrets/")}
    rows = table(COORDINATOR, "in `secrets/`", "what it is for", "who has it, can")
    assert {secret for cell, *_ in rows for secret in named(cell)} == secrets


def test_every_state_that_status_can_show_is_explained() -> None:
    states = {state for cell, _ in table_of_states("a site") for state in named(cell)}
    assert states == set(typing.get_args(board.State))
    runs = table_of_states("a run")
    assert {state for cell, _ in runs for state in named(cell)} == set(store.MOVES)
    (phases,) = [set(named(what)) for cell, what in runs if cell == "`running`"]
    assert phases == set(typing.get_args(board.Phase)) - {"done", "failed"}


def write_scans(scans: Path) -> None:
    """A hospital of phantoms: one without a label, one cut off in the copying, one copied twice."""
    write_site(scans, PhantomSite(patients=12, shift=site_shift(1, seed=0)), seed=0, site_index=1)
    images, labels = scans / "imagesTr", scans / "labelsTr"
    (labels / "phantom_1_00003.nii.gz").unlink()
    whole = (images / "phantom_1_00007.nii.gz").read_bytes()
    (images / "phantom_1_00007.nii.gz").write_bytes(whole[: len(whole) // 2])
    for folder in (images, labels):
        shutil.copy(folder / "phantom_1_00005.nii.gz", folder / "phantom_1_00005_b.nii.gz")


@pytest.mark.parametrize("command", ["inspect", "import"])
def test_what_a_hospital_is_shown_of_its_scans_is_the_programs_own(command: str, tmp_path: Path) -> None:
    (shown,) = [output for words, output in console(HOSPITAL) if words[1:3] == ["data", command] and output]
    write_scans(tmp_path / "scans")
    paths = [str(tmp_path / name) for name in ("scans", "one-form")]
    words = ["data", command, *paths[: 1 + (command == "import")], "--workers", "1"]
    done = CliRunner().invoke(app, words, catch_exceptions=False, env={"COLUMNS": "120"})
    told = "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())
    assert shown == told.replace(str(tmp_path), "/data")


def table_of_states(whose: str) -> list[list[str]]:
    return table_rows(COORDINATOR.split(f"says of {whose}\n")[1].split("\n## ")[0], "state")


def calls(name: str) -> Iterator[str]:
    """Texts that `name` is called with, in all that runs at a site or at the coordinator."""
    for path in [p for folder in ("client", "server", "shared") for p in (ROOT / folder).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = getattr(node.func, "id", getattr(node.func, "attr", None))
            first = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            if called == name and first:
                yield first[0]


def words(source: str, pattern: str) -> set[str]:
    found = set(re.findall(pattern, source))
    assert found, pattern
    return found


def reasons() -> set[str]:
    """Every code that `status`, results.json or a site's log can show."""
    rounds = (ROOT / "server" / "rounds.py").read_text(encoding="utf-8")
    admission = (ROOT / "server" / "admission.py").read_text(encoding="utf-8")
    seat = inspect.getsource(Enrolment._seat)
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, WardroundError)]
    own = {c.code for c in classes if c not in (PolicyError, EnrolmentError, WardroundError)}
    return (
        own
        | {WardroundError.code, "enrolment.*", "flower.*", "kind.*"}
        | {f"policy.{rule}" for rule in calls("PolicyError")}
        | {reason for name in ("Refused", "refuse") for reason in calls(name) if reason.isidentifier()}
        | words(admission, r'\("([a-z_]+)", lambda')
        | words(rounds, r'"refused", "([a-z_]+)"\)')
        | words(rounds, r'"failed", "([a-z_]+)"\)')
        | words(seat, r'"([a-z_]+)": (?:self|record|site)')
        | words(seat, r'"refused", "([a-z_]+)"\)')
        | {OFFLINE, DEADLINE, "started"}
    )


def test_every_reason_is_explained_to_the_hospital_and_none_is_made_up() -> None:
    rows = table(HOSPITAL, "code", "what it means", "who acts")
    shown = [code for cell, *_ in rows for code in named(cell)]
    assert len(shown) == len(set(shown))
    assert set(shown) == reasons()
