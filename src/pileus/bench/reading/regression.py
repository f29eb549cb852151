"""Least squares with the intervals that go with it, and what the study asks of it.

Two questions. What does reading cost: seconds on batches and images, so that start-up, a batch and an image are told
apart. And how does the speed depend on each parameter, as it is usually published: the logarithm of images a second on
the levels, so that each level is a ratio to its factor's base level, the other factors held equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # type: ignore[import-untyped]

from pileus.spec.values import Spec

CONFIDENCE = 0.95


class Estimate(Spec, frozen=True, kw_only=True):
    """A coefficient and its interval."""

    name: str
    value: float
    low: float
    high: float


class Fit(Spec, frozen=True, kw_only=True, tag_field="fit", tag="least squares"):
    """What was found. Residuals and the like are in the unit of what is explained."""

    formula: str
    estimates: tuple[Estimate, ...]
    n: int
    r2: float | None
    """None where all observations are equal."""
    residual_sd: float
    fitted: tuple[float, ...]
    """By observation, as the residuals are."""
    residuals: tuple[float, ...]

    def of(self, name: str) -> Estimate:
        return next(estimate for estimate in self.estimates if estimate.name == name)


class Unfit(Spec, frozen=True, kw_only=True, tag_field="fit", tag="none"):
    """Why there is no fit, and the way out."""

    reason: str


def least_squares(columns: Mapping[str, Sequence[float]], y: Sequence[float], formula: str) -> Fit | Unfit:
    """Ordinary least squares on the columns, by name; intervals by Student's t at CONFIDENCE."""
    x_NP = np.column_stack([np.asarray(column, np.float64) for column in columns.values()])
    y_N = np.asarray(y, np.float64)
    n, num_parameters = x_NP.shape
    if n <= num_parameters:
        return Unfit(reason=f"{n} trials cannot tell {num_parameters} coefficients and their error; repeat more often")
    scale_P = np.abs(x_NP).max(axis=0)
    if not scale_P.all() or np.linalg.matrix_rank(x_NP / scale_P) < num_parameters:
        return Unfit(reason="the levels of the trials cannot tell these coefficients apart")
    q_NP, r_PP = np.linalg.qr(x_NP / scale_P)
    inverse_PP = np.linalg.inv(r_PP)
    values_P = inverse_PP @ (q_NP.T @ y_N) / scale_P
    fitted_N = x_NP @ values_P
    residuals_N = y_N - fitted_N
    variance = float(residuals_N @ residuals_N) / (n - num_parameters)
    half_P = np.sqrt(variance * (inverse_PP**2).sum(axis=1)) / scale_P * _t_quantile(n - num_parameters)
    spread = float(((y_N - y_N.mean()) ** 2).sum())
    return Fit(
        formula=formula,
        estimates=tuple(
            Estimate(name=name, value=float(value), low=float(value - half), high=float(value + half))
            for name, value, half in zip(columns, values_P, half_P, strict=True)
        ),
        n=n,
        r2=1 - float(residuals_N @ residuals_N) / spread if spread > 0 else None,
        residual_sd=float(np.sqrt(variance)),
        fitted=tuple(fitted_N.tolist()),
        residuals=tuple(residuals_N.tolist()),
    )


def cost_of_reading(batches: Sequence[int], images: Sequence[int], wall_s: Sequence[float]) -> Fit | Unfit:
    """wall_s = start-up + per batch * batches + per image * images; Unfit where the design cannot tell them apart."""
    sizes = {count / number for count, number in zip(images, batches, strict=True)}
    if len(sizes) < 2 or len(set(batches)) < 2:
        return Unfit(
            reason="a batch and its images cannot be told apart: the design needs two sizes of batch and two numbers "
            f"of batches (got {len(sizes)} and {len(set(batches))})"
        )
    columns = {"start-up": [1.0] * len(batches), "per batch": batches, "per image": images}
    return least_squares(columns, wall_s, "seconds = start-up + per batch * batches + per image * images")


class Effect(Spec, frozen=True, kw_only=True):
    """A level against the base level of its factor."""

    factor: str
    level: str
    base: str
    ratio: Estimate
    """Of speed; 1: no difference."""


def speed_effects(
    levels: Sequence[Mapping[str, str]], images_per_s: Sequence[float], bases: Mapping[str, str]
) -> tuple[Fit | Unfit, list[Effect]]:
    """Main effects of a log-linear model. `levels` of each trial by factor; `bases` the base level of each factor.

    Factors of which these trials have one level are left out; with none left there is nothing to tell.
    """
    columns: dict[str, NDArray[np.float64]] = {"base": np.ones(len(levels))}
    terms = []
    for factor, base in bases.items():
        present = dict.fromkeys(row[factor] for row in levels)
        for level in present if base in present else ():
            if level != base:
                terms.append((factor, level))
                columns[f"{factor}={level}"] = np.array([row[factor] == level for row in levels], np.float64)
    if not terms:
        return Unfit(reason="every factor has one level alone"), []
    named = " + ".join(["base", *dict.fromkeys(factor for factor, _ in terms)])
    fit = least_squares(
        {name: column.tolist() for name, column in columns.items()},
        np.log(images_per_s).tolist(),
        f"log(images per second) = {named}",
    )
    if isinstance(fit, Unfit):
        return fit, []
    return fit, [
        Effect(factor=factor, level=level, base=bases[factor], ratio=_as_ratio(fit.of(f"{factor}={level}")))
        for factor, level in terms
    ]


def _as_ratio(logarithm: Estimate) -> Estimate:
    low, value, high = np.exp([logarithm.low, logarithm.value, logarithm.high]).tolist()
    return Estimate(name=logarithm.name, value=value, low=low, high=high)


def _t_quantile(degrees_of_freedom: int) -> float:
    return float(stdtrit(degrees_of_freedom, (1 + CONFIDENCE) / 2))
