"""Maximum likelihood of the logistic model, plain or with Firth's penalty.

Firth's penalty (Biometrika 1993;80:27) adds half the log determinant of the information. It
removes the first-order bias and keeps every estimate finite (Heinze & Schemper, Stat Med
2002;21:2409).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from breastpredict.stats._checks import Bools, Floats, normal_quantile

_STEPS = 200
_TOLERANCE = 1e-10
_LONGEST = 10.0  # a step may change a log odds by so much: beyond, the quadratic model is void


class Fit(NamedTuple):
    """Coefficients [columns], their covariance, and the (penalised) log likelihood."""

    coefficients: Floats
    covariance: Floats
    log_likelihood: float
    converged: bool


def maximise(
    x: Floats,
    y: Floats,
    *,
    offset: Floats | float = 0.0,
    firth: bool = False,
    free: Bools | None = None,
    start: Floats | None = None,
) -> Fit:
    """Newton's method with bounded, halved steps.

    Args:
        x: design [cases, columns], of full rank, columns of similar size.
        y: 0 or 1 [cases].
        offset: known part of the linear predictor.
        firth: with Firth's penalty.
        free: columns to estimate; the others stay at ``start``.
        start: where to begin; zeros when left out.
    """
    columns = x.shape[1]
    beta = np.zeros(columns) if start is None else start.copy()
    moving = np.ones(columns, dtype=bool) if free is None else free
    now, score, information = _at(x, y, beta, offset, firth)
    converged = not moving.any()
    for _ in range(_STEPS):
        if converged:
            break
        step = np.zeros(columns)
        try:
            step[moving] = np.linalg.solve(information[np.ix_(moving, moving)], score[moving])
        except np.linalg.LinAlgError:  # every probability has run to 0 or 1: climb back
            step[moving] = score[moving]
        gain = float(step @ score)
        far = float(np.abs(x @ step).max())
        if far > _LONGEST:
            step *= _LONGEST / far
        after = _at(x, y, beta + step, offset, firth)
        for _ in range(30):
            if after[0] >= now - 1e-12:
                break
            step *= 0.5
            after = _at(x, y, beta + step, offset, firth)
        beta += step
        now, score, information = after
        converged = gain < _TOLERANCE
    try:
        covariance = np.linalg.inv(information)
    except np.linalg.LinAlgError:
        covariance = np.full((columns, columns), np.nan)
    return Fit(beta, np.asarray(covariance, np.float64), now, converged)


def profile_limits(
    x: Floats,
    y: Floats,
    fit: Fit,
    column: int,
    level: float,
    *,
    offset: Floats | float = 0.0,
    firth: bool = False,
) -> tuple[float, float]:
    """Profile-likelihood limits of one coefficient; infinite where the likelihood is flat."""
    z = normal_quantile(level)
    centre = float(fit.coefficients[column])
    unit = float(np.sqrt(fit.covariance[column, column]))
    free = np.arange(x.shape[1]) != column

    def at(start: Floats, distance: float) -> tuple[float, Floats]:
        """Signed root of the deviance, nearly a straight line in the coefficient."""
        start = start.copy()
        start[column] = centre + distance * unit
        found = maximise(x, y, offset=offset, firth=firth, free=free, start=start)
        if not found.converged:
            raise ArithmeticError("a point of the profile likelihood was not found")
        drop = max(0.0, fit.log_likelihood - found.log_likelihood)
        return float(np.sqrt(2.0 * drop)) - z, found.coefficients

    # The other coefficients move along with the profiled one, at first in this direction.
    tangent = unit * fit.covariance[:, column] / fit.covariance[column, column]

    def along(distance: float, path: Floats) -> float:
        return at(fit.coefficients + path * distance, distance)[0]

    def limit(side: int) -> float:
        outside, path = side * z, tangent
        for _ in range(40):
            excess, there = at(fit.coefficients + path * outside, outside)
            path = (there - fit.coefficients) / outside
            if excess > 0.0:
                return centre + unit * float(brentq(along, 0.0, outside, (path,), xtol=1e-7))
            outside *= 1.2
        return side * float("inf")

    return limit(-1), limit(1)


def _at(
    x: Floats, y: Floats, beta: Floats, offset: Floats | float, firth: bool
) -> tuple[float, Floats, Floats]:
    """Log likelihood, score and information."""
    eta = x @ beta + offset
    p = expit(eta)
    weight = p * (1.0 - p)
    value = float(y @ eta - np.logaddexp(0.0, eta).sum())
    weighted = x * weight[:, np.newaxis]
    information = x.T @ weighted
    residual = y - p
    if firth:
        sign, log_determinant = np.linalg.slogdet(information)
        value += 0.5 * float(log_determinant) if sign > 0 else -np.inf
        if sign > 0:
            leverage = np.einsum("ij,ij->i", weighted @ np.linalg.inv(information), x)
            residual = residual + leverage * (0.5 - p)
    return value, x.T @ residual, information
