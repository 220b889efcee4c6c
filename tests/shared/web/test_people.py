"""Accounts and sessions."""

from datetime import timedelta
from pathlib import Path

import pytest

from shared.database import utc_now
from shared.errors import ConfigError
from shared.web.app import people_in
from shared.web.passwords import SHORTEST, hash_password, made_up
from shared.web.people import People
from tests.client.web.sample import PASSWORD

IDLE, LONGEST = timedelta(minutes=30), timedelta(hours=12)


def holder(people: People, token: str, after: timedelta = timedelta(), *, quiet: bool = False) -> str | None:
    found = people.session(token, idle=IDLE, longest=LONGEST, quiet=quiet, now=utc_now() + after)
    return None if found is None else found.name


def methods(people: People) -> list[str]:
    return [view.method for view in people.views(most=100)]


def test_the_file_is_its_owners_only_and_holds_no_password_and_no_token(
    people: People, tmp_path: Path
) -> None:
    token = people.log_in("amal")
    people.close()
    assert (tmp_path / "pages.db").stat().st_mode & 0o777 == 0o600
    for path in tmp_path.glob("pages.db*"):
        content = path.read_bytes()
        assert PASSWORD.encode() not in content
        assert token.encode() not in content


def test_a_session_ends_when_nobody_used_it(people: People) -> None:
    token = people.log_in("amal")
    assert holder(people, token, timedelta(minutes=29)) == "amal"
    assert holder(people, token, timedelta(minutes=58)) == "amal"  # the look before kept it alive
    assert holder(people, token, timedelta(minutes=89)) is None
    assert holder(people, token, timedelta(minutes=60)) is None  # over is over
    assert methods(people) == ["EXPIRED"]


def test_polling_keeps_no_session_alive(people: People) -> None:
    token = people.log_in("amal")
    assert holder(people, token, timedelta(minutes=29), quiet=True) == "amal"
    assert holder(people, token, timedelta(minutes=31), quiet=True) is None


def test_a_session_ends_after_its_hours_however_busy(people: People) -> None:
    token = people.log_in("amal")
    for minutes in range(20, 12 * 60, 20):
        assert holder(people, token, timedelta(minutes=minutes)) == "amal"
    assert holder(people, token, timedelta(hours=12, seconds=1)) is None


def test_one_person_may_have_several_sessions_and_ends_one(people: People) -> None:
    first, second = people.log_in("amal"), people.log_in("amal")
    people.log_out(first)
    assert (holder(people, first), holder(people, second)) == (None, "amal")


@pytest.mark.parametrize("change", ["password", "disable"])
def test_all_sessions_end_with_another_password_and_with_the_account(people: People, change: str) -> None:
    tokens = [people.log_in("bo"), people.log_in("bo")]
    other = people.log_in("amal")
    if change == "password":
        people.set_password("bo", "another password")
    else:
        people.disable("bo")
        people.enable("bo")  # brings none of them back
    assert [holder(people, token) for token in (*tokens, other)] == [None, None, "amal"]


def test_old_sessions_are_swept_and_written_down(people: People) -> None:
    for _ in range(3):
        people.log_in("bo")
    people.sweep(idle=IDLE, longest=LONGEST, now=utc_now() + timedelta(minutes=29))
    assert methods(people) == []
    people.sweep(idle=IDLE, longest=LONGEST, now=utc_now() + timedelta(minutes=31))
    assert methods(people) == ["EXPIRED"] * 3


def test_a_disabled_account_cannot_log_in_until_it_is_enabled(people: People) -> None:
    people.disable("bo")
    assert not people.password_is("bo", PASSWORD)
    people.enable("bo")
    assert people.password_is("bo", PASSWORD)


def test_a_password_that_somebody_else_knows_serves_seven_days(people: People) -> None:
    def serves(after: timedelta) -> bool:
        return people.password_is("bo", PASSWORD, now=utc_now() + after)

    people.set_password("bo", PASSWORD, one_time=True)
    assert [serves(timedelta(days=6, hours=23)), serves(timedelta(days=7, hours=1))] == [True, False]
    people.set_password("bo", PASSWORD)
    assert serves(timedelta(days=10_000))
    people.add("cy", PASSWORD, ["reader"], one_time=True)
    assert [people.password_is("cy", PASSWORD, now=utc_now() + timedelta(days=days)) for days in (6, 8)] == [
        True,
        False,
    ]


def test_only_the_password_of_a_known_name_is_right(people: People) -> None:
    assert people.password_is("amal", PASSWORD)
    assert not people.password_is("amal", PASSWORD + "x")
    assert not people.password_is("nobody", PASSWORD)
    longest = "ä" * 1024
    people.set_password("amal", longest)
    assert people.password_is("amal", longest)
    assert not people.password_is("amal", longest + "x")  # nothing is cut off and then found equal


def test_somebody_who_can_manage_accounts_is_always_left(people: People) -> None:
    with pytest.raises(ConfigError, match="last who can manage"):
        people.disable("amal")
    with pytest.raises(ConfigError, match="last who can manage"):
        people.set_roles("amal", ["reader"])
    amal = people.accounts()[0]
    assert (amal.roles, amal.disabled) == (("engineer", "reader"), None)
    people.set_roles("bo", ["engineer"])
    people.disable("amal")
    with pytest.raises(ConfigError, match="last who can manage"):
        people.disable("bo")


@pytest.mark.parametrize("name", ["", " amal", "a" * 65, "a\nb", "a\x00b", "amal"])
def test_names_that_are_unfit_or_taken_are_refused(people: People, name: str) -> None:
    with pytest.raises(ConfigError):
        people.add(name, PASSWORD, ["reader"])


def test_a_first_account_is_only_made_while_there_is_none(tmp_path: Path, people: People) -> None:
    (empty_folder := tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="already"):
        people.add("cleo", PASSWORD, ["reader"], first=True)
    empty = people_in(empty_folder)
    assert empty.nobody_yet()
    empty.add("cleo", PASSWORD, ["reader"], first=True)
    assert not empty.nobody_yet()
    empty.close()


def test_a_role_is_needed_and_an_account_must_be_there(people: People) -> None:
    with pytest.raises(ConfigError, match="no role"):
        people.set_roles("bo", [])
    for change in (people.disable, people.enable):
        with pytest.raises(ConfigError, match="no account nobody"):
            change("nobody")
    with pytest.raises(ConfigError, match="no account nobody"):
        people.set_password("nobody", PASSWORD)


def test_short_passwords_are_refused_and_made_up_ones_are_all_different() -> None:
    with pytest.raises(ConfigError, match="12 characters"):
        hash_password("x" * (SHORTEST - 1))
    made = {made_up() for _ in range(100)}
    assert len(made) == 100
    assert {len(text) for text in made} == {19}
    assert hash_password(made.pop()).startswith("$argon2id$v=19$m=65536,t=3,p=4$")  # RFC 9106, 4
