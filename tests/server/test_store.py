"""The store, on SQLite and on a real PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from server.store import FAILED, FINISHED, MOVES, RUNNING, STOPPED, STOPPING, WAITING, Store
from shared.errors import ConfigError, EnrolmentError, FederationError
from shared.invite import code_digest

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = Store.open(url)
    yield opened
    opened.close()


def enrol(store: Store, site: str = "north", key: bytes = b"key", code: str = "code") -> None:
    store.invite(site, code=code, expires=NOW + DAY, now=NOW)
    store.redeem(code, site=site, public_key=key, version="1", now=NOW)


def refusal(store: Store, code: str, *, site: str = "north", key: bytes = b"key", now: datetime = NOW) -> str:
    with pytest.raises(EnrolmentError) as caught:
        store.redeem(code, site=site, public_key=key, version="1", now=now)
    return caught.value.reason


def start(store: Store) -> str:
    return store.start(study_name="quick", study_digest="d" * 64, study_yaml="name: quick\n")


def test_a_redeemed_invite_makes_a_member(store: Store) -> None:
    enrol(store)
    site = store.site("north")
    assert site is not None
    assert (site.public_key, site.version, site.enrolled_at, site.node_id) == (b"key", "1", NOW, None)
    assert (site.revoked_at, site.last_seen, site.problem, site.audit_lines) == (None, None, None, None)
    assert store.site("south") is None


def test_only_the_hash_of_a_code_is_kept(store: Store, url: str) -> None:
    store.invite("north", code="very-secret-code", expires=NOW + DAY, now=NOW)
    assert [invite.code_sha256 for invite in store.invites()] == [code_digest("very-secret-code")]
    if url.startswith("sqlite"):
        folder = Path(url.removeprefix("sqlite:///")).parent
        assert not [path for path in folder.iterdir() if b"very-secret-code" in path.read_bytes()]


def test_each_refusal_has_its_reason(store: Store) -> None:
    store.invite("north", code="first", expires=NOW + DAY, now=NOW)
    store.invite("north", code="second", expires=NOW + DAY, now=NOW)
    assert refusal(store, "never") == "unknown"
    assert refusal(store, "first") == "withdrawn"
    assert refusal(store, "second", site="south") == "other_site"
    assert refusal(store, "second", now=NOW + DAY) == "expired"
    store.redeem("second", site="north", public_key=b"key", version="1", now=NOW + DAY / 2)
    assert refusal(store, "second", key=b"another") == "used"
    assert refusal(store, "second", key=b"another", now=NOW + 2 * DAY) == "used"


def test_the_same_key_may_ask_again_when_the_answer_was_lost(store: Store) -> None:
    enrol(store)
    store.set_site("north", node_id=7)
    again = store.redeem("code", site="north", public_key=b"key", version="1", now=NOW + 3 * DAY)
    assert (again.node_id, again.enrolled_at) == (7, NOW)
    store.revoke("north")
    assert refusal(store, "code") == "used"


def test_two_at_once_one_wins(store: Store) -> None:
    for number in range(10):
        site, code = f"site-{number}", f"code-{number}"
        store.invite(site, code=code, expires=NOW + DAY, now=NOW)

        def attempt(key: bytes, site: str = site, code: str = code) -> bytes | str:
            try:
                return store.redeem(code, site=site, public_key=key, version="1", now=NOW).public_key
            except EnrolmentError as error:
                return error.reason

        with ThreadPoolExecutor(8) as pool:
            ends = list(pool.map(attempt, [b"key-%d" % k for k in range(8)]))
        found = store.site(site)
        assert found is not None
        assert [end for end in ends if end != "used"] == [found.public_key]


def test_an_enrolled_site_is_replaced_only_when_that_was_asked_for(store: Store) -> None:
    enrol(store)
    with pytest.raises(ConfigError, match="--replace"):
        store.invite("north", code="plain", expires=NOW + DAY, now=NOW)
    store.set_site("north", node_id=7)
    store.greet("north", version="1", problem="", lines=9, seal="s", now=NOW)
    store.invite("north", code="new", expires=NOW + DAY, replace=True, now=NOW)
    store.redeem("new", site="north", public_key=b"new key", version="2", now=NOW + DAY / 2)
    site = store.site("north")
    assert site is not None
    assert (site.public_key, site.node_id, site.audit_lines, site.last_seen) == (b"new key", None, None, None)


def test_a_revoked_site_can_be_invited_again_and_its_open_invites_end(store: Store) -> None:
    enrol(store)
    store.invite("north", code="open", expires=NOW + DAY, replace=True, now=NOW)
    store.revoke("north", now=NOW)
    assert refusal(store, "open") == "withdrawn"
    site = store.site("north")
    assert site is not None
    assert site.revoked_at == NOW
    with pytest.raises(ConfigError, match="neither"):
        store.revoke("north")
    with pytest.raises(ConfigError, match="neither"):
        store.revoke("nobody")
    enrol(store, key=b"later", code="later")
    site = store.site("north")
    assert site is not None
    assert site.revoked_at is None


def test_an_invite_that_was_not_used_can_be_revoked(store: Store) -> None:
    store.invite("north", code="open", expires=datetime.now(UTC) + DAY)
    store.revoke("north")
    with pytest.raises(EnrolmentError, match="withdrawn"):
        store.redeem("open", site="north", public_key=b"key", version="1")


def test_flowers_numbers_without_sign_survive(store: Store) -> None:
    enrol(store)
    run = start(store)
    for number in (0, 1, 2**63 - 1, 2**63, 2**64 - 1):
        store.set_site("north", node_id=number)
        site = store.site("north")
        assert site is not None
        assert site.node_id == number
    store.set_run(run, state=RUNNING, flower_run=2**64 - 1)
    assert store.run(run).flower_run == 2**64 - 1


def test_a_log_that_goes_backwards_is_a_problem_that_stays(store: Store) -> None:
    enrol(store)

    def greet(lines: int, seal: str, problem: str = "") -> str:
        return store.greet("north", version="2", problem=problem, lines=lines, seal=seal, now=NOW)

    assert greet(5, "five") == ""
    assert greet(5, "five", "clock") == "clock"
    assert greet(6, "six") == ""
    assert greet(5, "five") == "audit"
    assert greet(6, "other") == "audit"
    site = store.site("north")
    assert site is not None
    assert (site.problem, site.audit_lines, site.audit_seal) == ("audit", 6, "six")
    assert (site.last_seen, site.version) == (NOW, "2")
    assert greet(7, "seven") == ""
    with pytest.raises(EnrolmentError, match="not enrolled"):
        store.greet("south", version="2", problem="", lines=0, seal="")


def test_a_run_goes_through_its_states(store: Store) -> None:
    run = start(store)
    assert run.startswith("quick-")
    row = store.run(run)
    assert (row.state, row.attempts, row.started, row.ended) == (WAITING, 0, None, None)
    assert row.created.tzinfo is not None
    store.set_run(run, state=RUNNING, flower_run=3)
    assert store.stop(run) == STOPPING
    store.set_run(run, state=STOPPED, reason="asked")
    row = store.run(run)
    assert (row.state, row.reason, row.attempts) == (STOPPED, "asked", 1)
    assert row.started is not None
    assert row.ended is not None
    assert row.started <= row.ended
    store.resume(run)
    row = store.run(run)
    assert (row.state, row.reason, row.flower_run, row.ended) == (WAITING, None, None, None)
    assert store.stop(run) == STOPPED
    assert [r.id for r in store.runs([STOPPED])] == [run]
    assert store.runs([RUNNING, WAITING]) == []


def bring(store: Store, run: str, state: str) -> None:
    """Take a waiting run to `state` by allowed moves."""
    via = {STOPPING: [RUNNING, STOPPING], FINISHED: [RUNNING, FINISHED]}
    for step in via.get(state, [] if state == WAITING else [state]):
        store.set_run(run, state=step)


@pytest.mark.parametrize("origin", MOVES)
def test_every_other_move_is_refused_and_changes_nothing(store: Store, origin: str) -> None:
    for target in MOVES.keys() - MOVES[origin]:
        run = start(store)
        bring(store, run, origin)
        with pytest.raises(FederationError, match=f"is {origin} and cannot become {target}"):
            store.set_run(run, state=target)
        assert store.run(run).state == origin


def test_a_run_that_is_over_cannot_be_stopped_nor_a_finished_one_resumed(store: Store) -> None:
    run = start(store)
    bring(store, run, FINISHED)
    with pytest.raises(FederationError, match="finished"):
        store.stop(run)
    with pytest.raises(FederationError, match="finished"):
        store.resume(run)
    failed = start(store)
    bring(store, failed, FAILED)
    store.resume(failed)
    with pytest.raises(ConfigError, match="no run 'nope'"):
        store.run("nope")


def test_one_of_two_writers_makes_a_move(store: Store) -> None:
    run = start(store)

    def take(_: int) -> bool:
        try:
            store.set_run(run, state=RUNNING)
        except FederationError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(take, range(6))) == 1
    assert store.run(run).attempts == 1


def test_what_was_written_is_there_after_opening_again(store: Store, url: str) -> None:
    enrol(store)
    store.close()
    again = Store.open(url)
    assert [site.name for site in again.sites()] == ["north"]
    again.close()


def test_opening_at_once_makes_the_tables_once(url: str) -> None:
    with ThreadPoolExecutor(16) as pool:
        stores = list(pool.map(Store.open, [url] * 16))
    enrol(stores[0])
    assert stores[1].site("north") is not None
    for opened in stores:
        opened.close()


def test_a_newer_schema_is_refused(store: Store, url: str) -> None:
    store.close()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE wardround_schema SET version = 99"))
    engine.dispose()
    with pytest.raises(ConfigError, match="schema version 99, expected 1"):
        Store.open(url)


def test_a_database_that_cannot_be_opened_is_named_without_its_password(tmp_path: Path) -> None:
    for bad in (f"sqlite:///{tmp_path}/nowhere/x.db", "postgresql+psycopg://u:geheim@127.0.0.1:1/x"):
        with pytest.raises(ConfigError, match="cannot be opened") as caught:
            Store.open(bad)
        assert "geheim" not in str(caught.value)


def test_a_time_without_a_zone_is_refused(store: Store) -> None:
    with pytest.raises(Exception, match="time zone"):
        store.invite("north", code="c", expires=datetime(2026, 1, 1))
