"""Fitting a trained model's output to the patients of another site.

A threshold and a probability hold where they were made. At another site the weights stay and the
logit z of the network becomes ``slope * z + intercept``, fitted to local patients of known class:

- temperature scaling (Guo et al., ICML 2017): intercept 0, one number, mends over-confidence only;
- Platt scaling (Platt 1999): slope and intercept, mends another prevalence too. It is the logistic
  regression of the class on the logit, fitted here by maximum likelihood without a penalty.

Both keep the order of the cases, so the area under the ROC curve stays what it was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breastpredict.errors import InputError
from breastpredict.stats import (
    binary_metrics,
    roc_auc,
    sensitivity_threshold,
    youden_threshold,
)

Method = Literal["threshold", "temperature", "platt", "all"]
METHODS: tuple[Method, ...] = get_args(Method)

FEWEST_PATIENTS = 20
FEWEST_PER_CLASS = 5
"""Below these, slope, intercept and threshold are little more than chance: with 5 patients of a
class a sensitivity of 80 % has a 95 % interval from 38 to 96 %."""

_SEPARATED = "The scores separate the local classes without overlap, so no scale is the most likely"
_STEEPEST = 1e3  # a slope beyond has no maximum: the classes are separated


@dataclass(frozen=True)
class Recalibration:
    """What is done to the network's logit at a site.

    Attributes:
        site: whose patients it was fitted to.
        method: how.
        slope, intercept: the logit z becomes ``slope * z + intercept``.
    """

    site: str
    method: Method
    slope: float
    intercept: float

    @classmethod
    def from_block(cls, block: Mapping[str, Any]) -> Recalibration | None:
        """The recalibration in a bundle's metadata; None where there is none.

        Raises:
            InputError: damaged.
        """
        given = block.get("recalibration")
        if given is None:
            return None
        try:
            found = cls(**{k: given[k] for k in ("site", "method", "slope", "intercept")})
            numbers = (float(found.slope), float(found.intercept))
            if not (all(map(math.isfinite, numbers)) and found.slope > 0):
                raise ValueError("slope or intercept")
            if found.method not in METHODS or not isinstance(found.site, str):
                raise ValueError("method or site")
        except (LookupError, TypeError, ValueError) as error:
            raise InputError("The recalibration in the bundle's metadata is damaged") from error
        return found

    def logit(self, raw: float) -> float:
        """The logit at the site."""
        return self.slope * raw + self.intercept

    @property
    def words(self) -> str:
        """For results and the model card."""
        what = {
            "threshold": "threshold chosen",
            "temperature": "probability scaled (temperature)",
            "platt": "probability scaled (Platt)",
            "all": "probability scaled (Platt) and threshold chosen",
        }[self.method]
        return f"{what} on local patients of {self.site}"


@dataclass(frozen=True)
class Fitted:
    """A recalibration, and what it changed on the patients it was fitted to.

    Attributes:
        recalibration: of the logit.
        threshold: on the recalibrated score.
        rule: how the threshold came about.
        patients: per class.
        before, after: AUC, Brier score, threshold, sensitivity and specificity.
    """

    recalibration: Recalibration
    threshold: float
    rule: str
    patients: dict[str, int]
    before: dict[str, Any]
    after: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def recalibrate(
    logits: ArrayLike,
    labels: ArrayLike,
    threshold: float,
    site: str,
    *,
    method: Method = "all",
    sensitivity: float | None = None,
) -> Fitted:
    """Fit a site's recalibration.

    ``threshold`` chooses the cut and leaves the probability; ``temperature`` and ``platt`` scale
    the probability and carry the cut along, so no decision changes; ``all`` is Platt scaling and a
    cut chosen on the scaled score.

    Args:
        logits: the network's own, one per patient.
        labels: 1 = the class the logit points to, 0 = the other.
        threshold: on the sigmoid of the network's own logit, so far.
        site: name of the local cohort.
        method: see above.
        sensitivity: choose the highest cut that reaches it, instead of Youden's.

    Raises:
        InputError: too few patients, one class only, all logits equal, classes that are separated
            without overlap (no maximum of the likelihood), or scores that point the wrong way.
    """
    z = np.asarray(logits, dtype=np.float64)
    y = np.asarray(labels, dtype=np.int64)
    if method not in METHODS:
        raise InputError(
            f"There is no method {method!r}", remedy=f"Use one of {', '.join(METHODS)}"
        )
    check_enough(y)
    slope, intercept = 1.0, 0.0
    if method == "temperature":
        slope = 1.0 / fit_temperature(z, y)
    elif method in ("platt", "all"):
        slope, intercept = fit_platt(z, y)
    scaled = _sigmoid(slope * z + intercept)
    if method in ("threshold", "all"):
        cut, rule = choose_threshold(y, scaled, sensitivity)
    else:
        cut = float(_sigmoid(np.array(slope * _logit(threshold) + intercept)))
        rule = "the former threshold on the scaled score: no decision changes"
    return Fitted(
        Recalibration(site, method, slope, intercept),
        cut,
        rule,
        {"positive": int(y.sum()), "negative": int((1 - y).sum())},
        _quality(y, _sigmoid(z), threshold),
        _quality(y, scaled, cut),
    )


def check_enough(labels: NDArray[np.int64]) -> None:
    """Raise InputError where patients or classes are too few to fit anything to."""
    positives, n = int(labels.sum()), len(labels)
    if n < FEWEST_PATIENTS or min(positives, n - positives) < FEWEST_PER_CLASS:
        raise InputError(
            f"Too few local patients: {n}, {positives} and {n - positives} of the two classes; at "
            f"least {FEWEST_PATIENTS}, and {FEWEST_PER_CLASS} of each class, are needed",
            remedy="Collect more patients of known class at this site",
        )


def fit_platt(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float]:
    """Slope and intercept of the logistic regression of the label on the logit, unpenalised.

    Raises:
        InputError: as `recalibrate`.
    """
    _check_overlap(logits, labels)
    # Newton's method on standardised logits; the likelihood is concave.
    z, center, scale = _standardised(logits)
    design = np.stack([z, np.ones_like(z)], axis=1)
    beta = np.zeros(2)
    for _ in range(200):
        p = _sigmoid(design @ beta)
        gradient = design.T @ (labels - p)
        hessian = (design * (p * (1 - p))[:, np.newaxis]).T @ design
        try:
            step = np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            break
        while _loss(design @ (beta + step), labels) > _loss(design @ beta, labels) + 1e-12:
            step /= 2
            if np.abs(step).max() < 1e-15:
                break
        beta = beta + step
        if np.abs(beta).max() > _STEEPEST or np.abs(step).max() < 1e-12:
            break
    _check_fit(float(beta[0]), float(np.abs(gradient).max()))
    slope = float(beta[0] / scale)
    return slope, float(beta[1] - slope * center)


def fit_temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The temperature T that makes sigmoid(z / T) most likely.

    Raises:
        InputError: as `recalibrate`.
    """
    scale = float(np.abs(logits).mean())
    if not scale > 0:
        raise InputError("All scores are equal: there is nothing to calibrate")
    _check_overlap(np.where(labels == 1, logits, -logits), np.ones_like(labels), 0.0)
    z = logits / scale
    slope = gradient = 0.0
    for _ in range(200):
        p = _sigmoid(slope * z)
        gradient = float(z @ (labels - p))
        step = gradient / max(float((z * z) @ (p * (1 - p))), 1e-300)
        while _loss((slope + step) * z, labels) > _loss(slope * z, labels) + 1e-12:
            step /= 2
            if abs(step) < 1e-15:
                break
        slope += step
        if abs(slope) > _STEEPEST or abs(step) < 1e-12:
            break
    _check_fit(slope, abs(gradient))
    return scale / slope


def choose_threshold(
    labels: ArrayLike, scores: ArrayLike, sensitivity: float | None = None
) -> tuple[float, str]:
    """A cut and its rule: Youden's, or the highest with at least a sensitivity.

    Raises:
        InputError: as `breastpredict.stats.youden_threshold` and `sensitivity_threshold`.
    """
    if sensitivity is None:
        return youden_threshold(labels, scores), "Youden on the local patients"
    rule = f"sensitivity of at least {sensitivity:g} on the local patients"
    return sensitivity_threshold(labels, scores, sensitivity), rule


def _quality(labels: NDArray[np.int64], scores: NDArray[np.float64], cut: float) -> dict[str, Any]:
    found = binary_metrics(labels, scores, cut)
    return {
        "auc": roc_auc(labels, scores)._asdict(),
        "brier": float(np.mean((scores - labels) ** 2)),
        "threshold": cut,
        "sensitivity": found.sensitivity._asdict(),
        "specificity": found.specificity._asdict(),
    }


def _check_fit(slope: float, gradient: float) -> None:
    if abs(slope) > _STEEPEST or not math.isfinite(slope) or gradient > 1e-6:
        raise InputError(_SEPARATED, remedy="Collect more patients, or use --method threshold")
    if slope <= 0:
        raise InputError(
            "At this site the scores point the wrong way or nowhere: the fitted slope is "
            f"{slope:.3g}. The model does not work here, and no calibration mends that"
        )


def _check_overlap(
    z: NDArray[np.float64], labels: NDArray[np.int64], cut: float | None = None
) -> None:
    """Raise InputError where the likelihood rises for ever with the slope.

    That is where one value of z has all positives at or above it and all negatives at or below;
    ``cut`` is that value where it is not free.
    """
    negatives = z[labels == 0] if cut is None else np.array([cut])
    if negatives.max() <= z[labels == 1].min() and z.max() > z.min():
        raise InputError(_SEPARATED, remedy="Collect more patients, or use --method threshold")


def _standardised(z: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, float]:
    center, scale = float(z.mean()), float(z.std())
    if not scale > 0:
        raise InputError("All scores are equal: there is nothing to calibrate")
    return (z - center) / scale, center, scale


def _loss(z: NDArray[np.float64], y: NDArray[np.int64]) -> float:
    return float(np.sum(np.logaddexp(0.0, z) - y * z))


def _sigmoid(z: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.special import expit

    return np.asarray(expit(z), dtype=np.float64)


def _logit(p: float) -> float:
    return math.log(p) - math.log1p(-p) if 0 < p < 1 else math.copysign(math.inf, p - 0.5)
