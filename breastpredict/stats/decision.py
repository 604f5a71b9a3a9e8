"""Decision curve analysis."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from breastpredict.errors import InputError
from breastpredict.stats._checks import Floats, binary_labels, probabilities_for


class DecisionCurve(NamedTuple):
    """Net benefit per patient at each threshold probability.

    Attributes:
        threshold: threshold probabilities [thresholds].
        model: net benefit of treating those at or above the threshold [thresholds].
        all: of treating everybody [thresholds].
        none: of treating nobody: zero [thresholds].
    """

    threshold: Floats
    model: Floats
    all: Floats
    none: Floats


def decision_curve(
    y: ArrayLike, p: ArrayLike, thresholds: ArrayLike | None = None
) -> DecisionCurve:
    """Net benefit = tp / n − fp / n × t / (1 − t) (Vickers & Elkin, Med Decis Making 2006;26:565).

    Args:
        y: labels [patients], 1 = positive.
        p: predicted probabilities [patients]; positive means p ≥ t.
        thresholds: threshold probabilities in [0, 1); 0.01, 0.02 … 0.99 when left out.

    Raises:
        InputError: as ``roc_auc``; values are not probabilities.
    """
    labels = binary_labels(y)
    risk = probabilities_for(labels, p)
    if thresholds is None:
        cuts = np.arange(1, 100) / 100
    else:
        cuts = np.atleast_1d(np.asarray(thresholds, dtype=np.float64))
    if cuts.ndim != 1 or cuts.size == 0 or not ((cuts >= 0.0) & (cuts < 1.0)).all():
        raise InputError("Threshold probabilities must be at least 0 and below 1")

    def at_least(risks: Floats) -> Floats:
        above = risks.size - np.searchsorted(np.sort(risks), cuts, side="left")
        return np.asarray(above / labels.size, dtype=np.float64)

    harm = cuts / (1.0 - cuts)
    prevalence = float(labels.mean())
    return DecisionCurve(
        cuts,
        at_least(risk[labels]) - at_least(risk[~labels]) * harm,
        prevalence - (1.0 - prevalence) * harm,
        np.zeros_like(cuts),
    )
