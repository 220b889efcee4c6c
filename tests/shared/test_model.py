from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from shared.errors import ConfigError
from shared.model import TrainedModel, build, digest, get_weights, initial_weights, set_weights
from shared.priority import CalibratedPriority
from shared.study import Study, Term, Tiers
from shared.voxel_temperature import VoxelTemperature


def study_of(dimensions: int = 3, norm: str = "instance", seed: int = 4) -> Study:
    values = {
        "name": "tiny",
        "seed": seed,
        "task": {"classes": ["organ", "tumour"]},
        "model": {"dimensions": dimensions, "channels": [4, 8], "norm": norm},
        "training": {"window": [8, 8, 8 if dimensions == 3 else 1]},
    }
    return Study.parse(values, "study")


def priority() -> CalibratedPriority:
    coefficients = {"intercept": -1.5, "age": 0.1}
    return CalibratedPriority(
        terms=(Term(feature="age"),),
        coefficients=coefficients,
        standard_errors=coefficients,
        tiers=Tiers(),
        patients=30,
        study="abc",
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    study = study_of()
    TrainedModel(study, initial_weights(study), priority()).save(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("norm", ["instance", "group"])
def test_the_network_has_background_and_each_class_and_never_mixes_patients(
    dimensions: int, norm: str
) -> None:
    torch.manual_seed(0)
    net = build(study_of(dimensions, norm))
    x = torch.randn(3, 1, *(8,) * dimensions)
    out = net(x)
    assert out.shape == (3, 3, *(8,) * dimensions)
    torch.testing.assert_close(out[1:2], net(x[1:2]), rtol=1e-4, atol=1e-5)
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in net.modules())


def test_the_start_depends_on_the_seed_alone_and_disturbs_nobody() -> None:
    torch.manual_seed(1)
    first, drawn = initial_weights(study_of()), torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)
    assert digest(initial_weights(study_of())) == digest(first)
    assert digest(initial_weights(study_of(seed=5))) != digest(first)


def test_weights_set_are_weights_got() -> None:
    net, weights = build(study_of()), initial_weights(study_of())
    set_weights(net, weights)
    assert digest(get_weights(net)) == digest(weights)
    with torch.no_grad():
        next(net.parameters()).add_(1)
    assert digest(get_weights(net)) != digest(weights)
    assert digest(initial_weights(study_of())) == digest(weights)  # the caller's arrays are its own


@pytest.mark.parametrize("fault", ["missing", "extra", "shape"])
def test_other_names_or_shapes_are_refused(fault: str) -> None:
    weights = initial_weights(study_of())
    name = next(iter(weights))
    if fault == "missing":
        del weights[name]
    elif fault == "extra":
        weights["extra"] = np.zeros(1, np.float32)
    else:
        weights[name] = weights[name][:1]
    with pytest.raises(RuntimeError):
        set_weights(build(study_of()), weights)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_digest_changes_with_any_one_bit(data: st.DataObject) -> None:
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=(2, 3)).astype(np.float32) for name in ("a", "b")}
    name = data.draw(st.sampled_from(sorted(weights)))
    flipped = weights[name].copy()
    flipped.view(np.uint32).flat[data.draw(st.integers(0, 5))] ^= np.uint32(
        1 << data.draw(st.integers(0, 31))
    )
    assert digest({**weights, name: flipped}) != digest(weights)


def test_the_digest_sees_names_shapes_and_types_but_no_order_or_layout() -> None:
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(2, np.float32)
    same = digest({"a": a, "b": b})
    assert digest({"b": b, "a": np.asfortranarray(a)}) == same
    others: list[dict[str, np.ndarray]] = [
        {"a": a.reshape(3, 2), "b": b},
        {"a": a.astype(np.float64), "b": b},
        {"c": a, "b": b},
        {"a": a},
    ]
    assert same not in {digest(other) for other in others}


def test_a_saved_model_is_loaded_as_it_was(saved: Path) -> None:
    study = study_of()
    loaded = TrainedModel.load(saved)
    assert (loaded.study, loaded.priority, loaded.temperature) == (study, priority(), None)
    assert digest(loaded.weights) == digest(initial_weights(study))
    net = loaded.network()
    assert not net.training
    assert digest(get_weights(net)) == digest(initial_weights(study))
    assert sorted(p.name for p in saved.iterdir()) == ["calibration.json", "model.safetensors", "study.yaml"]


def test_a_temperature_is_kept_in_its_own_file_and_goes_with_the_model_that_lacks_it(saved: Path) -> None:
    study = study_of()
    temperature = VoxelTemperature(temperature=1.5, low=1.4, high=None, patients=30, study=study.digest())
    TrainedModel(study, initial_weights(study), priority(), temperature).save(saved)
    assert TrainedModel.load(saved).temperature == temperature
    TrainedModel(study, initial_weights(study), None).save(saved)
    assert sorted(p.name for p in saved.iterdir()) == ["model.safetensors", "study.yaml"]


@pytest.mark.parametrize("content", ["", "[]", '{"temperature": 0, "patients": 3, "study": ""}'])
def test_a_damaged_temperature_is_refused(saved: Path, content: str) -> None:
    (saved / "temperature.json").write_text(content)
    with pytest.raises(ConfigError, match=r"temperature\.json is damaged"):
        TrainedModel.load(saved)


def test_a_model_without_calibration_has_none(tmp_path: Path) -> None:
    TrainedModel(study_of(), initial_weights(study_of()), None).save(tmp_path)
    assert TrainedModel.load(tmp_path).priority is None


@pytest.mark.parametrize("place", ["header", "first weight", "last weight", "half", "empty"])
def test_damaged_weights_are_refused(saved: Path, place: str) -> None:
    path = saved / "model.safetensors"
    content = bytearray(path.read_bytes())
    if place == "header":
        content[12] ^= 0xFF
    elif place == "first weight":
        content[8 + int.from_bytes(content[:8], "little")] ^= 1
    elif place == "last weight":
        content[-4] ^= 1
    length = {"half": len(content) // 2, "empty": 0}.get(place, len(content))
    path.write_bytes(content[:length])
    with pytest.raises(ConfigError, match=r"model\.safetensors"):
        TrainedModel.load(saved)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"terms": []}'])
def test_a_damaged_calibration_is_refused(saved: Path, content: str) -> None:
    (saved / "calibration.json").write_text(content)
    with pytest.raises(ConfigError, match=r"calibration\.json is damaged"):
        TrainedModel.load(saved)


@pytest.mark.parametrize("name", ["model.safetensors", "study.yaml"])
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(ConfigError, match=name):
        TrainedModel.load(saved)


def test_the_weights_of_another_study_are_refused(saved: Path) -> None:
    (saved / "study.yaml").write_text(study_of(2).to_yaml())
    with pytest.raises(ConfigError, match="is not a model of"):
        TrainedModel.load(saved)
