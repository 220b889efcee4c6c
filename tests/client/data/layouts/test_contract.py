"""What every layout must do, on a small data set in its true format."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from client.data import layouts
from client.data.layouts.base import Listed, Skipped
from client.data.layouts.layout import Layout
from tests.client.data.layouts.made import Made
from tests.client.data.layouts.trees import TREES

NO_SCANS = {".json", ".csv"}
ONE_FIXED_SET = {"brats2015", "brats_nifti", "nnunet_raw", "manifest"}  # of channels


class Case:
    """A tree on disk that a test may damage, and its layout."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder
        self.layout_name, self.write = TREES[name]
        self.made: Made = self.write(folder)

    @property
    def layout(self) -> Layout:
        return layouts.find(self.folder, None)

    def list(self, *, require_label: bool = True) -> tuple[list[Listed], list[Skipped]]:
        """List, and hold the law that no scan is lost: each is in a case or named."""
        listed, skipped = self.layout.list_cases(self.folder, require_label=require_label)
        told = " ".join(skip.detail for skip in skipped)
        used = {path for item in listed for path in paths(item)}
        for file in self.folder.rglob("*"):
            if file.suffix in NO_SCANS or not (file.is_file() or file.is_symlink()):
                continue
            names = {file, file.parent, file.with_suffix(".mhd"), file.with_suffix(".hdr")}
            hidden = any(p.startswith((".", "__")) for p in file.relative_to(self.folder).parts)
            accounted = bool(names & used) or any(str(name) in told for name in names - {self.folder})
            assert accounted != hidden, file
        return listed, skipped


def paths(item: Listed) -> set[Path]:
    return {path for path in (*item.images.values(), item.label, item.region) if path is not None}


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
        for voxels in (".img", ".raw"):
            path.with_suffix(voxels).unlink(missing_ok=True)


def reasons(skipped: Iterable[Skipped]) -> dict[str, str]:
    return {skip.case: skip.reason for skip in skipped}


@pytest.fixture(params=TREES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return Case(request.param, tmp_path / "data")


def test_every_case_is_listed_with_channels_label_and_patient(case: Case) -> None:
    listed, skipped = case.list()
    assert skipped == []
    assert {item.case: item.patient for item in listed} == dict(case.made.cases)
    for item in listed:
        assert tuple(item.images) == case.made.channels
        assert item.label is not None
        assert item.label_kind == case.made.label_kind
        assert (item.region is not None) == case.made.regions
        assert all(path.exists() for path in paths(item))
    everything = [path for item in listed for path in paths(item)]
    assert len(everything) == len(set(everything))


def test_it_is_recognised_by_itself_and_by_no_other(case: Case) -> None:
    assert case.layout.name == case.layout_name
    assert layouts.find(case.folder, case.layout_name).name == case.layout_name


def test_the_order_is_that_of_the_names_whatever_the_disk_says(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, _ = case.list()
    assert [item.case for item in listed] == sorted(case.made.cases)
    real = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: iter(sorted(real(path), reverse=True)))
    again, _ = case.list()
    assert again == listed
    assert [list(item.images.items()) for item in again] == [list(item.images.items()) for item in listed]


def test_a_missing_label_is_named_and_listed_on_request(case: Case) -> None:
    victim = case.list()[0][1]
    assert victim.label
    remove(victim.label)
    listed, skipped = case.list()
    assert victim.case not in {item.case for item in listed}
    assert reasons(skipped) == {victim.case: "label_missing"}
    assert len(listed) == len(case.made.cases) - 1
    if case.layout_name == "manifest":
        return  # the table names a file that is not there: that is wrong even where none is asked for
    listed, skipped = case.list(require_label=False)
    assert skipped == []
    assert [item.case for item in listed if item.label is None] == [victim.case]


def test_a_missing_image_or_channel_is_named(case: Case) -> None:
    victim = case.list()[0][1]
    remove(next(iter(victim.images.values())))
    listed, skipped = case.list()
    assert victim.case not in {item.case for item in listed}
    fixed = case.layout_name in ONE_FIXED_SET - {"manifest"}
    assert set(reasons(skipped).values()) == {"channel_missing" if fixed else "image_missing"}
    assert len(listed) == len(case.made.cases) - 1


def twin_of(case: Case, item: Listed) -> None:
    """Let a second file claim the same place in a case."""
    path = next(iter(item.images.values()))
    if case.layout_name == "manifest":
        table = case.folder / "manifest.csv"
        table.write_text(table.read_text() + table.read_text().splitlines()[2] + "\n")
    elif path.is_dir():
        shutil.copytree(path, path.parent.parent / "copy" / "series")
    elif case.layout_name == "brats2015":
        stem = path.stem.rpartition(".")[0] + ".99999"
        (path.parent.parent / stem).mkdir()
        shutil.copy(path, path.parent.parent / stem / f"{stem}.mha")
    else:
        other = {".nii.gz": ".nii", ".nii": ".nii.gz", ".hdr": ".nii", ".mhd": ".mha", ".tif": ".tiff"}
        end = next(end for end in other if path.name.endswith(end))
        shutil.copy(path, path.with_name(path.name.removesuffix(end) + other[end]))


def test_two_files_for_one_place_are_named_and_neither_is_used(case: Case) -> None:
    victim = case.list()[0][1]
    twin_of(case, victim)
    listed, skipped = case.list()
    assert victim.case not in {item.case for item in listed}
    assert reasons(skipped)[victim.case] in {"duplicate_case", "image_missing"}
    assert "duplicate_case" in reasons(skipped).values()
    assert len(listed) == len(case.made.cases) - 1


def test_surplus_scans_are_named_and_what_is_hidden_is_none(case: Case) -> None:
    for name in ("more/surplus.nii.gz", "more/old.nrrd", "more/alone.raw", "top.mha"):
        (case.folder / name).parent.mkdir(exist_ok=True)
        (case.folder / name).touch()
    sample = next(iter(case.list()[0][0].images.values()))
    for name in (f"._{sample.name}", ".hidden/x.nii.gz", "__MACOSX/y.nii.gz"):
        (sample.parent / name).parent.mkdir(exist_ok=True)
        (sample.parent / name).write_bytes(b"\0" * 128 + b"DICM")
    listed, skipped = case.list()
    assert {item.case for item in listed} == set(case.made.cases)
    found = sorted((skip.reason, skip.detail.split()[0]) for skip in skipped)
    assert found == sorted(
        [
            ("header_missing", str(case.folder / "more/alone.raw")),
            ("not_in_layout", str(case.folder / "more/surplus.nii.gz")),
            ("not_in_layout", str(case.folder / "top.mha")),
            ("unsupported_format", str(case.folder / "more/old.nrrd")),
        ]
    )


@pytest.mark.parametrize("to", ["file", "folder", "nothing"])
def test_links_out_of_the_folder_are_named_and_not_followed(case: Case, to: str, tmp_path: Path) -> None:
    victim = case.list()[0][1]
    path = next(iter(victim.images.values()))
    file = sorted(path.iterdir())[0] if path.is_dir() else path
    away = tmp_path / "away" / file.name
    away.parent.mkdir()
    if to == "folder":
        shutil.move(file.parent, away.parent / "inner")
        file.parent.symlink_to(away.parent / "inner", target_is_directory=True)
    else:
        shutil.move(file, away)
        file.symlink_to(away)
    if to == "nothing":
        away.unlink()
    listed, skipped = case.list()
    assert victim.case not in {item.case for item in listed}
    assert "outside_folder" in reasons(skipped).values()
    for item in listed:
        assert all(p.resolve().is_relative_to(case.folder.resolve()) for p in paths(item))


def test_a_link_inside_the_folder_is_as_good_as_the_file(case: Case) -> None:
    listed, _ = case.list()
    path = next(iter(listed[1].images.values()))
    if path.is_dir() or path.suffix in {".mhd", ".hdr"}:
        path = next(p for p in (listed[1].label,) if p is not None)
        if path.suffix in {".csv", ".hdr"} or path.is_dir():
            pytest.skip("of several files")
    store = case.folder / ".store"
    store.mkdir()
    shutil.move(path, store / path.name)
    path.symlink_to(store / path.name)
    assert case.layout.list_cases(case.folder)[0] == listed


def test_nothing_is_opened_that_is_not_a_regular_file(case: Case) -> None:
    path = next(iter(case.list()[0][1].images.values()))
    if path.is_dir():
        path = sorted(path.iterdir())[0].with_name("pipe.dcm")
    else:
        path.unlink()
    os.mkfifo(path)
    case.layout.list_cases(case.folder)  # and does not wait for ever


def test_the_generators_of_all_layouts_are_here() -> None:
    names: set[str] = {name for name, _ in TREES.values()}
    assert names == {layout.name for layout in layouts.LAYOUTS}
