"""Thresholds of the score that keep a promised sensitivity, from each site's histogram of its positives.

A threshold is the lower edge of the bin that holds the k-th smallest positive score, so that at least what
holds for that score holds for the threshold. Which k, and what is then true, depends on the rule:

pooled  k = N + 1 - ceil((N + K) target) of all N positives of K sites (Lu et al., "Federated Conformal
        Predictors", ICML 2023). True on average, over calibrations and over patients of the mixture of
        sites; a site whose positives score lower than the others' may lie far below the target.
site    the largest k for which the site's own sensitivity is at least the target with a confidence over
        the draw of its calibration patients (Wilks 1941; Vovk, "Conditional validity of inductive
        conformal predictors", ACML 2012). Of n positives, those below the k-th smallest are a share of
        all positives that follows Beta(k, n - k + 1), hence P(enough) = P(Binomial(n, 1 - target) >= k).
        The permitted error is shared among the sites (Bonferroni), so that it holds at all of them at once.
        Each tier's promise stands by itself.

The scores have to come from fits that never saw these patients. Out-of-fold scores do, each from the fit
without its fold; what is promised then holds for the final fit as far as its scores are like theirs.

A site with too few positives for its own rule takes the lowest of all thresholds, the pooled one included;
so does a site that took no part. For these nothing is guaranteed.
"""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from scipy.special import expit
from scipy.stats import binom

from shared.config import Config
from shared.errors import DataError, FederationError
from shared.score_bins import BINS, lower_edge
from shared.sums import IntArray

OUT_OF_FOLD = (
    "Calibration scores are those of fits without the patient's own fold; this holds for the final fit as "
    "far as its scores are distributed like theirs."
)

Rule = Literal["site", "pooled", "lowest"]
Share = Annotated[float, Field(gt=0, lt=1)]


class Threshold(Config):
    """One threshold: scores in bin `bin` (of shared/score_bins.py) and above count as positive."""

    bin: int = Field(ge=0, lt=BINS, description="0: every scan is above")
    rule: Rule

    @property
    def log_odds(self) -> float:
        """Lowest log-odds that are above; -inf where every scan is."""
        return lower_edge(self.bin)

    @property
    def probability(self) -> float:
        """`log_odds` as a probability, a rounding lower so that nothing above it is lost."""
        return float(np.nextafter(expit(self.log_odds), 0))


class SensitivityRule(Config):
    """Thresholds for one sensitivity target: of each site, of the pool, and for sites that took no part."""

    target: Share
    confidence: Share
    protect: Literal["sites", "pooled"]
    pooled: Threshold
    lowest: Threshold = Field(description="for sites with too few positives and for unknown sites")
    sites: dict[str, Threshold]
    positives: dict[str, int] = Field(description="calibration positives by site")
    positives_needed: int = Field(description="at a site, for a threshold of its own")

    def at(self, site: str | None) -> Threshold:
        """Threshold in force at a site."""
        return self.sites.get(site or "", self.lowest if self.protect == "sites" else self.pooled)

    @property
    def guarantee(self) -> str:
        """What holds, and for whom, in words; for out-of-fold scores add OUT_OF_FOLD."""
        return _pooled_holds(self) if self.protect == "pooled" else _sites_hold(self)


def sensitivity_rule(
    positives: Mapping[str, IntArray],
    *,
    target: float,
    confidence: float = 0.95,
    protect: Literal["sites", "pooled"] = "sites",
) -> SensitivityRule:
    """Choose thresholds from each site's histogram (BINS,) of its positives' calibrated log-odds.

    Parameters
    ----------
    positives
        By site; a site without a single one may be absent or hold zeros.
    target, confidence
        Within 0..1; `confidence` is that of the site rule for all sites at once.
    protect
        ``sites``: each site's own rule; ``pooled``: one threshold for everybody.

    Raises
    ------
    FederationError
        No positives at all.
    DataError
        A histogram of another shape.
    """
    if wrong := [site for site, counts in positives.items() if np.shape(counts) != (BINS,)]:
        raise DataError(f"positives of {wrong[0]} have shape {np.shape(positives[wrong[0]])}, not {(BINS,)}")
    some = {site: counts for site, counts in positives.items() if counts.sum()}
    if not some:
        raise FederationError("found no urgent patients to take thresholds from. Give fixed tiers instead.")
    error = (1 - confidence) / len(some)
    everybody = np.sum(list(some.values()), axis=0)
    rank = pooled_rank(int(everybody.sum()), len(some), target)
    pooled = Threshold(bin=_bin_of_kth(everybody, rank), rule="pooled")
    own = {site: _own(counts, target, error) for site, counts in some.items()}
    lowest = Threshold(bin=min(t.bin for t in (pooled, *own.values()) if t), rule="lowest")
    sites = {site: own.get(site) or lowest for site in positives}
    return SensitivityRule(
        target=target,
        confidence=confidence,
        protect=protect,
        pooled=pooled,
        lowest=lowest,
        sites=sites if protect == "sites" else dict.fromkeys(positives, pooled),
        positives={site: int(counts.sum()) for site, counts in positives.items()},
        positives_needed=positives_needed(target, error),
    )


def pooled_rank(positives: int, sites: int, target: float) -> int:
    """Rank k of the pooled rule among all positives; 0 or less where every scan must be above."""
    # As the decimal fraction that was written: 20 * 0.95 is 19, whatever its float is.
    return positives + 1 - math.ceil((positives + sites) * Fraction(str(target)))


def site_rank(positives: int, target: float, error: float) -> int:
    """Largest k with P(Binomial(positives, 1 - target) < k) <= error; 0 where there is none."""
    below = binom.cdf(np.arange(positives), positives, 1 - target)  # P(X <= k - 1) for k = 1..positives
    return int(np.sum(below <= error))


def positives_needed(target: float, error: float) -> int:
    """Fewest positives of a site for which `site_rank` is 1: target^n <= error."""
    n = max(1, math.ceil(math.log(error) / math.log(target)) - 1)
    while site_rank(n, target, error) == 0:
        n += 1
    return n


def sensitivity_rules(
    positives: Mapping[str, IntArray],
    targets: Mapping[str, float],
    *,
    confidence: float = 0.95,
    protect: Literal["sites", "pooled"] = "sites",
) -> dict[str, SensitivityRule]:
    """`sensitivity_rule` for several tiers, kept in order.

    `targets` runs from the lowest tier (the highest target) up. Where a tier's threshold would lie above
    that of the tier over it, as when only one of them is a site's own, it is lowered to it, which can only
    raise its sensitivity. Two tiers may end at one threshold; then the lower one is empty.

    Raises
    ------
    DataError
        Targets that do not fall.
    """
    falling = list(targets.values())
    if sorted(set(falling), reverse=True) != falling:
        raise DataError(f"sensitivity targets must fall from the lowest tier up, found {dict(targets)}")
    rules: dict[str, SensitivityRule] = {}
    above: SensitivityRule | None = None
    for tier, target in reversed(list(targets.items())):
        rule = sensitivity_rule(positives, target=target, confidence=confidence, protect=protect)
        rules[tier] = above = rule if above is None else _not_above(rule, above)
    return {tier: rules[tier] for tier in targets}


def realised(histogram: IntArray, threshold: Threshold) -> float | None:
    """Share of a histogram (BINS,) at or above the threshold, exactly; None of nobody.

    The sensitivity of a histogram of positives, 1 less the specificity of one of negatives.
    """
    total = int(histogram.sum())
    return int(histogram[threshold.bin :].sum()) / total if total else None


def _own(counts: IntArray, target: float, error: float) -> Threshold | None:
    k = site_rank(int(counts.sum()), target, error)
    return Threshold(bin=_bin_of_kth(counts, k), rule="site") if k else None


def _bin_of_kth(counts: IntArray, k: int) -> int:
    return int(np.searchsorted(np.cumsum(counts), k, side="left")) if k > 0 else 0


def _not_above(rule: SensitivityRule, above: SensitivityRule) -> SensitivityRule:
    def lowered(one: Threshold, other: Threshold) -> Threshold:
        return one.model_copy(update={"bin": min(one.bin, other.bin)})

    return rule.model_copy(
        update={
            "pooled": lowered(rule.pooled, above.pooled),
            "lowest": lowered(rule.lowest, above.lowest),
            "sites": {site: lowered(one, above.at(site)) for site, one in rule.sites.items()},
        }
    )


def _pooled_holds(rule: SensitivityRule) -> str:
    return (
        "Of new urgent patients drawn from the sites in proportion to their calibration positives plus one, "
        f"at least {_percent(rule.target)} are above the threshold, on average over calibrations and as long "
        "as each site's urgent patients stay like its calibration ones. For a single site nothing is "
        "guaranteed."
    )


def _sites_hold(rule: SensitivityRule) -> str:
    own = sorted(site for site, threshold in rule.sites.items() if threshold.rule == "site")
    rest = sorted(rule.sites.keys() - set(own))
    none = (
        f"For {', '.join(rest)} and sites that took no part, which use the lowest threshold of all, nothing "
        f"is guaranteed: a threshold of its own takes {rule.positives_needed} urgent patients."
        if rest
        else "For sites that took no part, which use the lowest threshold of all, nothing is guaranteed."
    )
    if not own:
        return none
    return (
        f"With {_percent(rule.confidence)} confidence over the draw of the calibration patients, at least "
        f"{_percent(rule.target)} of the urgent patients of each of {', '.join(own)}, at all of them at "
        f"once, are above their site's threshold, as long as they stay like its calibration ones. {none}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"
