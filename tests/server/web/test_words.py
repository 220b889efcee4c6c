from typing import get_args

from server import board, store
from server.store import MOVES
from server.web.words import ANSWERS, PHASES, REASONS, STATES, in_words, signed


def test_every_state_and_phase_has_words() -> None:
    assert set(STATES) == set(MOVES)
    assert set(ANSWERS) == set(get_args(board.State))
    assert set(PHASES) == set(get_args(board.Phase))
    assert store.FINISHED in STATES


def test_a_reason_is_a_code_in_words_or_stands_as_it_is() -> None:
    assert in_words("offline") == REASONS["offline"]
    assert in_words("policy.moon") == "its own policy: moon"
    assert in_words("stopped by the coordinator") == "stopped by the coordinator"
    assert in_words(None) == ""


def test_a_difference_that_rounds_to_nothing_has_no_minus() -> None:
    assert signed(-0.001) == "+0.00"
    assert signed(-0.031) == "-0.03"
