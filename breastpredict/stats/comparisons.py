"""Two groups compared, as baseline tables do. The arithmetic is SciPy's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import fisher_exact, mannwhitneyu, ttest_ind

from breastpredict.errors import InputError
from breastpredict.stats._checks import Floats, confidence_level, normal_quantile
from breastpredict.stats.results import Estimate, TestResult


class OddsRatio(NamedTuple):
    """An odds ratio with its interval, and Fisher's exact two-sided p value."""

    odds_ratio: Estimate
    p_value: float


def fisher_odds_ratio(table: ArrayLike, *, level: float = 0.95) -> OddsRatio:
    """Odds ratio ad / bc of a table [[a, b], [c, d]] and Fisher's exact test.

    The interval is Woolf's (Ann Hum Genet 1955;19:251): log odds ratio ± z √(1/a + 1/b + 1/c +
    1/d). With an empty cell there is none: NaN or infinite, with the reason in ``warnings``.

    Raises:
        InputError: not a 2×2 table of counts, or a row or column is empty.
    """
    confidence_level(level)
    counts = np.asarray(table)
    if counts.shape != (2, 2) or counts.dtype.kind not in "iuf":
        raise InputError("The odds ratio needs a table of 2 by 2 counts")
    if not ((counts >= 0) & (counts == np.round(counts))).all():
        raise InputError("The odds ratio needs whole counts")
    if (counts.sum(axis=0) == 0).any() or (counts.sum(axis=1) == 0).any():
        raise InputError("A row or column of the table is empty: there is no odds ratio")
    p_value = float(fisher_exact(counts.astype(np.int64)).pvalue)
    (a, b), (c, d) = counts.astype(np.float64)
    if (counts == 0).any():
        ratio = float("inf") if b * c == 0.0 else 0.0
        limits = (float("nan"), float("nan"))
        return OddsRatio(Estimate(ratio, *limits, ("A cell is empty: no interval",)), p_value)
    half = normal_quantile(level) * np.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    ratio = a * d / (b * c)
    low, high = ratio * np.exp([-half, half])
    return OddsRatio(Estimate(float(ratio), float(low), float(high)), p_value)


def welch_test(a: ArrayLike, b: ArrayLike) -> TestResult:
    """Welch's t test of two means (Biometrika 1947;34:28), two-sided; no equal variances needed.

    Returns:
        t, p value, mean of ``a`` minus mean of ``b``.

    Raises:
        InputError: fewer than two values in a group, missing values, or no spread in both.
    """
    first, second = _sample(a, 2), _sample(b, 2)
    if np.ptp(first) == 0.0 and np.ptp(second) == 0.0:
        raise InputError("Neither group varies, so there is no t test")
    found = ttest_ind(first, second, equal_var=False)
    return TestResult(
        float(found.statistic), float(found.pvalue), float(first.mean() - second.mean())
    )


def rank_sum_test(a: ArrayLike, b: ArrayLike) -> TestResult:
    """Wilcoxon's rank sum test (Mann–Whitney), two-sided, corrected for ties and continuity.

    Returns:
        W (pairs in which ``a`` is larger, ties one half), p value of the normal approximation,
        difference of the medians.

    Raises:
        InputError: a group is empty, values are missing, or all are equal.
    """
    first, second = _sample(a, 1), _sample(b, 1)
    if np.ptp(np.concatenate([first, second])) == 0.0:
        raise InputError("All values are equal, so there is no rank sum test")
    found = mannwhitneyu(first, second, method="asymptotic", use_continuity=True)
    return TestResult(
        float(found.statistic),
        float(found.pvalue),
        float(np.median(first) - np.median(second)),
    )


def _sample(values: ArrayLike, least: int) -> Floats:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or numbers.size < least:
        raise InputError(f"Each group needs at least {least} value{'s' if least > 1 else ''}")
    if not np.isfinite(numbers).all():
        raise InputError(f"{int((~np.isfinite(numbers)).sum())} values are missing or not finite")
    return numbers
