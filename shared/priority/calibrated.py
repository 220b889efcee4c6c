"""The fitted score as it is kept beside a model: coefficients, calibration map, bounds of the tiers."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from shared.calibration import INTERCEPT, is_intercept
from shared.config import Config
from shared.errors import ConfigError
from shared.newton import Fit
from shared.priority.design import Features, coefficient_names
from shared.priority.scoring import Priority, prioritise
from shared.recalibration import Recalibration
from shared.study import Term, Tiers
from shared.sums import FloatArray, IntArray


class CalibratedPriority(Config):
    """The fitted score as it is stored beside the model; `model_dump_json` writes it, `parse` reads it.

    A coefficient ``intercept[site]`` is that site's whole intercept, to be used in place of ``intercept``,
    which every other site has. What one site needs, and no more, is `at_site`.
    """

    terms: tuple[Term, ...]
    coefficients: dict[str, float] = Field(
        description="log-odds: intercept and intercept[site], then the terms"
    )
    standard_errors: dict[str, float]
    covariance: tuple[tuple[float, ...], ...] | None = Field(
        default=None, description="of the coefficients, in their order; None: known by standard errors alone"
    )
    recalibration: Recalibration = Recalibration()
    tiers: Tiers = Field(description="bounds at a site that has none of its own")
    site_tiers: dict[str, Tiers] = Field(default={}, description="bounds of sites that have their own")
    guarantee: str = Field(default="", description="what the bounds promise, and to whom")
    site_guarantees: dict[str, str] = Field(default={}, description="what those promise")
    reference: tuple[int, ...] | None = Field(
        default=None, description="all sites' calibrated scores when it was fitted: patients per log-odds bin"
    )
    site_references: dict[str, tuple[int, ...]] = Field(default={}, description="those of single sites")
    patients: int = Field(ge=1, description="patients of all sites that the fit saw")
    study: str = Field(description="digest of the study it was fitted under")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        names = list(self.coefficients)
        intercepts = [name for name in names if is_intercept(name)]
        if not intercepts or names != [*intercepts, *coefficient_names(self.terms)[1:]]:
            raise ValueError(f"coefficients must be intercepts, then those of the terms, found {names}")
        if list(self.standard_errors) != names:
            raise ValueError("standard_errors must name the same coefficients in the same order")
        if self.covariance is not None and {len(names)} != {len(self.covariance), *map(len, self.covariance)}:
            raise ValueError(f"covariance must be {len(names)} by {len(names)}")
        return self

    @classmethod
    def from_fit(cls, fit: Fit, *, terms: Sequence[Term], tiers: Tiers, study: str) -> Self:
        """Keep a fit for use; `study` is the study's digest."""
        errors = np.sqrt(np.maximum(0, np.diag(fit.covariance)))
        return cls(
            terms=tuple(terms),
            coefficients=dict(zip(fit.names, fit.coefficients.tolist(), strict=True)),
            standard_errors=dict(zip(fit.names, errors.tolist(), strict=True)),
            covariance=tuple(tuple(row) for row in fit.covariance.tolist()),
            tiers=tiers,
            patients=fit.patients,
            study=study,
        )

    def coefficients_at(self, site: str | None = None) -> FloatArray:
        """Coefficients (1+D,) at a site: with its own intercept where it has one, else the common one.

        Raises
        ------
        ConfigError
            There is neither.
        """
        values = list(self.coefficients.values())
        return np.array([values[i] for i in self._indices(site)])

    def covariance_at(self, site: str | None = None) -> FloatArray:
        """Covariance (1+D, 1+D) of `coefficients_at`; raises as that does."""
        indices = self._indices(site)
        if self.covariance is None:
            errors = np.array(list(self.standard_errors.values()))
            return np.diag(errors[indices] ** 2)
        return np.array(self.covariance)[np.ix_(indices, indices)]

    def tiers_at(self, site: str | None = None) -> Tiers:
        """Bounds at a site: its own, or those for whoever has none."""
        return self.tiers if site is None else self.site_tiers.get(site, self.tiers)

    def guarantee_at(self, site: str | None = None) -> str:
        """Say what the bounds at a site promise."""
        return self.guarantee if site is None else self.site_guarantees.get(site, self.guarantee)

    def at_site(self, site: str | None = None) -> Self:
        """Keep what one site needs, of other sites not even a name; raises as `coefficients_at`."""
        names = coefficient_names(self.terms)
        covariance = self.covariance_at(site)
        errors = np.sqrt(np.maximum(0, np.diag(covariance)))
        return self.model_copy(
            update={
                "coefficients": dict(zip(names, self.coefficients_at(site).tolist(), strict=True)),
                "standard_errors": dict(zip(names, errors.tolist(), strict=True)),
                "covariance": tuple(tuple(row) for row in covariance.tolist()),
                "tiers": self.tiers_at(site),
                "site_tiers": {},
                "guarantee": self.guarantee_at(site),
                "site_guarantees": {},
                "reference": self.site_references.get(site or "", self.reference),
                "site_references": {},
            }
        )

    def prioritise(self, features: Features, site: str | None = None) -> Priority:
        """Score one scan at a site; raises as `coefficients_at` and `design_matrix`."""
        return prioritise(
            self.terms,
            self.coefficients_at(site),
            features,
            self.tiers_at(site),
            recalibration=self.recalibration,
            covariance=self.covariance_at(site),
        )

    def reference_counts(self) -> IntArray | None:
        """Return the reference, (bins,) patients; None where the fit kept none."""
        return None if self.reference is None else np.array(self.reference, dtype=np.int64)

    def _indices(self, site: str | None) -> list[int]:
        """Places in `coefficients` of the intercept that holds at a site, then of the terms."""
        names = list(self.coefficients)
        own = f"{INTERCEPT}[{site}]"
        name = own if own in names else INTERCEPT
        if name not in names:
            known = [n for n in names if is_intercept(n)]
            raise ConfigError(
                f"no {own} was fitted, only {known}. Calibrate with this site, or with a common intercept."
            )
        terms = [i for i, n in enumerate(names) if not is_intercept(n)]
        return [names.index(name), *terms]
