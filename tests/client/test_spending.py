"""The ledger as it may be shown."""

import json
from pathlib import Path

import pytest

from client.spending import Spent, spent, without_secrets
from shared.errors import PolicyError

SEED = 987654321


def line(run: str, round_number: int, epsilon: float) -> str:
    entry = {"run": run, "study": "s", "round": round_number, "inputs": "i", "patients": 9, "steps": 3}
    more = {"sample_rate": 0.1, "noise_multiplier": 1.0, "delta": 1e-5, "epsilon": epsilon, "seed": SEED}
    return json.dumps(entry | more)


def test_what_a_run_spent_is_its_last_round(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    assert spent(path) == []
    path.write_text("\n".join([line("a", 1, 0.5), line("b", 1, 0.7), line("a", 2, 0.9)]) + "\n")
    assert spent(path) == [Spent("a", "s", 0.9, 1e-5, 2), Spent("b", "s", 0.7, 1e-5, 1)]


def test_the_seed_of_the_noise_is_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text(line("a", 1, 0.5) + "\n")
    (shown,) = without_secrets(path)
    assert "seed" not in shown
    assert str(SEED) not in str(shown)


def test_a_damaged_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").write_text("{}\n")
    with pytest.raises(PolicyError, match="is damaged"):
        spent(tmp_path / "ledger.jsonl")
