"""Area under the ROC curve, its intervals, and the paired test of two areas.

The area is the Mann–Whitney probability that a positive case scores above a negative one; ties
count one half. Its variance is DeLong's (DeLong, DeLong & Clarke-Pearson, Biometrics 1988;44:837),
computed from midranks (Sun & Xu, IEEE Signal Process Lett 2014;21:1389).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from breastpredict.errors import InputError
from breastpredict.stats._checks import (
    Bools,
    Floats,
    binary_labels,
    confidence_level,
    scores_for,
)
from breastpredict.stats.resampling import percentile_interval, resampled_auc
from breastpredict.stats.results import Estimate, TestResult

Interval = Literal["logit-delong", "delong", "bootstrap"]


class RocCurve(NamedTuple):
    """Points of an empirical ROC curve, from (0, 0) to (1, 1).

    A case is called positive when its score is at least ``thresholds[i]``; the first is infinite.
    """

    false_positive_rate: Floats
    true_positive_rate: Floats
    thresholds: Floats


def roc_auc(
    y: ArrayLike,
    score: ArrayLike,
    interval: Interval = "logit-delong",
    *,
    level: float = 0.95,
    n: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Area under the ROC curve with a confidence interval.

    Args:
        y: labels [cases], 1 = positive.
        score: scores [cases]; higher means positive.
        interval: ``"logit-delong"``: DeLong's variance on the logit scale, always inside (0, 1).
            Where that variance is zero or undefined (perfect separation, a class of one case) it
            would claim certainty, so Newcombe's method 5 is used (Stat Med 2006;25:559).
            ``"delong"``: symmetric, cut to [0, 1], as pROC prints it; needs two cases per class.
            ``"bootstrap"``: percentile of ``n`` resamples of cases; resamples with one class are
            drawn again.
        level: confidence level.
        n: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        InputError: a class is missing, lengths differ, scores are not finite, or the interval
            cannot be had from so few cases.
    """
    labels = binary_labels(y)
    scores = scores_for(labels, score)
    confidence_level(level)
    areas, variance = _delong(labels, scores[np.newaxis])
    area = float(areas[0])
    if interval == "bootstrap":
        replicates = resampled_auc(labels, scores, n=n, seed=seed)
        return Estimate(area, *percentile_interval(replicates, level))
    z = float(norm.ppf(0.5 + level / 2))
    sd = float(np.sqrt(variance[0, 0]))
    if interval == "delong":
        if np.isnan(sd):
            raise InputError(
                "DeLong's interval needs at least two cases of each class",
                remedy="Use interval='logit-delong' or collect more cases",
            )
        return Estimate(area, max(0.0, area - z * sd), min(1.0, area + z * sd))
    if interval == "logit-delong":
        if not sd > 0.0 or area in (0.0, 1.0):
            return Estimate(area, *_newcombe(area, int(labels.sum()), int((~labels).sum()), z))
        half = z * sd / (area * (1.0 - area))
        centre = float(logit(area))
        return Estimate(area, float(expit(centre - half)), float(expit(centre + half)))
    raise InputError(
        f"There is no interval named {interval!r}",
        remedy="Use 'logit-delong', 'delong' or 'bootstrap'",
    )


def delong_test(y: ArrayLike, a: ArrayLike, b: ArrayLike) -> TestResult:
    """DeLong's test of two areas from the same cases (paired, two-sided).

    Args:
        y: labels [cases], 1 = positive.
        a: scores of the first marker [cases].
        b: scores of the second marker [cases].

    Returns:
        Z (positive where ``a`` has the larger area), p value, area of ``a`` minus area of ``b``.
        Scores that rank the cases identically give Z = 0, p = 1.

    Raises:
        InputError: as ``roc_auc``; fewer than two cases in a class; areas differ with no variance.
    """
    labels = binary_labels(y)
    both = np.stack([scores_for(labels, a), scores_for(labels, b)])
    areas, covariance = _delong(labels, both)
    if np.isnan(covariance).any():
        raise InputError("DeLong's test needs at least two cases of each class")
    difference = float(areas[0] - areas[1])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1])
    if variance <= np.finfo(np.float64).eps:
        if abs(difference) <= np.finfo(np.float64).eps:
            return TestResult(0.0, 1.0, 0.0)
        raise InputError(
            "The two areas differ but their difference has no variance, so there is no test",
            remedy="Use more cases",
        )
    z = difference / float(np.sqrt(variance))
    return TestResult(z, float(2.0 * norm.sf(abs(z))), difference)


def roc_curve(y: ArrayLike, score: ArrayLike) -> RocCurve:
    """Every point of the empirical ROC curve, one per distinct score.

    Raises:
        InputError: as ``roc_auc``.
    """
    labels = binary_labels(y)
    scores = scores_for(labels, score)
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(ranked)), ranked.size - 1)
    true_positives = np.cumsum(labels[order])[last_of_tie]
    false_positives = last_of_tie + 1 - true_positives
    return RocCurve(
        np.concatenate([[0.0], false_positives / (~labels).sum()]),
        np.concatenate([[0.0], true_positives / labels.sum()]),
        np.concatenate([[np.inf], ranked[last_of_tie]]),
    )


def _delong(labels: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """Areas [markers] and their covariance [markers, markers] (NaN when a class has one case)."""
    positives, negatives = scores[:, labels], scores[:, ~labels]
    m, n = positives.shape[1], negatives.shape[1]
    ranks = rankdata(scores, axis=1)
    # Each case's share of the area: how many of the other class it beats, ties one half.
    beaten = (ranks[:, labels] - rankdata(positives, axis=1)) / n
    beating = 1.0 - (ranks[:, ~labels] - rankdata(negatives, axis=1)) / m
    areas = beaten.mean(axis=1)
    if min(m, n) < 2:
        return areas, np.full((len(scores), len(scores)), np.nan)
    return areas, np.atleast_2d(np.cov(beaten) / m + np.cov(beating) / n)


def _newcombe(area: float, m: int, n: int, z: float) -> tuple[float, float]:
    """Newcombe's method 5: the areas whose own standard error reaches the observed one."""
    half_sample = (m + n) / 2 - 1

    def excess(true: float) -> float:
        spread = half_sample * ((1 - true) / (2 - true) + true / (1 + true))
        variance = true * (1 - true) * (1 + spread) / (m * n)
        return abs(true - area) - z * float(np.sqrt(variance))

    def crossing(inside: float, edge: float) -> float:
        return edge if inside == edge or excess(edge) <= 0 else float(brentq(excess, inside, edge))

    # At the observed area the excess is negative, except when it lies on an edge: step inside.
    low_start = min(area, 1.0 - 1e-9)
    high_start = max(area, 1e-9)
    return crossing(low_start, 0.0), crossing(high_start, 1.0)
