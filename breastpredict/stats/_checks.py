"""Checks that every function of this room makes on its input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from breastpredict.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def binary_labels(y: ArrayLike) -> Bools:
    """Labels as booleans; 0/1 or False/True only, one-dimensional, both classes present."""
    try:
        labels = np.asarray(y)
    except ValueError:  # rows of different lengths
        labels = np.empty((0, 0))
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


def scores_for(labels: NDArray[Any], score: ArrayLike, what: str = "scores") -> Floats:
    """Scores as float64, one finite number per label."""
    try:
        values = np.asarray(score, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"The {what} are not numbers") from None
    if values.shape != labels.shape:
        raise InputError(
            f"There are {labels.size} labels but {what} of shape {values.shape}",
            remedy="Give one score per label",
        )
    if not np.isfinite(values).all():
        raise InputError(
            f"{int((~np.isfinite(values)).sum())} {what} are missing or not finite",
            remedy="Leave those cases out of both labels and scores",
        )
    return values


def probabilities_for(labels: NDArray[Any], p: ArrayLike) -> Floats:
    """Probabilities as float64, one per label, between 0 and 1."""
    values = scores_for(labels, p, "probabilities")
    outside = int(((values < 0.0) | (values > 1.0)).sum())
    if outside:
        raise InputError(
            f"{outside} probabilities are not between 0 and 1",
            remedy="Give probabilities, not scores or logits",
        )
    return values


def class_numbers(values: ArrayLike, classes: int, what: str) -> Ints:
    """Ordered classes as integers 0 … ``classes`` - 1."""
    if classes < 2:
        raise InputError(f"There must be at least 2 classes, not {classes}")
    numbers = np.asarray(values)
    if numbers.ndim != 1 or numbers.size == 0:
        raise InputError(f"The {what} classes must be a non-empty one-dimensional list")
    if numbers.dtype.kind not in "biuf" or not np.isin(numbers, np.arange(classes)).all():
        raise InputError(f"The {what} classes must be whole numbers from 0 to {classes - 1}")
    return numbers.astype(np.int64)


def unit_of(groups: ArrayLike, cases: int) -> Ints:
    """The patient of each row, numbered 0, 1, … [rows]."""
    names = np.asarray(groups)
    if names.shape != (cases,):
        raise InputError(
            f"There are {cases} rows but groups of shape {names.shape}",
            remedy="Name the patient of each row",
        )
    if names.dtype.kind == "f" and np.isnan(names).any():
        raise InputError("A row has no patient", remedy="Name the patient of each row")
    return np.unique(names, return_inverse=True)[1].astype(np.int64)


def confidence_level(level: float) -> float:
    """The level itself, when it is a proportion."""
    if not 0.0 < level < 1.0:
        raise InputError(f"The confidence level {level} is not between 0 and 1")
    return level


def normal_quantile(level: float) -> float:
    """How many standard errors a two-sided interval of this level reaches; 1.96 for 0.95."""
    return float(ndtri(0.5 + confidence_level(level) / 2))
