from pathlib import Path

import pytest

from server.job import START, STATISTICS
from server.web.drafts import Drafts, check
from server.web.office import Office
from server.web.writing import STARTER
from shared.errors import ConfigError
from shared.study import Study
from tests.browsing import Browser
from tests.server.web.sample import STUDY

TEXT = STARTER.read_text(encoding="utf-8")
BAD = "name: A b\ntask: {classes: [tumour]}\ntraning: {}\ntraining: {rounds: 0}\n"


def test_the_form_begins_with_the_study_of_the_documents(browser: Browser) -> None:
    documents = Path(__file__).parents[3] / "docs" / "study.yaml"
    assert documents.read_text(encoding="utf-8") == TEXT
    assert "name: first-study" in browser.get("/studies/write").text


def test_every_fault_is_told_at_its_key(browser: Browser) -> None:
    page = browser.submit("/studies/write", text=BAD).text
    assert "3 faults" in page
    for key in ("name", "traning", "training.rounds"):
        assert f"<code>{key}</code>" in page
    assert "unknown key" in page


@pytest.mark.parametrize("text", ["{", "a: b: c", "- 1", "", "x" * 100_001])
def test_what_is_no_study_at_all_is_told_and_breaks_nothing(text: str) -> None:
    found = check(text)
    assert found.study is None
    assert found.faults


def test_a_good_study_is_told_in_words(browser: Browser) -> None:
    page = browser.submit("/studies/write", text=TEXT).text
    assert "can be started" in page
    assert "hospital-a, hospital-b, hospital-c and hospital-d (n = 4); at least 2 must contribute" in page
    assert "113,142 weights" in page
    assert "no differential privacy" in page


def test_a_draft_is_kept_with_its_faults_and_found_again(browser: Browser, office: Office) -> None:
    browser.submit("/studies/keep", text=BAD, name="half-done")
    assert Drafts(office.settings).read("half-done") == BAD
    page = browser.get("/studies").text
    assert "half-done" in page
    assert "3 faults" in page
    assert "A b" in browser.get("/studies/write?draft=half-done").text


def test_a_draft_without_a_name_has_the_studys_own(browser: Browser, office: Office) -> None:
    browser.submit("/studies/keep", text=TEXT)
    assert Drafts(office.settings).names() == ["first-study"]


@pytest.mark.parametrize("name", ["../../coordinator", "A", "a b", "a/b", ".x"])
def test_a_draft_cannot_be_written_elsewhere(browser: Browser, office: Office, name: str) -> None:
    before = (office.settings.folder / "coordinator.yaml").read_bytes()
    assert browser.submit("/studies/keep", text=TEXT, name=name).status_code == 422
    assert Drafts(office.settings).names() == []
    assert (office.settings.folder / "coordinator.yaml").read_bytes() == before
    with pytest.raises(ConfigError, match="cannot be the name"):
        Drafts(office.settings).read(name)


def test_a_draft_is_deleted_after_it_was_confirmed(browser: Browser, office: Office) -> None:
    browser.submit("/studies/keep", text=TEXT)
    assert "keep their study" in browser.get("/studies/drop?draft=first-study").text
    assert Drafts(office.settings).names() == ["first-study"]
    browser.submit("/studies/drop", draft="first-study")
    assert Drafts(office.settings).names() == []


def test_a_run_is_asked_for_with_this_very_study(browser: Browser, office: Office) -> None:
    page = browser.submit("/studies/start", text=TEXT).text
    row = office.store.runs(("waiting",))[0]
    assert row.id in page
    assert row.study_digest == check(TEXT).study.digest()  # type: ignore[union-attr]


def test_statistics_are_asked_for_without_training(browser: Browser, office: Office) -> None:
    browser.submit("/studies/start", text=TEXT, kind="statistics")
    row = office.store.runs(("waiting",))[0]
    assert (office.folder(row.id) / STATISTICS).exists()


def test_a_study_with_faults_is_not_started(browser: Browser, office: Office) -> None:
    assert browser.submit("/studies/start", text=BAD).status_code == 422
    assert not office.store.runs(("waiting",))


def test_weights_come_from_the_coordinators_own_folder_or_a_finished_run(
    browser: Browser, office: Office, finished: list[str]
) -> None:
    study = Study.parse({**STUDY.model_dump(mode="json"), "start": "phantoms"}, "test")
    outside = office.settings.secrets / "admin.token"
    answer = browser.submit("/studies/start", text=study.to_yaml(), weights=str(outside))
    assert answer.status_code == 422
    assert "choose weights" in answer.text
    assert f"model of {finished[0]}" in answer.text
    browser.submit("/studies/start", text=study.to_yaml(), weights=f"model of {finished[0]}")
    row = office.store.runs(("waiting",))[0]
    model = office.folder(finished[0]) / "model" / "model.safetensors"
    assert (office.folder(row.id) / START).read_bytes() == model.read_bytes()


def test_an_observer_sees_studies_and_writes_none(watcher: Browser, office: Office) -> None:
    assert watcher.get("/studies").status_code == 200
    assert watcher.get("/studies/write").status_code == 403
    assert watcher.submit("/studies/keep", text=TEXT).status_code == 403
    assert watcher.submit("/studies/start", text=TEXT).status_code == 403
    assert not office.store.runs(("waiting",))
