import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.choosing import choose, held_out_shapes, held_out_sums
from shared.errors import DataError
from shared.folds import NO_FOLD
from shared.recalibration import Kind, Recalibration
from shared.sums import FloatArray, IntArray, Sums

SOUND = Recalibration()
FLAT = Recalibration(kind="platt", parameters=(0.0, 0.3, 0, 0))
MAPS: list[dict[Kind, Recalibration]] = [{"none": SOUND, "platt": FLAT} for _ in range(3)]


def rows(seed: int, n: int, slope: float = 1.0) -> tuple[FloatArray, IntArray, IntArray]:
    rng = np.random.default_rng(seed)
    raw = rng.normal(0, 2, n)
    chance = 1 / (1 + np.exp(-slope * raw))
    return raw, (rng.random(n) < chance).astype(np.int64), rng.integers(-1, 3, n)


def test_each_row_is_judged_by_the_map_that_never_saw_it() -> None:
    raw, outcome, fold = rows(0, 60)
    maps: list[dict[Kind, Recalibration]] = [
        {"none": SOUND, "platt": Recalibration(kind="platt", parameters=(0.1 * k, 1 + k, 0, 0))}
        for k in range(3)
    ]
    sums = held_out_sums(raw, outcome, fold=fold, maps=maps, kinds=("none", "platt"))
    assert {name: array.shape for name, array in sums.values.items()} == held_out_shapes(2)
    losses = []
    for s, y, k in zip(raw, outcome, fold, strict=True):
        if k != NO_FOLD:
            ps = [1 / (1 + np.exp(-z)) for z in (s, 0.1 * k + (1 + k) * s)]
            losses.append([-np.log(p if y else 1 - p) for p in ps])
    table = np.array(losses)
    assert sums["patients"] == len(table)
    assert sums["loss"] == pytest.approx(table.sum(axis=0))
    assert sums["products"] == pytest.approx(table.T @ table)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_standard_errors_are_those_of_the_differences_row_by_row_however_grouped(seed: int) -> None:
    raw, outcome, fold = rows(seed, 200)
    kinds: tuple[Kind, ...] = ("none", "platt")
    site = np.random.default_rng(seed).integers(0, 4, 200)
    parts = (
        held_out_sums(raw[site == s], outcome[site == s], fold=fold[site == s], maps=MAPS, kinds=kinds)
        for s in range(4)
    )
    found = choose(Sums.total(parts), kinds)
    seen = fold >= 0
    sign = 2 * outcome[seen] - 1
    sound, flat = (np.logaddexp(0, -sign * m.log_odds(raw[seen])) for m in (SOUND, FLAT))
    other = found.judged[1] if sound.mean() <= flat.mean() else found.judged[0]
    assert other.above_best == pytest.approx(abs(np.mean(flat - sound)), abs=1e-10)
    assert other.standard_error == pytest.approx(np.std(flat - sound, ddof=1) / np.sqrt(seen.sum()), abs=1e-8)
    assert [j.log_loss for j in found.judged] == pytest.approx([sound.mean(), flat.mean()])


def chosen(seed: int, n: int, slope: float) -> str:
    raw, outcome, fold = rows(seed, n, slope)
    return choose(
        held_out_sums(raw, outcome, fold=fold, maps=MAPS, kinds=("none", "platt")), ("none", "platt")
    ).why


def test_a_map_that_is_clearly_better_is_chosen_with_its_reason() -> None:
    assert chosen(1, 3000, 0.3).startswith("platt: held-out log loss 0.")
    assert "the best simpler one, none, is 0." in chosen(1, 3000, 0.3)
    assert chosen(1, 3000, 1.0).endswith("and the simplest")


def test_what_is_better_by_chance_only_is_not_chosen() -> None:
    # The truth lies between: on 12 patients the difference is smaller than its own error.
    whys = [chosen(seed, 12, 0.62) for seed in range(30)]
    within = [why for why in whys if "within one standard error" in why]
    assert within
    assert all(why.startswith("none:") for why in within)


def test_without_patients_to_judge_the_simplest_is_taken() -> None:
    raw, outcome, _ = rows(0, 10)
    nobody = np.full(10, NO_FOLD)
    kinds: tuple[Kind, ...] = ("platt", "none")
    found = choose(held_out_sums(raw, outcome, fold=nobody, maps=MAPS, kinds=kinds), kinds)
    assert (found.kind, found.patients, found.judged) == ("none", 0, ())
    assert "no site had enough patients" in found.why


def test_a_fold_without_maps_is_refused() -> None:
    raw, outcome, _ = rows(0, 3)
    with pytest.raises(DataError, match="found fold 3"):
        held_out_sums(raw, outcome, fold=np.full(3, 3), maps=MAPS, kinds=("none",))
