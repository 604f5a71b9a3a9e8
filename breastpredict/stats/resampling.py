"""Bootstrap by resampling patients with replacement (Efron & Tibshirani 1993, ch. 13 and 14).

The patient is the unit: where a patient has several rows (patches, augmented copies, lesions),
``groups`` says whose each row is, and all rows of a drawn patient go along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from breastpredict.errors import InputError
from breastpredict.stats._checks import (
    Bools,
    Floats,
    Ints,
    binary_labels,
    confidence_level,
    scores_for,
    unit_of,
)
from breastpredict.stats.results import Estimate

Method = Literal["percentile", "bca"]
OfDraws = Callable[[Ints], Floats]

_ELEMENTS_AT_ONCE = 2_000_000  # bounds memory to some tens of MB whatever the number of cases
_ROUNDS = 50


def bootstrap(
    statistic: Callable[..., Any],
    *arrays: ArrayLike,
    n: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    method: Method = "percentile",
    vectorised: bool = False,
    groups: ArrayLike | None = None,
) -> Estimate:
    """Bootstrap interval of any statistic of patients.

    Args:
        statistic: takes the arrays, returns a number (or an ``Estimate``, whose value is used).
            ``roc_auc`` is recognised and computed for all resamples at once.
        arrays: one or more arrays whose first axis is the row; resampled together.
        n: number of resamples.
        seed: seed; the same seed gives the same limits.
        level: confidence level.
        method: ``"percentile"``, or ``"bca"``: bias-corrected and accelerated (Efron, J Am Stat
            Assoc 1987;82:171), the acceleration from leaving out one patient at a time.
        vectorised: the statistic takes arrays [resamples, rows, …] and returns [resamples], NaN
            where it is not defined; it must not look at how many resamples it gets.
        groups: the patient of each row [rows]; each row is a patient when left out.

    Returns:
        The statistic of the rows themselves and its limits. A resample on which the statistic is
        not defined (``InputError`` or NaN, e.g. one class only) is drawn again.

    Raises:
        InputError: no arrays, lengths differ, the statistic is not defined on the rows or on
            nearly every resample, or (``"bca"``) not when one patient is left out.
    """
    from breastpredict.stats.roc import leave_one_out_auc, roc_auc

    confidence_level(level)
    if method not in ("percentile", "bca"):
        raise InputError(
            f"There is no bootstrap method named {method!r}", remedy="Use 'percentile' or 'bca'"
        )
    columns = [np.asarray(array) for array in arrays]
    if not columns or any(c.ndim == 0 or len(c) != len(columns[0]) for c in columns):
        raise InputError("The bootstrap needs arrays of one length, the number of cases")
    if len(columns[0]) == 0 or n < 1:
        raise InputError("The bootstrap needs at least one case and one resample")
    cases = len(columns[0])
    unit = None if groups is None else unit_of(groups, cases)
    of_area = statistic is roc_auc and len(columns) == 2 and not vectorised
    if vectorised:
        value = float(np.asarray(statistic(*(c[np.newaxis] for c in columns)))[0])
    else:
        value = _number(statistic(*columns))
    if np.isnan(value):
        raise InputError("The statistic is not defined on these cases")
    of_draws = _of_any(statistic, columns, unit, vectorised)
    if of_area:
        labels = binary_labels(columns[0])
        scores = scores_for(labels, columns[1])
        replicates = resampled_auc(labels, scores, n=n, seed=seed, unit=unit)
    else:
        replicates = replicates_of(of_draws, _units(unit, cases), n, seed)
    warnings: tuple[str, ...] = ()
    if np.ptp(replicates) == 0.0:
        warnings = ("All resamples give the same number: that is no certainty, but no interval",)
    if method == "percentile":
        return Estimate(value, *percentile_interval(replicates, level), warnings)
    if of_area and unit is None:
        left_out = leave_one_out_auc(labels, scores)
    else:
        units = _units(unit, cases)
        others = [np.delete(np.arange(units), i)[np.newaxis] for i in range(units)]
        left_out = np.concatenate([of_draws(draw) for draw in others])
    return Estimate(value, *bca_interval(replicates, value, left_out, level), warnings)


def resampled_auc(
    labels: Bools, scores: Floats, *, n: int, seed: int, unit: Ints | None = None
) -> Floats:
    """Areas under the ROC curve of ``n`` resamples [n], all at once.

    ``unit`` is the patient of each case, when some patients have several.
    """
    area = area_of_counts(labels, scores)
    units = _units(unit, labels.size)

    def of_draws(drawn: Ints) -> Floats:
        counts = counts_of(drawn, units)
        return area(counts if unit is None else counts[:, unit])

    return replicates_of(of_draws, units, n, seed)


def counts_of(drawn: Ints, units: int) -> Ints:
    """How often each patient was drawn [resamples, patients]."""
    resamples = len(drawn)
    flat = (drawn + units * np.arange(resamples)[:, np.newaxis]).ravel()
    return np.bincount(flat, minlength=resamples * units).reshape(resamples, units)


def area_of_counts(labels: Bools, scores: Floats) -> OfDraws:
    """A function from counts of the cases [resamples, cases] to areas [resamples].

    The cases are sorted once; the area of a resample follows from its cumulative counts over the
    distinct scores. NaN where a class was not drawn.
    """
    order = np.argsort(scores, kind="stable")
    ranked, positive = scores[order], labels[order]
    starts = np.concatenate([[0], np.flatnonzero(np.diff(ranked)) + 1])
    tied = len(starts) < len(ranked)

    def areas(counts: Ints) -> Floats:
        counts = counts[:, order]
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
            found: Floats = won / (2.0 * pairs)
        return found

    return areas


def bootstrap_cells(
    statistic: Callable[[Ints], Floats],
    cells: Ints,
    *,
    n: int,
    seed: int,
    level: float,
    method: Method,
) -> Estimate:
    """Bootstrap of a statistic that needs only the counts of a table.

    Drawing patients with replacement is drawing their cells, so no patient need be drawn.

    Args:
        statistic: takes tables [tables, cells], returns a number for each, NaN where undefined.
        cells: the table's counts [cells].
        n: number of resamples.
        seed: seed.
        level: confidence level.
        method: as ``bootstrap``.
    """
    total = int(cells.sum())
    value = float(statistic(cells[np.newaxis])[0])
    rng = np.random.default_rng(seed)
    replicates = statistic(rng.multinomial(total, cells / total, size=n))
    replicates = replicates[~np.isnan(replicates)]
    if replicates.size < n / _ROUNDS:
        raise InputError("The statistic is not defined on most resamples of these cases")
    if method == "percentile":
        return Estimate(value, *percentile_interval(replicates, level))
    filled = np.flatnonzero(cells)
    without = statistic(cells - np.eye(cells.size, dtype=np.int64)[filled])
    left_out = np.repeat(without, cells[filled])
    return Estimate(value, *bca_interval(replicates, value, left_out, level))


def percentile_interval(replicates: Floats, level: float) -> tuple[float, float]:
    """Percentile limits of bootstrap replicates."""
    low, high = np.quantile(replicates, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def bca_interval(
    replicates: Floats, value: float, left_out: Floats, level: float
) -> tuple[float, float]:
    """BCa limits: percentiles moved for bias and for a variance that changes with the value.

    Args:
        replicates: bootstrap replicates [n].
        value: the statistic of the cases themselves.
        left_out: the statistic with one patient left out [patients].
        level: confidence level.

    Raises:
        InputError: the statistic is not defined without some patient.
    """
    if np.isnan(left_out).any():
        raise InputError(
            "BCa limits need a statistic that is defined when any one patient is left out",
            remedy="Use method='percentile' or more cases",
        )
    # Replicates equal to the value count half: a statistic of few cases has many of them.
    n = len(replicates)
    below = ((replicates < value).sum() + (replicates <= value).sum()) / (2.0 * n)
    bias = ndtri(np.clip(below, 0.5 / n, 1.0 - 0.5 / n))
    away = left_out.mean() - left_out
    spread = float((away**2).sum())
    acceleration = float((away**3).sum()) / (6.0 * spread**1.5) if spread > 0.0 else 0.0
    z = bias + ndtri([0.5 - level / 2, 0.5 + level / 2])
    shares = ndtr(bias + z / (1.0 - acceleration * z))
    low, high = np.quantile(replicates, shares)
    return float(low), float(high)


def _of_any(
    statistic: Callable[..., Any],
    columns: list[NDArray[Any]],
    unit: Ints | None,
    vectorised: bool,
) -> OfDraws:
    """The statistic of each drawn set of patients [resamples, patients]."""
    rows_of: Callable[[Ints], Ints] = _same
    sizes = np.ones(1, dtype=np.int64)
    if unit is not None:
        sizes = np.bincount(unit)
        members = np.split(np.argsort(unit, kind="stable"), np.cumsum(sizes)[:-1])

        def rows_of(drawn: Ints) -> Ints:
            return np.concatenate([members[i] for i in drawn])

    def one(drawn: Ints) -> float:
        rows = rows_of(drawn)
        return _defined(statistic, [c[rows] for c in columns])

    def together(drawn: Ints) -> Floats:
        if (sizes != sizes[0]).any():  # resamples differ in length: one by one
            sets = [rows_of(row)[np.newaxis] for row in drawn]
        else:
            sets = [drawn if unit is None else np.stack([rows_of(row) for row in drawn])]
        found = [np.asarray(statistic(*(c[rows] for c in columns)), np.float64) for rows in sets]
        return np.concatenate(found)

    if vectorised:
        return together
    return lambda drawn: np.array([one(row) for row in drawn])


def _same(drawn: Ints) -> Ints:
    return drawn


def _units(unit: Ints | None, cases: int) -> int:
    return cases if unit is None else int(unit.max()) + 1


def replicates_of(of_draws: OfDraws, units: int, n: int, seed: int) -> Floats:
    """The first ``n`` defined replicates of a stream of resamples."""
    rng = np.random.default_rng(seed)
    kept: list[Floats] = []
    missing = n
    for _ in range(_ROUNDS):
        for drawn in _draws(rng, missing, units):
            values = of_draws(drawn)
            kept.append(values[~np.isnan(values)])
        missing = n - sum(map(len, kept))
        if missing == 0:
            return np.concatenate(kept)
    raise InputError(
        "The statistic is not defined on most resamples of these cases",
        remedy="Use more cases, or an interval that needs no resampling",
    )


def _draws(rng: np.random.Generator, n: int, units: int) -> Iterator[Ints]:
    at_once = max(1, _ELEMENTS_AT_ONCE // units)
    for start in range(0, n, at_once):
        yield rng.integers(0, units, size=(min(at_once, n - start), units))


def _number(result: Any) -> float:
    return float(result.value if isinstance(result, Estimate) else result)


def _defined(statistic: Callable[..., Any], arrays: list[NDArray[Any]]) -> float:
    try:
        return _number(statistic(*arrays))
    except InputError:
        return float("nan")
