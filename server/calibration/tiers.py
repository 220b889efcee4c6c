"""Bounds of the tiers: fixed by the study, or from sensitivity targets and the sites' histograms."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.special import logit

from shared.conformal import OUT_OF_FOLD, SensitivityRule, Threshold, sensitivity_rules
from shared.errors import FederationError
from shared.score_bins import bin_of
from shared.study import Priority, Tiers
from shared.sums import IntArray, Sums

NAMES = ("urgent", "asap", "stat")
FIXED = "The bounds are those that the study gives. Nothing is promised about sensitivity."
NOBODY = (
    "No site had enough patients to take bounds from, so that they are probabilities of 0.25, 0.5 and 0.75. "
    "Nothing is promised about sensitivity."
)


@dataclass(frozen=True)
class Bounds:
    """Bounds at sites that have their own, and those for all others, with what each promises.

    `rules` are the conformal ones by tier; empty where bounds are fixed. `reference` (BINS,) counts all
    sites' scores out of fold, `references` those of each site.
    """

    unknown: Tiers
    guarantee: str
    sites: Mapping[str, Tiers] = field(default_factory=dict)
    guarantees: Mapping[str, str] = field(default_factory=dict)
    rules: Mapping[str, SensitivityRule] = field(default_factory=dict)
    reference: IntArray | None = None
    references: Mapping[str, IntArray] = field(default_factory=dict)


def bounds(priority: Priority, counted: Mapping[str, Sums], sites: list[str]) -> Bounds:
    """Find the bounds for `sites` from the `counted` histograms (fits, BINS) of those that gave them."""
    rows = {site: {name: s[name][-1] for name in ("positives", "negatives")} for site, s in counted.items()}
    references = {site: r["positives"] + r["negatives"] for site, r in rows.items()}
    kept = np.sum(list(references.values()), axis=0) if rows else None
    if priority.tiers is not None:
        return Bounds(priority.tiers, FIXED, reference=kept, references=references)
    targets = {name: getattr(priority.sensitivity, name) for name in NAMES}
    positives = {site: r["positives"] for site, r in rows.items()}
    try:
        rules = sensitivity_rules(
            positives,
            targets,
            confidence=priority.sensitivity.confidence,
            protect=priority.sensitivity.protect,
        )
    except FederationError:
        return Bounds(Tiers(), NOBODY, reference=kept, references=references)
    return Bounds(
        unknown=tiers_of(rules, None),
        guarantee=_all_told(rules, None),
        sites={site: tiers_of(rules, site) for site in sites},
        guarantees={site: _all_told(rules, site) for site in sites},
        rules=rules,
        reference=kept,
        references=references,
    )


def tiers_of(rules: Mapping[str, SensitivityRule], site: str | None) -> Tiers:
    """Probability bounds at a site."""
    return Tiers(**{name: rule.at(site).probability for name, rule in rules.items()})


def threshold_at(tiers: Tiers, name: str) -> Threshold:
    """Find the bin that a fixed bound lies in: counts can tell no more than that."""
    return Threshold(bin=int(bin_of(np.array([logit(getattr(tiers, name))]))[0]), rule="pooled")


def _all_told(rules: Mapping[str, SensitivityRule], site: str | None) -> str:
    return " ".join([*(_told(name, rule, site) for name, rule in rules.items()), OUT_OF_FOLD])


def _told(name: str, rule: SensitivityRule, site: str | None) -> str:
    """Say what one bound promises to one site, without a word of any other."""
    above = f"{name} or above"
    kind = rule.at(site).rule
    if kind == "pooled":
        return f"{above}: {rule.guarantee}"
    if kind == "site":
        return (
            f"{above}: with {100 * rule.confidence:.4g} % confidence over the draw of the "
            f"{rule.positives.get(site or '', 0)} urgent patients it was calibrated on, at least "
            f"{100 * rule.target:.4g} % of this site's urgent patients, as long as they stay like those."
        )
    why = (
        "a site that took no part in the calibration"
        if site is None
        else f"a site with {rule.positives.get(site, 0)} urgent patients to calibrate on"
    )
    return (
        f"{above}: nothing is guaranteed for {why}, which uses the lowest bound of all sites; one of its own "
        f"takes {rule.positives_needed} urgent patients."
    )
