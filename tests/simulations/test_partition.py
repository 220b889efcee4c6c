"""One real data set becomes several hospitals: nothing lost, nothing twice, and really different."""

from pathlib import Path

import numpy as np
import pytest

from client.data.patients import PatientTable
from shared.errors import DataError
from simulations.partition import deal
from simulations.scenario import Folder
from tests.client.data.layouts.trees import write_lits, write_vessel12
from tests.client.data.scans import write_scan

CASES = 40


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


def dealt(folders: dict[str, Path]) -> dict[str, list[int]]:
    return {
        site: sorted(int(p.name[5:7]) for p in (folder / "imagesTr").iterdir())
        for site, folder in folders.items()
    }


@pytest.mark.parametrize("by", ["volume", "intensity"])
@pytest.mark.parametrize("mixing", [0.0, 0.3, 5.0])
def test_every_case_goes_to_exactly_one_site_in_the_shares_asked_for(
    by: str, mixing: float, data: Path, tmp_path: Path
) -> None:
    folders = deal(source(by=by, mixing=mixing), data, tmp_path).folders
    found = dealt(folders)
    assert sorted(number for cases in found.values() for number in cases) == list(range(CASES))
    assert {site: len(cases) for site, cases in found.items()} == {"b": 20, "a": 12, "c": 8}
    for site, folder in folders.items():
        labels = sorted(int(p.name[5:7]) for p in (folder / "labelsTr").iterdir())
        assert labels == found[site]


def test_without_mixing_sites_are_sorted_and_with_much_they_overlap(data: Path, tmp_path: Path) -> None:
    strict = dealt(deal(source(), data, tmp_path / "strict").folders)
    assert max(strict["b"]) < min(strict["a"]) <= max(strict["a"]) < min(strict["c"])
    mixed = dealt(deal(source(mixing=5.0), data, tmp_path / "mixed").folders)
    assert min(mixed["c"]) < max(mixed["b"])


def test_dealing_again_gives_the_same_and_another_seed_another(data: Path, tmp_path: Path) -> None:
    first = dealt(deal(source(mixing=1.0), data, tmp_path / "first").folders)
    assert dealt(deal(source(mixing=1.0), data, tmp_path / "first").folders) == first  # into the same folders
    assert dealt(deal(source(mixing=1.0, seed=1), data, tmp_path / "second").folders) != first


def test_the_scans_are_linked_and_not_copied(data: Path, tmp_path: Path) -> None:
    folders = deal(source(), data, tmp_path).folders
    link = next((folders["b"] / "imagesTr").iterdir())
    assert link.samefile(data / "imagesTr" / link.name)


def test_links_of_another_data_folder_are_replaced(data: Path, tmp_path: Path) -> None:
    deal(source(), data, tmp_path)
    moved = data.parent / "moved"
    for number in range(CASES):
        write_scans(moved, number)
    folders = deal(source(), moved, tmp_path).folders
    links = [p for folder in folders.values() for p in (folder / "imagesTr").iterdir()]
    assert all(p.samefile(moved / "imagesTr" / p.name) for p in links)


def test_fewer_cases_than_sites_are_refused(tmp_path: Path) -> None:
    for number in range(2):
        write_scans(tmp_path / "small", number)
    with pytest.raises(DataError, match="2 patients, for 3 sites"):
        deal(source(), tmp_path / "small", tmp_path / "out")


def test_scans_of_one_patient_stay_together_with_their_rows(tmp_path: Path) -> None:
    for number in range(24):
        write_scans(tmp_path / "real", number)
    rows = [f"case_{number:02d},person_{number % 12},{number}" for number in range(24)]
    (tmp_path / "real" / "patients.csv").write_text("\n".join(["case,patient,age", *rows]) + "\n")
    folders = deal(source(mixing=5.0), tmp_path / "real", tmp_path / "out").folders
    seen: dict[str, str] = {}
    for site, folder in folders.items():
        table = PatientTable.load(folder / "patients.csv")
        for scan in (folder / "imagesTr").iterdir():
            case = scan.name.removesuffix(".nii.gz")
            assert table.history(case)["age"] == int(case[5:])
            assert seen.setdefault(table.patient_of(case), site) == site
        assert len((folder / "patients.csv").read_text().splitlines()) == 1 + len(
            list((folder / "imagesTr").iterdir())
        )
    assert len(seen) == 12


def test_an_image_without_a_label_goes_to_a_site_and_a_label_without_an_image_is_reported(
    tmp_path: Path,
) -> None:
    for number in range(10):
        write_scans(tmp_path / "real", number)
    (tmp_path / "real" / "labelsTr" / "case_03.nii.gz").unlink()
    (tmp_path / "real" / "imagesTr" / "case_05.nii.gz").unlink()
    found = deal(source(), tmp_path / "real", tmp_path / "out")
    assert 3 in [number for cases in dealt(found.folders).values() for number in cases]
    assert [(skip.case, skip.reason) for skip in found.left] == [("case_05", "image_missing")]


def test_what_cannot_be_dealt_out_is_left_by_name(tmp_path: Path) -> None:
    write_vessel12(tmp_path / "vessels", 3)
    with pytest.raises(DataError, match="0 patients"):
        deal(source(), tmp_path / "vessels", tmp_path / "out")
    write_lits(tmp_path / "livers", 4)
    folders = deal(source(), tmp_path / "livers", tmp_path / "out").folders
    names = [(p.parent.name, p.name) for folder in folders.values() for p in folder.rglob("*.nii")]
    expected = [(kind, f"volume-{n}.nii") for kind in ("imagesTr", "labelsTr") for n in range(4)]
    assert sorted(names) == expected
