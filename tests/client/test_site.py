from pathlib import Path

import pytest

from client.node import Node
from client.policy import RELEASES, Policy
from client.site import Site
from shared.errors import ConfigError

YAML = "name: north\ndata: scans\nwork: ../work\n"


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "sites" / "north.yaml"
    path.parent.mkdir()
    path.write_text(YAML + "patients: /tables/patients.csv\n")
    site = Site.read(path)
    assert site.data == path.parent / "scans"
    assert site.work.resolve() == tmp_path / "work"
    assert site.patients == Path("/tables/patients.csv")


def test_what_a_site_does_not_say_is_cautious(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(YAML)
    site = Site.read(tmp_path / "site.yaml")
    assert site.policy.minimum_patients == 10
    assert not site.one_patient_per_case
    assert site.patients is None


def test_only_answers_can_be_listed_for_release() -> None:
    assert Policy().release == RELEASES
    assert "train" not in RELEASES
    with pytest.raises(ConfigError, match=r"release names \['scans'\]"):
        Policy.parse({"release": ["update", "scans"]}, "policy")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("policy: {minimum_patients: 0}", "policy.minimum_patients"),
        ("policy: {minimum_patient: 3}", "policy.minimum_patient: unknown key"),
        ("threads: 0", "threads"),
        ("name: North Hospital", "name"),
    ],
)
def test_a_faulty_key_is_named(tmp_path: Path, line: str, fault: str) -> None:
    (tmp_path / "site.yaml").write_text(
        "\n".join([*(y for y in YAML.splitlines() if y[:4] != line[:4]), line])
    )
    with pytest.raises(ConfigError, match=fault):
        Site.read(tmp_path / "site.yaml")


def test_the_work_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(YAML.replace("../work", "some/work"))
    site = Site.read(tmp_path / "site.yaml")
    assert site.make_work() == tmp_path / "some" / "work"
    assert site.work.stat().st_mode & 0o777 == 0o700
    site.work.chmod(0o750)  # as the hospital wants it
    assert site.make_work().stat().st_mode & 0o777 == 0o750


def test_a_node_makes_its_work_folder_for_its_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(YAML.replace("../work", "work"))
    Node(Site.read(tmp_path / "site.yaml"))
    assert (tmp_path / "work").stat().st_mode & 0o777 == 0o700
