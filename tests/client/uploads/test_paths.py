"""Names that a browser gives to files."""

from pathlib import Path, PurePosixPath
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.uploads.paths import DEEPEST, LONGEST_PART, decoded, place_of, shown
from shared.errors import DataError

names = st.lists(
    st.sampled_from(["..", ".", "", "a", "b c", "ä", "C:", "\\", "x" * 300, "\0", "~"]), max_size=20
)


@given(names.map("/".join) | names.map("\\".join) | st.text())
def test_whatever_it_is_called_it_lies_inside(name: str) -> None:
    try:
        place = place_of(name)
    except DataError:
        return
    folder = Path("/uploads/one/incoming")
    assert (folder / place).resolve().is_relative_to(folder)
    assert folder / place != folder
    assert len(place.parts) <= DEEPEST
    assert all(len(part.encode()) <= LONGEST_PART for part in place.parts)


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "C:\\x.nii",
        "..\\x",
        "",
        ".",
        "a\0b",
        "a\nb",
        "x" * 256,
        "d/" * 17 + "x",
    ],
)
def test_a_name_that_leads_out_or_is_none_is_refused_by_name(name: str) -> None:
    with pytest.raises(DataError, match=r"is refused: it .*Rename"):
        place_of(name)


def test_folders_are_kept() -> None:
    assert place_of("ct\\1/a b.dcm") == PurePosixPath("ct/1/a b.dcm")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_name_comes_through_a_header_as_it_is(name: str) -> None:
    assert decoded(quote(name)) == name


def test_what_is_not_utf_8_is_refused() -> None:
    with pytest.raises(DataError, match="UTF-8"):
        decoded("%ff%fe")


def test_what_is_shown_is_short_and_printable() -> None:
    assert shown("a\n\x1b[2J" + "b" * 1000) == "a??[2J" + "b" * 94 + "..."
