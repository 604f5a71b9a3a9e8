"""Bootstrap by resampling patients with replacement (Efron & Tibshirani 1993, percentile limits).

Cases are patients here: rows of one patient (patches, augmented copies) must be averaged first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breastpredict.errors import InputError
from breastpredict.stats._checks import (
    Bools,
    Floats,
    binary_labels,
    confidence_level,
    scores_for,
)
from breastpredict.stats.results import Estimate

_ELEMENTS_AT_ONCE = 2_000_000  # bounds memory to some tens of MB whatever the number of cases
_ROUNDS = 50


def bootstrap(
    statistic: Callable[..., Any],
    *arrays: ArrayLike,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """Percentile bootstrap of any statistic of cases.

    Args:
        statistic: takes the arrays, returns a number (or an ``Estimate``, whose value is used).
            ``roc_auc`` is recognised and computed for all resamples at once.
        arrays: one or more arrays whose first axis is the case; resampled together.
        n: number of resamples.
        seed: seed; the same seed gives the same limits.
        level: confidence level.

    Returns:
        The statistic of the cases themselves and its percentile limits. A resample on which the
        statistic is not defined (``InputError`` or NaN, e.g. one class only) is drawn again.

    Raises:
        InputError: no arrays, lengths differ, or nearly no resample gives a value.
    """
    from breastpredict.stats.roc import roc_auc

    confidence_level(level)
    columns = [np.asarray(array) for array in arrays]
    if not columns or any(c.ndim == 0 or len(c) != len(columns[0]) for c in columns):
        raise InputError("The bootstrap needs arrays of one length, the number of cases")
    if len(columns[0]) == 0 or n < 1:
        raise InputError("The bootstrap needs at least one case and one resample")
    value = _number(statistic(*columns))
    if statistic is roc_auc and len(columns) == 2:
        labels = binary_labels(columns[0])
        replicates = resampled_auc(labels, scores_for(labels, columns[1]), n=n, seed=seed)
    else:

        def of_rows(rows: NDArray[np.int64]) -> Floats:
            return np.array([_defined(statistic, [c[row] for c in columns]) for row in rows])

        replicates = _replicates(of_rows, len(columns[0]), n, seed)
    return Estimate(value, *percentile_interval(replicates, level))


def resampled_auc(labels: Bools, scores: Floats, *, n: int, seed: int) -> Floats:
    """Areas under the ROC curve of ``n`` resamples [n], all at once.

    The cases are sorted once; a resample is then only a count per case, and its area follows from
    cumulative counts over the distinct scores.
    """
    order = np.argsort(scores, kind="stable")
    place = np.argsort(order)
    ranked, positive = scores[order], labels[order]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(ranked)) + 1])
    tied = len(starts) < len(ranked)

    def of_rows(rows: NDArray[np.int64]) -> Floats:
        resamples, cases = rows.shape
        flat = (place[rows] + cases * np.arange(resamples)[:, np.newaxis]).ravel()
        counts = np.bincount(flat, minlength=rows.size).reshape(rows.shape)
        positives = counts * positive
        negatives = counts - positives
        if tied:
            positives = np.add.reduceat(positives, starts, axis=1)
            negatives = np.add.reduceat(negatives, starts, axis=1)
        # Twice the number of pairs won: all negatives below count 2, ties count 1.
        below = 2 * np.cumsum(negatives, axis=1) - negatives
        won = np.einsum("ij,ij->i", positives, below)
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        with np.errstate(invalid="ignore"):
            areas: Floats = won / (2.0 * pairs)
        return areas

    return _replicates(of_rows, len(ranked), n, seed)


def percentile_interval(replicates: Floats, level: float) -> tuple[float, float]:
    """Percentile limits of bootstrap replicates."""
    low, high = np.quantile(replicates, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def _replicates(
    of_rows: Callable[[NDArray[np.int64]], Floats], cases: int, n: int, seed: int
) -> Floats:
    """The first ``n`` defined replicates of a stream of resamples."""
    rng = np.random.default_rng(seed)
    kept: list[Floats] = []
    missing = n
    for _ in range(_ROUNDS):
        for rows in _draws(rng, missing, cases):
            values = of_rows(rows)
            kept.append(values[~np.isnan(values)])
        missing = n - sum(map(len, kept))
        if missing == 0:
            return np.concatenate(kept)
    raise InputError(
        "The statistic is not defined on most resamples of these cases",
        remedy="Use more cases, or an interval that needs no resampling",
    )


def _draws(rng: np.random.Generator, n: int, cases: int) -> Iterator[NDArray[np.int64]]:
    at_once = max(1, _ELEMENTS_AT_ONCE // cases)
    for start in range(0, n, at_once):
        yield rng.integers(0, cases, size=(min(at_once, n - start), cases))


def _number(result: Any) -> float:
    return float(result.value if isinstance(result, Estimate) else result)


def _defined(statistic: Callable[..., Any], arrays: list[NDArray[Any]]) -> float:
    try:
        return _number(statistic(*arrays))
    except InputError:
        return float("nan")
