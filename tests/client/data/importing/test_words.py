"""What the command prints, for persons and for programs."""

import json
from pathlib import Path

from typer.testing import CliRunner

from tests.client.data.layouts.trees import write_folders
from tests.client.data.scans import picture, write_case, write_scan
from wardround import app


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["data", "import", *words, "--workers", "1"], env={"COLUMNS": "120"})
    return (done.exit_code if done.exception is None or done.exit_code != 1 else 3), done.stdout


def test_all_that_is_left_out_removed_or_doubled_is_told_by_its_own_name(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    write_folders(data, 2)
    write_case(data, "twin", seed=0)
    write_scan(data / "images/[red]alone\x1b.nii.gz", picture(3)[0])
    (data / "patients.csv").write_text("case,patient,age,full name\ncase-0,p,7,Jane\n")
    code, text = run(str(data), str(out))
    assert code == 0
    assert "3 cases, 0 of them unchanged" in text
    assert "patients.csv: 1 row with age" in text
    assert "left out: label_missing, 1 case\n  [red]alone?: no label" in text
    assert "cure: Add the label" in text
    assert "  case-0, twin\n" in text
    assert "full name: its name looks identifying" in text
    assert f"{out}.names.csv" in text
    for path in data.rglob("twin*"):
        path.unlink()
    code, text = run(str(data), str(out))
    assert (code, "removed, for" in text, "\n  twin\n" in text) == (0, True, True)
    assert "2 cases, 2 of them unchanged" in text


def test_json_is_for_programs_alone(tmp_path: Path) -> None:
    write_folders(tmp_path / "data", 2)
    (tmp_path / "data/labels/case-1.nii.gz").unlink()
    code, text = run(str(tmp_path / "data"), str(tmp_path / "out"), "--json")
    values = json.loads(text)
    assert (code, values["cases"], values["left_out"][0]["reason"]) == (0, 1, "label_missing")
    assert run(str(tmp_path / "data"), str(tmp_path / "out"), "--quiet") == (0, "")


def test_where_no_case_can_be_imported_all_are_named_and_the_exit_code_is_3(tmp_path: Path) -> None:
    write_folders(tmp_path / "data", 1)
    (tmp_path / "data/images/case-0.nii.gz").write_bytes(b"no scan")
    code, text = run(str(tmp_path / "data"), str(tmp_path / "out"))
    assert (code, "left out: unreadable" in text) == (3, True)
    assert not (tmp_path / "out/manifest.csv").exists()
