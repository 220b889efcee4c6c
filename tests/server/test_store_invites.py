"""Invites in any order of giving, redeeming, revoking and days that pass."""

import tempfile
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from server.store import Store
from shared.errors import ConfigError, EnrolmentError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


class Invites(RuleBasedStateMachine):
    """In whatever order all is done, an invite makes a member at most once, and only while it is good."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store.open(f"sqlite:///{self.folder.name}/x.db")
        self.now = NOW
        self.codes: dict[str, tuple[str, datetime, bool]] = {}  # code -> site, expiry, replaces
        self.open: set[str] = set()
        self.members: dict[str, bytes] = {}

    @rule(site=st.sampled_from(["a", "b"]), days=st.integers(1, 3), replace=st.booleans())
    def invite(self, site: str, days: int, replace: bool) -> None:
        code = f"code-{len(self.codes)}"
        expires = self.now + days * DAY
        if site in self.members and not replace:
            with pytest.raises(ConfigError):
                self.store.invite(site, code=code, expires=expires, replace=replace, now=self.now)
            return
        self.store.invite(site, code=code, expires=expires, replace=replace, now=self.now)
        self.open = {c for c in self.open if self.codes[c][0] != site} | {code}
        self.codes[code] = (site, expires, replace)

    @rule(place=st.integers(0, 20), site=st.sampled_from(["a", "b"]), key=st.sampled_from([b"1", b"2"]))
    def redeem(self, place: int, site: str, key: bytes) -> None:
        code = f"code-{place}"
        asked, expires, replaces = self.codes.get(code, ("", NOW, False))
        good = code in self.open and asked == site and expires > self.now
        good = good and (site not in self.members or replaces)
        try:
            self.store.redeem(code, site=site, public_key=key, version="1", now=self.now)
        except EnrolmentError:
            assert not good
            return
        if good:
            self.open.discard(code)
            self.members[site] = key
        assert self.members.get(site) == key  # otherwise it was the same enrolment, asked for again

    @rule(site=st.sampled_from(["a", "b"]))
    def revoke(self, site: str) -> None:
        good = {c for c in self.open if self.codes[c][0] == site and self.codes[c][1] > self.now}
        if site in self.members or good:
            self.store.revoke(site, now=self.now)
        self.open -= {
            c for c in self.open if self.codes[c][0] == site and (site in self.members or c in good)
        }
        self.members.pop(site, None)

    @rule()
    def a_day_passes(self) -> None:
        self.now += DAY

    @invariant()
    def members_are_as_expected(self) -> None:
        assert {s.name: s.public_key for s in self.store.sites() if s.revoked_at is None} == self.members

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


TestInvites = Invites.TestCase
TestInvites.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
