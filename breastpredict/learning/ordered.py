"""How good a prediction of ordered classes is, in one cohort of unseen patients: numbers only."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breastpredict.errors import InputError
from breastpredict.stats import Estimate, macro_auc, quadratic_kappa, wilson


@dataclass(frozen=True)
class OrderedResult:
    """Ordered classes in one cohort.

    Attributes:
        cohort: its name.
        classes: in their order.
        confusion: cases by true (rows) and predicted class (columns).
        accuracy: share of cases on the diagonal.
        kappa: quadratically weighted.
        macro_auc: mean one-versus-rest AUC of the class probabilities.
    """

    cohort: str
    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    accuracy: Estimate
    kappa: Estimate
    macro_auc: Estimate

    @property
    def n(self) -> int:
        """Cases."""
        return int(self.confusion.sum())


def evaluate_ordered(
    cohort: str,
    classes: Sequence[str],
    truth: Sequence[int],
    predicted: Sequence[int],
    probabilities: NDArray[np.float64],
) -> OrderedResult:
    """The view of ordered classes (zero < low < positive) in one cohort of unseen patients.

    Args:
        cohort: its name.
        classes: in their order.
        truth: index into ``classes`` [cases].
        predicted: likewise.
        probabilities: [cases, classes].

    Raises:
        InputError: lengths differ or values are no classes. A number that these cases do not
            define is missing, with the reason, and no error.
    """
    actual, said = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
    size = len(classes)
    if not actual.size or actual.shape != said.shape or probabilities.shape != (len(actual), size):
        raise InputError(f"True, predicted classes and probabilities of {cohort} do not match")
    confusion = np.zeros((size, size), np.int64)
    np.add.at(confusion, (actual, said), 1)
    try:
        kappa = quadratic_kappa(actual, said, size)
        if (confusion.sum(axis=0) > 0).sum() == 1:  # its spread is zero, which claims certainty
            why = "every prediction is the same class, so kappa has no interval"
            kappa = Estimate(kappa.value, math.nan, math.nan, (why,))
    except InputError as error:
        kappa = Estimate.missing(error.problem)
    try:
        area = macro_auc(actual, probabilities)
    except InputError as error:
        area = Estimate.missing(error.problem)
    area = Estimate(*area, tuple(_named(line, classes) for line in area.warnings))
    right = wilson(int(np.trace(confusion)), int(confusion.sum()))
    return OrderedResult(cohort, tuple(classes), confusion, right, kappa, area)


def _named(line: str, classes: Sequence[str]) -> str:
    """A warning that names classes instead of numbering them."""
    for number, name in enumerate(classes):
        line = re.sub(rf"\bclass {number}\b", f"class {name}", line)
    return line
