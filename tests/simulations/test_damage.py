"""Each way of breaking a file is found by the site and named with a reason of its own."""

from pathlib import Path

import pytest

from client.data import cache
from simulations.damage import WAYS, damage
from simulations.phantoms import PhantomSite, write_site
from tests.server.fake_sites import STUDY


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    folder = tmp_path / "hospital"
    write_site(folder, PhantomSite(patients=9, shape=(16, 16, 16)), seed=3, site_index=0)
    return folder


def reasons(hospital: Path, tmp_path: Path) -> dict[str, str]:
    found = cache.prepare(
        hospital, layout=None, patients_csv=None, study=STUDY, cache_folder=tmp_path / "cache"
    )
    return {skip.case: skip.reason for skip in found.skipped}


def test_nothing_is_damaged_when_nothing_is_asked_for(hospital: Path, tmp_path: Path) -> None:
    assert damage(hospital, 0) == []
    assert reasons(hospital, tmp_path) == {}


def test_every_damaged_case_is_skipped_by_name_and_the_ways_have_reasons_of_their_own(
    hospital: Path, tmp_path: Path
) -> None:
    damaged = damage(hospital, len(WAYS))
    found = reasons(hospital, tmp_path)
    assert sorted(found) == sorted(damaged)
    assert len(damaged) == len(WAYS) == 6
    assert len(set(found.values())) >= 5, found


def test_more_than_there_are_ways_start_again_with_the_first(hospital: Path, tmp_path: Path) -> None:
    damaged = damage(hospital, 8)
    found = reasons(hospital, tmp_path)
    assert len(damaged) == 8
    assert [found[case] for case in damaged[6:]] == [found[case] for case in damaged[:2]]
