"""Scenario files: what is refused, by name, and what --set does."""

from pathlib import Path

import pytest
import yaml

from client.data import layouts
from client.data.split import split_of
from shared.errors import ConfigError
from simulations.scenario import Folder, Scenario, real_data
from tests.client.data.layouts.trees import write_brats2015

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


SPLITS = {
    "ucsb": {
        "ytma10": "train",
        "ytma12": "test",
        "ytma23": "train",
        "ytma49": "validation",
        "ytma55": "train",
    },
    "vessel12": {"VESSEL12_21": "train", "VESSEL12_22": "test", "VESSEL12_23": "train"},
}


@pytest.mark.parametrize("name", SPLITS)
def test_a_salt_splits_the_few_patients_of_a_data_set_as_its_scenario_says(name: str) -> None:
    scenario = Scenario.read(SCENARIOS[0].with_name(f"{name}.yaml"))
    found = {patient: split_of(patient, scenario.study.evaluation) for patient in SPLITS[name]}
    assert found == SPLITS[name]


def folder(**changes: object) -> Folder:
    return Folder.parse({"kind": "folder", "shares": {"a": 0.6, "b": 0.4}, "by": "volume", **changes}, "test")


def test_shares_must_add_up_to_one() -> None:
    with pytest.raises(ConfigError, match="shares must add up to 1"):
        folder(shares={"a": 0.6, "b": 0.5})


@pytest.fixture
def brains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("WARDROUND_REAL_DATA", raising=False)
    write_brats2015(tmp_path / "brains", 1)
    return tmp_path / "brains"


def test_real_data_are_found_where_data_or_the_variable_points(
    brains: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder(folder="brains")
    assert real_data(source, brains) == real_data(source, tmp_path) == brains
    with pytest.raises(ConfigError, match="give --data DIR or set WARDROUND_REAL_DATA"):
        real_data(source, None)
    monkeypatch.setenv("WARDROUND_REAL_DATA", str(tmp_path))
    assert real_data(source, None) == brains
    with pytest.raises(ConfigError, match=r"there is no folder .*elsewhere/brains and no .*elsewhere"):
        real_data(source, tmp_path / "elsewhere")


def test_a_folder_of_no_layout_is_refused_with_all_that_was_looked_for(brains: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    with pytest.raises(ConfigError, match="none of the layouts looked for") as caught:
        real_data(folder(), tmp_path / "notes")
    assert all(layout.name in str(caught.value) for layout in layouts.LAYOUTS)
    assert "--data DIR" in str(caught.value)
    with pytest.raises(ConfigError, match=r"layouts looked for \(lits"):
        real_data(folder(layout="lits"), brains)
    with pytest.raises(ConfigError, match="no layout is called 'brats'"):
        real_data(folder(layout="brats"), brains)
