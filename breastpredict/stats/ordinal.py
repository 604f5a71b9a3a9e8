"""Several ordered classes at once: agreement and separation."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from breastpredict.errors import InputError
from breastpredict.stats._checks import (
    Floats,
    Ints,
    class_numbers,
    confidence_level,
    normal_quantile,
)
from breastpredict.stats.resampling import (
    area_of_counts,
    bca_interval,
    bootstrap_cells,
    counts_of,
    percentile_interval,
    replicates_of,
)
from breastpredict.stats.results import NO_LIMITS, Estimate
from breastpredict.stats.roc import auc_components, logit_interval, newcombe_interval
from breastpredict.stats.sample_size import FEW

KappaInterval = Literal["fisher", "percentile", "bca"]


def quadratic_kappa(
    truth: ArrayLike,
    predicted: ArrayLike,
    classes: int = 3,
    *,
    interval: KappaInterval = "fisher",
    level: float = 0.95,
    n: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Cohen's kappa with quadratic weights (Cohen, Psychol Bull 1968;70:213).

    κ = 1 − Σ (i−j)² oᵢⱼ / Σ (i−j)² eᵢⱼ, o the observed shares, e those expected of independent
    ratings with the same margins.

    Args:
        truth: true classes [patients], 0 … ``classes`` − 1 in their order.
        predicted: predicted classes [patients].
        classes: number of classes.
        interval: ``"fisher"``: the large-sample variance (Fleiss, Cohen & Everitt, Psychol Bull
            1969;72:323) on Fisher's z scale; or the bootstrap by patient, ``"percentile"`` or
            ``"bca"``.
        level: confidence level.
        n: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        InputError: values are no classes, lengths differ, all are of one class both times, or no
            interval of that name.
    """
    confidence_level(level)
    rows = class_numbers(truth, classes, "true")
    columns = class_numbers(predicted, classes, "predicted")
    if rows.size != columns.size:
        raise InputError(f"There are {rows.size} true classes but {columns.size} predicted ones")
    table = np.bincount(rows * classes + columns, minlength=classes**2)
    value = float(_kappa(table[np.newaxis], classes)[0])
    if np.isnan(value):
        raise InputError("All true and predicted classes are the same one: kappa is not defined")
    if interval == "fisher":
        if abs(value) >= 1.0:
            reason = "Perfect agreement or disagreement has no spread: no interval"
            return Estimate(value, *NO_LIMITS, (reason,))
        return Estimate(value, *_fisher_limits(table, classes, value, level))
    if interval not in ("percentile", "bca"):
        raise InputError(
            f"Kappa has no interval named {interval!r}",
            remedy="Use 'fisher', 'percentile' or 'bca'",
        )
    return bootstrap_cells(
        lambda tables: _kappa(tables, classes), table, n=n, seed=seed, level=level, method=interval
    )


def _kappa(tables: Ints, classes: int) -> Floats:
    """Kappa of each table [tables, classes²]; NaN where it is not defined."""
    shares = tables.reshape(-1, classes, classes) / tables.sum(axis=1)[:, np.newaxis, np.newaxis]
    weights = _disagreement(classes)
    observed = (shares * weights).sum(axis=(1, 2))
    expected = np.einsum("ti,tj,ij->t", shares.sum(axis=2), shares.sum(axis=1), weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        kappa: Floats = np.where(expected > 0.0, 1.0 - observed / expected, np.nan)
    return kappa


def _disagreement(classes: int) -> Floats:
    place = np.arange(classes)
    return ((place[:, np.newaxis] - place) ** 2 / (classes - 1) ** 2).astype(np.float64)


def _fisher_limits(table: Ints, classes: int, value: float, level: float) -> tuple[float, float]:
    shares = table.reshape(classes, classes) / table.sum()
    weights = _disagreement(classes)
    row, column = shares.sum(axis=1), shares.sum(axis=0)
    expected = float(row @ weights @ column)
    # Each patient's influence on 1 − o/e, by the cell it is in; its spread is the variance.
    margins = (weights @ column)[:, np.newaxis] + (row @ weights)
    influence = -(weights - (1.0 - value) * (margins - expected)) / expected
    centred = influence - float((shares * influence).sum())
    sd = float(np.sqrt((shares * centred**2).sum() / table.sum()))
    z = normal_quantile(level)
    centre, half = np.arctanh(value), z * sd / (1.0 - value**2)
    return float(np.tanh(centre - half)), float(np.tanh(centre + half))


def macro_auc(
    y_class: ArrayLike,
    probabilities: ArrayLike,
    *,
    interval: Literal["logit-delong", "percentile", "bca"] = "logit-delong",
    level: float = 0.95,
    n: int = 1000,
    seed: int = 0,
) -> Estimate:
    """Mean over the classes of the area under the ROC curve, each class against the rest.

    Args:
        y_class: true classes [patients], 0 … classes − 1.
        probabilities: score of each class [patients, classes].
        interval: ``"logit-delong"``: the spread of the patients' influence on the mean (DeLong's
            components of every area), on the logit scale; or the bootstrap by patient,
            ``"percentile"`` or ``"bca"``; resamples that miss a class are drawn again.
        level: confidence level.
        n: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        InputError: a class has no case, lengths differ, values are not finite.
    """
    confidence_level(level)
    scores = np.asarray(probabilities, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise InputError("The probabilities must be a table: patients by at least two classes")
    classes = scores.shape[1]
    truth = class_numbers(y_class, classes, "true")
    if len(scores) != truth.size:
        raise InputError(f"There are {truth.size} labels but {len(scores)} rows of probabilities")
    if not np.isfinite(scores).all():
        raise InputError("Probabilities are missing or not finite")
    missing = [str(c) for c in range(classes) if not (truth == c).any()]
    if missing:
        raise InputError(
            f"There is no case of class {', '.join(missing)}",
            remedy="The mean of the areas needs cases of every class",
        )
    sizes = np.bincount(truth, minlength=classes)
    warnings = tuple(
        f"Only {size} case{'' if size == 1 else 's'} of class {c}: the interval is unreliable"
        for c, size in enumerate(sizes)
        if size < FEW
    )
    if interval in ("percentile", "bca"):
        value = _macro(truth, scores)
        replicates = _macro_replicates(truth, scores, n, seed)
        if interval == "percentile":
            return Estimate(value, *percentile_interval(replicates, level), warnings)
        everyone = np.arange(truth.size)
        left_out = np.array([_macro(truth[everyone != i], scores[everyone != i]) for i in everyone])
        return Estimate(value, *bca_interval(replicates, value, left_out, level), warnings)
    if interval != "logit-delong":
        raise InputError(
            f"The mean area has no interval named {interval!r}",
            remedy="Use 'logit-delong', 'percentile' or 'bca'",
        )
    influence = np.zeros(truth.size)
    value = 0.0
    for c in range(classes):
        own = truth == c
        beaten, beating = auc_components(own, scores[np.newaxis, :, c])
        area = float(beaten.mean())
        value += area / classes
        m, others = int(own.sum()), int((~own).sum())
        influence[own] += (beaten[0] - area) / np.sqrt(m * max(m - 1, 1))
        influence[~own] += (beating[0] - area) / np.sqrt(others * max(others - 1, 1))
    sd = float(np.sqrt((influence**2).sum())) / classes
    z = normal_quantile(level)
    if value in (0.0, 1.0) or sd == 0.0:
        # No spread is no certainty: as cautious as the smallest class against the rest.
        smallest = int(sizes.min())
        limits = newcombe_interval(value, smallest, truth.size - smallest, z)
    else:
        limits = logit_interval(value, sd, z)
    return Estimate(value, *limits, warnings)


def _macro_replicates(truth: Ints, scores: Floats, n: int, seed: int) -> Floats:
    """Mean areas of ``n`` resamples of the patients [n]."""
    areas = [area_of_counts(truth == c, scores[:, c]) for c in range(scores.shape[1])]

    def of_draws(drawn: Ints) -> Floats:
        counts = counts_of(drawn, truth.size)
        return np.asarray(np.mean([area(counts) for area in areas], axis=0), dtype=np.float64)

    return replicates_of(of_draws, truth.size, n, seed)


def _macro(truth: Ints, scores: Floats) -> float:
    areas = []
    for c in range(scores.shape[1]):
        own = truth == c
        if not own.any() or own.all():
            return float("nan")
        areas.append(auc_components(own, scores[np.newaxis, :, c])[0].mean())
    return float(np.mean(areas))
