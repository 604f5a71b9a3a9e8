"""Cutting a score: the threshold, and how good the cut is. Positive means score >= threshold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from breastpredict.errors import InputError
from breastpredict.stats._checks import binary_labels, scores_for
from breastpredict.stats.roc import roc_curve


class BinaryMetrics(NamedTuple):
    """A confusion matrix and its proportions; a proportion of no cases is NaN."""

    true_positive: int
    false_positive: int
    true_negative: int
    false_negative: int
    accuracy: float
    sensitivity: float
    specificity: float
    ppv: float
    npv: float
    f1: float


def youden_threshold(y: ArrayLike, score: ArrayLike) -> float:
    """The threshold that maximises sensitivity + specificity − 1 (Youden, Cancer 1950;3:32).

    Candidates are the midpoints between neighbouring distinct scores, as in pROC. Of several equal
    maxima the lowest is taken, the one with the highest sensitivity.

    Raises:
        InputError: as ``roc_auc``; all scores are equal.
    """
    curve = roc_curve(y, score)
    descending = curve.thresholds[1:]
    if descending.size < 2:
        raise InputError("All scores are equal, so no threshold separates them")
    j = (curve.true_positive_rate - curve.false_positive_rate)[1:-1]
    # Rates are fractions of counts: equal maxima may differ in the last bit.
    best = int(np.flatnonzero(j >= j.max() - 1e-12)[-1])
    upper, lower = descending[best], descending[best + 1]
    middle = (lower + upper) / 2
    return float(middle if middle > lower else upper)  # neighbouring floats have no midpoint


def binary_metrics(y: ArrayLike, score: ArrayLike, threshold: float) -> BinaryMetrics:
    """Confusion matrix and proportions of a score cut at ``threshold`` (positive: at least it).

    Raises:
        InputError: as ``roc_auc``; the threshold is not a number.
    """
    labels = binary_labels(y)
    if np.isnan(threshold):
        raise InputError("The threshold is not a number")
    called = scores_for(labels, score) >= threshold
    tp, fp = int((called & labels).sum()), int((called & ~labels).sum())
    fn, tn = int((~called & labels).sum()), int((~called & ~labels).sum())
    return BinaryMetrics(
        tp,
        fp,
        tn,
        fn,
        accuracy=_ratio(tp + tn, labels.size),
        sensitivity=_ratio(tp, tp + fn),
        specificity=_ratio(tn, tn + fp),
        ppv=_ratio(tp, tp + fp),
        npv=_ratio(tn, tn + fn),
        f1=_ratio(2 * tp, 2 * tp + fp + fn),
    )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
