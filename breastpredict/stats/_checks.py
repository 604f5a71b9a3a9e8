"""Checks that every function of this room makes on its input."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breastpredict.errors import InputError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def binary_labels(y: ArrayLike) -> Bools:
    """Labels as booleans; 0/1 or False/True only, one-dimensional, both classes present."""
    labels = np.asarray(y)
    if labels.ndim != 1 or labels.size == 0:
        raise InputError("Labels must be a non-empty one-dimensional list")
    if labels.dtype != np.bool_:
        if labels.dtype.kind not in "iuf" or not np.isin(labels, (0, 1)).all():
            raise InputError("Labels must be 0 or 1", remedy="Code the positive class as 1")
        labels = labels == 1
    if labels.all() or not labels.any():
        missing = "negative" if labels.all() else "positive"
        raise InputError(
            f"There is no case of the {missing} class",
            remedy="ROC analysis needs cases of both classes",
        )
    return labels


def scores_for(labels: Bools, score: ArrayLike) -> Floats:
    """Scores as float64, one finite number per label."""
    values = np.asarray(score, dtype=np.float64)
    if values.shape != labels.shape:
        raise InputError(
            f"There are {labels.size} labels but scores of shape {values.shape}",
            remedy="Give one score per label",
        )
    if not np.isfinite(values).all():
        raise InputError(
            f"{int((~np.isfinite(values)).sum())} scores are missing or not finite",
            remedy="Leave those cases out of both labels and scores",
        )
    return values


def confidence_level(level: float) -> float:
    """The level itself, when it is a proportion."""
    if not 0.0 < level < 1.0:
        raise InputError(f"The confidence level {level} is not between 0 and 1")
    return level
