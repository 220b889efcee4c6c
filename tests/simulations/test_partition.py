"""One real data set becomes several hospitals: nothing lost, nothing twice, and really different."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.data import formats, layouts
from client.data.layouts.base import Listed
from client.data.patients import PatientTable
from shared.errors import DataError
from shared.study import Task
from simulations.partition import _edges, deal
from simulations.scenario import Folder
from tests.client.data.layouts.trees import TREES, write_brats2015, write_ucsb, write_vessel12
from tests.client.data.scans import write_scan

CASES = 40
LABEL = Task(classes=("tumour",))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Case number k has brightness and tumour size that grow with k; number 7 cannot be read."""
    root = tmp_path_factory.mktemp("real")
    for number in range(CASES):
        write_scans(root, number)
    (root / "imagesTr" / "case_07.nii.gz").write_bytes(b"broken")
    return root


def write_scans(root: Path, number: int) -> None:
    image = np.full((6, 6, 6), 10.0 * (number + 1), np.float32)
    label = np.zeros((6, 6, 6), np.uint8)
    label.flat[: 2 * number + 1] = 1
    for folder, array in (("imagesTr", image), ("labelsTr", label)):
        write_scan(root / folder / f"case_{number:02d}.nii.gz", array)


def source(**changes: object) -> Folder:
    values = {"kind": "folder", "shares": {"b": 0.5, "a": 0.3, "c": 0.2}, "by": "volume", "mixing": 0.0}
    return Folder.parse({**values, **changes}, "test")


def rows(folders: Mapping[str, Path]) -> dict[str, list[dict[str, str]]]:
    """Each site's manifest."""
    found = {}
    for site, folder in folders.items():
        with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
            found[site] = list(csv.DictReader(file))
    return found


def dealt(folders: Mapping[str, Path]) -> dict[str, list[int]]:
    return {site: sorted(int(row["case"][5:7]) for row in table) for site, table in rows(folders).items()}


def listed(folders: Mapping[str, Path]) -> dict[str, Listed]:
    """What the sites find, by case."""
    items = []
    for folder in folders.values():
        found, skipped = layouts.find(folder, "manifest").list_cases(folder, require_label=False)
        assert skipped == []
        items += found
    assert len({item.case for item in items}) == len(items)
    return {item.case: item for item in items}


@pytest.mark.parametrize("by", ["volume", "intensity", "name"])
@pytest.mark.parametrize("mixing", [0.0, 0.3, 5.0])
def test_every_case_goes_to_exactly_one_site_in_the_shares_asked_for(
    by: str, mixing: float, data: Path, tmp_path: Path
) -> None:
    folders = deal(source(by=by, mixing=mixing), data, tmp_path, LABEL).folders
    found = dealt(folders)
    assert sorted(number for cases in found.values() for number in cases) == list(range(CASES))
    assert {site: len(cases) for site, cases in found.items()} == {"b": 20, "a": 12, "c": 8}
    for item in listed(folders).values():
        assert item.label is not None
        assert item.label.name == item.images["image"].name == f"{item.case}.nii.gz"


@pytest.mark.parametrize("by", ["volume", "intensity", "name"])
def test_without_mixing_sites_are_sorted_and_with_much_they_overlap(
    by: str, data: Path, tmp_path: Path
) -> None:
    strict = dealt(deal(source(by=by), data, tmp_path / "strict", LABEL).folders)
    if by == "intensity":  # of the broken one nothing is known
        strict["b"].remove(7)
    assert max(strict["b"]) < min(strict["a"]) <= max(strict["a"]) < min(strict["c"])
    mixed = dealt(deal(source(by=by, mixing=5.0), data, tmp_path / "mixed", LABEL).folders)
    assert min(mixed["c"]) < max(mixed["b"])


def test_dealing_again_gives_the_same_and_another_seed_another(data: Path, tmp_path: Path) -> None:
    first = dealt(deal(source(mixing=1.0), data, tmp_path / "first", LABEL).folders)
    again = deal(source(mixing=1.0), data, tmp_path / "first", LABEL).folders  # into the same folders
    assert dealt(again) == first
    assert dealt(deal(source(mixing=1.0, seed=1), data, tmp_path / "second", LABEL).folders) != first


def test_the_scans_are_linked_and_not_copied(data: Path, tmp_path: Path) -> None:
    for item in listed(deal(source(), data, tmp_path, LABEL).folders).values():
        assert item.images["image"].samefile(data / "imagesTr" / f"{item.case}.nii.gz")


def test_links_of_another_data_folder_are_replaced(data: Path, tmp_path: Path) -> None:
    deal(source(), data, tmp_path / "out", LABEL)
    moved = tmp_path / "moved"
    for number in range(CASES):
        write_scans(moved, number)
    for item in listed(deal(source(), moved, tmp_path / "out", LABEL).folders).values():
        assert item.images["image"].samefile(moved / "imagesTr" / f"{item.case}.nii.gz")


def test_fewer_patients_than_sites_are_refused(tmp_path: Path) -> None:
    for number in range(4):
        write_scans(tmp_path / "small", number)
    (tmp_path / "small" / "labelsTr" / "case_03.nii.gz").unlink()
    (tmp_path / "small" / "imagesTr" / "case_02.nii.gz").unlink()
    with pytest.raises(DataError, match=r"2 patients with a label, for 3 sites.*left: 1 \(image_missing\)"):
        deal(source(), tmp_path / "small", tmp_path / "out", LABEL)


@given(
    weights=st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any),
    more=st.integers(0, 60),
    at_least=st.integers(0, 1),
)
def test_no_site_goes_empty_and_nothing_is_lost(weights: list[int], more: int, at_least: int) -> None:
    count = len(weights) * at_least + more
    edges = _edges([weight / sum(weights) for weight in weights], count, at_least)
    assert (edges[0], edges[-1]) == (0, count)
    assert (np.diff(edges) >= at_least).all()


def test_scans_of_one_patient_stay_together_with_their_rows(tmp_path: Path) -> None:
    for number in range(24):
        write_scans(tmp_path / "real", number)
    table_rows = [f"case_{number:02d},person_{number % 12},{number}" for number in range(24)]
    (tmp_path / "real" / "patients.csv").write_text("\n".join(["case,patient,age", *table_rows]) + "\n")
    found = deal(source(mixing=5.0), tmp_path / "real", tmp_path / "out", LABEL)
    assert found.has_patients
    seen: dict[str, str] = {}
    for site, table_of_site in rows(found.folders).items():
        table = PatientTable.load(found.folders[site] / "patients.csv")
        for case in (row["case"] for row in table_of_site):
            assert table.history(case)["age"] == int(case[5:])
            assert seen.setdefault(table.patient_of(case), site) == site
        lines = (found.folders[site] / "patients.csv").read_text().splitlines()
        assert len(lines) == 1 + len(table_of_site)
    assert len(seen) == 12


def test_a_patient_whom_the_layout_names_stays_at_one_site_unless_the_table_says_otherwise(
    tmp_path: Path,
) -> None:
    write_ucsb(tmp_path / "cells", 15)  # of five slides
    found = deal(source(), tmp_path / "cells", tmp_path / "out", LABEL)
    assert found.has_patients
    sites = [{row["patient"] for row in table} for table in rows(found.folders).values()]
    assert [len(slides) for slides in sites] == [2, 2, 1]
    assert len(set().union(*sites)) == 5
    cases = [row["case"] for table in rows(found.folders).values() for row in table]
    table_rows = [f"{case},{case}" for case in cases]
    (tmp_path / "cells" / "patients.csv").write_text("\n".join(["case,patient", *table_rows]))
    folders = deal(source(), tmp_path / "cells", tmp_path / "out", LABEL).folders
    assert [len(table) for table in rows(folders).values()] == [8, 4, 3]


def test_an_image_without_a_label_goes_to_a_site_and_a_label_without_an_image_is_reported(
    tmp_path: Path,
) -> None:
    for number in range(10):
        write_scans(tmp_path / "real", number)
    (tmp_path / "real" / "labelsTr" / "case_03.nii.gz").unlink()
    (tmp_path / "real" / "imagesTr" / "case_05.nii.gz").unlink()
    found = deal(source(), tmp_path / "real", tmp_path / "out", LABEL)
    assert not found.has_patients
    assert 3 in [number for cases in dealt(found.folders).values() for number in cases]
    assert [(skip.case, skip.reason) for skip in found.left] == [("case_05", "image_missing")]


def test_each_site_has_its_share_of_the_cases_that_it_can_use(tmp_path: Path) -> None:
    """As in VESSEL12: points for the last three scans alone, lung masks for all."""
    write_vessel12(tmp_path / "vessels", 9)
    for path in sorted((tmp_path / "vessels" / "Annotations").iterdir())[:6]:
        path.unlink()
    by_points = Task(classes=("vessel",), truth="points")
    found = rows(deal(source(by="name"), tmp_path / "vessels", tmp_path / "out", by_points).folders)
    assert [sum(row["label"] != "" for row in table) for table in found.values()] == [1, 1, 1]
    assert sum(len(table) for table in found.values()) == 9
    by_region = Task(classes=("lung",), truth="region")
    found = rows(deal(source(by="name"), tmp_path / "vessels", tmp_path / "out", by_region).folders)
    assert [len(table) for table in found.values()] == [4, 3, 2]


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("by", ["volume", "intensity"])
def test_a_data_set_of_any_layout_is_the_same_after_it_was_dealt_out(
    name: str, by: str, tmp_path: Path
) -> None:
    TREES[name][1](tmp_path / "data", 6)
    layout = layouts.find(tmp_path / "data", None)
    before, _ = layout.list_cases(tmp_path / "data", require_label=False)
    found = deal(source(by=by), tmp_path / "data", tmp_path / "out", LABEL)
    after = listed(found.folders)
    assert found.left == ()
    assert sorted(after) == [item.case for item in before]
    for item in before:
        other = after[item.case]
        assert (other.patient, other.label_kind) == (item.patient, item.label_kind)
        assert other.components == item.components
        assert list(other.images) == list(item.images)
        for channel, path in item.images.items():
            assert same_scan(other.images[channel], path)
        assert item.label is not None
        assert other.label is not None
        if item.label_kind == "points":
            assert other.label.samefile(item.label)
        else:
            assert same_scan(other.label, item.label)
        assert (other.region is None) == (item.region is None)
        if item.region is not None and other.region is not None:
            assert same_scan(other.region, item.region)


def same_scan(first: Path, second: Path) -> bool:
    one, two = formats.read(first), formats.read(second)
    return np.array_equal(one.array, two.array) and np.array_equal(one.affine, two.affine)


def test_an_odd_name_costs_one_case_and_not_the_run(tmp_path: Path) -> None:
    for number in range(6):
        write_scans(tmp_path / "data", number)
    for folder in ("imagesTr", "labelsTr"):
        scan = tmp_path / "data" / folder / "case_02.nii.gz"
        scan.rename(scan.with_name("case\n02.nii.gz"))
    found = deal(source(), tmp_path / "data", tmp_path / "out", LABEL)
    assert [(skip.case, skip.reason) for skip in found.left] == [("case\n02", "not_in_layout")]
    assert len(listed(found.folders)) == 5


def test_nothing_but_the_scans_own_files_goes_to_a_site(tmp_path: Path) -> None:
    TREES["dicom_series with SEG"][1](tmp_path / "data", 6)
    for folder in {path.parent for path in (tmp_path / "data").rglob("IM*")}:
        (folder / "notes.txt").write_text("a name")
    folders = deal(source(), tmp_path / "data", tmp_path / "out", LABEL).folders
    names = {path.name for folder in folders.values() for path in folder.rglob("*") if path.is_file()}
    assert "notes.txt" not in names
    assert any(name.startswith("IM") for name in names)


def test_cases_that_the_layout_refuses_are_left_by_name(tmp_path: Path) -> None:
    write_brats2015(tmp_path / "data", 8)
    lost = next(path for path in sorted((tmp_path / "data").rglob("*.mha")) if "Flair" in path.name)
    lost.unlink()
    found = deal(source(), tmp_path / "data", tmp_path / "out", LABEL)
    assert [skip.reason for skip in found.left] == ["channel_missing"]
    assert len(listed(found.folders)) == 7
