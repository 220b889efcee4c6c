"""The store: what is put there stays, and what happened is told."""

import stat
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text

from client.worklist import READ, STATES, ModelInUse, Worklist
from client.worklist.order import rank_of
from shared.errors import CaseError, ConfigError
from shared.priority import CalibratedPriority, Tier
from tests.client.hospital import priority_of, tiny_study
from tests.client.worklist.scans import HOUR, START, TIERS, result, site_of

FEATURES = {"finding_probability": 0.9, "volume_ml": 3.0, "age": 70.0}


SLOPES = {"finding_probability": 1.0, "volume_ml": 0.5, "age": 0.1}


@pytest.fixture
def worklist(url: str, tmp_path: Path) -> Iterator[Worklist]:
    """An empty one, on SQLite and on PostgreSQL."""
    opened = Worklist.open(site_of(tmp_path, database=url))
    yield opened
    opened.close()


def calibration(intercept: float) -> CalibratedPriority:
    return priority_of(tiny_study(), {"intercept": intercept, **SLOPES})


def tier_of(worklist: Worklist, case: str, now: datetime = START) -> tuple[Tier, str]:
    (row,) = [row for row in worklist.rows(now, states=STATES) if row.case == case]
    return row.tier, row.why


def test_what_was_put_is_listed_in_order_with_its_reasons(worklist: Worklist) -> None:
    for case, tier in (("a", "routine"), ("b", "stat"), ("c", "urgent"), ("d", None)):
        assert worklist.put(result(case, tier), path=Path("/out") / case) == "new"  # type: ignore[arg-type]
    rows = worklist.rows(START)
    assert [(row.rank, row.case, row.tier) for row in rows] == [
        (1, "b", "stat"),
        (2, "c", "urgent"),
        (3, "a", "routine"),
        (4, "d", "routine"),
    ]
    assert rows[0].reasons[0] == "largest finding 31 mm: +1.40"
    assert (rows[0].probability, rows[0].low, rows[0].high, rows[0].missing) == (0.9, 0.45, 0.95, ("age",))
    assert (rows[3].probability, rows[3].model_tier, rows[3].reasons) == (None, None, ())
    assert rows[0].result == "/out/b"
    assert rows[0].arrived == START
    assert worklist.rows(START, limit=2) == rows[:2]
    assert worklist.counts() == {"waiting": 4, "reading": 0, "read": 0}


def test_the_same_result_again_changes_nothing(worklist: Worklist) -> None:
    worklist.put(result("a", "asap"))
    before = worklist.rows(START)
    assert worklist.put(result("a", "stat"), arrived=START + HOUR, ordered="stat") == "known"
    assert worklist.rows(START) == before
    assert len(worklist.priorities("a")) == 1


def test_another_result_counts_and_the_earlier_priority_is_kept(worklist: Worklist) -> None:
    worklist.put(result("a", "asap"))
    assert worklist.put(result("a", "routine", digest="b", warnings=["touches the border"])) == "read again"
    (row,) = worklist.rows(START)
    assert (row.model_tier, row.tier, row.why, row.warnings) == (
        "routine",
        "asap",
        "held",
        ("touches the border",),
    )
    assert [(p.why, p.tier) for p in worklist.priorities("a")] == [
        ("first reading", "asap"),
        ("another reading", "routine"),
    ]


def test_a_clinicians_order_is_never_lowered_by_a_score(worklist: Worklist) -> None:
    worklist.put(result("a", "routine"), ordered="stat", by="dr a")
    worklist.put(result("a", "routine", digest="b"))
    assert tier_of(worklist, "a") == ("stat", "ordered")
    assert [(h.what, h.by, h.tier) for h in worklist.history("a")] == [
        ("arrived", "", None),
        ("ordered", "dr a", "stat"),
    ]


def test_an_order_raises_and_a_lower_one_takes_back_only_what_was_put(worklist: Worklist) -> None:
    worklist.put(result("a", "urgent"))
    worklist.order("a", "stat", by="dr a", now=START)
    assert tier_of(worklist, "a") == ("stat", "ordered")
    worklist.order("a", "routine", by="dr a", now=START)
    assert tier_of(worklist, "a") == ("urgent", "model")
    assert tier_of(worklist, "a", START + 24 * HOUR) == ("asap", "waited")
    worklist.finish("a", "dr a")
    with pytest.raises(CaseError, match="Reopen"):
        worklist.order("a", "stat", by="dr a")
    with pytest.raises(CaseError, match="not on the worklist"):
        worklist.order("nobody", "stat", by="dr a")


def test_a_new_calibration_scores_what_is_not_read_and_keeps_the_old_value(worklist: Worklist) -> None:
    for case, weights in (("a", "w"), ("reading", "w"), ("read", "w"), ("other model", "v")):
        worklist.put(result(case, "routine", weights=weights, features=FEATURES))
    worklist.put(result("bad", "routine", features={**FEATURES, "volume_ml": -1.0}))
    worklist.claim("reading", "dr a")
    worklist.finish("read", "dr a", now=START)
    model = ModelInUse("w", calibration(9.0))
    assert worklist.is_outdated(model)
    done = worklist.reprioritise(model, now=START + HOUR)
    assert (done.changed, done.same, done.other_model, list(done.failed)) == (2, 0, 1, ["bad"])
    assert "volume_ml is -1.0" in done.failed["bad"]
    assert tier_of(worklist, "a", START + HOUR) == ("stat", "model")
    assert tier_of(worklist, "read")[0] == "routine"
    old, new = worklist.priorities("a")
    assert (old.calibration_digest, old.tier, old.why) == ("c", "routine", "first reading")
    assert (new.calibration_digest, new.tier, new.why) == (
        calibration(9.0).digest(),
        "stat",
        "new calibration",
    )
    (row,) = [row for row in worklist.rows(START + HOUR) if row.case == "a"]
    assert row.log_odds == calibration(9.0).prioritise(FEATURES, "north").log_odds
    assert worklist.reprioritise(model).same == 2


def test_a_calibration_that_says_less_is_shown_and_the_tier_is_held(worklist: Worklist) -> None:
    worklist.put(result("a", "stat", features=FEATURES))
    worklist.reprioritise(ModelInUse("w", calibration(-9.0)), now=START)
    (row,) = worklist.rows(START)
    assert (row.tier, row.why, row.model_tier) == ("stat", "held", "routine")
    worklist.order("a", "urgent", by="dr a", now=START)
    assert tier_of(worklist, "a") == ("urgent", "ordered")


def test_nothing_is_outdated_without_a_calibration(worklist: Worklist) -> None:
    worklist.put(result("a", features=FEATURES))
    assert not worklist.is_outdated(ModelInUse("w", None))
    assert not worklist.is_outdated(ModelInUse("another", calibration(0)))
    worklist.put(result("b", None, features=FEATURES))
    assert worklist.is_outdated(ModelInUse("w", calibration(0)))
    worklist.reprioritise(ModelInUse("w", calibration(0)))
    assert not worklist.is_outdated(ModelInUse("w", calibration(0)))


steps = st.lists(
    st.tuples(
        st.sampled_from(["score", "put", "wait", "claim", "release"]), tiers_ := st.sampled_from(TIERS)
    ),
    max_size=8,
)


@settings(max_examples=25, deadline=None)
@given(start=tiers_, steps=steps)
def test_whatever_happens_but_an_order_no_waiting_scan_falls_and_none_is_lost(
    tmp_path_factory: pytest.TempPathFactory, start: Tier, steps: list[tuple[str, Tier]]
) -> None:
    worklist = Worklist.open(site_of(tmp_path_factory.mktemp("w")))
    now, tier = START, start
    worklist.put(result("a", start, features=FEATURES))
    for number, (step, of) in enumerate(steps):
        if step == "score":
            worklist.reprioritise(ModelInUse("w", calibration(3.0 * rank_of(of) - 6)), now=now)
        elif step == "put":
            worklist.put(result("a", of, digest=str(number), features=FEATURES))
        elif step == "wait":
            now += 13 * HOUR
        elif step == "claim":
            worklist.claim("a", "dr a", now=now)
        elif worklist.counts()["reading"]:
            worklist.release("a", "dr a", now=now)
        found = tier_of(worklist, "a", now)[0]
        assert rank_of(found) >= rank_of(tier)
        tier = found
    worklist.close()


def test_arrivals_and_scores_for_what_counts_over_time(worklist: Worklist) -> None:
    for hour, tier in enumerate(TIERS):
        worklist.put(result(tier, tier, calibration=str(hour % 2)), arrived=START + hour * HOUR)
    worklist.claim("stat", "dr a", now=START + 9 * HOUR)
    worklist.finish("stat", "dr a", now=START + 10 * HOUR)
    arrivals = worklist.arrivals()
    assert [one.arrived for one in arrivals] == [START + hour * HOUR for hour in range(4)]
    last = arrivals[-1]
    assert (last.claimed, last.finished, last.tier) == (START + 9 * HOUR, START + 10 * HOUR, "stat")
    newest = np.array([np.log(9), np.log(1.5)])
    assert np.allclose(worklist.recent_scores(2), newest)
    assert np.allclose(worklist.recent_scores(9, calibration_digest="1"), [np.log(9), np.log(3 / 7)])


def test_the_file_is_its_owners_and_a_newer_one_is_refused(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    worklist = Worklist.open(site)
    worklist.put(result("a"))
    for path in site.work.glob("worklist.db*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    worklist.close()
    engine = create_engine(f"sqlite:///{site.work}/worklist.db")
    with engine.begin() as connection:
        connection.execute(text("UPDATE worklist_schema SET version = 99"))
    engine.dispose()
    with pytest.raises(ConfigError, match="schema version 99, expected 1"):
        Worklist.open(site)


def test_another_database_can_be_named(tmp_path: Path) -> None:
    site = site_of(tmp_path, database=f"sqlite:///{tmp_path}/elsewhere.db", longest_wait_h={"routine": 1})
    worklist = Worklist.open(site)
    worklist.put(result("a"))
    assert tier_of(worklist, "a", START + timedelta(hours=1)) == ("urgent", "waited")
    worklist.close()
    assert (tmp_path / "elsewhere.db").exists()
    assert not (site.work / "worklist.db").exists()


def test_what_was_read_stays_read_and_is_listed_last(worklist: Worklist) -> None:
    for case in ("a", "b", "c"):
        worklist.put(result(case, "stat"))
    for hours, case in enumerate(("b", "a"), start=1):
        worklist.finish(case, "dr a", now=START + hours * HOUR)
    assert worklist.put(result("a", "stat", digest="again")) == "read again"
    rows = worklist.rows(START + 99 * HOUR, states=STATES)
    assert [(row.rank, row.case, row.state) for row in rows] == [
        (1, "c", "waiting"),
        (None, "a", READ),
        (None, "b", READ),
    ]
    assert [row.case for row in worklist.rows(START, states=[READ])] == ["a", "b"]
