"""`wardround site waiting`, as a hospital types it and by its parts."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from client.waiting import FIRST_COME, LIMITED, ORDER, Options, Recorded, analyse, own_times
from shared.errors import ConfigError
from shared.queueing.classes import Reading, Triage
from shared.queueing.expected import expected
from wardround import app

POINT = {"sensitivity": 0.9, "specificity": 0.9}
FEW = {"scans": 2000}
MONDAY = datetime(2026, 3, 2)
LIMITS_H = {"routine": 4.0, "urgent": 2.0, "asap": None}


def judged(count: int = 300) -> pd.DataFrame:
    """Predictions that tell well; a tenth of the patients have no outcome, a fifth were trained on."""
    generator = np.random.default_rng(2)
    urgent = generator.random(count) < 0.2
    probability = np.clip(0.15 + 0.45 * urgent + generator.normal(0, 0.15, count), 0.01, 0.99)
    tier = np.select([probability >= p for p in (0.8, 0.5, 0.3)], ["stat", "asap", "urgent"], "routine")
    split = np.where(np.arange(count) % 5 == 0, "train", "test")
    outcome = np.where(np.arange(count) % 10 == 1, np.nan, urgent)
    return pd.DataFrame({"split": split, "probability": probability, "tier": tier, "urgent": outcome})


def known() -> pd.DataFrame:
    rows = judged()
    return rows[rows["urgent"].notna()]


def office_scans(per_day: int = 20, weeks: int = 4) -> list[datetime]:
    days = [MONDAY + timedelta(days=k) for k in range(7 * weeks) if k % 7 < 5]
    return [day + timedelta(hours=8, minutes=600 * k / per_day) for day in days for k in range(per_day)]


def sources(**options: Any) -> dict[str, tuple[str, str]]:
    recorded = options.pop("recorded", Recorded())
    found = analyse(Options.parse({**FEW, **options}, "a test"), recorded)
    return {a.name: (a.value, a.source) for a in found.assumptions}


def test_case_a_by_simulation_and_by_formula() -> None:
    found = analyse(Options(**POINT, scans=50_000), Recorded())
    order = found.waits[ORDER]
    assert found.formula[ORDER] == expected(Triage.at(prevalence=0.1, **POINT), Reading(utilisation=0.8))
    assert found.formula[FIRST_COME].diseased == pytest.approx(40)
    for group in ("diseased", "others", "missed"):
        formula = getattr(found.formula[ORDER], group)
        assert abs(order[group].mean - formula) < 1.5 * order[group].half_width
    assert LIMITED not in found.waits
    assert found.no_formula is None


def test_what_nobody_said_is_assumed_and_said_so() -> None:
    found = sources(**POINT, readers=2)
    assert found["readers"] == ("2", "option")
    assert found["sensitivity"] == ("0.9", "option")
    assert found["prevalence"] == ("0.1", "assumed")
    assert found["minutes a reading"] == ("10", "assumed")
    assert found["load"] == ("0.80", "assumed")
    assert found["longest wait, then a tier up"] == ("none", "assumed")


def test_the_sites_own_predictions_give_the_tiers() -> None:
    rows = known()
    source = f"this site's predictions, n = {len(rows)}"
    found = sources(recorded=Recorded(predictions=rows))
    assert found["prevalence"] == (f"{rows['urgent'].mean():.3g}", source)
    asap = np.mean(rows.loc[rows["urgent"] == 1, "tier"] == "asap")
    assert f"asap {asap:.2f}" in found["tiers of urgent patients"][0]
    assert sources(recorded=Recorded(predictions=rows), **POINT)["sensitivity"] == ("0.9", "option")


def test_the_sites_own_times_give_arrivals_readings_and_load() -> None:
    minutes = np.random.default_rng(3).exponential(12, 200)
    recorded = Recorded(arrivals=office_scans(), readings=list(minutes))
    found = sources(**POINT, recorded=recorded, hours="mon-fri 8-18")
    assert found["minutes a reading"] == (f"{minutes.mean():.1f}", "this site's worklist, n = 200")
    assert found["reading times"] == ("as seen here", "this site's worklist, n = 200")
    assert found["arrivals"] == ("by the hour of the week", "this site's worklist, n = 400")
    # 100 scans a week in 3000 open minutes; the last weekend is not within the days seen
    load = 100 * minutes.mean() / 3000
    assert found["load"] == (f"{load:.2f}", "arrivals × minutes / readers")
    assert sources(**POINT, recorded=recorded, utilisation=0.3)["load"] == ("0.30", "option")
    assert sources(**POINT, recorded=recorded, read_minutes=5.0)["minutes a reading"] == ("5", "option")


def test_readers_who_cannot_keep_up_are_told_before_anything_is_simulated() -> None:
    recorded = Recorded(arrivals=office_scans(per_day=80))
    with pytest.raises(ConfigError, match=r"load is 1\.33 .*More --readers"):
        analyse(Options(**POINT, hours="mon-fri 8-18"), recorded)
    analyse(Options(**POINT, **FEW, hours="mon-fri 8-18", readers=2), recorded)


def test_limits_are_the_sites_own_or_one_for_all() -> None:
    recorded = Recorded(predictions=known(), longest_wait_h=LIMITS_H)
    name = "longest wait, then a tier up"
    assert sources(recorded=recorded)[name] == ("urgent 2 h, routine 4 h", "site.yaml")
    assert sources(recorded=recorded, **POINT)[name] == ("routine 4 h", "site.yaml")
    assert sources(recorded=recorded, longest_wait_h=3.0)[name] == (
        "asap 3 h, urgent 3 h, routine 3 h",
        "option",
    )


def test_a_limit_shortens_the_longest_wait() -> None:
    typed = Options(**POINT, utilisation=0.9, longest_wait_h=3.0, scans=20_000)
    found = analyse(typed, Recorded())
    assert found.waits[LIMITED]["missed"].maximum < found.waits[ORDER]["missed"].maximum
    assert LIMITED not in found.formula


def test_without_a_constant_rate_there_is_no_formula() -> None:
    found = analyse(Options(**POINT, **FEW, hours="8-18"), Recorded())
    assert found.formula == {}
    assert found.no_formula is not None
    assert "always open" in found.no_formula


def test_the_best_threshold_is_told_where_outcomes_are_known() -> None:
    found = analyse(Options(scans=2000), Recorded(predictions=known()))
    assert found.point is not None
    assert found.threshold is not None
    assert 0.2 < found.threshold < 0.6
    rows = known()
    above = rows["probability"] >= found.threshold
    assert found.point.sensitivity == pytest.approx(above[rows["urgent"] == 1].mean())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no predictions with outcomes"),
        ({"sensitivity": 0.9}, "expected both"),
        ({**POINT, "arrivals": "days"}, "0 days"),
        ({**POINT, "scatter": "own"}, "0 reading times"),
        ({**POINT, "utilisation": 1.2}, "could not keep up"),
    ],
)
def test_what_cannot_be_known_is_asked_for(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        analyse(Options.parse({**FEW, **options}, "a test"), Recorded())


@dataclass(frozen=True)
class Scan:
    arrived: datetime
    claimed: datetime | None = None
    finished: datetime | None = None


def test_times_are_the_local_clocks_and_readings_those_that_were_done() -> None:
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    later = noon + timedelta(minutes=7.5)
    arrivals, readings = own_times([Scan(noon, noon, later), Scan(noon, noon), Scan(noon, later, noon)])
    assert arrivals == [noon.astimezone().replace(tzinfo=None)] * 3
    assert readings == [7.5]


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    judged().to_csv(tmp_path / "work" / "predictions.csv", index=False)
    (tmp_path / "site.yaml").write_text("name: hospital-a\ndata: .\nwork: work\n", encoding="utf-8")
    return tmp_path / "site.yaml"


def typed(*words: object) -> Result:
    arguments = ["site", "waiting", *map(str, words), "--scans", "2000"]
    return CliRunner().invoke(app, arguments, catch_exceptions=False, env={"COLUMNS": "140"})


def test_the_command_prints_what_it_rests_on_and_what_it_found(site_file: Path) -> None:
    done = typed(site_file, "--longest-wait", 2)
    assert done.exit_code == 0
    text = " ".join(done.stdout.split())
    judged_here = known()[known()["split"] == "test"]
    assert f"this site's predictions, n = {len(judged_here)}" in text
    assert "first come, first served" in text
    assert "by tier, longest wait" in text
    assert "would save the urgent most" in text


def test_its_json_is_the_same_for_the_same_seed(site_file: Path) -> None:
    words = (site_file, "--sensitivity", 0.9, "--specificity", 0.9, "--json")
    one, again, other = typed(*words), typed(*words), typed(*words, "--seed", 2)
    assert one.stdout == again.stdout
    assert one.stdout != other.stdout
    found = json.loads(one.stdout)
    assert set(found["waits"][ORDER]) == {"diseased", "others", "missed"}
    assert found["formula"][FIRST_COME]["diseased"] == pytest.approx(40)


def test_none_missed_is_said(site_file: Path) -> None:
    done = typed(site_file, "--sensitivity", 1, "--specificity", 0.5)
    assert "none is missed" in " ".join(done.stdout.split())


def test_a_list_of_one_day_is_no_pattern_and_ends_nothing() -> None:
    now = datetime(2026, 3, 2, 9, 0)
    recorded = Recorded(arrivals=[now + timedelta(minutes=k) for k in range(300)])
    found = {one.name: one.value for one in analyse(Options.parse(POINT, "test"), recorded).assumptions}
    assert found["arrivals"] == "at random, constant rate"
    with pytest.raises(ConfigError, match="arrival times of 1 days"):
        analyse(Options.parse({**POINT, "arrivals": "week"}, "test"), recorded)
