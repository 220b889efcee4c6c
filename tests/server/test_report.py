import itertools
import json
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.figures import _apart, coefficients, learning_curves, models_compared
from server.priority_figures import Coefficient
from server.report import Overlay, cards, verdict, write_report
from server.report_text import bound, duration, fraction, rate, size, skipped
from server.results import Comparison, Judged, Results, Spread, Worst
from server.svg import COLOURS
from shared.errors import DataError
from tests.server.sample_results import (
    minimal_results,
    overlays,
    results_on_points,
    rich_results,
    tumour_free,
)

EVIL = "<script>alert('$x^$')</script>\"&"
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """What a browser would see: tags, attributes, text; tags must close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data if self._open[-1:] != ["style"] else ""


def render(results: Results, folder: Path, **keywords: object) -> str:
    write_report(results, folder / "report.html", **keywords)  # type: ignore[arg-type]
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def rich() -> Results:
    return rich_results()


@pytest.fixture(scope="module")
def page(rich: Results, tmp_path_factory: pytest.TempPathFactory) -> str:
    return render(
        rich, tmp_path_factory.mktemp("rich"), overlays=overlays(), notes=["All patients are simulated."]
    )


def tumour_free_results() -> Results:
    figures = tumour_free()
    judged = Judged(
        pooled=figures,
        sites={"hospital-a": figures},
        worst=Worst(site="hospital-a", dice=1.0),
        spread=Spread(min=1.0, max=1.0, standard_deviation=0.0),
    )
    return minimal_results().model_copy(update={"evaluation": Comparison(federated=judged)})


def test_the_page_loads_nothing_from_outside_and_runs_nothing(page: str) -> None:
    assert "://" not in page
    seen = Page(page)
    assert not {tag for tag, _ in seen.tags} & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for _, attributes in seen.tags:
        assert (attributes.get("src") or "data:").startswith(
            "data:image/png;base64,"
        ) or "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
        assert not [name for name in attributes if name.startswith(("on", "xmlns"))]
    assert re.findall(r"url\((?!#)", page) == []
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_a_name_that_is_code_is_shown_and_does_nothing(rich: Results, tmp_path: Path) -> None:
    text = json.dumps(rich.model_dump(mode="json", by_alias=True)).replace(
        "hospital-a", json.dumps(EVIL)[1:-1]
    )
    text = text.replace("not_finite", json.dumps(EVIL)[1:-1])
    evil = render(Results.parse(json.loads(text), "test"), tmp_path, overlays={EVIL: []}, notes=[EVIL])
    seen = Page(evil)
    assert "script" not in {tag for tag, _ in seen.tags}
    assert seen.text.count(EVIL) >= 5
    assert EVIL[:19] in "".join(re.findall(r">([^<]*)</text>", evil)).replace("&lt;", "<").replace(
        "&gt;", ">"
    )


@pytest.mark.parametrize("make", [minimal_results, tumour_free_results])
def test_a_run_with_little_to_say_renders(make: type, tmp_path: Path) -> None:
    seen = Page(render(make(), tmp_path))
    assert "No site contributed to any round: nothing was trained." in seen.text
    assert "0 of 2 replies used, 2 failed" in seen.text
    assert "failed: data" in seen.text
    assert "Research use, not a medical device." in seen.text


def test_what_is_undefined_says_why(tmp_path: Path) -> None:
    text = Page(render(tumour_free_results(), tmp_path)).text
    assert text.count("not defined (no positive scans)") == 2 * 3  # Dice where present, sensitivity, AUROC
    assert "1.00 (0.57 to 1.00), n = 5" in text
    assert "None" not in text
    assert "nan" not in text


def test_where_points_are_the_truth_az_stands_for_what_points_cannot_say(page: str, tmp_path: Path) -> None:
    results = results_on_points()
    text = Page(render(results, tmp_path)).text
    rows = text.split("The shared model at each site")[1].split("Between sites")[0]
    figures = [" ".join(line.split()) for line in rows.splitlines() if line.strip()]
    assert "0.80exact" in figures
    assert "1.00exact" in figures
    assert "not defined (one kind of points only)" in figures
    assert "Sensitivity" not in text
    assert "0 positive" not in text
    assert "None" not in text
    (az,) = [card for card in cards(results) if card.name == "Az"]
    assert az.value == "0.80"
    assert "Az" not in Page(page).text.split()


def test_the_headline_numbers_are_those_of_the_results(rich: Results, page: str) -> None:
    evaluation, calibration = rich.evaluation, rich.calibration
    assert evaluation.federated is not None
    assert evaluation.pooled_training is not None
    assert calibration is not None
    best = max(m.pooled.dice or 0 for m in evaluation.local_only.values())
    expected = [
        f"{evaluation.federated.pooled.dice:.2f}",
        f"{best:.2f}",
        f"{evaluation.pooled_training.pooled.dice:.2f}",
        f"{calibration.before.ece:.2f} → {calibration.after.ece:.2f}",
    ]
    assert [card.value for card in cards(rich)] == expected
    seen = Page(page).text
    for site, figures in evaluation.federated.sites.items():
        low, high = figures.sensitivity_interval or (0, 0)
        assert f"{figures.sensitivity:.2f} ({low:.2f} to {high:.2f}), n = {figures.positives}" in seen, site
    for name, coefficient in calibration.coefficients.items():
        assert f"{coefficient.estimate:+.2f} ± {1.96 * coefficient.standard_error:.2f}" in seen, name  # type: ignore[operator]
    assert rich.study_digest in seen


def test_the_calibration_is_told_with_all_that_was_compared_and_promised(rich: Results, page: str) -> None:
    calibration = rich.calibration
    assert calibration is not None
    assert calibration.map is not None
    text = " ".join(Page(page).text.split())
    assert calibration.map.why in text
    for one in calibration.map.candidates:
        assert f"{one.log_loss:.4f}" in text, one.kind
    for brier in (calibration.brier_before, calibration.brier_after):
        assert brier is not None
        for part in (brier.reliability, brier.resolution, brier.uncertainty, brier.within_bins):
            assert f"{part:.4f}" in text
    for name, site in calibration.sites.items():
        assert f"{site.intercept:+.2f}" in text, name
        if site.slope is not None and site.slope_error is not None:
            assert f"{site.slope:+.2f} ± {1.96 * site.slope_error:.2f}" in text, name
    assert "sensitivity 0.90 (0.80 to 0.95), n = " in text
    assert "sensitivity 0.81" in text  # what the pooled rule would have done
    assert text.count("the lowest bound of all sites: nothing is guaranteed here") == 6
    assert "counts not released" in text
    for guarantee in calibration.guarantees.values():
        assert guarantee in text
    assert "standard deviation between sites is 0.30" in text


def test_the_temperature_of_the_map_is_told_with_its_bounds_and_its_patients(
    rich: Results, page: str, tmp_path: Path
) -> None:
    v = rich.voxels
    assert v is not None
    assert v.before is not None
    assert v.after is not None
    text = " ".join(Page(page).text.split())
    start = text.index("Can the probability map be taken at its word?")
    said = text[start : text.index("What the order would save", start)]
    for expected in (
        f"temperature {v.temperature:.2f}",
        f"({v.low:.2f} to {v.high:.2f}",
        "n = 60 validation patients",
        f"before60{v.before.ece:.4f}{v.before.log_loss:.4f}",
        f"after60{v.after.ece:.4f}{v.after.log_loss:.4f}",
        f"{v.after.called_probability:.3f}{v.after.called_observed:.3f}{v.after.called_log_loss:.4f}",
    ):
        assert expected in said
    assert "not used" not in said
    refused = render(rich.model_copy(update={"voxels": v.model_copy(update={"used": False})}), tmp_path)
    assert "It is not used: it would serve the background" in " ".join(Page(refused).text.split())
    none = v.model_copy(update={"temperature": None, "used": False, "after": None})
    page = render(rich.model_copy(update={"voxels": none}), tmp_path)
    assert "No temperature fits the n = 60 validation patients" in " ".join(Page(page).text.split())
    unjudged = v.model_copy(update={"judged": (), "before": None, "after": None, "low": None})
    other = render(rich.model_copy(update={"voxels": unjudged}), tmp_path)
    assert "not judged" in other
    assert "(no bound to" in " ".join(Page(other).text.split())


def test_every_reply_and_every_skipped_case_is_accounted_for(rich: Results, page: str) -> None:
    text = Page(page).text
    assert "29 of 32 replies used, 1 failed, 1 late, 1 refused" in text
    assert len(re.findall(r'class="status ', page)) == 32 + len(rich.events)
    assert "failed: policy.minimum" in text
    for part in ("late: deadline", "refused: not finite", "failed: data", "3 unreadable"):
        assert part in text
    assert skipped(rich.sites["hospital-c"]) == ["1 label missing (case_011)", "1 shape differs (case_029)"]


def test_the_verdict_claims_nothing_that_the_numbers_do_not_bear_out(rich: Results) -> None:
    federated = rich.evaluation.federated
    assert federated is not None
    assert "better than every model trained at one site alone" in verdict(rich)
    weak = federated.model_copy(update={"pooled": federated.pooled.model_copy(update={"dice": 0.5})})
    evaluation = rich.evaluation.model_copy(update={"federated": weak})
    assert "better than 2 of 4 models" in verdict(rich.model_copy(update={"evaluation": evaluation}))
    sites = {name: figures.model_copy(update={"dice": 1.0}) for name, figures in federated.sites.items()}
    ahead = rich.evaluation.model_copy(update={"federated": federated.model_copy(update={"sites": sites})})
    assert "still ahead" not in verdict(rich.model_copy(update={"evaluation": ahead}))
    sites |= {name: sites[name].model_copy(update={"dice": 0.0}) for name in ("hospital-b", "hospital-d")}
    behind = rich.evaluation.model_copy(update={"federated": federated.model_copy(update={"sites": sites})})
    assert "On the scans of hospital-b and hospital-d the site's own model is still ahead." in verdict(
        rich.model_copy(update={"evaluation": behind})
    )


def test_equal_results_give_equal_pages(rich: Results, page: str, tmp_path: Path) -> None:
    again = render(rich, tmp_path, overlays=overlays(), notes=["All patients are simulated."])
    assert again == page


def test_figures_take_every_colour_and_font_from_the_page(page: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) == 5
    for drawing in drawings:
        assert re.findall(r'"#[0-9a-f]{6}"', drawing) == []
        assert "style=" not in drawing  # a page may forbid them
        assert "DejaVu" not in drawing
    ids = re.findall(r'<(?:clipPath|path|g)[^>]* id="([^"]+)"', "".join(drawings))
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"--(\w+)\)", "".join(drawings))) <= {*COLOURS, "font"}


def test_more_sites_than_colours_still_give_readable_curves(rich: Results) -> None:
    rounds = []
    for r in rich.rounds:
        assert r.validation is not None
        sites = {f"site-{k:02d}": r.validation.sites["hospital-a"] for k in range(30)}
        rounds.append(r.model_copy(update={"validation": r.validation.model_copy(update={"sites": sites})}))
    drawing = learning_curves(rounds)
    assert "site-" not in re.sub(r"<title.*?</title>", "", drawing)
    assert "all sites" in drawing


def test_models_without_any_defined_dice_are_drawn_as_nothing(rich: Results) -> None:
    assert rich.evaluation.federated is not None
    empty = tumour_free().model_copy(update={"dice": None})
    judged = rich.evaluation.federated.model_copy(update={"pooled": empty, "sites": {"hospital-a": empty}})
    assert "hospital-a" in models_compared(Comparison(federated=judged))


def test_an_overlay_that_is_no_png_is_refused() -> None:
    with pytest.raises(DataError, match="expected a PNG"):
        Overlay("case_001", b"GIF89a")


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=9).map(sorted))
def test_labels_are_moved_apart_in_order_and_stay_inside(values: list[float]) -> None:
    moved = _apart(values, gap=0.1, low=0.0, high=1.0)
    assert all(b - a >= 0.1 - 1e-9 for a, b in itertools.pairwise(moved))
    assert moved[0] >= -1e-9
    assert moved[-1] <= 1 + 1e-9


def test_numbers_carry_their_unit_and_their_basis() -> None:
    assert [duration(s) for s in (0.04, 12.34, 59.96, 287.4, 7500)] == [
        "0.0 s",
        "12.3 s",
        "1 min 00 s",
        "4 min 47 s",
        "2 h 05 min",
    ]
    assert [size(n) for n in (0, 12_345, 999_999, 4_812_000)] == ["0 kB", "12 kB", "1.0 MB", "4.8 MB"]
    assert fraction(None, "no scans") == "not defined (no scans)"
    assert rate(0.5, (0.1, 0.9), 4, "") == "0.50 (0.10 to 0.90), n = 4"
    assert [bound(0.0), bound(0.00123)] == ["exact", "± 0.0012"]


def test_a_site_that_answered_rounds_but_enrolled_nothing_is_not_left_out(tmp_path: Path) -> None:
    minimal = minimal_results()
    late = minimal.rounds[0].sites["hospital-b"].model_copy(update={"status": "late", "reason": "deadline"})
    rounds = (minimal.rounds[0].model_copy(update={"sites": {"hospital-z": late}}),)
    text = Page(render(minimal.model_copy(update={"rounds": rounds}), tmp_path)).text
    assert "hospital-z" in text
    assert "late: deadline" in text
    assert text.count("not asked") == 2


def test_a_sites_own_intercept_is_called_by_the_site_in_the_figure() -> None:
    names = ("intercept", "intercept[hospital-a]")
    fitted = {name: Coefficient(estimate=0.5, standard_error=0.1) for name in names}
    drawn = str(coefficients(fitted))
    assert "at hospital-a" in drawn
    assert "intercept[" not in drawn
