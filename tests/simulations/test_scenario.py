"""Scenario files: what is refused, by name, and what --set does."""

from pathlib import Path

import pytest
import yaml

from shared.errors import ConfigError
from simulations.scenario import Folder, Scenario, real_data

TINY = Path(__file__).parents[1] / "end_to_end" / "tiny.yaml"
SCENARIOS = sorted((Path(__file__).parents[2] / "simulations").glob("*.yaml"))


@pytest.mark.parametrize("path", [*SCENARIOS, TINY], ids=lambda path: path.stem)
def test_every_scenario_that_we_ship_is_valid_and_survives_being_written(path: Path) -> None:
    scenario = Scenario.read(path)
    assert Scenario.parse(yaml.safe_load(scenario.to_yaml()), "again") == scenario


def test_sites_stand_in_the_order_of_their_names() -> None:
    assert Scenario.read(TINY).names == ["east", "north", "south", "west"]


def test_settings_override_nested_keys_with_yaml_values() -> None:
    scenario = Scenario.read(
        TINY,
        (
            "study.training.rounds=5",
            "study.privacy={epsilon: 4, delta: 1.0e-3}",
            "baselines=[local_only]",
            "seismometer=true",
            "faults.north.kind=nan",
        ),
    )
    assert scenario.study.training.rounds == 5
    assert scenario.study.privacy is not None
    assert scenario.study.privacy.epsilon == 4
    assert scenario.baselines == ("local_only",)
    assert scenario.seismometer
    assert scenario.faults["north"].kind == "nan"


FAULTS = {
    "study.training.round=5": "study.training.round: unknown key",
    "studie.name=x": "studie: unknown key",
    "study.training.rounds=zero": "study.training.rounds",
    "study.training.rounds": "--set takes key=value",
    "=3": "--set takes key=value",
    "study.seed.x=3": "seed is not a section",
    "seismometer=[": "not a YAML value",
    "faults.nowhere.kind=nan": "nowhere",
    "faults.north.kind=explode": "faults.north.kind",
    "sites.kind=hospital": "sites",
    "sites.hospitals={}": "sites.phantoms.hospitals",
    "study.training.window=[5, 16, 16]": "multiples of 2",
}


@pytest.mark.parametrize("setting", FAULTS)
def test_a_wrong_setting_is_refused_and_named(setting: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Scenario.read(TINY, (setting,))
    assert FAULTS[setting] in str(caught.value)


def test_all_faults_are_reported_at_once() -> None:
    with pytest.raises(ConfigError, match=r"2 fault\(s\)") as caught:
        Scenario.read(TINY, ("workers=0", "studies=1"))
    assert "workers" in str(caught.value)
    assert "studies" in str(caught.value)


def test_a_file_that_is_not_a_mapping_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- a\n- b\n")
    with pytest.raises(ConfigError, match="keys and values, found list"):
        Scenario.read(tmp_path / "list.yaml")
    with pytest.raises(ConfigError, match="does not exist"):
        Scenario.read(tmp_path / "none.yaml")


def folder(**changes: object) -> Folder:
    return Folder.parse({"kind": "folder", "shares": {"a": 0.6, "b": 0.4}, "by": "volume", **changes}, "test")


def test_shares_must_add_up_to_one() -> None:
    with pytest.raises(ConfigError, match="shares must add up to 1"):
        folder(shares={"a": 0.6, "b": 0.5})


def test_real_data_are_found_where_data_or_the_variable_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = tmp_path / "brains"
    (wanted / "imagesTr").mkdir(parents=True)
    source = folder(folder="brains")
    monkeypatch.delenv("WARDROUND_REAL_DATA", raising=False)
    assert real_data(source, wanted) == real_data(source, tmp_path) == wanted
    with pytest.raises(ConfigError, match="give --data DIR or set WARDROUND_REAL_DATA"):
        real_data(source, None)
    monkeypatch.setenv("WARDROUND_REAL_DATA", str(tmp_path))
    assert real_data(source, None) == wanted
    with pytest.raises(ConfigError, match="found no imagesTr"):
        real_data(source, tmp_path / "elsewhere")
