import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opacus.accountants import RDPAccountant

from client.ledger import Ledger, PrivateRound, epsilon_of
from shared.errors import PolicyError
from shared.study import Study
from tests.client.hospital import tiny_study

EPSILON, DELTA, PATIENTS, ROUNDS = 3.0, 1e-3, 10, 3
STUDY = tiny_study(
    privacy={"epsilon": EPSILON, "delta": DELTA, "clip": 0.5},
    training={"rounds": ROUNDS, "local_epochs": 2, "window": [16, 16, 16], "batch_size": 4},
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.jsonl")


def opened(
    ledger: Ledger, round_number: int, *, inputs: str = "weights", study: Study = STUDY
) -> PrivateRound:
    return ledger.open_round(
        study=study, run="run-1", round_number=round_number, patients=PATIENTS, inputs=inputs
    )


def lines(ledger: Ledger) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ledger.path.read_text().splitlines()]


def test_all_rounds_stay_within_the_study_and_agree_with_opacus(ledger: Ledger) -> None:
    accountant = RDPAccountant()
    for number in range(1, ROUNDS + 1):
        release = opened(ledger, number, inputs=f"weights {number}")
        assert release.steps == 6  # 2 epochs of 10 patients, 4 expected at a time
        for _ in range(release.steps):
            accountant.step(noise_multiplier=release.noise_multiplier, sample_rate=4 / PATIENTS)
        assert release.epsilon == pytest.approx(accountant.get_epsilon(delta=DELTA), rel=1e-9)
    assert 0.97 * EPSILON < release.epsilon <= EPSILON
    assert len({line["seed"] for line in lines(ledger)}) == ROUNDS


def test_a_round_opened_again_is_the_same_release_and_costs_nothing(ledger: Ledger) -> None:
    first = opened(ledger, 1)
    assert opened(ledger, 1) == first
    assert opened(Ledger(ledger.path), 1) == first
    assert len(lines(ledger)) == 1
    assert first.generator().random() == opened(ledger, 1).generator().random()


def test_a_round_repeated_on_other_inputs_costs_and_is_finally_refused(ledger: Ledger) -> None:
    spent = [opened(ledger, 1, inputs=f"weights {n}").epsilon for n in range(ROUNDS)]
    assert spent == sorted(set(spent))
    with pytest.raises(PolicyError, match=r"above the study's 3\.0") as refusal:
        opened(ledger, 1, inputs="yet others")
    assert refusal.value.code == "policy.budget"
    assert len(lines(ledger)) == ROUNDS
    assert opened(ledger, 1, inputs="weights 0").epsilon == spent[0]


def test_runs_have_budgets_of_their_own(ledger: Ledger) -> None:
    arguments = {"study": STUDY, "round_number": 1, "patients": PATIENTS, "inputs": "weights"}
    first = ledger.open_round(run="run-1", **arguments)  # type: ignore[arg-type]
    second = ledger.open_round(run="run-2", **arguments)  # type: ignore[arg-type]
    assert first.epsilon == second.epsilon
    assert first.seed != second.seed


def test_the_file_is_for_its_owner_only_even_under_an_open_umask(ledger: Ledger) -> None:
    before = os.umask(0)
    try:
        opened(ledger, 1)
    finally:
        os.umask(before)
    assert ledger.path.stat().st_mode & 0o777 == 0o600


def test_the_line_is_on_the_disk_before_the_seed_is_used(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
    opened(ledger, 1)
    assert synced == [ledger.path.stat().st_size]


@pytest.mark.parametrize("damage", ['{"run": "run-1"', "not json", "{}", "[]", "5", "", '{"run": "run-1"}'])
def test_a_damaged_ledger_is_refused(ledger: Ledger, damage: str) -> None:
    opened(ledger, 1)
    ledger.path.write_text(ledger.path.read_text() + damage + "\n")
    with pytest.raises(PolicyError, match="damaged") as refusal:
        opened(ledger, 1)
    assert refusal.value.code == "policy.ledger"


def test_a_study_without_privacy_is_not_accounted(ledger: Ledger) -> None:
    with pytest.raises(PolicyError, match="no privacy"):
        opened(ledger, 1, study=tiny_study())


@settings(deadline=None, max_examples=6)
@given(
    noise=st.floats(0.7, 3),
    rate=st.floats(0.01, 1),
    parts=st.lists(st.integers(1, 20), min_size=2, max_size=5),
)
def test_epsilon_does_not_depend_on_how_steps_are_split_into_rounds(
    noise: float, rate: float, parts: list[int]
) -> None:
    whole = epsilon_of([(noise, rate, sum(parts))], 1e-2)
    assert epsilon_of([(noise, rate, steps) for steps in parts], 1e-2) == pytest.approx(whole, rel=1e-9)
