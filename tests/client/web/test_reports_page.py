"""The page of reports: what lies at the site, each in a sandbox; what the order saves."""

import json
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import pytest
from fastapi import FastAPI

from client.shelf import reports_of
from client.web import waits
from client.web.aside import Answer
from client.web.hospital import Hospital
from client.web.library import CONTENT_SECURITY_POLICY
from tests.browsing import Browser

PAGE = "<!doctype html><title>Validation</title><script>fetch('/data')</script>"
WAITS = {
    "assumptions": [{"name": "readers", "value": "3", "source": "option"}],
    "waits": {
        "by tier": {
            "diseased": {"scans": 1234, "mean": 14.3, "half_width": 0.5, "percentile_95": 49, "maximum": 523}
        }
    },
    "formula": {"by tier": {"diseased": 14.25}},
    "no_formula": None,
    "threshold": None,
    "point": None,
}


@pytest.fixture
def work(hospital: Hospital) -> Path:
    """The site's work folder with one report of each kind."""
    work = hospital.site.work
    (work / "seismometer").mkdir()
    (work / "seismometer" / "report.html").write_text(PAGE, encoding="utf-8")
    (work / "overlays").mkdir()
    (work / "overlays" / "best.png").write_bytes(b"\x89PNG")
    captions = {"best.png": "best of 9: Dice 0.91"}
    (work / "overlays" / "captions.json").write_text(json.dumps(captions), encoding="utf-8")
    (work / "predictions.csv").write_text("case\nOkafor_1\n", encoding="utf-8")
    (work / "reports" / "spring").mkdir(parents=True)
    (work / "reports" / "spring" / "report.html").write_text(PAGE, encoding="utf-8")
    results = {"study": {"name": "glioma-2026"}, "sites": {}}
    (work / "reports" / "spring" / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return work


def addresses(page: str) -> list[str]:
    """Addresses of reports on the page."""
    return re.findall(r'"(/reports/[0-9a-f]{16})"', page)


def colleague(app: FastAPI, role: str) -> Browser:
    """Log in somebody with one role."""
    app.state.web.people.add(role, "correct horse battery", [role])
    made = Browser(app)
    made.log_in(role, "correct horse battery")
    return made


def test_an_empty_shelf_says_what_comes_next(browser: Browser) -> None:
    page = browser.get("/reports").text
    assert "seismometer is switched off" in page
    assert "wardround coordinator export" in page
    assert "Not worked out yet" in page
    assert not addresses(page)


@pytest.mark.usefixtures("work")
def test_each_report_is_listed_with_what_it_is_of(browser: Browser) -> None:
    page = browser.get("/reports").text
    assert "Validation by seismometer" in page
    assert "glioma-2026" in page
    assert "Best of 9: Dice 0.91" in page
    assert "Predictions of every scan" in page
    assert str(len(PAGE)) + " bytes" in page


@pytest.mark.usefixtures("work")
def test_reports_run_no_script_and_have_no_origin(browser: Browser, hospital: Hospital) -> None:
    pages = [one for one in reports_of(hospital.site) if one.is_page]
    assert len(pages) == 2
    for one in pages:
        answer = browser.get(f"/reports/{one.id}")
        assert answer.text == PAGE
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        kept = browser.get(f"/reports/{one.id}/file")
        assert kept.headers["content-disposition"].startswith("attachment;")
        assert kept.headers["x-content-type-options"] == "nosniff"
    directives = CONTENT_SECURITY_POLICY.split("; ")
    assert "sandbox" in directives  # no allow-same-origin, no allow-scripts
    assert "default-src 'none'" in directives
    assert not [one for one in directives if one.startswith("script-src")]


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(
    "name",
    ["%2e%2e%2fsite.yaml", "..%2f..%2fsite.yaml", "0" * 16, "report.html", "seismometer%2freport.html"],
)
def test_an_address_is_no_path(browser: Browser, name: str) -> None:
    for end in ("", "/file"):
        assert browser.get(f"/reports/{name}{end}").status_code in {404, 422}


def test_a_link_out_of_the_folder_is_left_out(browser: Browser, hospital: Hospital, work: Path) -> None:
    secret = work.parent / "secret.html"
    secret.write_text("secret", encoding="utf-8")
    (work / "reports" / "out.html").symlink_to(secret)
    (work / "seismometer" / "report.html").unlink()
    (work / "seismometer" / "report.html").symlink_to(secret)
    assert not [one for one in reports_of(hospital.site) if one.path.is_symlink()]
    assert "Validation by seismometer" not in browser.get("/reports").text


def test_officers_get_no_table_with_names(app: FastAPI, hospital: Hospital, work: Path) -> None:
    (table,) = [one for one in reports_of(hospital.site) if one.path == work.resolve() / "predictions.csv"]
    for role, status in (("officer", 404), ("reader", 200), ("engineer", 200)):
        with colleague(app, role) as somebody:
            page = somebody.get("/reports").text
            assert ("Predictions of every scan" in page) == (status == 200)
            assert somebody.get(f"/reports/{table.id}/file").status_code == status
            assert somebody.get(f"/reports/{table.id}").status_code == status
            waits_status = somebody.submit("/reports/waiting", sensitivity="2").status_code
            assert waits_status == (403 if role == "officer" else 422)


def test_a_report_that_could_not_be_drawn_is_told(browser: Browser, work: Path) -> None:
    failure = work / "seismometer" / "failure.txt"
    failure.write_text("DataError: too few", encoding="utf-8")
    os.utime(work / "seismometer" / "report.html", (1, 1))
    assert "could not be drawn: DataError: too few" in browser.get("/reports").text
    os.utime(failure, (0, 0))
    assert "could not be drawn" not in browser.get("/reports").text


def test_the_newest_comes_first(hospital: Hospital, work: Path) -> None:
    os.utime(work / "predictions.csv", (10, 10))
    os.utime(work / "overlays" / "best.png", (20, 20))
    found = reports_of(hospital.site)
    assert [one.path.name for one in found][-2:] == ["best.png", "predictions.csv"]
    assert found[-1].when == datetime.fromtimestamp(10, UTC)


def worked_out(browser: Browser) -> str:
    """Wait until the waiting times are there."""
    for _ in range(200):
        if browser.get("/reports/waiting").headers.get("HX-Redirect") == "/reports":
            return browser.get("/reports").text
        time.sleep(0.05)
    raise TimeoutError


def test_waiting_times_are_asked_for_with_what_was_typed(browser: Browser) -> None:
    with patch.object(waits, "answer_of", return_value=Answer(WAITS)) as asked:
        browser.submit("/reports/waiting", readers="3", hours="mon-fri 8-18", sensitivity="")
        page = worked_out(browser)
    (command, site_file, *options), _ = asked.call_args
    assert (command, Path(site_file).name) == ("waiting", "site.yaml")
    assert options == ["--readers=3", "--hours=mon-fri 8-18"]
    assert "14.3 ± 0.5" in page
    assert "1,234" in page
    assert "typed below" in page
    assert 'name="hours" size="22" value="mon-fri 8-18"' in page


def test_why_there_are_no_waiting_times_is_told(browser: Browser) -> None:
    with patch.object(waits, "answer_of", return_value=Answer(error="there are no predictions")):
        browser.submit("/reports/waiting")
        assert "there are no predictions" in worked_out(browser)


@pytest.mark.parametrize("fields", [{"sensitivity": "2"}, {"readers": "two"}, {"read_minutes": "nan"}])
def test_a_number_that_is_none_is_told_beside_the_form(browser: Browser, fields: dict[str, str]) -> None:
    answer = browser.submit("/reports/waiting", **fields)
    assert answer.status_code == 422
    ((name, value),) = fields.items()
    assert name in answer.text
    assert f'value="{value}"' in answer.text
    assert "Not worked out yet" in browser.get("/reports").text


def test_the_command_itself_answers(browser: Browser) -> None:
    browser.submit("/reports/waiting", sensitivity="0.9", specificity="0.8")
    for _ in range(60):
        if browser.get("/reports/waiting").headers.get("HX-Redirect") == "/reports":
            break
        time.sleep(1)
    page = browser.get("/reports").text
    assert "What this rests on" in page
    assert "by tier" in page
