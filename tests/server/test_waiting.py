from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from server.report import write_report
from server.svg import COLOURS
from server.waiting import ASSUMED, minutes_along_roc, waiting, waiting_of
from shared.errors import ConfigError
from shared.queueing.classes import Triage
from shared.queueing.expected import expected
from tests.server.sample_results import rich_results

EDGES = np.linspace(-4, 4, 41)
LOWER = EDGES[:-1]


def histograms() -> tuple[list[int], list[int]]:
    generator = np.random.default_rng(6)
    diseased, others = generator.normal(0.5, 1.2, 80), generator.normal(-1.5, 1.2, 420)
    return (
        np.histogram(diseased, EDGES)[0].tolist(),
        np.histogram(others, EDGES)[0].tolist(),
    )


def test_the_best_threshold_is_the_one_that_saves_most() -> None:
    diseased, others = histograms()
    found = waiting(diseased, others, lower_log_odds=LOWER.tolist())
    assert found is not None
    assert (found.diseased, found.others) == (sum(diseased), sum(others))
    waits = []
    for cut in range(len(diseased) + 1):  # the long way round
        triage = Triage.at(
            prevalence=sum(diseased) / (sum(diseased) + sum(others)),
            sensitivity=sum(diseased[cut:]) / sum(diseased),
            specificity=sum(others[:cut]) / sum(others),
        )
        waits.append(expected(triage, ASSUMED).diseased)
    assert found.curve.best.bin == int(np.argmin(waits))
    assert found.curve.best.diseased == pytest.approx(40 - min(waits))
    assert found.threshold == pytest.approx(expit(LOWER[np.argmin(waits)]))


def test_the_studys_own_tiers_are_judged_too() -> None:
    found = waiting(*histograms(), bounds=[30, 20, 15])
    assert found is not None
    assert found.tiers is not None
    assert len(found.tiers.tiers) == 4
    assert found.tiers.diseased < 40 < found.tiers.missed
    assert found.threshold is None


@pytest.mark.parametrize("pair", [([0, 0], [1, 2]), ([1, 2], [0, 0])])
def test_without_patients_of_one_kind_there_is_no_section(pair: tuple[list[int], list[int]]) -> None:
    assert waiting(*pair) is None


def test_histograms_of_other_bins_are_refused() -> None:
    with pytest.raises(ConfigError, match="same bins"):
        waiting([1, 2], [1, 2, 3])


def test_the_figure_draws_three_lines_in_the_pages_colours() -> None:
    found = waiting(*histograms())
    assert found is not None
    drawn = str(found.figure)
    for colour in ("blue", "orange", "vermilion"):
        assert f"var(--{colour})" in drawn
        assert COLOURS[colour] not in drawn
    assert f"{found.curve.best.diseased:.1f}" in drawn
    assert drawn == str(minutes_along_roc(found.curve))


def test_the_report_has_the_section_and_says_what_it_assumes(tmp_path: Path) -> None:
    results = rich_results()
    assert results.calibration is not None
    without = results.calibration.model_copy(update={"scores": None})
    write_report(results, tmp_path / "with.html")
    write_report(results.model_copy(update={"calibration": without}), tmp_path / "without.html")
    page = " ".join((tmp_path / "with.html").read_text(encoding="utf-8").split())
    assert "What the order would save" in page
    assert "1 reader busy 80 % of the time, 10 minutes a reading" in page
    assert "Without an order everybody waits 40.0 minutes" in page
    assert "With the tiers of this study" in page
    assert "What the order would save" not in (tmp_path / "without.html").read_text(encoding="utf-8")


def test_the_section_is_that_of_the_pooled_scores_and_the_tiers_of_the_run() -> None:
    calibration = rich_results().calibration
    assert calibration is not None
    assert calibration.scores is not None
    found = waiting_of(calibration)
    assert found is not None
    assert found.diseased == sum(calibration.scores.positives)
    assert found.others == sum(calibration.scores.negatives)
    assert found.tiers is not None
    assert found.tiers.diseased < found.curve.first_come
    assert waiting_of(None) is None
