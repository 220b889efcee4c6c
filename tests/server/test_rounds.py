"""When a round counts."""

import pytest

from server.rounds import Outcome, of_failure, require_quorum, sort_out
from shared.errors import NothingTrainedError, QuorumError
from shared.wire import Record

USED = Outcome("used", patients=10)
LATE = Outcome("late", "deadline")
FAILED = Outcome("failed", "internal")
REFUSED = Outcome("refused", "not_finite")

RULES: dict[str, tuple[dict[str, Outcome], int, bool, type[Exception] | None]] = {
    "as many sites as the quorum are enough": ({"a": USED, "b": USED}, 2, False, None),
    "more are enough": ({"a": USED, "b": USED, "c": LATE}, 1, False, None),
    "one late, one failed and one refused do not end a round": (
        {"a": USED, "b": LATE, "c": FAILED, "d": REFUSED},
        1,
        True,
        None,
    ),
    "one too few ends it": ({"a": USED, "b": LATE, "c": FAILED}, 2, True, QuorumError),
    "one too few in the first round is no quorum, yet something was trained": (
        {"a": USED, "b": LATE},
        2,
        False,
        QuorumError,
    ),
    "none in a later round is no quorum": ({"a": LATE, "b": REFUSED}, 1, True, QuorumError),
    "none, ever, is nothing trained": ({"a": LATE, "b": REFUSED}, 1, False, NothingTrainedError),
    "no site at all is nothing trained": ({}, 1, False, NothingTrainedError),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_quorum_rule(rule: str) -> None:
    outcomes, quorum, trained_before, expected = RULES[rule]
    found: type[Exception] | None = None
    try:
        require_quorum(outcomes, round_number=2, quorum=quorum, trained_before=trained_before)
    except QuorumError as error:
        found = type(error)
    except NothingTrainedError as error:
        found = type(error)
    assert found is expected


def test_the_message_tells_each_sites_story_and_what_to_do() -> None:
    with pytest.raises(
        QuorumError, match=r"round 4: 1 site\(s\) contributed, the study's quorum is 3"
    ) as caught:
        require_quorum({"a": USED, "b": LATE, "c": FAILED}, round_number=4, quorum=3, trained_before=True)
    assert "a used; b late (deadline); c failed (internal)" in str(caught.value)
    assert "--resume" in str(caught.value)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("internal", "failed"),
        ("data", "failed"),
        ("policy.minimum_patients", "refused"),
        ("policy", "failed"),
    ],
)
def test_a_sites_own_policy_refuses_and_anything_else_failed(code: str, status: str) -> None:
    assert of_failure(Record("failure", {"site": "a", "code": code, "cases": 0})) == (status, code)


ANSWER = Record("finished", {"site": "a", "patients": 3, "seismometer": "off"})
OTHER = Record("finished", {"site": "b", "patients": 3, "seismometer": "off"})
FAILURE = Record("failure", {"site": "a", "code": "policy.hours", "cases": 0})


@pytest.mark.parametrize(
    ("records", "reason", "expected"),
    [
        ([ANSWER, ANSWER], None, [("used", None), ("used", None)]),
        ([FAILURE, ANSWER], None, [("refused", "policy.hours"), ("used", None)]),
        ([ANSWER, None], None, [("used", None), ("failed", "wire")]),
        ([OTHER, ANSWER], None, [("refused", "site"), ("used", None)]),
        ([ANSWER], None, [("refused", "count")] * 2),
        ([ANSWER] * 3, None, [("refused", "count")] * 2),
        ([], None, [("refused", "count")] * 2),
        ([], "offline", [("late", "offline")] * 2),
        ([], "deadline", [("late", "deadline")] * 2),
        ([], "flower.2", [("failed", "flower.2")] * 2),
        ([], "wire", [("failed", "wire")] * 2),
        ([], "too_large", [("refused", "too_large")] * 2),
    ],
)
def test_each_answer_of_a_reply_is_judged_by_itself(
    records: list[Record | None], reason: str | None, expected: list[tuple[str, str | None]]
) -> None:
    found = sort_out(records, ["finished", "finished"], site="a", reason=reason)
    assert [(one.status, one.reason) for one in found] == expected
    assert [one.record is not None for one in found] == [status == "used" for status, _ in expected]
