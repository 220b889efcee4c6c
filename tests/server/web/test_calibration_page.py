import re

import pytest

from server.priority_figures import Detection
from server.web.calibration import Realised, realised
from tests.browsing import Browser
from tests.server.sample_results import rich_results


def test_runs_with_a_reading_order_are_listed_with_before_and_after(
    browser: Browser, finished: list[str]
) -> None:
    page = browser.get("/calibration").text
    assert finished[0] in page
    assert finished[1] not in page  # it has none
    assert browser.get(f"/calibration/{finished[1]}").status_code == 404


def test_the_page_says_what_the_report_says(browser: Browser, finished: list[str]) -> None:
    page = browser.get(f"/calibration/{finished[0]}").text
    report = browser.get(f"/runs/{finished[0]}/report").text
    for part in (
        "At least 95 % of the urgent patients of hospital-a, with 95 % confidence.",
        "platt: held-out log loss 0.4012, the lowest of 2 on 160 patients",
        "log-odds of being urgent, per unit of the term",
    ):
        assert part in report
        assert part in page
    bars = re.compile(r'aria-label="Reliability.*?</svg>', flags=re.DOTALL)
    assert bars.findall(page) == bars.findall(report) != []


def test_each_tier_at_each_site_stands_beside_its_target() -> None:
    results = rich_results()
    assert results.calibration is not None
    found = realised(results.calibration, results)
    assert len(found) == 3 * 4
    assert {each.target for each in found if each.tier == "urgent"} == {0.95}
    fixed = {**results.study, "priority": {**results.study["priority"], "tiers": {"urgent": 0.2}}}
    assert {
        each.target for each in realised(results.calibration, results.model_copy(update={"study": fixed}))
    } == {None}


@pytest.mark.parametrize(
    ("interval", "target", "words"),
    [
        ((0.96, 0.99), 0.95, "above the target"),
        ((0.5, 0.9), 0.95, "below the target"),
        ((0.8, 0.97), 0.95, "cannot tell"),
        (None, 0.95, "not known"),
        ((0.8, 0.97), None, "no target"),
    ],
)
def test_an_interval_that_holds_the_target_decides_nothing(
    interval: tuple[float, float] | None, target: float | None, words: str
) -> None:
    found = Detection(
        threshold=0.1,
        rule="site",
        sensitivity=None if interval is None else sum(interval) / 2,
        sensitivity_interval=interval,
        specificity=None,
        specificity_interval=None,
    )
    assert words in Realised("a", "urgent", target, found, 9).verdict[1]
