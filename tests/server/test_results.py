import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.results import SCHEMA_FILE, Results, json_schema
from server.scores import ReliabilityFigures, SegmentationFigures, VoxelFigures
from shared.errors import ConfigError
from shared.metrics import finish_segmentation, segmentation_shapes
from shared.reliability import finish_reliability, reliability_sums
from shared.study import Study
from shared.sums import Sums
from shared.voxel_temperature import judge, voxel_shapes
from tests.server.sample_results import minimal_results, results_on_points, rich_results, tumour_free


@pytest.fixture(scope="module")
def rich() -> Results:
    return rich_results()


def test_the_committed_schema_is_the_one_the_code_writes() -> None:
    assert json.loads(SCHEMA_FILE.read_text()) == json_schema(), "run: python -m server.results"


@pytest.mark.parametrize("make", [rich_results, minimal_results, results_on_points])
def test_what_is_written_fits_the_schema_and_reads_back_equal(make: Any, tmp_path: Path) -> None:
    results = make()
    results.write(tmp_path / "run" / "results.json")
    text = (tmp_path / "run" / "results.json").read_text()
    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.validate(json.loads(text), json_schema())
    assert Results.read(tmp_path / "run" / "results.json") == results
    assert json.loads(text)["schema"] == "wardround.results/1"
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["results.json"]


def test_the_schema_refuses_a_status_that_does_not_exist(rich: Results) -> None:
    values = rich.model_dump(mode="json", by_alias=True)
    values["rounds"][0]["sites"]["hospital-a"]["status"] = "lost"
    with pytest.raises(jsonschema.ValidationError, match="lost"):
        jsonschema.validate(values, json_schema())


def test_segmentation_figures_are_those_of_the_shared_statistics_key_for_key() -> None:
    nothing = {n: np.zeros(shape, dtype=np.int64) for n, shape in segmentation_shapes(1, 4).items()}
    finished = finish_segmentation(Sums(nothing), ["tumour"])
    assert set(finished) == set(SegmentationFigures.model_fields)
    assert SegmentationFigures.parse(finished, "test").dice is None


def test_voxel_figures_are_those_of_the_shared_statistics_key_for_key() -> None:
    nothing = judge(Sums({n: np.zeros(shape, dtype=np.int64) for n, shape in voxel_shapes().items()}))
    assert set(nothing) == set(VoxelFigures.model_fields)
    assert VoxelFigures.parse(nothing, "test").ece is None


@pytest.mark.parametrize("probability", [[], [0.0, 0.2, 0.9, 1.0]])
def test_reliability_figures_are_those_of_the_shared_statistics_key_for_key(probability: list[float]) -> None:
    rows = np.array(probability)
    finished = finish_reliability(reliability_sums(rows, np.round(rows), bins=3))
    assert set(finished) == set(ReliabilityFigures.model_fields)
    assert ReliabilityFigures.parse(finished, "test").n == len(probability)


@settings(deadline=None)
@given(st.integers(1, 10**6).flatmap(lambda scans: st.tuples(st.just(scans), st.integers(0, scans))))
def test_positive_and_negative_scans_are_recovered_from_the_prevalence(case: tuple[int, int]) -> None:
    scans, positives = case
    figures = tumour_free().model_copy(update={"scans": scans, "prevalence": positives / scans})
    assert (figures.positives, figures.negatives) == (positives, scans - positives)


def test_figures_written_before_there_was_an_az_are_still_read() -> None:
    old = tumour_free().model_dump(mode="json", exclude={"az", "az_bound"})
    assert SegmentationFigures.parse(old, "test") == tumour_free()


def test_the_study_digest_is_that_of_the_study(rich: Results) -> None:
    assert rich.study_digest == Study.parse(rich.study, "test").digest()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[1]", "schema None, expected 'wardround.results/1'"),
        ('{"schema": "wardround.results/9"}', "schema 'wardround.results/9'"),
        ('{"schema": "wardround.results/1", "extra": 1}', "extra: unknown key"),
    ],
)
def test_a_file_of_something_else_is_refused_with_what_was_found(
    text: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ConfigError, match=r"results\.json") as caught:
        Results.read(tmp_path / "results.json")
    assert message in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        Results.read(tmp_path / "results.json")


def test_not_a_number_is_refused_in_every_figure(rich: Results, tmp_path: Path) -> None:
    rich.write(tmp_path / "results.json")
    values = json.loads((tmp_path / "results.json").read_text())
    values["evaluation"]["federated"]["pooled"]["dice"] = float("nan")
    (tmp_path / "results.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=r"evaluation\.federated\.pooled\.dice"):
        Results.read(tmp_path / "results.json")


def test_a_write_that_fails_leaves_the_old_file(rich: Results, tmp_path: Path) -> None:
    rich.write(tmp_path / "results.json")
    before = (tmp_path / "results.json").read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        rich.model_copy(update={"seconds": float("nan")}).write(tmp_path / "results.json")
    assert (tmp_path / "results.json").read_bytes() == before
