"""Intervals of proportions and of what is made from them."""

from __future__ import annotations

import numpy as np

from breastpredict.errors import InputError
from breastpredict.stats._checks import normal_quantile
from breastpredict.stats.results import Estimate


def wilson(successes: int, n: int, level: float = 0.95) -> Estimate:
    """A proportion with its score interval (Wilson, J Am Stat Assoc 1927;22:209).

    With p = successes / n and z the normal quantile, the limits are
    (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n). They lie in [0, 1] and do not shrink to a
    point at 0 or n successes.

    Args:
        successes: number of successes.
        n: number of cases. None gives NaN, with the reason in ``warnings``.
        level: confidence level.

    Raises:
        InputError: counts are negative, not whole, or there are more successes than cases.
    """
    z2 = normal_quantile(level) ** 2
    if not 0 <= successes <= n or successes != int(successes) or n != int(n):
        raise InputError(f"{successes} of {n} is not a proportion of cases")
    if n == 0:
        return Estimate.missing("There is no case to count")
    p = successes / n
    centre = p + z2 / (2 * n)
    half = float(np.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n))))
    low, high = (centre - half) / (1 + z2 / n), (centre + half) / (1 + z2 / n)
    # At the ends the limit is the proportion itself; rounding would leave it a bit inside.
    return Estimate(p, 0.0 if successes == 0 else low, 1.0 if successes == n else high)


def f1_wilson(tp: int, fp: int, fn: int, level: float = 0.95) -> Estimate:
    """F1 with an interval in closed form.

    F1 = 2J / (1 + J), where J = tp / (tp + fp + fn) is a plain proportion: of the patients who
    are positive or called so, those who are both. Wilson's limits of J are therefore carried over.
    """
    overlap = wilson(tp, tp + fp + fn, level)
    value, low, high = (2 * j / (1 + j) for j in overlap)
    return Estimate(value, low, high, overlap.warnings)
