import pytest

from server.results import Results
from server.web.comparing import Difference, differences, hindrances, rows
from tests.browsing import Browser
from tests.server.sample_results import minimal_results, rich_results
from tests.server.web.sample import other_results


@pytest.fixture(scope="module")
def first() -> Results:
    return rich_results()


def test_only_keys_that_differ_are_named_and_the_name_is_none(first: Results) -> None:
    other = {**first.study, "name": "another", "training": {**first.study["training"], "rounds": 9}}
    assert differences(first.study, other) == [Difference("training.rounds", "5", "9")]
    assert differences(first.study, first.study) == []


def test_a_term_more_is_a_difference_of_its_keys(first: Results) -> None:
    priority = {**first.study["priority"], "terms": first.study["priority"]["terms"][:-1]}
    found = differences(first.study, {**first.study, "priority": priority})
    assert Difference("priority.terms.6.feature", "days_since_last_scan", "not set") in found


def test_the_same_patients_can_be_compared(first: Results) -> None:
    assert hindrances(first, other_results(first)) == []


def test_another_split_other_counts_and_no_judgement_are_told(first: Results) -> None:
    split = {**first.study, "evaluation": {**first.study["evaluation"], "split_salt": "x"}}
    assert "evaluation.split_salt" in hindrances(first, first.model_copy(update={"study": split}))[0]
    judged = first.evaluation.federated
    assert judged is not None
    fewer = judged.sites["hospital-a"].model_copy(update={"scans": 7})
    sites = {**judged.sites, "hospital-a": fewer}
    del sites["hospital-d"]
    changed = first.model_copy(
        update={
            "evaluation": first.evaluation.model_copy(
                update={"federated": judged.model_copy(update={"sites": sites})}
            )
        }
    )
    told = " ".join(hindrances(first, changed))
    assert "hospital-a was tested on 61 scans in one run and 7 in the other" in told
    assert "only one of the runs has hospital-d" in told
    assert "The model of the second run was not judged" in " ".join(hindrances(first, minimal_results()))


def test_each_site_stands_with_both_scores_their_n_and_the_difference(first: Results) -> None:
    together, *sites = rows(first, other_results(first))
    assert [row.site for row in sites] == ["hospital-a", "hospital-b", "hospital-c", "hospital-d"]
    assert together.dice.gain == pytest.approx(-0.031)
    assert together.dice.first_n == together.dice.second_n == 122
    assert sites[0].ece.first_n == 40
    assert sites[0].ece.second is None
    assert sites[0].ece.gain is None


def test_the_page_shows_two_runs_in_one_figure(browser: Browser, finished: list[str]) -> None:
    first, second = finished
    page = browser.get("/compare", params={"first": first, "second": second}).text
    assert "training.learning_rate" in page
    assert "-0.03" in page
    assert page.count('class="plot"') == 1
    assert "not of the same patients" not in page


def test_a_run_is_not_compared_with_itself_or_with_none(browser: Browser, finished: list[str]) -> None:
    same = browser.get("/compare", params={"first": finished[0], "second": finished[0]}).text
    assert "two different runs" in same
    none = browser.get("/compare", params={"first": finished[0], "second": "../../secrets"}).text
    assert "there are no results" in none
