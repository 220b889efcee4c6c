"""Invites as text: what goes in comes out, and nothing else does."""

import base64
import hashlib
import string
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import EnrolmentError
from shared.invite import Invite, code_digest, new_code


def an_invite(**changes: object) -> Invite:
    values = {
        "site": "hospital-a",
        "control": "fl.example.org:9093",
        "fleet": "fl.example.org:9092",
        "ca_sha256": "ab" * 32,
        "code": "0123456789abcdef",
        "expires": datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
    }
    return Invite.model_validate({**values, **changes})


def reason(text: str) -> str:
    with pytest.raises(EnrolmentError) as caught:
        Invite.read(text)
    return caught.value.reason


@given(
    st.from_regex(r"[a-z0-9][a-z0-9_-]{0,62}", fullmatch=True),
    st.sampled_from(["10.1.2.3:1", "[::1]:65535", "a.b:9092"]),
    st.text(string.ascii_letters + string.digits + "-_", min_size=16, max_size=60),
    st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1)),
)
def test_what_is_written_is_read(site: str, address: str, code: str, expires: datetime) -> None:
    expires = expires.replace(microsecond=0, tzinfo=UTC)
    invite = an_invite(site=site, control=address, fleet=address, code=code, expires=expires)
    assert Invite.read(str(invite)) == invite


@given(st.data())
def test_any_other_letter_anywhere_is_noticed(data: st.DataObject) -> None:
    text = str(an_invite())
    place = data.draw(st.integers(0, len(text) - 1))
    letters = string.ascii_lowercase + string.digits + "-_.: "
    other = data.draw(st.sampled_from([c for c in letters if c != text[place]]))
    changed = text[:place] + other + text[place + 1 :]
    with pytest.raises(EnrolmentError):
        Invite.read(changed)


@given(st.text())
def test_any_text_is_refused_as_not_an_invite(text: str) -> None:
    assert reason(text) == "not_an_invite"


def test_line_breaks_of_a_mail_do_no_harm() -> None:
    text = str(an_invite())
    assert Invite.read(f"  {text[:40]}\r\n {text[40:]}\n") == an_invite()


def test_each_fault_has_its_reason() -> None:
    text = str(an_invite())
    assert reason(text[:-1]) == "damaged"
    assert reason(text.replace("wardround1", "wardround2")) == "newer"
    assert reason("hospital-a") == "not_an_invite"


def test_an_invite_that_is_whole_but_holds_nonsense_is_damaged() -> None:
    body = base64.urlsafe_b64encode(b'{"site": "x"}').decode().rstrip("=")
    assert reason(f"wardround1:{body}.{hashlib.sha256(body.encode()).hexdigest()[:8]}") == "damaged"


def test_the_code_is_not_shown_and_never_repeats() -> None:
    assert "0123456789abcdef" not in repr(an_invite())
    codes = {new_code() for _ in range(1000)}
    assert len(codes) == 1000
    assert min(map(len, codes)) >= 16
    assert len({code_digest(code) for code in codes}) == 1000


def test_it_is_one_line_without_blanks() -> None:
    assert len(str(an_invite(expires=datetime.now(UTC) + timedelta(days=7))).split()) == 1
