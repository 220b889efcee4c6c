import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from client.validation import seismometer_report
from client.validation.seismometer_config import whole_percents
from client.validation.seismometer_report import render_many, write_inputs
from shared.errors import ConfigError, DataError

ROOT = Path(seismometer_report.__file__).parents[2]
THRESHOLDS = (0.29, 0.5)  # int(0.29 * 100) is 28


def scans(count: int, *, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    logit = rng.normal(-0.5, 1.5, count)
    probability = 1 / (1 + np.exp(-logit))
    # Scores at 28 % are flagged by int(0.29 * 100) but not by 0.29.
    probability[: count // 10] = 0.285
    tier = np.select([probability >= 0.5, probability >= 0.29], ["asap", "urgent"], "routine")
    return pd.DataFrame(
        {
            "patient": [f"patient-{i // 2}" for i in range(count)],
            "case": [f"case-{i}" for i in range(count)],
            "probability": probability,
            "finding_probability": 1 / (1 + np.exp(-logit - rng.normal(size=count))),
            "urgent": (rng.uniform(size=count) < probability).astype(int),
            "tier": tier,
            "age": rng.uniform(40, 90, count),
            "sex_male": rng.integers(0, 2, count),
            "ScanTimeGap": rng.uniform(0, 99, count),  # seismometer would guess a date from such a name
        }
    )


class Sites:
    """Four sites, the first of them rendered twice, in one call."""

    def __init__(self, folder: Path) -> None:
        self.rows = {
            "large": scans(180, seed=1),
            "tiny": scans(7, seed=2),
            "calm": scans(40, seed=3).assign(urgent=0),
            "shifted": scans(60, seed=4),
        }
        for name, rows in self.rows.items():
            write_inputs(folder / name, rows, site=name, thresholds=THRESHOLDS)
        events = folder / "shifted" / "data" / "events.parquet"
        late = pd.read_parquet(events)
        late.loc[late.index[::2], "event_time"] += pd.Timedelta(days=3650)
        late.to_parquet(events)
        order = ["large", "large", "shifted", "tiny", "calm"]
        outputs = [folder / f"{i}-{name}.html" for i, name in enumerate(order)]
        self.errors = render_many([(folder / n, o) for n, o in zip(order, outputs, strict=True)], workers=2)
        self.pages = [o.read_text(encoding="utf-8") if o.exists() else None for o in outputs]

    def page(self, index: int) -> str:
        page = self.pages[index]
        assert page is not None, self.errors[index]
        return page


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Sites:
    return Sites(tmp_path_factory.mktemp("sites"))


def words(page: str, title: str) -> str:
    section = re.search(rf"<h2>{re.escape(title)}</h2>(.*?)</section>", page, flags=re.DOTALL)
    assert section, title
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]*>", " ", section[1], flags=re.DOTALL))


def sensitivity(rows: pd.DataFrame, threshold: float) -> float:
    urgent = [p for p, y in zip(rows["probability"], rows["urgent"], strict=True) if y]
    return float(np.mean([p >= threshold for p in urgent]))


def specificity(rows: pd.DataFrame, threshold: float) -> float:
    other = [p for p, y in zip(rows["probability"], rows["urgent"], strict=True) if not y]
    return float(np.mean([p < threshold for p in other]))


def auroc(rows: pd.DataFrame, score: str) -> float:
    urgent, other = rows.loc[rows["urgent"] == 1, score], rows.loc[rows["urgent"] == 0, score]
    return float(np.mean([(p > q) + (p == q) / 2 for p in urgent for q in other]))


def test_figures_in_the_table_are_those_counted_from_the_rows(sites: Sites) -> None:
    rows = sites.rows["large"]
    text = words(sites.page(0), "Figures at the thresholds")
    for score in ("probability", "finding_probability"):
        row = re.search(rf" {score} Urgent outcome ([\d. ]+)", text)
        assert row, text
        positives, area, *at_thresholds = (float(number) for number in row[1].split())
        scored = rows.assign(probability=rows[score])
        assert positives == rows["urgent"].sum()
        assert area == pytest.approx(auroc(rows, score), abs=2e-3)
        for threshold, found in zip(THRESHOLDS, (at_thresholds[:4], at_thresholds[4:]), strict=True):
            assert found[0] == pytest.approx(sensitivity(scored, threshold), abs=5.1e-4)
            assert found[1] == pytest.approx(specificity(scored, threshold), abs=5.1e-4)
            assert found[3] == pytest.approx((scored["probability"] >= threshold).mean(), abs=5.1e-4)


def test_the_roc_figure_states_the_exact_area(sites: Sites) -> None:
    text = words(sites.page(0), "Performance of the priority score")
    assert f"AUROC = {auroc(sites.rows['large'], 'probability'):.2f} (" in text


def test_dots_in_the_flag_rate_panel_lie_at_the_thresholds(sites: Sites) -> None:
    rows = sites.rows["large"]
    panel = sites.page(0).split('id="axes_2"')[1].split('id="axes_3"')[0]
    marks = [(float(x), float(y)) for x, y in re.findall(r'<use [^>]*x="([\d.]+)" y="([\d.]+)"', panel)]
    (left, bottom), (right, _), (_, top) = marks[0], marks[5], marks[11]  # ticks 0.0 and 1.0 of either axis
    dots = [((x - left) / (right - left), (bottom - y) / (bottom - top)) for x, y in marks[12:]]
    for threshold in THRESHOLDS:
        flagged = (float((rows["probability"] >= threshold).mean()), sensitivity(rows, threshold))
        assert any(dot == pytest.approx(flagged, abs=1e-4) for dot in dots), (flagged, dots)


def test_groups_are_compared_at_the_threshold_itself_and_not_one_percent_below(sites: Sites) -> None:
    rows = sites.rows["large"]
    text = words(sites.page(0), "Equal performance at 29 %")
    for sex, name in ((0, "female"), (1, "male")):
        group = rows[rows["sex_male"] == sex]
        true, lower = (f"{specificity(group, t):.2f}" for t in (0.29, 0.28))
        assert true != lower
        row = re.search(rf" {name} {len(group)} \S+ ([\d.]+) (?:\(\S+\) )?\S+ ([\d.]+)", text)
        assert row, text
        assert row.groups() == (f"{sensitivity(group, 0.29):.2f}", true)


def test_scans_and_urgent_outcomes_go_in_as_they_come_out(sites: Sites) -> None:
    rows = sites.rows["large"]
    expected = f"n = {len(rows)} scans, {rows['urgent'].sum()} of them urgent, {len(rows) // 2} patients"
    assert expected in words(sites.page(0), "What was judged")
    counts = words(sites.page(0), "Who is in the data")
    for tier, group in rows.groupby("tier"):
        assert f" {tier} {len(group)} " in counts


def test_a_large_site_gets_every_section(sites: Sites) -> None:
    page = sites.page(0)
    assert "Not shown" not in page
    assert page.count("<svg") == 4
    assert "<h2>By Age (years)</h2>" in page
    assert "<h2>By Sex</h2>" in page


def test_the_page_says_what_it_is(sites: Sites) -> None:
    title = re.search(r"<title>(.*)</title>", sites.page(0))
    assert title
    assert title[1] == (
        "Validation of Wardround at large · stays at the hospital: patient-derived · "
        "research use, not a medical device"
    )


def test_a_site_with_too_little_data_is_told_so_with_its_counts(sites: Sites) -> None:
    tiny, calm = sites.rows["tiny"], sites.rows["calm"]
    for index, rows in ((3, tiny), (4, calm)):
        size = f"Not shown: n = {len(rows)} scans, {rows['urgent'].sum()} of them urgent."
        assert size in words(sites.page(index), "Performance of the priority score")
    assert "routine" in words(sites.page(4), "Who is in the data")


def test_outcomes_outside_the_window_end_the_report_of_that_site_only(sites: Sites) -> None:
    assert [error is None for error in sites.errors] == [True, True, False, True, True]
    urgent = sites.rows["shifted"]["urgent"]
    assert f"sees 60 scans, {urgent[1::2].sum()} of them urgent; expected 60 and {urgent.sum()}" in str(
        sites.errors[2]
    )
    assert sites.pages[2] is None


def test_equal_inputs_give_equal_bytes(sites: Sites) -> None:
    assert sites.page(0) == sites.page(1)


class Loads(HTMLParser):
    """Collects whatever a browser would fetch or run, and tables left open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open_tables = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open_tables += tag == "table"
        if tag in {"script", "link", "iframe", "object", "embed", "img", "base"}:
            self.found.append(tag)
        for name, value in attrs:
            local = (value or "").startswith("#")
            if (name in {"src", "href", "xlink:href", "srcset", "data"} and not local) or name.startswith(
                "on"
            ):
                self.found.append(f"{tag} {name}={value}")
            self._style(value or "" if name != "content" else "")

    def handle_endtag(self, tag: str) -> None:
        self.open_tables -= tag == "table"

    def handle_data(self, data: str) -> None:
        self._style(data)

    def _style(self, text: str) -> None:
        self.found += re.findall(r"@import[^;]*|url\((?!['\"]?#)[^)]*\)", text)


def test_the_page_loads_and_runs_nothing(sites: Sites) -> None:
    for index in (0, 3, 4):
        page = Loads(sites.page(index))
        assert page.found == []
        assert page.open_tables == 0


def test_a_process_that_dies_costs_one_report_only() -> None:
    program = """
import os, sys
from pathlib import Path
from client.validation import seismometer_report as report
report._attempt = lambda folder, _: os.kill(os.getpid(), 9) if folder.name == "bad" else None
sys.exit(report._attempt_all([(Path(name), Path(name)) for name in ("a", "bad", "b", "c", "bad")], 2))
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False
    )
    answers = dict(map(json.loads, ended.stdout.splitlines()))
    assert {index for index, text in answers.items() if text is None} == {0, 2, 3}
    assert "ended by signal 9" in answers[1]
    assert "ended by signal 9" in answers[4]
    assert ended.returncode == DataError.exit_code


def test_what_python_said_is_kept_when_nothing_could_be_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho '[1, null]'\necho no such module >&2\nexit 7\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    first, second = render_many([(tmp_path, tmp_path)] * 2, workers=2)
    assert first == "drawing ended with code 7 before this report; it last said: no such module"
    assert second is None


def test_no_sites_and_no_workers(tmp_path: Path) -> None:
    assert render_many([], workers=2) == []
    with pytest.raises(ConfigError, match="workers is 0"):
        render_many([(tmp_path, tmp_path)], workers=0)


def test_a_folder_without_inputs_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no config\.yml"):
        seismometer_report.render(tmp_path, tmp_path / "report.html")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probability": 1.2}, "20 of 20 values of probability"),
        ({"finding_probability": float("nan")}, "20 of 20 values of finding_probability"),
        ({"urgent": 2}, "20 of 20 outcomes are not 0 or 1"),
        ({"case": "same"}, "19 of 20 rows repeat a case"),
    ],
)
def test_rows_that_cannot_be_judged_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        write_inputs(tmp_path, scans(20, seed=5).assign(**change), site="a", thresholds=THRESHOLDS)
    assert not list(tmp_path.iterdir())


def test_missing_columns_and_empty_tables_are_refused(tmp_path: Path) -> None:
    rows = scans(20, seed=5)
    with pytest.raises(DataError, match=r"lack \['case', 'tier'\]"):
        write_inputs(tmp_path, rows.drop(columns=["case", "tier"]), site="a", thresholds=THRESHOLDS)
    with pytest.raises(DataError, match="found 0 rows"):
        write_inputs(tmp_path, rows.head(0), site="a", thresholds=THRESHOLDS)


def test_thresholds_become_whole_percents_that_survive_truncation() -> None:
    assert whole_percents([0.5, 0.291, 0.29]) == (29, 50)
    for percent in range(1, 100):
        assert whole_percents([percent / 100]) == (percent,)
        assert int((percent / 100 + 1e-9) * 100) == percent
    for useless in ([], [0.001], [0.5, 0.999]):
        with pytest.raises(ConfigError, match=r"from 0\.01 to 0\.99"):
            whole_percents(useless)
