"""The queue: what is taken in which order, and what a restart does with what was under way."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from client.data.layouts.base import Listed
from client.uploads.jobs import ATTEMPTS, Jobs
from client.uploads.records import Found
from shared.database import utc_now
from shared.errors import DataError
from tests.client.predict.readings import site_of


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    with closing(Jobs.open(site_of(tmp_path))) as opened:
        yield opened


def found(case: str) -> Found:
    return Found(
        f"{case}.nii", case, Listed(case, {"image": Path(f"/x/{case}.nii")}, None, patient="p"), case * 3
    )


def received(jobs: Jobs, owner: str = "amal") -> str:
    upload = jobs.begin(owner)
    jobs.finish(upload, ["a note"])
    return upload


def checked(jobs: Jobs, *cases: str) -> str:
    upload = received(jobs)
    assert jobs.next_to_check() == upload
    jobs.checked(upload, [found(case) for case in cases], ["another"])
    return upload


def state(jobs: Jobs, upload: str) -> str:
    one = jobs.find(upload)
    assert one is not None
    return one.state


def test_an_upload_goes_through_its_states(jobs: Jobs) -> None:
    upload = jobs.begin("amal")
    assert state(jobs, upload) == "open"
    assert jobs.next_to_check() is None
    jobs.refuse(upload, Found("x.exe", None, reason="not_taken", detail="no"))
    jobs.finish(upload)
    assert state(jobs, upload) == "received"
    assert jobs.next_to_check() == upload
    assert state(jobs, upload) == "checking"
    jobs.checked(upload, [found("a"), found("b")])
    assert state(jobs, upload) == "waiting"
    first = jobs.next_to_read()
    assert first is not None
    assert (first.case, first.upload, first.listed) == ("a", upload, found("a").listed)
    assert state(jobs, upload) == "reading"
    jobs.read(first.id)
    assert state(jobs, upload) == "reading"
    second = jobs.next_to_read()
    assert second is not None
    jobs.unread(second.id, "not_finite", "it holds NaN")
    assert state(jobs, upload) == "done"
    assert jobs.next_to_read() is None
    one = jobs.find(upload)
    assert one is not None
    assert [(scan.sent, scan.state, scan.reason) for scan in one.scans] == [
        ("a.nii", "read", None),
        ("b.nii", "failed", "not_finite"),
        ("x.exe", "skipped", "not_taken"),
    ]


def test_an_upload_without_a_scan_has_failed(jobs: Jobs) -> None:
    assert state(jobs, checked(jobs)) == "failed"


def test_the_oldest_comes_first_and_two_take_different_ones(jobs: Jobs) -> None:
    one, two = received(jobs), received(jobs, "ben")
    assert [jobs.next_to_check(), jobs.next_to_check(), jobs.next_to_check()] == [one, two, None]
    jobs.checked(two, [found("b")])
    jobs.checked(one, [found("a"), found("c")])
    taken = [jobs.next_to_read() for _ in range(4)]
    assert [one and one.case for one in taken] == ["a", "c", "b", None]


def test_what_was_under_way_at_a_restart_is_taken_again_and_not_for_ever(jobs: Jobs) -> None:
    upload = checked(jobs, "a", "b")
    for _ in range(ATTEMPTS):
        jobs.requeue()
        taken = jobs.next_to_read()
        assert taken is not None
        assert taken.case == "a"
    jobs.requeue()
    taken = jobs.next_to_read()
    assert taken is not None
    assert taken.case == "b"  # one that kills does not stand in the way of the others
    one = jobs.find(upload)
    assert one is not None
    assert [(scan.state, scan.reason) for scan in one.scans] == [("failed", "crashed"), ("reading", None)]


def test_a_check_that_kills_is_given_up(jobs: Jobs) -> None:
    upload = received(jobs)
    for _ in range(ATTEMPTS):
        jobs.requeue()
        assert jobs.next_to_check() == upload
    jobs.requeue()
    assert jobs.next_to_check() is None
    assert state(jobs, upload) == "failed"


def test_an_orderly_end_counts_as_no_attempt(jobs: Jobs) -> None:
    checked(jobs, "a")
    for _ in range(2 * ATTEMPTS):
        taken = jobs.next_to_read()
        assert taken is not None
        jobs.put_back_scan(taken.id)
    upload = received(jobs)
    for _ in range(2 * ATTEMPTS):
        assert jobs.next_to_check() == upload
        jobs.put_back_upload(upload)


def test_finished_once_and_not_discarded_then(jobs: Jobs) -> None:
    upload = received(jobs)
    for again in (jobs.finish, jobs.discard):
        with pytest.raises(DataError, match="finished"):
            again(upload)
    with pytest.raises(DataError, match="still needed"):
        jobs.note_removed(upload)


def test_what_nobody_finished_is_forgotten(jobs: Jobs) -> None:
    left, kept = jobs.begin("amal"), received(jobs)
    jobs.refuse(left, Found("x.exe", None, reason="not_taken"))
    day = timedelta(hours=24)
    jobs.forget_unfinished(day, utc_now() + timedelta(hours=23))
    assert jobs.with_files() == {left, kept}
    jobs.forget_unfinished(day, utc_now() + timedelta(hours=25))
    assert jobs.with_files() == {kept}


def test_everybody_has_uploads_of_their_own(jobs: Jobs) -> None:
    one, two = jobs.begin("amal"), jobs.begin("ben")
    assert [upload.id for upload in jobs.recent("amal")] == [one]
    assert {upload.id for upload in jobs.recent()} == {one, two}


def test_the_contents_of_a_case_are_those_that_were_not_refused(jobs: Jobs) -> None:
    checked(jobs, "a")
    assert jobs.contents("a") == {"aaa"}
    taken = jobs.next_to_read()
    assert taken is not None
    jobs.unread(taken.id, "not_finite", "")
    assert jobs.contents("a") == set()  # the corrected one may come under the same name
