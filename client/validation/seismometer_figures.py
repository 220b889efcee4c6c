"""What of seismometer goes into a site's report, and one sentence on how to read each part.

Its calibration is read the other way round than its user guide says; its lead times and dates are left out,
because the times in our data are invented (see `seismometer_config`).
"""

import html
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from client.validation.seismometer_config import (
    CENSOR_MIN_COUNT,
    EVENT,
    NETWORK_SCORE,
    SCORE,
    TIER_COHORT,
    whole_percents,
)

FAIR_RATIO = 0.25  # seismometer's usual limit: a group is marked outside 0.80 to 1.25 of the largest one
# seismometer's own marks are emoji: hospital machines lack the font and printers do not tell them apart.
_MARKS = str.maketrans({"🔹": "◆", "🟢": "●", "🔼": "△", "🔽": "▽", "🔺": "▲", "🔻": "▼", "❔": "?"})


def sections(board: Any) -> Iterator[str]:
    """Yield the report's sections as HTML, in order; `board` is the loaded Seismogram.

    A part that this site has too little data for says so in words, with the counts.
    """
    import seismometer as sm  # noqa: PLC0415  # seconds, and only the process that draws needs it
    from seismometer.data.performance import BinaryClassifierMetricGenerator  # noqa: PLC0415
    from seismometer.table.analytics_table import binary_analytics_table  # noqa: PLC0415
    from seismometer.table.fairness import binary_metrics_fairness_table  # noqa: PLC0415

    scans, urgent = len(board.dataframe), int(board.dataframe[board.target].sum())
    size = f"n = {scans} scans, {urgent} of them urgent"
    percents = whole_percents(board.thresholds)
    thresholds = [percent / 100 for percent in percents]
    # Asked for 25 % exactly, seismometer puts its dot at 26 % in the panels that are drawn from a grid.
    dots = [threshold - 1e-9 for threshold in thresholds]
    judged = scans > CENSOR_MIN_COUNT and 0 < urgent < scans
    cohorts: dict[str, list[str]] = board.available_cohort_groups
    # A tier is a band of the score itself: it is counted, but judging the score within it means nothing.
    compared = {name: groups for name, groups in cohorts.items() if name != TIER_COHORT}
    metrics = BinaryClassifierMetricGenerator()

    def part(title: str, sentence: str, possible: bool, draw: Callable[[], Any]) -> str:
        return _section(title, sentence, _drawn(draw, size) if possible else _missing(size))

    yield _section(
        "What was judged",
        f"{size}, {board.entity_count} patients. A scan is flagged when its score reaches the threshold; "
        f"thresholds: {', '.join(f'{percent} %' for percent in percents)}.",
    )
    yield part(
        "Figures at the thresholds",
        "The priority score (probability) above what the network alone saw (finding_probability); "
        "the AUROC in this table is a sum over steps of 0.001.",
        judged,
        lambda: binary_analytics_table(
            target_cols=[board.target],
            score_cols=[SCORE, NETWORK_SCORE],
            metric="Threshold",
            metric_values=thresholds,
            metrics_to_display=["Positives", "AUROC", "Sensitivity", "Specificity", "PPV", "Flag Rate"],
            group_by="Score",
            cohort_dict={},
        ),
    )
    yield part(
        "Performance of the priority score",
        "ROC with its 95 % confidence region, sensitivity by flag rate, calibration, PPV by sensitivity, "
        "figures by threshold, and the scores. Calibration points above the diagonal mean that urgent "
        "outcomes were more frequent than predicted. Do not quote the interval of the AUPRC: it counts all "
        "scans where only the urgent ones inform it, and is too narrow.",
        judged,
        lambda: sm.plot_model_evaluation({}, EVENT, SCORE, dots),
    )
    yield part(
        "Net benefit",
        "True positives per scan, less false positives weighted by the odds of the threshold: a threshold is "
        "worth using where this is above zero (Vickers and Elkin, Med Decis Making 2006).",
        judged,
        lambda: sm.plot_binary_classifier_metrics(metrics, ["NetBenefitScore"], {}, EVENT, SCORE),
    )
    yield part(
        "Who is in the data",
        "Scans and patients of each group, then by outcome (1 is urgent); "
        f"groups of {CENSOR_MIN_COUNT} or fewer scans are hidden.",
        bool(cohorts),
        lambda: sm.show_cohort_summaries(by_target=True),
    )
    yield part(
        f"Equal performance at {percents[0]} %",
        "Each group against the largest of its kind; triangles mark ratios outside "
        f"{1 / (1 + FAIR_RATIO):.2f} to {1 + FAIR_RATIO:.2f}, filled ones outside "
        f"{1 / (1 + 2 * FAIR_RATIO):.2f} to {1 + 2 * FAIR_RATIO:.2f}. Small groups differ by chance alone.",
        judged and bool(compared),
        lambda: binary_metrics_fairness_table(
            metric_generator=metrics,
            metric_list=["Sensitivity", "Specificity", "PPV", "Flag Rate"],
            cohort_dict=compared,
            fairness_ratio=FAIR_RATIO,
            target=EVENT,
            score=SCORE,
            threshold=thresholds[0] + 1e-9,  # seismometer takes int(100 x), which makes 28 of 0.29
        ),
    )
    for name, groups in compared.items():
        if len(groups) > 1:
            yield part(
                f"By {name}",
                "Figures by threshold for each group that has urgent scans.",
                judged,
                partial(sm.plot_cohort_evaluation, name, groups, EVENT, SCORE, dots),
            )


def _section(title: str, sentence: str, body: str = "") -> str:
    return f"<section>\n<h2>{html.escape(title)}</h2>\n<p>{html.escape(sentence)}</p>\n{body}\n</section>"


def _drawn(draw: Callable[[], Any], size: str) -> str:
    """HTML of what seismometer returns: `.value` of a widget, `.data` of an HTML or SVG object."""
    try:
        result = draw()
    except Exception as error:
        return _missing(size, html.escape(f"seismometer said: {type(error).__name__}: {error}"))
    body = str(getattr(result, "value", None) or result.data)
    if re.search(r"<h3[^>]*>(Censored|Evaluation Error|Error)</h3>", body):
        return _missing(size)
    body = body.replace(
        "</tr>\n</details>", "</tr></table></details>"
    )  # the fairness legend leaves its table open
    return f"<figure>{body.translate(_MARKS)}</figure>"


def _missing(size: str, detail: str = "") -> str:
    return (
        f'<p class="missing">Not shown: {size}. This needs more than {CENSOR_MIN_COUNT} scans '
        f"(of a group, where groups are compared), urgent and other ones. {detail}</p>"
    )
