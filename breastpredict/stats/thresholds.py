"""Choosing where to cut a score. A case is called positive when its score is at least the cut."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from breastpredict.errors import InputError
from breastpredict.stats._checks import binary_labels, scores_for
from breastpredict.stats.roc import roc_curve


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


def sensitivity_threshold(y: ArrayLike, score: ArrayLike, sensitivity: float) -> float:
    """The largest threshold that still reaches a sensitivity on these cases.

    It is the score of the k-th highest positive case, k = ⌈sensitivity × positives⌉.

    Args:
        y: labels [patients], 1 = positive.
        score: scores [patients].
        sensitivity: the share of positives to be called, in (0, 1].

    Raises:
        InputError: as ``roc_auc``; the sensitivity is not in (0, 1].
    """
    labels = binary_labels(y)
    scores = scores_for(labels, score)
    if not 0.0 < sensitivity <= 1.0:
        raise InputError(f"The sensitivity {sensitivity} is not above 0 and at most 1")
    positives = np.sort(scores[labels])[::-1]
    # 0.1 × 30 is 3 and a rounding error, not four cases.
    wanted = int(np.ceil(sensitivity * positives.size - 1e-9))
    return float(positives[max(wanted, 1) - 1])
