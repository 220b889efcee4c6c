import re
import stat
from html.parser import HTMLParser
from pathlib import Path

import pytest

from client.data.inspection import folder as inspection
from client.data.inspection.folder import inspect
from client.data.inspection.page import write_page
from client.data.inspection.text import number
from tests.client.data.layouts.trees import TREES, write_folders, write_ucsb
from tests.client.data.scans import picture, write_case, write_scan

HOSTILE = "<script>alert(1)<!--& \"x\" onerror='y'"


class Seen(HTMLParser):
    """Tags, what they load, and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in {"src", "href", "action", "data"}]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(folder: Path) -> tuple[Seen, str]:
    seen = inspect(folder, draw=True)
    write_page(seen.found, seen.pictures, folder / "page.html")
    text = (folder / "page.html").read_text(encoding="utf-8")
    parser = Seen()
    parser.feed(text)
    return parser, text


@pytest.mark.parametrize("name", TREES)
def test_every_layout_has_a_page_that_loads_nothing(name: str, tmp_path: Path) -> None:
    made = TREES[name][1](tmp_path, 2)
    page, text = page_of(tmp_path)
    assert "keep it in the hospital" in page.text
    assert page.tags.count("figure") == 2
    assert page.tags.count("img") == (2 if name == "ucsb" else 6)
    assert all(address.startswith("data:image/png;base64,") for address in page.loaded)
    without_pictures = re.sub(r'"data:[^"]*"', "", text)
    assert not re.search(r"https?:|//|src=[^>\s]|url\(|@import", without_pictures.replace(str(tmp_path), ""))
    assert all(case in page.text for case in made.cases)


def test_hostile_names_are_text(tmp_path: Path) -> None:
    write_case(tmp_path, HOSTILE, 0)
    write_scan(tmp_path / "images" / f"2{HOSTILE}.nii.gz", picture(1)[0])
    page, text = page_of(tmp_path)
    assert "script" not in page.tags
    assert "<script" not in text
    assert page.text.count(HOSTILE) >= 4  # caption, table of cases, fault, its detail
    assert "Content-Security-Policy" in text
    assert "default-src 'none'" in text


def test_the_page_opens_for_its_owner_only(tmp_path: Path) -> None:
    write_folders(tmp_path, 1)
    page_of(tmp_path)
    assert stat.S_IMODE((tmp_path / "page.html").stat().st_mode) == 0o600


def test_what_is_left_out_of_the_sheet_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folders(tmp_path, 5)
    assert "evenly chosen" not in page_of(tmp_path)[0].text
    monkeypatch.setattr(inspection, "MAX_PICTURED", 2)
    page, _ = page_of(tmp_path)
    assert "2 of 5 cases are shown: at most 2, evenly chosen" in page.text
    assert page.tags.count("figure") == 2


def test_letters_are_explained_where_there_are_any(tmp_path: Path) -> None:
    write_folders(tmp_path / "scans", 1)
    write_ucsb(tmp_path / "photographs", 1)
    assert "R is the patient's right" in page_of(tmp_path / "scans")[0].text
    assert "R is the patient's right" not in page_of(tmp_path / "photographs")[0].text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-1024, "-1024"),
        (1698000.0, "1698000"),
        (0.81054, "0.8105"),
        (12.5, "12.5"),
        (1234.56, "1235"),
        (100.04, "100"),
        (-0.00012, "-0.00012"),
        (3.4e38, "3.4e+38"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text
