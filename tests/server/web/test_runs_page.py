import io
import zipfile

import pytest
from fastapi import FastAPI

from server.store import STOPPED, STOPPING, WAITING
from server.web.office import Office
from tests.browsing import Browser
from tests.server.web.sample import SECRET


def test_all_runs_are_listed_the_newest_first(browser: Browser, office: Office) -> None:
    page = browser.get("/runs").text
    places = [page.index(row.id) for row in office.store.runs()]
    assert places == sorted(places, reverse=True)
    assert "fewer sites contributed than the study" in page


def test_a_run_is_stopped_only_after_it_was_confirmed(
    browser: Browser, office: Office, training: str
) -> None:
    asked = browser.get(f"/runs/{training}/stop").text
    assert "what they are computing is lost" in asked
    assert office.store.run(training).state == "running"
    page = browser.submit(f"/runs/{training}/stop").text
    assert office.store.run(training).state == STOPPING
    assert f"{training} is stopping." in page


def test_a_stopped_run_goes_on(browser: Browser, office: Office, training: str) -> None:
    office.store.stop(training)
    office.store.set_run(training, state=STOPPED)
    assert "after 3 finished rounds" in browser.get(f"/runs/{training}/resume").text
    assert "was asked for" in browser.submit(f"/runs/{training}/resume").text
    assert office.store.run(training).state == WAITING


def test_what_cannot_be_stopped_is_told_and_nothing_changes(
    browser: Browser, office: Office, finished: list[str]
) -> None:
    answer = browser.submit(f"/runs/{finished[0]}/stop")
    assert "Nothing was done" in answer.text
    assert office.store.run(finished[0]).state == "finished"


@pytest.mark.parametrize("doing", ["stop", "resume"])
def test_an_observer_cannot_change_a_run(watcher: Browser, office: Office, training: str, doing: str) -> None:
    assert watcher.get(f"/runs/{training}/{doing}").status_code == 403
    assert watcher.submit(f"/runs/{training}/{doing}").status_code == 403
    assert office.store.run(training).state == "running"


def test_without_the_sessions_token_nothing_is_stopped(
    browser: Browser, office: Office, training: str
) -> None:
    assert browser.post(f"/runs/{training}/stop", data={"csrf": "0" * 64}).status_code == 403
    assert office.store.run(training).state == "running"


def test_a_run_that_ends_while_it_is_watched_lets_the_page_load_anew(
    browser: Browser, office: Office, training: str
) -> None:
    assert browser.get(f"/runs/{training}/now").status_code == 200
    office.store.set_run(training, state="failed", reason="federation.quorum")
    assert browser.get(f"/runs/{training}/now").headers["HX-Refresh"] == "true"


def test_a_report_may_have_its_own_style_and_nothing_else(browser: Browser, finished: list[str]) -> None:
    answer = browser.get(f"/runs/{finished[0]}/report")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy
    assert "Trained together" in answer.text


def test_the_zip_holds_what_the_run_left(browser: Browser, office: Office, finished: list[str]) -> None:
    answer = browser.get(f"/runs/{finished[0]}/export.zip")
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        found = archive.read("results.json")
    assert names == {"results.json", "report.html", "model/model.safetensors", "model/study.yaml"}
    assert found == (office.folder(finished[0]) / "results.json").read_bytes()


def test_a_run_under_way_has_nothing_to_export_and_no_report(browser: Browser, training: str) -> None:
    assert browser.get(f"/runs/{training}/export.zip").status_code == 409
    assert browser.get(f"/runs/{training}/report").status_code == 404


@pytest.mark.parametrize("path", ["/runs/none-such", "/runs/..%2f..%2fsecrets", "/runs/none-such/report"])
def test_what_is_no_run_is_not_found(browser: Browser, path: str) -> None:
    assert browser.get(path).status_code == 404


def test_nobody_sees_a_run_without_logging_in(app: FastAPI, training: str) -> None:
    with Browser(app) as stranger:
        for path in (f"/runs/{training}", f"/runs/{training}/now", "/board/now", "/sites", "/studies"):
            answer = stranger.get(path, headers={"accept": "text/html"})
            assert answer.url.path == "/login"
            assert SECRET not in answer.text
