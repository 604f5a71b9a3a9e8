"""Two measurements of the same subjects compared by their differences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import nct
from scipy.stats import t as t_distribution

from breastpredict.errors import InputError
from breastpredict.stats._checks import Floats, confidence_level, normal_quantile
from breastpredict.stats.results import Estimate
from breastpredict.stats.sample_size import FEW


@dataclass(frozen=True)
class BlandAltman:
    """Bias and limits of agreement.

    Attributes:
        bias: mean of the differences, first minus second, with Student's interval.
        lower, upper: limits of agreement, bias ∓ z standard deviations, each with its exact
            interval.
        sd: standard deviation of the differences.
        slope: of the differences on the means; away from 0 the limits do not hold for small and
            large values alike. With Student's interval.
        n: pairs.
        left_out: pairs with a missing value.
        means, differences: of each pair kept.
    """

    bias: Estimate
    lower: Estimate
    upper: Estimate
    sd: float
    slope: Estimate
    n: int
    left_out: int
    means: Floats
    differences: Floats


def bland_altman(
    first: ArrayLike, second: ArrayLike, *, agreement: float = 0.95, level: float = 0.95
) -> BlandAltman:
    """Bias and limits of agreement (Bland & Altman, Lancet 1986;1:307).

    The limits' intervals are exact for normal differences: those of a percentile of the normal
    distribution, by the noncentral t distribution (Carkeet, Optom Vis Sci 2015;92:e71). Bland and
    Altman's own are too narrow on the outer side when pairs are few.

    Args:
        first, second: measurements [subjects]; a pair with a missing value (NaN) is left out.
        agreement: share of the differences that the limits are to hold.
        level: confidence level.

    Raises:
        InputError: no numbers, lengths differ, infinite values, or fewer than three pairs.
    """
    confidence_level(agreement)
    confidence_level(level)
    try:
        a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    except (TypeError, ValueError):
        raise InputError("The measurements are not numbers") from None
    if a.ndim != 1 or a.shape != b.shape:
        raise InputError(f"There are measurements of shapes {a.shape} and {b.shape}, not pairs")
    if np.isinf(a).any() or np.isinf(b).any():
        raise InputError("A measurement is infinite")
    known = ~(np.isnan(a) | np.isnan(b))
    a, b = a[known], b[known]
    n = len(a)
    if n < 3:
        raise InputError(f"{n} pairs are complete: limits of agreement need at least three")
    differences, means = a - b, (a + b) / 2
    bias, sd = float(differences.mean()), float(differences.std(ddof=1))
    few = (f"Only {n} pairs: the interval is unreliable",) if n < FEW else ()
    z, tail = normal_quantile(agreement), (1 + level) / 2
    half = float(t_distribution.ppf(tail, n - 1)) * sd / np.sqrt(n)
    inner, outer = nct.ppf([1 - tail, tail], n - 1, z * np.sqrt(n)) * sd / np.sqrt(n)
    return BlandAltman(
        bias=Estimate(bias, bias - half, bias + half, few),
        lower=Estimate(bias - z * sd, float(bias - outer), float(bias - inner), few),
        upper=Estimate(bias + z * sd, float(bias + inner), float(bias + outer), few),
        sd=sd,
        slope=_slope(means, differences, tail, few),
        n=n,
        left_out=int((~known).sum()),
        means=means,
        differences=differences,
    )


def _slope(x: Floats, y: Floats, tail: float, warnings: tuple[str, ...]) -> Estimate:
    """Of least squares, with Student's interval."""
    centred = x - x.mean()
    spread = float((centred**2).sum())
    if spread == 0.0:
        return Estimate.missing("All means are equal: no slope")
    slope = float((centred * y).sum()) / spread
    rest = y - y.mean() - slope * centred
    error = np.sqrt(float((rest**2).sum()) / (len(x) - 2) / spread)
    half = float(t_distribution.ppf(tail, len(x) - 2)) * error
    return Estimate(slope, slope - half, slope + half, warnings)
