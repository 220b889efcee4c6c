"""Who looked at what."""

import csv
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from shared.database import utc_now
from shared.web import views
from shared.web.people import People


def paths(people: People, **filters: object) -> list[str]:
    return [view.path for view in people.views(most=100, **filters)]  # type: ignore[arg-type]


@pytest.fixture
def seen(people: People) -> People:
    for account, path in (("amal", "/scan/a1"), ("bo", "/scan/a10"), ("amal", "/privacy"), ("bo", "/scan_x")):
        people.note(account, "GET", path, "10.0.0.1")
    return people


def test_views_are_filtered_newest_first(seen: People) -> None:
    assert paths(seen) == ["/scan_x", "/privacy", "/scan/a10", "/scan/a1"]
    assert paths(seen, account="amal") == ["/privacy", "/scan/a1"]
    assert paths(seen, path="/scan/") == ["/scan/a10", "/scan/a1"]
    assert paths(seen, path="/scan_") == ["/scan_x"]  # _ is no wildcard
    assert paths(seen, path="%") == []
    hour = timedelta(hours=1)
    assert paths(seen, since=utc_now() + hour) == paths(seen, until=utc_now() - hour) == []
    assert len(paths(seen, since=utc_now() - hour, until=utc_now() + hour)) == 4
    assert seen.count_views() == 4
    assert seen.count_views(account="bo", path="/scan/") == 1


def test_pages_of_views_meet_and_do_not_overlap(seen: People) -> None:
    first = seen.views(most=3)
    second = seen.views(most=3, before=first[-1].number)
    assert [view.path for view in (*first, *second)] == paths(seen)


@pytest.mark.parametrize("change", ["UPDATE pages_views SET account = 'x'", "DELETE FROM pages_views"])
def test_the_database_refuses_to_change_a_view(seen: People, tmp_path: Path, change: str) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'pages.db'}")
    with pytest.raises(IntegrityError, match="only ever added"), engine.begin() as connection:
        connection.execute(text(change))
    engine.dispose()
    assert seen.count_views(account="amal") == 2


def test_csv_holds_every_view_oldest_first_over_several_reads(
    seen: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "PAGE", 3)
    rows = list(csv.DictReader("".join(seen.views_csv()).splitlines()))
    assert [row["number"] for row in rows] == ["1", "2", "3", "4"]
    assert rows[0] | {"time": ""} == {
        "number": "1",
        "time": "",
        "account": "amal",
        "method": "GET",
        "path": "/scan/a1",
        "address": "10.0.0.1",
    }
    assert rows[0]["time"].endswith("+00:00")
    assert len("".join(seen.views_csv(account="bo")).splitlines()) == 3


def test_a_spreadsheet_runs_nothing_that_somebody_typed(people: People) -> None:
    people.note('=HYPERLINK("http://x")', "GET", "/scan/a", "")
    (row,) = csv.DictReader("".join(people.views_csv()).splitlines())
    assert row["account"] == '\'=HYPERLINK("http://x")'
