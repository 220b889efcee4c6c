from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from shared.config import Config, read_yaml
from shared.errors import ConfigError
from shared.study import Study


class Inner(Config):
    ratio: float = Field(default=0.5, ge=0)
    names: tuple[str, ...] = ()


class Outer(Config):
    count: int
    inner: Inner = Inner()


finite = st.floats(0, 1e300, allow_nan=False)
outers = st.builds(
    Outer,
    count=st.integers(),
    inner=st.builds(Inner, ratio=finite, names=st.lists(st.text(), max_size=4).map(tuple)),
)


def shuffled(values: Any) -> Any:
    """The same values, each mapping in the opposite order."""
    if isinstance(values, dict):
        return {key: shuffled(values[key]) for key in reversed(values)}
    return values


@settings(deadline=None)
@given(outer=outers)
def test_yaml_reads_back_to_an_equal_object_with_an_equal_digest(
    outer: Outer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("yaml") / "outer.yaml"
    path.write_text(outer.to_yaml(), encoding="utf-8")
    assert Outer.load(path) == outer
    assert Outer.load(path).digest() == outer.digest()


def test_a_whole_study_survives_yaml_and_the_order_of_its_keys(tmp_path: Path) -> None:
    study = Study.parse(
        {
            "name": "liver",
            "task": {"classes": ["tumour"]},
            "training": {"learning_rate": 2e-5, "window": [16, 16, 16]},
            "privacy": {"epsilon": 3, "delta": 1e-6},
            "priority": {"urgent": {"outcome": "no"}, "terms": [{"feature": "age", "unit": "years"}]},
        },
        "study",
    )
    (tmp_path / "study.yaml").write_text(study.to_yaml())
    assert Study.load(tmp_path / "study.yaml") == study
    assert Study.parse(shuffled(study.model_dump()), "study").digest() == study.digest()


def test_the_digest_is_the_same_on_every_machine_and_version() -> None:
    outer = Outer(count=3, inner=Inner(ratio=0.1, names=("a", "ü")))
    assert outer.digest() == "a797edd88ca1348a3ddeb757453b0a97aab76e8ac221fc624641c5f3ddfeacaa"


@settings(deadline=None)
@given(one=outers, other=outers)
def test_digests_are_equal_exactly_if_the_values_are(one: Outer, other: Outer) -> None:
    assert (one.digest() == other.digest()) == (one == other)


def test_all_faults_stand_in_one_message_with_what_was_found() -> None:
    with pytest.raises(ConfigError) as fault:
        Outer.parse({"inner": {"ratio": -1, "nmes": []}, "counts": 3}, "outer.yaml")
    lines = str(fault.value).splitlines()
    assert lines[0] == "outer.yaml has 4 fault(s):"
    assert [line.strip().split(":")[0] for line in lines[1:5]] == [
        "count",
        "inner.ratio",
        "inner.nmes",
        "counts",
    ]
    assert "(found -1)" in lines[2]
    assert "unknown key" in lines[3]


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf"])
def test_numbers_are_finite(tmp_path: Path, number: str) -> None:
    (tmp_path / "outer.yaml").write_text(f"count: 1\ninner: {{ratio: {number}}}\n")
    with pytest.raises(ConfigError, match=r"inner\.ratio"):
        Outer.load(tmp_path / "outer.yaml")


@pytest.mark.parametrize("content", [b"a: [1", b"\xff\xfe\x00", b"a: b: c"])
def test_what_is_no_yaml_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad.yaml cannot be read"):
        read_yaml(tmp_path / "bad.yaml")


@pytest.mark.parametrize("content", ["", "- a list", "7"])
def test_yaml_that_is_no_mapping_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.yaml").write_text(content)
    with pytest.raises(ConfigError, match="top level"):
        Outer.load(tmp_path / "bad.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.yaml does not exist"):
        read_yaml(tmp_path / "nowhere.yaml")


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(ValidationError):
        Outer(count=1).count = 2  # type: ignore[misc]
