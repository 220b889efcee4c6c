"""`wardround data inspect` as a hospital types it."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import Result
from typer.testing import CliRunner

from client.data.inspection.facts import Inspection
from shared.errors import ConfigError, DataError
from tests.client.data.layouts.trees import TREES, write_folders
from tests.client.data.scans import write_case
from wardround import app


def typed(*words: object) -> Result:
    """Type a command; what it raises is raised."""
    arguments = ["data", "inspect", *map(str, words), "--workers", "1"]
    return CliRunner().invoke(app, arguments, catch_exceptions=False, env={"COLUMNS": "120"})


def values(*words: object) -> Any:
    return json.loads(typed(*words, "--json").stdout)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Four cases, one without a label."""
    write_folders(tmp_path / "scans", 4)
    (tmp_path / "scans" / "labels" / "case-3.nii.gz").unlink()
    return tmp_path / "scans"


def test_it_prints_what_is_there_and_each_fault_with_its_cure(scans: Path) -> None:
    done = typed(scans)
    assert done.exit_code == 0
    text = " ".join(done.stdout.split())
    assert "layout folders" in text
    assert "cases 4, 3 of them can be used" in text
    assert "orientation RAS 4" in text
    assert "cannot be used: label_missing, 1 case case-3: no label" in text
    assert "cure: Add the label" in text
    assert "decide: whose scans these are" in text
    assert "reading scans" not in done.stdout


def test_the_json_is_of_its_schema_and_nothing_else(scans: Path) -> None:
    found = values(scans)
    assert found["schema"] == "wardround.inspection/1"
    jsonschema.validate(found, Inspection.model_json_schema(by_alias=True))
    assert Inspection.model_validate(found).usable == 3
    assert {"reason", "detail", "cure", "case"} == set(found["faults"][0])


@pytest.mark.parametrize("name", TREES)
def test_it_takes_every_layout(name: str, tmp_path: Path) -> None:
    layout, write = TREES[name]
    write(tmp_path)
    assert (values(tmp_path)["layout"], values(tmp_path, "--layout", layout)["usable"]) == (layout, 3)


def test_the_page_is_written_beside_either_output(scans: Path, tmp_path: Path) -> None:
    assert values(scans, "--html", tmp_path / "a.html")["usable"] == 3
    done = typed(scans, "--html", tmp_path / "b.html", "--quiet")
    assert (done.exit_code, done.stdout) == (0, "")
    pages = [(tmp_path / name).read_text() for name in ("a.html", "b.html")]
    assert pages[0] == pages[1]
    assert "data:image/png" in pages[0]


def test_a_folder_of_which_nothing_can_be_used_ends_with_the_codes_of_data(scans: Path) -> None:
    for path in (scans / "labels").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="not one of the 4 cases") as error:
        typed(scans)
    assert error.value.exit_code == 3
    assert not isinstance(error.value, ConfigError)


def test_the_faults_are_listed_even_then(scans: Path) -> None:
    for path in (scans / "labels").iterdir():
        path.unlink()
    done = CliRunner().invoke(app, ["data", "inspect", str(scans), "--json", "--workers", "1"])
    assert isinstance(done.exception, DataError)
    assert len(json.loads(done.stdout)["faults"]) == 4


def test_a_name_cannot_command_the_terminal(tmp_path: Path) -> None:
    write_case(tmp_path, "a", 0)
    (tmp_path / "labels" / "b\x1b]0;owned\x07[red].nii.gz").write_bytes(b"x")
    done = typed(tmp_path)
    assert "b?]0;owned?[red]" in done.stdout
    assert "\x1b]" not in done.stdout


def test_many_cases_of_one_fault_are_counted_and_not_all_told(tmp_path: Path) -> None:
    write_folders(tmp_path, 14)
    for path in sorted((tmp_path / "labels").iterdir())[2:]:
        path.unlink()
    assert "label_missing, 12 cases" in (text := typed(tmp_path).stdout)
    assert "and 2 more: see --json or --html" in text
    assert text.count("no label for") == 10


@pytest.mark.real_data
def test_real_hippocampi_are_looked_at_and_the_two_bad_ones_named(real_data: Path, tmp_path: Path) -> None:
    found = values(real_data / "hippocampus_dirty", "--html", tmp_path / "page.html")
    assert (found["cases"], found["usable"]) == (8, 6)
    faults = {fault["case"]: fault["reason"] for fault in found["faults"]}
    assert faults == {"hippocampus_118": "label_missing", "hippocampus_010": "image_missing"}
    assert [label["value"] for label in found["labels"]] == [0, 1, 2]
    assert (tmp_path / "page.html").read_text().count("<figure") == 7


@pytest.mark.real_data
def test_real_dicom_is_looked_at_and_no_name_is_told(real_data: Path, tmp_path: Path) -> None:
    found = values(real_data / "dicom", "--html", tmp_path / "page.html")
    assert (found["layout"], found["usable"]) == ("dicom_series", 1)
    assert {tally["value"]: tally["cases"] for tally in found["modalities"]} == {"CT": 1, "MR": 2}
    assert found["labels"][1]["name"] == "Liver"
    assert [fault["reason"] for fault in found["faults"]] == ["label_missing"] * 2
    assert all(re.fullmatch(r"series-[0-9a-f]{12}", case["case"]) for case in found["facts"])
