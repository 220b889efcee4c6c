"""The worklist page, without a browser's scripts."""

import csv
import io
import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from client.web import worklist_view
from client.web.hospital import Hospital
from shared.database import utc_now
from shared.priority import Tier
from tests.browsing import Browser
from tests.client.web.sample import NAMES
from tests.client.worklist.scans import TIERS, result

LIVE = {"hx-request": "true"}
ROW = re.compile(r'<tr id="row-(case-[0-9a-f]{16})".*?</tr>', re.DOTALL)


def cases(page: httpx2.Response) -> list[str]:
    """Cases of the rows, from top to bottom."""
    return re.findall(r'<a id="open-case-\w+" href="/scan/case-\w+">([^<]+)</a>', page.text)


def put(hospital: Hospital, case: str, tier: Tier | None = "routine", **values: object) -> None:
    hospital.worklist.put(result(case, tier, **values), arrived=utc_now() - timedelta(hours=1))  # type: ignore[arg-type]


def live(browser: Browser, page: str, **chosen: str) -> httpx2.Response:
    """What a page that is open gets when it asks."""
    stamp, seen = (re.search(rf'id="{name}"[^>]*value="(\w+)"', page) for name in ("stamp", "seen"))
    assert stamp is not None
    assert seen is not None
    return browser.get("/worklist/live", params={"stamp": stamp[1], "seen": seen[1], **chosen}, headers=LIVE)


@pytest.fixture
def same_minute(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Time that stands still for the stamp: a page is drawn anew each minute."""
    now = utc_now()
    monkeypatch.setattr(worklist_view, "utc_now", lambda: now)
    return now


def test_the_list_shows_every_scan_that_waits_in_order(browser: Browser, hospital: Hospital) -> None:
    put(hospital, "first", "stat")
    page = browser.get("/worklist")
    assert cases(page) == [row.case for row in hospital.worklist.rows()]
    assert cases(page)[0] == "first"
    assert set(NAMES) < set(cases(page))


def test_a_row_tells_tier_reasons_probability_wait_and_state(browser: Browser, hospital: Hospital) -> None:
    put(hospital, "big one", "stat", warnings=["touches the border"])
    row = ROW.search(browser.get("/worklist").text)
    assert row is not None
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", row[0]))
    for said in (
        "stat by the score",
        "big one patient of big one",
        "90 % 45 % to 95 %",
        "largest finding 31 mm: +1.40 prior cancer: +0.80 age not recorded: +0.00",
        "Note: touches the border",
        "1 h 00 min waiting",
        "earlier model or calibration",
    ):
        assert said in text
    assert "Not recorded" not in text  # its reasons say so


def test_a_scan_without_a_score_says_so(browser: Browser, hospital: Hospital) -> None:
    put(hospital, "unscored", None)
    page = browser.get("/worklist").text
    assert "no score" in page
    assert "no score, no reasons" in page


def test_why_a_tier_is_not_the_scores_is_said(browser: Browser, hospital: Hospital) -> None:
    put(hospital, "unscored", None)
    hospital.worklist.order("Okafor_1", "stat", by="amal")
    hospital.worklist.put(result("old", "routine"), arrived=utc_now() - timedelta(hours=73))
    page = browser.get("/worklist").text
    assert "ordered by a clinician; the score says routine" in page
    assert "by the longest wait; the score says routine" in page
    assert "in urgent 1 h 00 min" in page
    assert "in stat " in page


def test_how_far_repeated_readings_differ_is_shown_where_it_is_known(
    browser: Browser, hospital: Hospital, tmp_path: Path
) -> None:
    for name, text in (
        ("read twice", '{"uncertainty": 0.125}'),
        ("once", '{"uncertainty": null}'),
        ("cut", "{"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        hospital.worklist.put(result(name), path=tmp_path / name)
    page = browser.get("/worklist").text
    assert page.count("uncertainty") == 1
    assert "uncertainty 0.12 (0 sure, 1 not)" in page


def test_a_filter_leaves_what_it_says(browser: Browser, hospital: Hospital) -> None:
    for case, tier in (("s", "stat"), ("u", "urgent"), ("r", "asap")):
        put(hospital, case, tier)  # type: ignore[arg-type]
    hospital.worklist.claim("u", "dr-b")
    hospital.worklist.finish("r", "amal")
    for query, expected in {
        "tier=stat": ["s"],
        "tier=&state=reading": ["u"],
        "state=reading&mine=true": [],
        "state=read": ["r"],
        "state=read&mine=true": ["r"],
        "state=waiting&tier=urgent": [],
        "page=7&tier=stat": ["s"],  # past the end: the last page
    }.items():
        page = browser.get(f"/worklist?{query}")
        assert cases(page) == expected, query
        assert ("No scan is like that" in page.text) == (not expected)


def test_a_filter_that_does_not_exist_is_refused(browser: Browser) -> None:
    for query in ("tier=soon", "state=lost", "page=0", "name=Okafor_1"):
        assert browser.get(f"/worklist?{query}").status_code == 422


def test_a_search_is_remembered_and_stands_in_no_address(browser: Browser, hospital: Hospital) -> None:
    put(hospital, "s", "stat")
    found = browser.submit("/worklist/search", text=" oKAFOR ", next="/worklist?tier=routine")
    assert str(found.url).endswith("/worklist?tier=routine")
    assert cases(found) == ["Okafor_1"]
    assert cases(browser.get("/worklist")) == ["Okafor_1"]
    assert cases(browser.submit("/worklist/search", text="patient of Haddad")) == ["Haddad_3"]
    assert cases(browser.submit("/worklist/search", text="nobody")) == []
    assert len(cases(browser.submit("/worklist/search"))) == 5
    assert hospital.searches == {}
    paths = "".join(view.path for view in browser.app.state.web.people.views(most=100))  # type: ignore[attr-defined]
    assert "kafor" not in paths.lower()


def test_no_name_stands_in_an_address_a_title_or_an_id(browser: Browser) -> None:
    page = browser.get("/worklist").text
    told = re.findall(r'(?:href|action|id|hx-\w+|src|value)="([^"]*)"|<title>([^<]*)</title>', page)
    for name in NAMES:
        assert name in page
        assert not [one for one in told if name in "".join(one)]


def test_a_long_list_has_pages(browser: Browser, hospital: Hospital) -> None:
    for k in range(100):
        put(hospital, f"case {k:03}", "urgent")
    first, last = browser.get("/worklist"), browser.get("/worklist?page=3")
    assert (len(cases(first)), len(cases(last))) == (50, 4)
    assert "1 to 50 of 104 scans, page 1 of 3" in first.text
    assert 'rel="next" href="/worklist?page=2"' in first.text
    assert 'rel="prev" href="/worklist?page=2"' in last.text
    assert 'rel="next"' not in last.text
    listed = [*cases(first), *cases(browser.get("/worklist?page=2")), *cases(last)]
    assert listed == [row.case for row in hospital.worklist.rows()]


def test_counts_are_of_all_that_is_listed(browser: Browser, hospital: Hospital) -> None:
    put(hospital, "s", "stat")
    put(hospital, "r", "asap")
    hospital.worklist.finish("r", "amal")
    page = browser.get("/worklist?tier=asap").text
    assert ">stat 1</a>" in page
    assert ">routine 4</a>" in page
    assert "1 read in all" in page
    assert "of 5 that wait" in page
    assert "too few to tell" in page


def test_what_the_order_saved_today_is_told_once_there_is_enough(
    browser: Browser, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon = (utc_now() + timedelta(days=1)).astimezone().replace(hour=12)  # the sample's four came before
    monkeypatch.setattr(worklist_view, "utc_now", lambda: noon)
    for k in range(6):
        hospital.worklist.put(result(f"early {k}", "routine"), arrived=noon - timedelta(hours=3))
        hospital.worklist.put(result(f"late {k}", "stat"), arrived=noon - timedelta(hours=2))
    for k in range(6):
        hospital.worklist.finish(f"late {k}", "amal", now=noon - timedelta(hours=1))
        hospital.worklist.finish(f"early {k}", "amal", now=noon - timedelta(minutes=30))
    page = browser.get("/worklist").text
    # By arrival: the sample's 4 and 2 early ones an hour ago, then 4 early and 2 late ones.
    assert "50 min <span" in page
    assert "mean of the 6 above routine; the 10 others 30 min more" in page
    assert "(12 taken today)" in page


def test_a_list_that_did_not_change_is_not_drawn_again(
    browser: Browser, hospital: Hospital, same_minute: datetime
) -> None:
    page = browser.get("/worklist").text
    assert live(browser, page).status_code == 204
    hospital.worklist.claim("Okafor_1", "dr-b")
    changed = live(browser, page)
    assert changed.status_code == 200
    assert "read by dr-b" in changed.text
    assert "<html" not in changed.text
    assert "hx-swap-oob" not in changed.text  # nothing came
    assert live(browser, changed.text).status_code == 204
    assert live(browser, changed.text, tier="stat").status_code == 200  # not what is open
    browser.submit("/worklist/search", text="x")
    assert live(browser, changed.text).status_code == 200


def test_a_new_scan_is_announced_with_its_tier(browser: Browser, hospital: Hospital) -> None:
    page = browser.get("/worklist").text
    put(hospital, "new", "urgent")
    told = live(browser, page).text
    assert re.search(r'<p id="news" hx-swap-oob="innerHTML">[\d:]{8}: 1 new scan, urgent\.</p>', told)
    assert "new scan" not in live(browser, told.replace('value="', 'value="0', 1)).text  # another stamp
    for k, tier in enumerate(TIERS[2:]):
        put(hospital, f"newer {k}", tier)
    assert ": 2 new scans, 1 stat, 1 asap." in live(browser, told).text


def test_time_alone_draws_the_list_again(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, same_minute: datetime
) -> None:
    page = browser.get("/worklist").text
    monkeypatch.setattr(worklist_view, "utc_now", lambda: same_minute + timedelta(minutes=1))
    assert live(browser, page).status_code == 200


def test_another_calibration_draws_the_list_again(
    browser: Browser, hospital: Hospital, same_minute: datetime
) -> None:
    page = browser.get("/worklist").text
    (hospital.site.work / "model" / "calibration.json").write_text("{", encoding="utf-8")
    told = live(browser, page)
    assert told.status_code == 200
    assert "is damaged" in told.text
    assert set(NAMES) < set(cases(told))


def test_polling_is_no_visit(browser: Browser) -> None:
    page = browser.get("/worklist").text
    people = browser.app.state.web.people  # type: ignore[attr-defined]
    before = people.count_views()
    live(browser, page)
    assert people.count_views() == before


def test_an_engineer_looks_and_has_no_buttons(browser: Browser, hospital: Hospital) -> None:
    browser.app.state.web.people.set_roles("amal", ["engineer"])  # type: ignore[attr-defined]
    page = browser.get("/worklist")
    assert set(NAMES) < set(cases(page))
    assert "/claim" not in page.text


def test_an_empty_list_says_what_to_do_next(browser: Browser, hospital: Hospital) -> None:
    for row in hospital.worklist.rows():
        hospital.worklist.finish(row.case, "amal")
    page = browser.get("/worklist").text
    assert "Everything was read" in page
    assert 'href="/upload"' in page


def test_why_the_order_is_this_one(browser: Browser, hospital: Hospital) -> None:
    page = browser.get("/worklist/why").text
    digest = hospital.worklist.rows()[0].calibration_digest
    assert digest is not None
    for said in (
        "75 %",
        "50 %",
        "25 %",
        "72 h, then it is read as urgent",
        "4 h, then it is read as stat",
        digest,
    ):
        assert said in page
    path = hospital.site.work / "model" / "calibration.json"
    values = json.loads(path.read_text(encoding="utf-8")) | {"guarantee": "95 of 100 urgent <patients>."}
    path.write_text(json.dumps(values), encoding="utf-8")
    assert "95 of 100 urgent &lt;patients&gt;." in browser.get("/worklist/why").text
    path.unlink()
    assert "There is no calibration here" in browser.get("/worklist/why").text


def test_the_whole_list_can_be_taken_along(browser: Browser, hospital: Hospital) -> None:
    files = {kind: browser.get(f"/worklist/export/{kind}") for kind in ("csv", "json", "fhir")}
    for file in files.values():
        named = file.headers["content-disposition"]
        assert re.fullmatch(r'attachment; filename="wardround-worklist\.[a-z.]+"', named)
    listed = [row.case for row in hospital.worklist.rows()]
    assert [row["case"] for row in csv.DictReader(io.StringIO(files["csv"].text))] == listed
    assert [scan["case"] for scan in files["json"].json()["scans"]] == listed
    assert files["fhir"].json()["resourceType"] == "Bundle"
    assert not [name for name in NAMES if name in files["fhir"].text]
    hospital.worklist.finish("Okafor_1", "amal")
    read = browser.get("/worklist/export/json?state=read").json()
    assert [scan["case"] for scan in read["scans"]] == ["Okafor_1"]
