"""Whether predicted probabilities are as large as they should be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logit

from breastpredict.errors import InputError
from breastpredict.stats._checks import (
    Bools,
    Floats,
    Ints,
    binary_labels,
    confidence_level,
    normal_quantile,
    probabilities_for,
)
from breastpredict.stats._likelihood import Fit, maximise, profile_limits
from breastpredict.stats.proportions import wilson
from breastpredict.stats.results import NO_LIMITS, Estimate
from breastpredict.stats.roc import logit_interval
from breastpredict.stats.sample_size import size_warnings

_NEAREST = 1e-6  # a probability of exactly 0 or 1 has no logit


class Calibration(NamedTuple):
    """Calibration of probabilities against what happened.

    Attributes:
        intercept: calibration in the large: a in logit P = a + logit p; 0 is right, above 0 the
            predictions are too low.
        slope: b in logit P = a' + b logit p; 1 is right, below 1 they are too extreme.
        brier: mean of (p − y)².
        brier_reference: what the prevalence as everybody's prediction would have.
        brier_scaled: 1 − brier / brier_reference: 1 is perfect, 0 is no better than the prevalence.
        expected: mean prediction of each bin [bins].
        observed: share of positives in each bin [bins].
        low: lower Wilson limits of ``observed`` [bins].
        high: upper Wilson limits of ``observed`` [bins].
        counts: patients in each bin [bins].
        warnings: why a number is missing or not to be trusted.
    """

    intercept: Estimate
    slope: Estimate
    brier: Estimate
    brier_reference: float
    brier_scaled: float
    expected: Floats
    observed: Floats
    low: Floats
    high: Floats
    counts: Ints
    warnings: tuple[str, ...]


def calibration(y: ArrayLike, p: ArrayLike, bins: int = 10, *, level: float = 0.95) -> Calibration:
    """Calibration by logistic recalibration (Cox, Biometrika 1958;45:562) and the Brier score.

    Intervals of intercept and slope are profile-likelihood limits; the Brier score's comes from
    the spread of the squared errors, on the logit scale.

    - Equal predictions for all have no slope: NaN, with the reason.
    - Predictions that separate the classes have an infinite slope: NaN, with the reason.
    - Predictions of exactly 0 or 1 have no logit: for intercept and slope they count as 10⁻⁶ from
      it, which is said in ``warnings``.

    Args:
        y: labels [patients], 1 = positive.
        p: predicted probabilities [patients].
        bins: bins of the reliability curve, of equal numbers of patients; equal predictions stay
            together, so there may be fewer.
        level: confidence level of every interval.

    Raises:
        InputError: as ``roc_auc``; values are not probabilities; ``bins`` is below 1.
    """
    labels = binary_labels(y)
    risk = probabilities_for(labels, p)
    confidence_level(level)
    if bins < 1:
        raise InputError(f"The reliability curve needs at least one bin, not {bins}")
    warnings = size_warnings(int(labels.sum()), int((~labels).sum()))
    certain = int(((risk < _NEAREST) | (risk > 1.0 - _NEAREST)).sum())
    if certain:
        warnings = (
            f"{certain} predictions are 0 or 1 (within {_NEAREST:g}) and were moved to there for "
            "intercept and slope",
            *warnings,
        )
    linear = logit(np.clip(risk, _NEAREST, 1.0 - _NEAREST))
    intercept = _in_the_large(labels, linear, level)
    slope = _slope(labels, linear, level)
    brier = _brier(labels, risk, level)
    prevalence = float(labels.mean())
    reference = prevalence * (1.0 - prevalence)
    return Calibration(
        intercept,
        slope,
        brier,
        reference,
        1.0 - brier.value / reference,
        *_reliability(labels, risk, bins, level),
        (*slope.warnings, *warnings),
    )


def _in_the_large(labels: Bools, linear: Floats, level: float) -> Estimate:
    x, y = np.ones((labels.size, 1)), labels.astype(np.float64)
    # Newton's first step is from the log odds: far-off predictions would overshoot from zero.
    start = np.array([logit(y.mean()) - linear.mean()])
    fit = maximise(x, y, offset=linear, start=start)
    if not fit.converged:
        return Estimate.missing("The intercept was not found")
    return _profiled(x, y, fit, 0, level, 1.0, linear)


def _slope(labels: Bools, linear: Floats, level: float) -> Estimate:
    if np.ptp(linear) <= 1e-12 * max(1.0, float(np.abs(linear).max())):
        return Estimate.missing("All predictions are equal, so there is no calibration slope")
    up, down = linear[labels], linear[~labels]
    if up.min() >= down.max() or up.max() <= down.min():
        return Estimate.missing(
            "The predictions separate the classes, so the calibration slope is infinite"
        )
    scale = float(np.abs(linear).max())
    x, y = np.column_stack([np.ones(labels.size), linear / scale]), labels.astype(np.float64)
    fit = maximise(x, y)
    if not fit.converged:
        return Estimate.missing("The calibration slope was not found")
    return _profiled(x, y, fit, 1, level, scale, 0.0)


def _profiled(
    x: Floats,
    y: Floats,
    fit: Fit,
    column: int,
    level: float,
    scale: float,
    offset: Floats | float,
) -> Estimate:
    value = float(fit.coefficients[column]) / scale
    try:
        low, high = profile_limits(x, y, fit, column, level, offset=offset)
    except ArithmeticError:
        return Estimate(value, *NO_LIMITS, ("The profile likelihood was not found: no interval",))
    return Estimate(value, low / scale, high / scale)


def _brier(labels: Bools, risk: Floats, level: float) -> Estimate:
    errors = (risk - labels) ** 2
    value = float(errors.mean())
    if errors.size < 2 or np.ptp(errors) == 0.0:
        return Estimate(value, *NO_LIMITS, ("Every error is the same: no spread, no interval",))
    sd = float(errors.std(ddof=1) / np.sqrt(errors.size))
    return Estimate(value, *logit_interval(value, sd, normal_quantile(level)))


def _reliability(
    labels: Bools, risk: Floats, bins: int, level: float
) -> tuple[Floats, Floats, Floats, Floats, Ints]:
    edges = np.unique(np.quantile(risk, np.arange(1, bins) / bins, method="lower"))
    which = np.searchsorted(edges, risk, side="left")
    which = np.unique(which, return_inverse=True)[1]
    counts = np.bincount(which)
    positives = np.bincount(which, weights=labels).astype(np.int64)
    shares = [wilson(int(k), int(n), level) for k, n in zip(positives, counts, strict=True)]
    observed, low, high = np.array(shares, dtype=np.float64).T
    expected = np.bincount(which, weights=risk) / counts
    return expected, observed, low, high, counts
