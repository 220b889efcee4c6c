"""What is fitted and calibrated over the federation is what pooled rows give, also when a site is lost."""

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from client.calibrating import Calibrating
from server.calibration import Calibrated, calibrate
from server.calibration.exchange import Exchange
from server.calibration.score import fit_score
from shared.calibration import INTERCEPT, is_intercept, logistic_sums_many, with_site_names
from shared.choosing import held_out_sums
from shared.conformal import sensitivity_rules
from shared.errors import FederationError
from shared.isotonic import class_counts, isotonic
from shared.newton import Fit, fit_many
from shared.priority import coefficient_names
from shared.recalibration import KINDS, fit_maps, map_sums
from shared.score_bins import histogram
from shared.shrinkage import between_sites, fit_shrunk, with_deviation_names, with_deviations
from shared.study import Study, Tiers
from shared.sums import FloatArray, IntArray
from shared.wire import Record
from tests.server.fake_sites import (
    STUDY,
    Act,
    FakeSite,
    calibrating,
    enrolled,
    failing,
    hospitals,
    silent,
    with_priority,
)

NAMES = ("north", "east", "south")
COMMON = with_priority(site_intercept="none")
FITS = 6


def fitted(sites: list[FakeSite]) -> Calibrated:
    study = sites[0].study
    assert study.priority is not None
    return calibrate(enrolled(sites, study), study.priority)


def pooled(sites: list[FakeSite]) -> FloatArray:
    """scikit-learn on all rows: its C is 1 / (patients * ridge)."""
    design = np.vstack([site.design for site in sites])
    outcome = np.concatenate([site.outcome for site in sites])
    fit = LogisticRegression(
        C=1 / (len(outcome) * 1e-2), solver="newton-cholesky", tol=1e-12, max_iter=200
    ).fit(design[:, 1:], outcome)
    return np.append(fit.intercept_, fit.coef_)


def coefficients(found: Calibrated) -> list[float]:
    return list(found.priority.coefficients.values())


def fold_of(site: FakeSite) -> IntArray:
    """Folds as the site deals them, read off its own object."""
    found = Calibrating(
        site.study, site.rows, site.outcome, split="validation", minimum_patients=site.minimum
    )
    return found._fold


@pytest.mark.parametrize("seed", range(3))
def test_the_fit_over_the_federation_is_the_fit_on_pooled_rows(seed: int) -> None:
    sites = hospitals(*NAMES, seed=seed, study=COMMON)
    found = fitted(sites)
    assert coefficients(found) == pytest.approx(pooled(sites), abs=1e-8)
    assert found.figures.converged
    assert found.figures.patients == sum(site.patients for site in sites)
    assert found.figures.urgent == sum(site.outcome.sum() for site in sites)
    for site in sites:
        own = found.figures.sites[site.name]
        assert (own.patients, own.urgent, own.in_folds) == (site.patients, site.outcome.sum(), site.patients)


def leaves_after(exchanges: int, how: Act, kind: str = "newton") -> dict[str, Act]:
    def act(site: FakeSite, record: Record) -> object:
        asked = [r for r in site.asked if r.kind == kind]
        return calibrating(site, record) if len(asked) <= exchanges else how(site, record)

    return {kind: act}  # type: ignore[dict-item]


@pytest.mark.parametrize("how", [silent, failing("internal")], ids=["silent", "failing"])
@pytest.mark.parametrize(
    ("kind", "exchanges"), [("newton", 0), ("newton", 1), ("newton", 3), ("newton_map", 0), ("newton_map", 2)]
)
def test_a_site_that_drops_out_is_left_out_and_the_fit_starts_again(
    kind: str, exchanges: int, how: Act
) -> None:
    sites = hospitals(*NAMES, study=COMMON, east=leaves_after(exchanges, how, kind))
    federation = enrolled(sites, COMMON)
    assert COMMON.priority is not None
    found = calibrate(federation, COMMON.priority)
    remaining = [site for site in sites if site.name != "east"]
    assert coefficients(found) == pytest.approx(pooled(remaining), abs=1e-8)
    assert found.figures.patients == sum(site.patients for site in remaining)
    assert found.figures.after.n == found.figures.patients
    assert found.figures.sites.keys() == {"north", "south"}
    phase = {"newton": "derivatives", "newton_map": "calibration maps"}[kind]
    assert [(e.site, e.phase) for e in federation.events] == [("east", phase)]
    asked = [r for r in sites[1].asked if r.kind == kind]
    assert len(asked) == exchanges + 1  # a site that left is not asked again


@pytest.mark.parametrize("lost", [False, True], ids=["all sites", "one lost on the way"])
def test_with_site_intercepts_the_fit_is_the_pooled_optimum(lost: bool) -> None:
    instead = leaves_after(2, silent) if lost else {}
    sites = hospitals(*NAMES, study=with_priority(site_intercept="own"), east=instead)
    found = fitted(sites)
    used = sorted((s for s in sites if not (lost and s.name == "east")), key=lambda s: s.name)
    design = np.vstack(
        [
            np.hstack([np.tile(np.eye(len(used))[i], (s.patients, 1)), s.design[:, 1:]])
            for i, s in enumerate(used)
        ]
    )
    outcome = np.concatenate([s.outcome for s in used])
    penalty = len(outcome) * 1e-2 * np.array([0.0] * len(used) + [1.0, 1.0])

    def objective(b: FloatArray) -> tuple[float, FloatArray]:
        z = design @ b
        loss = float(np.sum(np.logaddexp(0, z) - outcome * z) + penalty @ b**2 / 2)
        return loss, design.T @ (1 / (1 + np.exp(-z)) - outcome) + penalty * b

    def curvature(b: FloatArray) -> FloatArray:
        p = 1 / (1 + np.exp(-(design @ b)))
        return np.asarray((design.T * (p * (1 - p))) @ design + np.diag(penalty))

    oracle = minimize(
        objective, np.zeros(len(penalty)), jac=True, hess=curvature, method="trust-exact", tol=1e-9
    )
    common, *others = coefficients(found)
    assert others == pytest.approx(oracle.x, abs=1e-8)
    assert list(found.priority.coefficients) == [
        "intercept",
        *(f"intercept[{s.name}]" for s in used),
        "a",
        "b",
    ]
    sizes = [s.patients for s in used]
    assert common == pytest.approx(np.average(oracle.x[: len(used)], weights=sizes), abs=1e-8)
    inverse = np.linalg.inv(curvature(oracle.x))
    for i, site in enumerate(used):
        rows = [i, len(used), len(used) + 1]
        assert found.priority.covariance_at(site.name) == pytest.approx(inverse[np.ix_(rows, rows)], abs=1e-8)


def shifted(study: Study) -> list[FakeSite]:
    """Sites whose urgent patients differ in number for reasons that no term tells."""
    sites = hospitals(*NAMES, "west", "coast", seed=4, study=study)
    rng = np.random.default_rng(9)
    for site, shift in zip(sites, (-1.5, 0.0, 1.5, 0.5, -0.5), strict=True):
        z = -0.5 + shift + site.design[:, 1:] @ [1.1, -0.7]
        site.outcome = (rng.random(site.patients) < 1 / (1 + np.exp(-z))).astype(np.float64)
    return sites


def pooled_rows(sites: list[FakeSite]) -> tuple[FloatArray, FloatArray, IntArray, IntArray]:
    """Design, outcome, fold and number of the site of all rows, sites by name."""
    used = sorted(sites, key=lambda s: s.name)
    return (
        np.vstack([s.design for s in used]),
        np.concatenate([s.outcome for s in used]),
        np.concatenate([fold_of(s) for s in used]),
        np.repeat(np.arange(len(used)), [s.patients for s in used]),
    )


def pooled_fits(sites: list[FakeSite]) -> tuple[list[Fit], FloatArray]:
    """All fits on pooled rows, by the design with a column for each site, and that design."""
    priority = sites[0].study.priority
    assert priority is not None
    design, outcome, fold, site = pooled_rows(sites)
    terms, names = coefficient_names(priority.terms), sorted(s.name for s in sites)
    if priority.site_intercept == "shrunk":
        wide = with_deviations(design, site, len(sites))
        columns = with_deviation_names(terms, names)
        fits = fit_shrunk(
            lambda b: logistic_sums_many(wide, outcome, b, fold=fold), FITS, names=columns,
            ridge=priority.ridge, max_steps=priority.max_steps,
        )  # fmt: skip
        return fits, wide
    own = priority.site_intercept == "own"
    wide = np.hstack([np.eye(len(sites))[site], design[:, 1:]]) if own else design
    columns = with_site_names(terms, names) if own else terms
    fits = fit_many(
        lambda b: logistic_sums_many(wide, outcome, b, fold=fold), FITS, names=columns,
        penalised=np.array([not is_intercept(n) for n in columns]), ridge=priority.ridge,
        max_steps=priority.max_steps,
    )  # fmt: skip
    return fits, wide


@pytest.mark.parametrize("kind", ["none", "own", "shrunk"])
def test_every_fit_that_leaves_out_a_fold_is_that_of_pooled_rows(kind: str) -> None:
    study = with_priority(site_intercept=kind)
    assert study.priority is not None
    sites = shifted(study)
    score = fit_score(Exchange(enrolled(sites, study), [s.name for s in sites]), study.priority)
    fits, wide = pooled_fits(sites)
    expected = wide @ np.array([fit.coefficients for fit in fits]).T
    used = sorted(sites, key=lambda s: s.name)
    found = np.vstack([s.design @ score.scores[s.name].T for s in used])
    assert all(fit.converged for fit in fits)
    assert found == pytest.approx(expected, abs=1e-8)
    if kind == "none":
        design, outcome, fold, _ = pooled_rows(sites)
        seen = fold != 2
        left_out = LogisticRegression(
            C=1 / (seen.sum() * 1e-2), solver="newton-cholesky", tol=1e-12, max_iter=200
        ).fit(design[seen, 1:], outcome[seen])
        assert left_out.coef_[0] == pytest.approx(score.scores["east"][2, 1:], abs=1e-8)
    if kind == "shrunk":
        assert score.between_sites is not None
        assert score.between_sites == pytest.approx(between_sites(fits[-1]), rel=1e-6)
        assert score.between_sites > 0.1
        own = np.array([score.scores[s.name][-1, 0] for s in used])
        common = score.fit.coefficients[score.fit.names.index(INTERCEPT)]
        alone = with_priority(site_intercept="own")
        assert alone.priority is not None
        free = fit_score(Exchange(enrolled(shifted(alone), alone), [s.name for s in sites]), alone.priority)
        assert np.ptp(own) < np.ptp([free.scores[s.name][-1, 0] for s in used])
        assert min(own) < common < max(own)


@pytest.mark.parametrize("kinds", [KINDS, ("isotonic",), ("platt",), ("beta", "none")], ids=str)
def test_maps_losses_and_bounds_are_those_of_pooled_scores_out_of_fold(kinds: tuple[str, ...]) -> None:
    study = with_priority(calibration=kinds)
    sites = shifted(study)
    for one in sites:
        one.minimum = 0  # folds without a single urgent patient may be counted, too
    found = fitted(sites)
    _, outcome, fold, site = pooled_rows(sites)
    fits, wide = pooled_fits(sites)
    raw = np.einsum("nd,nd->n", wide, np.array([fits[k].coefficients for k in fold]))
    maps = fit_maps(lambda b: map_sums(raw, outcome, b, fold=fold, fits=FITS), FITS)
    counts = class_counts(raw, outcome, fold=fold, fits=FITS)
    for own, up, down in zip(maps, counts["positives"], counts["negatives"], strict=True):
        own["isotonic"] = isotonic(up, down)
    candidates = [kind for kind in KINDS if kind in kinds]
    sums = held_out_sums(raw, outcome, fold=fold, maps=maps[:-1], kinds=candidates)
    chosen = found.figures.map
    assert chosen is not None
    assert [c.kind for c in chosen.candidates] == candidates
    losses = [c.log_loss for c in chosen.candidates]
    assert losses == pytest.approx(sums["loss"] / len(outcome), abs=1e-8)
    assert chosen.patients == len(outcome)
    assert found.priority.recalibration.parameters == pytest.approx(
        maps[-1][chosen.kind].parameters, abs=1e-8
    )
    assert (chosen.bin_bound is not None) == (chosen.kind == "isotonic")
    calibrated = maps[-1][chosen.kind].log_odds(raw)
    positives = {
        name: histogram(calibrated[(site == k) & (outcome == 1)])
        for k, name in enumerate(sorted(s.name for s in sites))
    }
    assert study.priority is not None
    targets = {name: getattr(study.priority.sensitivity, name) for name in ("urgent", "asap", "stat")}
    rules = sensitivity_rules(positives, targets)
    for name in positives:
        tiers = found.priority.tiers_at(name)
        assert tiers.asap == rules["asap"].at(name).probability
        assert found.figures.sites[name].pooled_tiers["stat"].threshold == rules["stat"].pooled.probability
    assert found.priority.tiers.urgent == rules["urgent"].lowest.probability
    reference = found.priority.reference_counts()
    assert reference is not None
    assert reference.tolist() == histogram(calibrated).tolist()
    for k, name in enumerate(positives):
        at_home = found.priority.at_site(name).reference_counts()
        assert at_home is not None
        assert at_home.tolist() == histogram(calibrated[site == k]).tolist()


def test_a_site_too_small_for_folds_is_in_the_fit_and_takes_the_lowest_bounds() -> None:
    sites = hospitals(*NAMES, study=COMMON)
    sites[0].minimum = 20
    federation = enrolled(sites, COMMON)
    assert COMMON.priority is not None
    found = calibrate(federation, COMMON.priority)
    assert coefficients(found) == pytest.approx(pooled(sites), abs=1e-8)
    assert found.figures.sites["north"].in_folds == 0
    assert found.priority.tiers_at("north") == found.priority.tiers
    assert found.figures.map is not None
    assert found.figures.map.patients == sum(site.patients for site in sites[1:])
    assert "nothing is guaranteed for a site with 0 urgent patients" in found.priority.guarantee_at("north")
    asked = {record.kind for record in sites[0].asked if record.fields.get("split") == "validation"}
    assert asked == {"newton"}  # nobody waits for what it cannot give


def test_where_every_site_is_too_small_the_score_is_left_as_it_is() -> None:
    sites = hospitals(*NAMES, study=COMMON)
    for site in sites:
        site.minimum = 30
    found = fitted(sites)
    assert coefficients(found) == pytest.approx(pooled(sites), abs=1e-8)
    assert found.priority.recalibration.kind == "none"
    assert found.priority.tiers == Tiers()
    assert found.priority.reference is None
    assert "Nothing is promised" in found.priority.guarantee_at("north")
    assert found.figures.map is not None
    assert "no site had enough patients" in found.figures.map.why


@pytest.mark.parametrize("kind", ["held_out", "histograms"])
def test_a_site_may_keep_one_part_to_itself_and_stays_in_the_fit(kind: str) -> None:
    sites = hospitals(*NAMES, study=COMMON, east={kind: failing("policy.kind")})
    federation = enrolled(sites, COMMON)
    assert COMMON.priority is not None
    found = calibrate(federation, COMMON.priority)
    assert coefficients(found) == pytest.approx(pooled(sites), abs=1e-8)
    assert {(e.site, e.reason) for e in federation.events} == {("east", "policy.kind")}
    east = found.figures.sites["east"]
    assert found.figures.map is not None
    if kind == "held_out":
        assert found.figures.map.patients == sum(s.patients for s in sites if s.name != "east")
    else:
        assert found.priority.tiers_at("east") == found.priority.tiers
        assert east.tiers["urgent"].sensitivity is None
        assert east.slope is not None


def test_bounds_that_the_study_gives_hold_everywhere_and_promise_nothing() -> None:
    study = with_priority(tiers={"urgent": 0.2, "asap": 0.4, "stat": 0.9})
    found = fitted(hospitals(*NAMES, study=study))
    assert found.priority.tiers_at("east") == found.priority.tiers == Tiers(urgent=0.2, asap=0.4, stat=0.9)
    assert "Nothing is promised" in found.priority.guarantee_at("east")
    asap = found.figures.sites["east"].tiers["asap"]
    assert (asap.threshold, asap.rule) == (0.4, "fixed")
    assert not found.figures.sites["east"].pooled_tiers
    assert not found.figures.guarantees


def test_each_site_is_judged_with_the_coefficients_that_hold_there() -> None:
    sites = shifted(with_priority(calibration=("platt",)))
    found = fitted(sites)
    p, before, y = [], [], []
    for site in sites:
        one = [found.priority.prioritise(row.features, site.name) for row in site.rows]
        p.append(np.array([found.probability for found in one]))
        before.append(site.probability)
        y.append(site.outcome)
        own = found.figures.sites[site.name]
        log_odds = np.array([found.log_odds for found in one])
        free = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12, max_iter=200)
        free.fit(log_odds[:, None], site.outcome)
        assert own.slope == pytest.approx(float(free.coef_[0, 0]), abs=1e-5)
        assert own.in_the_large is not None
        large = 1 / (1 + np.exp(-(log_odds + own.in_the_large)))
        assert large.sum() == pytest.approx(site.outcome.sum(), abs=1e-8)
        for name, tier in own.tiers.items():
            above = p[-1] >= tier.threshold
            assert tier.sensitivity == pytest.approx(above[site.outcome == 1].mean(), abs=1e-12), name
            assert tier.specificity == pytest.approx((~above)[site.outcome == 0].mean(), abs=1e-12), name
    outcome = np.concatenate(y)
    after = found.figures.after
    assert after.brier == pytest.approx(np.mean((np.concatenate(p) - outcome) ** 2), abs=1e-12)
    assert found.figures.before.brier == pytest.approx(np.mean((np.concatenate(before) - outcome) ** 2))
    parts = found.figures.brier_after
    assert parts is not None
    assert parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins == pytest.approx(
        parts.brier, abs=1e-12
    )
    scores = found.figures.scores
    assert scores is not None
    assert (sum(scores.positives), sum(scores.negatives)) == (outcome.sum(), (1 - outcome).sum())


def test_a_site_that_leaves_while_judged_costs_the_others_nothing() -> None:
    def act(site: FakeSite, record: Record) -> object:
        return silent(site, record) if record.fields["split"] == "test" else calibrating(site, record)

    instead: dict[str, Act] = {"newton_map": act}  # type: ignore[dict-item]
    found = fitted(hospitals(*NAMES, study=COMMON, east=instead))
    assert found.figures.sites["east"].slope is None
    assert found.figures.sites["east"].after is not None
    assert found.figures.sites["north"].slope is not None


def test_a_site_without_urgent_test_patients_tells_of_the_others() -> None:
    sites = hospitals(*NAMES, study=COMMON)
    sites[0].outcome[:] = 0
    federation = enrolled(sites, COMMON)
    assert COMMON.priority is not None
    found = calibrate(federation, COMMON.priority)
    assert federation.events == []
    north = found.figures.sites["north"].tiers["stat"]
    assert north.sensitivity is None
    assert north.specificity is not None
    assert found.figures.sites["north"].slope is None


def test_no_site_is_asked_at_anothers_intercept() -> None:
    sites = shifted(with_priority(site_intercept="own"))
    found = fitted(sites)
    for site in sites:
        last = [r for r in site.asked if r.kind == "newton"][-1].arrays["coefficients"]
        assert last.shape == (FITS, 3)
        others = [found.priority.coefficients_at(s.name)[0] for s in sites if s.name != site.name]
        assert not np.isin(np.round(others, 6), np.round(last, 6)).any()


def test_when_no_site_is_left_it_is_an_error() -> None:
    instead = leaves_after(1, failing("policy.kind"))
    with pytest.raises(FederationError, match="no site released"):
        fitted(hospitals("north", "east", north=instead, east=instead))
    assert STUDY.priority is not None
