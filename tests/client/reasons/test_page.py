import json
import re
import stat
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from client.reasons.page import page, write_page
from client.reasons.pictures import KeySlice, key_slices
from client.reasons.score import adds_up
from client.result import NOTICE, SCHEMA_FILE, Result, json_schema
from tests.client.data.inspection.test_page import HOSTILE, Seen
from tests.client.reasons.samples import SHAPE, finding, priority, reason, result


def seen(text: str) -> Seen:
    parser = Seen()
    parser.feed(text)
    return parser


def pictures() -> tuple[KeySlice, ...]:
    numbers = np.zeros(SHAPE, np.uint8)
    numbers[2:9, 2:9, 0] = 1
    image = np.random.default_rng(0).normal(size=(1, *SHAPE)).astype(np.float32)
    score = (numbers > 0).astype(np.float32)
    return key_slices(image, score, numbers, [finding()], affine=np.eye(4))


def test_the_page_says_all_that_the_result_holds() -> None:
    text = re.sub(r"\s+", " ", seen(page(result(), pictures(), notes=["A note."])).text)
    for said in (
        "As soon as possible",
        "Urgent with a probability of 63 %",
        "48 % to 76 % (95 % interval)",
        "largest finding 31.2 mm",
        "every scan starts with",
        "the calibration changes it by",
        "+1.43",
        "−0.31",
        "stat if largest finding were 47 mm or more (now 31.2 mm)",
        "symptom score",
        "31.2 × 22",
        "38–45",
        "31 right, 12 anterior, 40 inferior",
        "91 % (99 %)",
        "Sum of diameters 31.2 mm",
        "Finding 1: tumour, right",
        "A note.",
        "b" * 16,
        "c" * 16,
        "read 0.6, network 4.2",
        "scan-0007",
        "patient-0007",
        "2026-11-23 18:41 UTC",
    ):
        assert said in text, said
    assert text.count(NOTICE) == 2


def test_the_parts_are_shown_to_add_up_and_parts_that_do_not_are_an_alarm() -> None:
    assert adds_up(priority())
    assert "add up to it exactly" in page(result())
    wrong = priority(log_odds=np.nextafter(priority().log_odds, 9))
    assert not adds_up(wrong)
    text = page(result(priority=wrong))
    assert "do not use this priority" in text
    assert "add up to it exactly" not in text


def test_bars_meet_at_zero_and_are_as_long_as_their_log_odds() -> None:
    bars = re.findall(r'class="bar( down)?" style="margin-left: ([\d.]+)%; width: ([\d.]+)%"', page(result()))
    values = [-1.4, *(r.contribution for r in priority().reasons), 0.0333]
    assert len(bars) == len(values)
    zero = {round(float(start) + float(width) * bool(down), 1) for down, start, width in bars}
    assert len(zero) == 1
    for (down, _, width), value in zip(bars, values, strict=True):
        assert bool(down) == (value < 0)
        assert float(width) == pytest.approx(abs(value) / (1.4312 + 1.4) * 100, abs=0.01)


def test_a_scan_without_findings_calibration_or_pictures_has_a_page() -> None:
    text = seen(page(result(findings=(), priority=None, sum_of_diameters_mm=0))).text
    assert "No place in the reading order" in text
    assert "None above the smallest size" in text
    assert "What would change it" not in text


def test_nothing_missing_and_nothing_to_change_is_said() -> None:
    text = seen(page(result(priority=priority(missing=(), changes=())))).text
    assert "all of the history" in text
    assert "No single value" in text


def test_the_page_loads_nothing_and_every_picture_has_a_text() -> None:
    text = page(result(), pictures())
    parsed = seen(text)
    assert parsed.tags.count("img") == 2
    assert all(address.startswith("data:image/png;base64,") for address in parsed.loaded)
    assert not re.search(r"https?:|//|src=[^>\s]|url\(|@import", re.sub(r'"data:[^"]*"', "", text))
    assert "default-src 'none'" in text
    assert len(re.findall(r'alt="[^"]{30,}"', text)) == 2


def test_hostile_names_are_text() -> None:
    reasons = (reason(HOSTILE, f"{HOSTILE} 1: +0.00", 0.0),)
    hostile = priority(
        reasons=reasons, missing=(HOSTILE,), changes=(HOSTILE,), intercept=0, log_odds=0, calibration=0
    )
    text = page(
        result(
            case=HOSTILE,
            patient=HOSTILE,
            findings=(finding(name=HOSTILE),),
            priority=hostile,
            warnings=(HOSTILE,),
        ),
        notes=[HOSTILE],
    )
    assert "script" not in seen(text).tags
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 7  # the title names no case


def test_the_file_opens_for_its_owner_only(tmp_path: Path) -> None:
    write_page(tmp_path / "page.html", result(), pictures())
    assert stat.S_IMODE((tmp_path / "page.html").stat().st_mode) == 0o600
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page(result(), pictures())


def test_the_committed_schema_is_the_one_the_code_writes_and_a_result_fits_it(tmp_path: Path) -> None:
    assert json.loads(SCHEMA_FILE.read_text(encoding="utf-8")) == json_schema(), (
        "run: python -m client.result"
    )
    jsonschema.Draft202012Validator.check_schema(json_schema())
    for made in (result(), result(findings=(), priority=None)):
        made.write(tmp_path / "result.json")
        jsonschema.validate(json.loads((tmp_path / "result.json").read_text(encoding="utf-8")), json_schema())
        assert Result.read(tmp_path / "result.json") == made
        assert page(Result.read(tmp_path / "result.json")) == page(made)
