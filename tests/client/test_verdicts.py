from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest

from client.verdicts import LONGEST_NOTE, Opinion, Verdicts
from client.worklist import Worklist
from shared.errors import CaseError
from tests.client.worklist.scans import START, result
from tests.databases import postgres, url  # noqa: F401 - fixtures


@pytest.fixture
def worklist(url: str) -> Iterator[Worklist]:  # noqa: F811
    """A worklist of one scan."""
    with closing(Worklist.open_url(url)) as opened:
        opened.put(result("one", digest="a"))
        yield opened


@pytest.fixture
def verdicts(url: str, worklist: Worklist) -> Iterator[Verdicts]:  # noqa: F811
    """An empty store beside it."""
    with closing(Verdicts.open_url(url)) as opened:
        yield opened


def give(verdicts: Verdicts, reader: str, opinion: Opinion, *, digest: str = "a", minutes: int = 0) -> None:
    now = START + timedelta(minutes=minutes)
    verdicts.give("one", reader, opinion, source_digest=digest, calibration_digest="c", now=now)


def test_all_are_kept_and_the_newest_of_each_reader_and_result_counts(
    worklist: Worklist, verdicts: Verdicts
) -> None:
    give(verdicts, "amal", Opinion("accept", useful={"age": True}))
    give(verdicts, "boris", Opinion("reject", note="beside it"), minutes=1)
    give(verdicts, "amal", Opinion("modify", "stat"), minutes=2)
    worklist.put(result("one", digest="b"))
    give(verdicts, "amal", Opinion("accept"), digest="b", minutes=3)
    said = [(one.reader, one.source_digest, one.opinion.said) for one in verdicts.verdicts()]
    assert said == [
        ("amal", "a", "accept"),
        ("boris", "a", "reject"),
        ("amal", "a", "modify"),
        ("amal", "b", "accept"),
    ]
    counting = [(one.reader, one.source_digest, one.opinion.said) for one in verdicts.counting("one")]
    assert counting == said[1:]
    assert verdicts.verdicts()[0].opinion == Opinion("accept", useful={"age": True})
    assert verdicts.verdicts()[0].time == START


def test_only_the_reader_who_has_the_scan_may_say_anything(worklist: Worklist, verdicts: Verdicts) -> None:
    worklist.claim("one", "boris")
    with pytest.raises(CaseError, match="boris") as caught:
        give(verdicts, "amal", Opinion("accept"))
    assert caught.value.reason == "taken"
    give(verdicts, "boris", Opinion("accept"))
    worklist.finish("one", "boris")
    give(verdicts, "amal", Opinion("reject"))
    assert [one.reader for one in verdicts.counting()] == ["boris", "amal"]


def test_a_verdict_on_a_result_that_another_has_replaced_is_refused(
    worklist: Worklist, verdicts: Verdicts
) -> None:
    worklist.put(result("one", digest="b"))
    with pytest.raises(CaseError, match="read again") as caught:
        give(verdicts, "amal", Opinion("accept"))
    assert caught.value.reason == "read_again"


def test_unlisted_cases_and_long_notes_are_refused(verdicts: Verdicts) -> None:
    with pytest.raises(CaseError, match="not on the worklist"):
        verdicts.give("two", "amal", Opinion("accept"), source_digest="a", calibration_digest=None)
    with pytest.raises(CaseError, match=str(LONGEST_NOTE)):
        give(verdicts, "amal", Opinion("accept", note="x" * (LONGEST_NOTE + 1)))
    assert verdicts.verdicts() == []
