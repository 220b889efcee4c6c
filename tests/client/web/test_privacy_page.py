"""Privacy: what left, what was spent, who looked at what; all of it to take away."""

import csv
import hashlib
import io
import json
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI

from client.approvals import Approvals
from client.audit import Audit
from client.enrolment import enrol
from client.web.hospital import Hospital
from client.web.officer_zip import csv_lines
from shared.database import utc_now
from tests.browsing import Browser
from tests.client.hospital import tiny_study
from tests.client.test_spending import SEED, line
from tests.client.web.sample import NAMES, PASSWORD
from tests.client.web.test_studies_page import coordinator, soon  # noqa: F401 - a fixture
from tests.server.federation_office import Office

STUDY = tiny_study(name="private-lungs", privacy={"epsilon": 4.0, "delta": 1e-5})


@pytest.fixture
def audit(hospital: Hospital) -> Audit:
    """A log of 2 updates over 64 patients, a refusal, and 130 greetings."""
    made = Audit(hospital.site.work / "audit.jsonl")
    Approvals(hospital.site.work, made).approve(STUDY, by="amal")
    for number in (1, 2):
        made.append("training", study=STUDY.digest(), run="r", round=number, inputs="i")
        made.append("released", kind="update", bytes=1_500_000, patients=64, round=number)
    made.append("refused", kind="train", code="policy.hours", study=STUDY.digest())
    for _ in range(130):
        made.append("released", kind="greeting", bytes=200, patients=0, round=0)
    return made


@pytest.fixture
def ledger(hospital: Hospital) -> Path:
    path = hospital.site.work / "ledger.jsonl"
    path.write_text(line("a", 1, 0.5) + "\n" + line("a", 2, 1.25) + "\n")
    return path


def test_without_anything_the_page_says_that_nothing_left(browser: Browser) -> None:
    page = browser.get("/privacy").text
    assert "Nothing has left this hospital" in page
    assert "nothing is accounted" in page
    assert "are not counted" not in page
    assert "What is not accounted" in page
    assert "The log is empty" in browser.get("/privacy/log").text
    assert "Unbroken" in browser.submit("/privacy/verify").text


def test_what_left_is_summed_with_its_unit_and_its_n(browser: Browser, audit: Audit) -> None:
    page = browser.get("/privacy").text
    for text in ("3.0 MB", "up to 64 at once", "26.0 kB", "none: counts and codes only", "policy.hours"):
        assert text in page
    audit.append("released", kind="update", bytes=1_500_000, patients=65, round=3)
    again = browser.get("/privacy").text
    assert "4.5 MB" in again
    assert "up to 65 at once" in again


def test_what_was_spent_and_what_is_left(app: FastAPI, browser: Browser, audit: Audit, ledger: Path) -> None:
    assert "sets no bound" in browser.get("/privacy").text
    site = app.state.hospital.site
    budget = site.policy.budget.model_copy(update={"epsilon": 5.0, "updates": 10})
    app.state.hospital.site = site.model_copy(
        update={"policy": site.policy.model_copy(update={"budget": budget})}
    )
    page = browser.get("/privacy").text
    assert "Epsilon 1.25 spent of 5, 3.75 left" in page
    assert ": 2 of 10, 8 left" in page
    ledger.write_text("damaged\n")
    damaged = browser.get("/privacy")
    assert damaged.status_code == 200
    assert "is damaged" in damaged.text
    assert str(SEED) not in page


def test_the_log_is_paged_and_filtered(browser: Browser, audit: Audit) -> None:
    first = browser.get("/privacy/log").text
    assert first.count('<th scope="row"') == 50
    older = first.split('href="/privacy/log?before=')[1].split('"')[0]
    second = browser.get(f"/privacy/log?before={older}").text
    assert second.count('<th scope="row"') == 50
    assert ">86</th>" in second
    assert ">87</th>" not in second
    updates = browser.get("/privacy/log?event=released&kind=update&first=&last=").text
    assert updates.count('<th scope="row"') == 2
    assert "over 64 patients, 1,500,000 bytes" in updates
    today = f"{utc_now().astimezone():%Y-%m-%d}"
    yesterday = f"{utc_now().astimezone() - timedelta(days=1):%Y-%m-%d}"
    assert 'scope="row"' in browser.get(f"/privacy/log?first={today}").text
    assert "line is of this kind" in browser.get(f"/privacy/log?last={yesterday}").text
    of_study = browser.get(f"/privacy/log?study={STUDY.digest()}").text
    assert of_study.count('<th scope="row"') == 4


@pytest.mark.parametrize("query", ["before=7-1", "before=99999999-1"])
def test_a_place_that_is_no_longer_there_is_told(query: str, browser: Browser, audit: Audit) -> None:
    answer = browser.get(f"/privacy/log?{query}")
    assert answer.status_code == 409
    assert "Begin anew" in answer.text


def test_verifying_tells_where_the_log_was_changed(browser: Browser, audit: Audit) -> None:
    lines, seal = audit.seal()
    assert f"<b>Unbroken.</b> {lines} lines" in browser.submit("/privacy/verify").text
    page = browser.submit("/privacy/verify", witness=f"{lines}:{seal}").text
    assert "agrees with what the coordinator was told" in page
    assert seal in page
    other = browser.submit("/privacy/verify", witness=f"{lines}:{'0' * 64}").text
    assert "was edited or replaced" in other
    assert "LINES:SEAL" in browser.submit("/privacy/verify", witness="nonsense").text
    text = audit.path.read_text().replace('"patients": 64', '"patients": 63', 1)
    audit.path.write_text(text)
    broken = browser.submit("/privacy/verify").text
    assert "line 4 follows" in broken
    assert "Unbroken" not in broken


def test_the_coordinator_as_witness(
    browser: Browser,
    hospital: Hospital,
    audit: Audit,
    coordinator: Office,  # noqa: F811
) -> None:
    assert "none: this site is not enrolled" in browser.get("/privacy").text
    enrol(hospital.site, str(coordinator.invite()))
    assert "was told nothing yet" in soon(browser, "/privacy", "was told nothing yet")
    coordinator.store.greet("north", version="1", problem="", lines=5, seal="a" * 64)
    browser.app.state.desk.elsewhere._asked_at = -100.0  # type: ignore[attr-defined]
    soon(browser, "/privacy", '<span class="state good">agrees</span>')
    coordinator.store.greet("north", version="1", problem="", lines=3, seal="b" * 64)
    browser.app.state.desk.elsewhere._asked_at = -100.0  # type: ignore[attr-defined]
    soon(browser, "/privacy", "disagrees")


def test_the_log_is_taken_away_as_it_was_chosen(browser: Browser, audit: Audit) -> None:
    found = browser.get("/privacy/log.csv?kind=update")
    rows = list(csv.DictReader(io.StringIO(found.text)))
    assert [(row["line"], row["patients"], row["bytes"]) for row in rows] == [
        ("3", "64", "1500000"),
        ("5", "64", "1500000"),
    ]
    lines = [json.loads(text) for text in browser.get("/privacy/log.jsonl").text.splitlines()]
    assert len(lines) == audit.verify()
    assert lines[2]["kind"] == "update"
    assert "north" not in found.headers["content-disposition"]


def test_the_officers_archive_is_whole_and_holds_no_secret_and_no_name(
    browser: Browser, hospital: Hospital, audit: Audit, ledger: Path
) -> None:
    browser.get("/worklist")
    answer = browser.get("/privacy/officer.zip")
    assert answer.headers["content-disposition"].endswith('-privacy.zip"')
    with zipfile.ZipFile(io.BytesIO(answer.content)) as made:
        files = {name: made.read(name) for name in made.namelist()}
    assert {
        *("README.txt", "audit.jsonl", "audit.head", "approvals.jsonl", "ledger.json", "policy.json"),
        *("policy.txt", "views.csv", "sha256sums.txt", f"decided/{STUDY.digest()}.yaml"),
    } == files.keys()
    assert files["audit.jsonl"] == audit.path.read_bytes()
    sums = files["sha256sums.txt"].decode().splitlines()
    others = {name: content for name, content in files.items() if name != "sha256sums.txt"}
    assert sums == [f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in others.items()]
    everything = b"\n".join(files.values()).decode()
    assert str(SEED) not in everything
    assert str(hospital.site.work) not in everything
    for name in (*NAMES, *hospital.worklist.cases()):
        assert name not in everything
    assert len(json.loads(files["ledger.json"])) == 2
    assert b"/worklist" in files["views.csv"]
    assert f"The chain of {audit.verify()} lines was unbroken" in everything


def test_the_archive_says_where_the_chain_does_not_hold(
    browser: Browser, hospital: Hospital, audit: Audit
) -> None:
    audit.path.write_text(audit.path.read_text().replace('"round": 1', '"round": 9', 1))
    answer = browser.get("/privacy/officer.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as made:
        readme = made.read("README.txt").decode()
    assert "THE CHAIN DID NOT HOLD" in readme
    assert str(hospital.site.work) not in readme


def test_views_are_listed_by_account_and_by_day(app: FastAPI, browser: Browser) -> None:
    people = app.state.web.people
    for number in range(60):
        people.note("noor", "GET", f"/scan/{number:03d}", "127.0.0.1")
    people.note("someone", "REFUSED", "/login", "10.0.0.9")
    everybody = browser.get("/privacy/views").text
    assert everybody.count('<th scope="row"') == 50
    assert "was not let in" in everybody
    page = browser.submit("/privacy/views", account="noor", first="", last="").text
    assert page.count('<th scope="row">noor') == 50
    assert "/scan/010" in page
    assert "/scan/009" not in page
    older = page.split('name="before" value="')[1].split('"')[0]
    rest = browser.submit("/privacy/views", account="noor", first="", last="", before=older).text
    assert rest.count('<th scope="row">noor') == 10
    yesterday = f"{utc_now().astimezone() - timedelta(days=1):%Y-%m-%d}"
    assert "Nobody looked" in browser.submit("/privacy/views", last=yesterday).text
    found = browser.get("/privacy/views.csv").text
    assert found.count("noor,GET") == 60


def test_a_cell_is_never_a_formula() -> None:
    made = b"".join(csv_lines([("=1+1", "@x", "-2", "plain")], ("a", "b", "c", "d")))
    assert made == b"a,b,c,d\r\n'=1+1,'@x,'-2,plain\r\n"


def test_only_officers_and_engineers_look(app: FastAPI) -> None:
    app.state.web.people.add("reader", PASSWORD, ["reader"])
    with Browser(app) as reader:
        reader.log_in("reader", PASSWORD)
        pages = ("", "/log", "/log.csv", "/log.jsonl", "/views", "/views.csv", "/officer.zip")
        assert {reader.get(f"/privacy{page}").status_code for page in pages} == {403}
        assert reader.submit("/privacy/verify").status_code == 403
