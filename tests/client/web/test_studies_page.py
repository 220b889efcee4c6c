"""Studies: what they ask, what would leave, yes or no; what the coordinator says of the runs."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from fastapi import FastAPI

import server.control
from client.approvals import Approvals
from client.audit import Audit
from client.enrolment import enrol
from client.explain import explain
from client.membership import Enrolment
from client.study_check import check_study
from client.web.aside import Answer, Aside
from client.web.desk import Desk
from client.web.elsewhere import Elsewhere, Told, ask_coordinator
from client.web.hospital import Hospital
from server.board import RunStatus, SiteStatus
from shared.study import Study
from tests.browsing import Browser
from tests.client.hospital import tiny_study
from tests.client.web.sample import PASSWORD
from tests.server.federation_office import Office, office

STUDY = tiny_study(name="glioma-2026")
DIGEST = STUDY.digest()
PAGE = f"/studies/{DIGEST}"


@pytest.fixture
def approvals(hospital: Hospital) -> Approvals:
    return Approvals(hospital.site.work, Audit(hospital.site.work / "audit.jsonl"))


@pytest.fixture(autouse=True)
def aside_in_this_process(monkeypatch: pytest.MonkeyPatch, approvals: Approvals, hospital: Hospital) -> None:
    """Answer as `wardround site` does; that it does so in a process of its own has a test of its own."""

    def run(_: Aside, command: str, study: Study) -> Answer:
        if command == "check":
            return Answer([vars(line) for line in check_study(hospital.site, study)])
        explained = explain(hospital.site, study, approved=approvals.approved(study.digest()))
        return Answer([explained.as_json()])

    monkeypatch.setattr(Aside, "_run", run)


@pytest.fixture
def coordinator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    monkeypatch.setattr(server.control, "PAUSE_S", 0.0)
    with office(tmp_path / "coordinator") as made:
        yield made


def soon(browser: Browser, path: str, wanted: str) -> str:
    """Ask again and again, as a page does, until it says what is wanted."""
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        page: str = browser.get(path).text
        if wanted in page:
            return page
        time.sleep(0.05)
    raise AssertionError(f"{wanted!r} did not come: {page}")


def colleague(app: FastAPI, role: str) -> Browser:
    app.state.web.people.add(role, PASSWORD, [role])
    made = Browser(app)
    made.log_in(role, PASSWORD)
    return made


def test_without_anything_the_page_says_what_to_do_next(browser: Browser) -> None:
    page = browser.get("/studies").text
    assert "No study waits" in page
    assert "wardround site enrol" in page
    assert "Nobody has approved or refused a study here yet" in page


def test_what_waits_says_what_it_asks_and_what_would_leave(browser: Browser, approvals: Approvals) -> None:
    approvals.ask(STUDY)
    assert f'href="{PAGE}"' in browser.get("/studies").text
    page = browser.get(PAGE).text
    for text in (DIGEST, "waits for an answer", "2 rounds", "age in years", "validation_fraction: 0.3"):
        assert text in page
    part = soon(browser, f"{PAGE}/leaving", "What leaves")
    assert "until somebody allows this study" in part
    assert "one number for each weight of the network" in part
    assert "scans, parts of scans, masks and outlines" in part
    signed = browser.get(f"{PAGE}/leaving.txt")
    assert f"Study digest  {DIGEST}" in signed.text
    assert "attachment" in signed.headers["content-disposition"]


def test_a_study_is_approved_by_name_after_its_digest_was_compared(
    browser: Browser, approvals: Approvals
) -> None:
    approvals.ask(STUDY)
    for wrong in ({"start": "00000000", "read": "yes"}, {"start": DIGEST[:8]}, {"read": "yes"}):
        answer = browser.submit(f"{PAGE}/answer", choice="approve", **wrong)
        assert answer.status_code == 422
        assert not approvals.approved(DIGEST)
    page = browser.submit(f"{PAGE}/answer", choice="approve", start=DIGEST[:8].upper(), read="yes").text
    assert "is approved. The node takes part" in page
    decision = approvals.decisions()[DIGEST]
    assert (decision.approved, decision.by) == (True, "amal")
    assert approvals.pending() == []
    part = soon(browser, f"{PAGE}/leaving", "What leaves")
    assert "until somebody allows this study" not in part


def test_an_approval_is_withdrawn_and_never_refused_by_accident(
    browser: Browser, approvals: Approvals
) -> None:
    approvals.approve(STUDY)
    assert browser.submit(f"{PAGE}/answer", choice="refuse").status_code == 409
    assert approvals.approved(DIGEST)
    assert "Withdraw the approval" in browser.get(f"{PAGE}/answer").text
    browser.submit(f"{PAGE}/answer", choice="withdraw")
    assert approvals.decisions()[DIGEST].word == "withdrawn"


def test_a_refused_study_leaves_the_list_and_can_still_be_read(
    browser: Browser, approvals: Approvals
) -> None:
    approvals.ask(STUDY)
    browser.submit(f"{PAGE}/answer", choice="refuse")
    approvals.ask(STUDY)
    listed = browser.get("/studies").text
    assert "No study waits" in listed
    assert "refused" in listed
    assert "refused by amal" in browser.get(PAGE).text.replace("</span>", "")


def test_an_officer_sees_all_and_answers_nothing(
    app: FastAPI, browser: Browser, approvals: Approvals
) -> None:
    approvals.ask(STUDY)
    with colleague(app, "officer") as officer:
        assert "Someone with the role engineer answers" in officer.get(PAGE).text
        for path in (f"{PAGE}/answer", f"{PAGE}/fit"):
            assert officer.submit(path, choice="approve", start=DIGEST[:8], read="yes").status_code == 403
    with colleague(app, "reader") as reader:
        assert reader.get("/studies").status_code == 403
        assert reader.get(f"{PAGE}/leaving").status_code == 403
    assert not approvals.approved(DIGEST)
    assert browser.get(f"{PAGE}/answer").status_code == 200


def test_where_the_policy_decides_there_is_nothing_to_approve(
    app: FastAPI, browser: Browser, approvals: Approvals
) -> None:
    site = app.state.hospital.site
    for allowed, word in (("any", "allowed by the policy"), (("other",), "refused by the policy")):
        policy = site.policy.model_copy(update={"studies": allowed})
        app.state.hospital.site = site.model_copy(update={"policy": policy})
        approvals.ask(STUDY)
        assert word in browser.get(PAGE).text
        answer = browser.submit(f"{PAGE}/answer", choice="approve", start=DIGEST[:8], read="yes")
        assert answer.status_code == 409
    assert not approvals.approved(DIGEST)


@pytest.mark.parametrize("digest", ["0" * 64, "x", "..%2f..%2fledger"])
def test_an_unknown_study_is_not_found(digest: str, browser: Browser) -> None:
    assert browser.get(f"/studies/{digest}").status_code in {404, 422}


def test_whether_the_data_fit_is_asked_for_and_then_shown(browser: Browser, approvals: Approvals) -> None:
    approvals.ask(STUDY)
    assert "Not looked at yet" in browser.get(f"{PAGE}/fit").text
    browser.submit(f"{PAGE}/fit")
    part = soon(browser, f"{PAGE}/fit", "Look again")
    assert "patients, the study requires 1" in part


def test_what_it_gains_has_its_interval_and_its_n(
    browser: Browser, approvals: Approvals, hospital: Hospital
) -> None:
    approvals.approve(STUDY)
    assert "Not known: no model of this study has been judged here" in browser.get(PAGE).text
    rows = [
        {"patient": f"p{n // 2}", "split": "test" if n < 20 else "validation", "dice": [0.5 + 0.02 * n]}
        for n in range(24)
    ]
    folder = hospital.site.work / "studies"
    folder.mkdir(exist_ok=True)
    (folder / f"{DIGEST}.scans.json").write_text(json.dumps(rows))
    page = browser.get(PAGE).text
    assert "Dice 0.69 (95 % interval 0.61 to 0.77), n = 20 scans of 10 patients" in page
    assert "a deployed site does not train alone" in page


def enrolled(hospital: Hospital, coordinator: Office) -> None:
    enrol(hospital.site, str(coordinator.invite()))


def start(coordinator: Office, study: Study) -> str:
    return coordinator.store.start(
        study_name=study.name, study_digest=study.digest(), study_yaml=study.to_yaml()
    )


def test_a_running_round_is_shown_as_far_as_a_site_may_know(
    browser: Browser, hospital: Hospital, coordinator: Office
) -> None:
    enrolled(hospital, coordinator)
    run = start(coordinator, STUDY)
    coordinator.store.set_run(run, state="running")
    sites = {
        "north": SiteStatus(state="used", patients=64, seconds=75.0, bytes_up=2_000_000),
        "rival": SiteStatus(state="awaited"),
    }
    coordinator.boards[run] = RunStatus(
        phase="training", round=3, rounds=12, started="2026-01-01", updated="2026-01-01", sites=sites
    )
    page = soon(browser, "/studies/live", "Round 3 of 12")
    for text in ("the sites train", "its last answer was used", "over 64 patients", "2.0 MB sent from here"):
        assert text in page
    assert "rival" not in page
    assert f'<a href="{PAGE}">glioma-2026</a>' in page
    assert "Round 3 of 12" in browser.get(PAGE).text  # it is known only from the coordinator, and can be read


def test_a_coordinator_that_does_not_answer_holds_no_page_up(
    app: FastAPI, browser: Browser, hospital: Hospital, coordinator: Office
) -> None:
    enrolled(hospital, coordinator)
    coordinator.down()
    answered = Event()

    def late(enrolment: Enrolment) -> Told:
        assert answered.wait(60)
        return ask_coordinator(enrolment)

    app.state.desk.elsewhere._ask = late
    assert browser.get("/studies").status_code == 200  # the coordinator has not answered yet
    answered.set()
    assert "cannot be asked" in soon(browser, "/studies/live", "does not answer")
    coordinator.up()
    app.state.desk.elsewhere._asked_at = -100.0
    soon(browser, "/studies/live", "has no run under way")


def test_what_is_no_study_is_told_and_hides_no_other(
    browser: Browser, hospital: Hospital, coordinator: Office
) -> None:
    enrolled(hospital, coordinator)
    start(coordinator, STUDY)
    coordinator.store.start(study_name="odd", study_digest="d" * 64, study_yaml="name: [")
    page = soon(browser, "/studies/live", "cannot be read")
    assert "glioma-2026" in page
    assert "odd" in page


def test_however_many_look_the_coordinator_is_asked_once_at_a_time(
    hospital: Hospital, coordinator: Office
) -> None:
    enrolled(hospital, coordinator)
    asked = []
    answered = Event()

    def ask(enrolment: Enrolment) -> Told:
        asked.append(enrolment)
        assert answered.wait(60)
        return ask_coordinator(enrolment)

    elsewhere = Elsewhere(hospital.site, ask)
    for _ in range(50):
        elsewhere._asked_at = -100.0  # long ago
        elsewhere.told()
    answered.set()
    elsewhere.wait(30)
    assert len(asked) == 1
    assert elsewhere.told().asked


def test_polling_is_not_written_down(app: FastAPI, browser: Browser) -> None:
    browser.get("/studies")
    before = app.state.web.people.count_views()
    browser.get("/studies/live")
    assert app.state.web.people.count_views() == before


def test_the_pages_load_no_torch_and_the_command_has_a_process_of_its_own(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import sys, client.web.app; sys.exit(bool({'torch', 'monai', 'opacus'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    monkeypatch.undo()
    aside = Desk(hospital).aside
    assert aside.answer("explain", STUDY) is None
    assert aside.is_running("explain", STUDY)
    ends = time.monotonic() + 120
    while (answer := aside.answer("explain", STUDY)) is None and time.monotonic() < ends:
        time.sleep(0.1)
    assert answer is not None
    assert answer.error is None
    assert answer.values[0]["digest"] == DIGEST


def test_a_command_that_fails_says_so(hospital: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("client.web.aside.PROGRAM", (sys.executable, "-c", "raise SystemExit('no room')"))
    answer = Aside(hospital.site_file)._run("explain", STUDY)
    assert answer == Answer(error="`wardround site explain` ended with code 1 and no answer. no room")
