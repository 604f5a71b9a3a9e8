"""How good a cut of a score is: the confusion matrix and its proportions, with intervals."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from breastpredict.errors import InputError
from breastpredict.stats._checks import Floats, Ints, binary_labels, confidence_level, scores_for
from breastpredict.stats.proportions import f1_wilson, wilson
from breastpredict.stats.resampling import bootstrap_cells
from breastpredict.stats.results import Estimate
from breastpredict.stats.roc import roc_auc
from breastpredict.stats.sample_size import size_warnings

F1Interval = Literal["wilson", "percentile", "bca"]


class BinaryMetrics(NamedTuple):
    """A confusion matrix and its proportions.

    A proportion with no cases in its denominator is NaN, with the reason in its ``warnings``.

    Attributes:
        tp: true positives.
        fp: false positives.
        tn: true negatives.
        fn: false negatives.
        accuracy: (tp + tn) / n.
        sensitivity: tp / (tp + fn).
        specificity: tn / (tn + fp).
        ppv: tp / (tp + fp), at the prevalence of these cases.
        npv: tn / (tn + fn), at the prevalence of these cases.
        f1: 2 tp / (2 tp + fp + fn).
        prevalence: (tp + fn) / n.
        warnings: that the classes are too small for the intervals.
    """

    tp: int
    fp: int
    tn: int
    fn: int
    accuracy: Estimate
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate
    f1: Estimate
    prevalence: Estimate
    warnings: tuple[str, ...]

    @property
    def n(self) -> int:
        """Number of cases."""
        return self.tp + self.fp + self.tn + self.fn


def binary_metrics(
    y: ArrayLike,
    score: ArrayLike,
    threshold: float,
    *,
    level: float = 0.95,
    f1_interval: F1Interval = "wilson",
    n: int = 1000,
    seed: int = 0,
) -> BinaryMetrics:
    """Confusion matrix and proportions of a score cut at ``threshold`` (positive: at least it).

    The intervals take the threshold as given. One chosen on the same cases makes sensitivity and
    specificity optimistic, and no interval here makes good for it.

    Args:
        y: labels [patients], 1 = positive.
        score: scores [patients]; higher means positive.
        threshold: the cut.
        level: confidence level.
        f1_interval: ``"wilson"`` (closed form, see ``f1_wilson``), or the bootstrap by patient
            with ``"percentile"`` or ``"bca"`` limits.
        n: number of bootstrap resamples.
        seed: seed of the bootstrap.

    Raises:
        InputError: as ``roc_auc``; the threshold is not a number; no interval of that name.
    """
    labels = binary_labels(y)
    confidence_level(level)
    if np.isnan(threshold):
        raise InputError("The threshold is not a number")
    if f1_interval not in ("wilson", "percentile", "bca"):
        raise InputError(
            f"F1 has no interval named {f1_interval!r}",
            remedy="Use 'wilson', 'percentile' or 'bca'",
        )
    called = scores_for(labels, score) >= threshold
    tp, fp = int((called & labels).sum()), int((called & ~labels).sum())
    fn, tn = int((~called & labels).sum()), int((~called & ~labels).sum())
    if f1_interval == "wilson":
        f1 = f1_wilson(tp, fp, fn, level)
    else:
        cells = np.array([tp, fp, fn, tn])
        f1 = bootstrap_cells(_f1, cells, n=n, seed=seed, level=level, method=f1_interval)

    def share(part: int, whole: int, of_what: str) -> Estimate:
        if whole == 0:
            return Estimate.missing(f"No case was called {of_what}")
        return wilson(part, whole, level)

    return BinaryMetrics(
        tp,
        fp,
        tn,
        fn,
        accuracy=wilson(tp + tn, labels.size, level),
        sensitivity=wilson(tp, tp + fn, level),
        specificity=wilson(tn, tn + fp, level),
        ppv=share(tp, tp + fp, "positive"),
        npv=share(tn, tn + fn, "negative"),
        f1=f1,
        prevalence=wilson(tp + fn, labels.size, level),
        warnings=size_warnings(tp + fn, tn + fp),
    )


def _f1(tables: Ints) -> Floats:
    """F1 of each table of tp, fp, fn, tn [tables, 4]; NaN where nobody is or is called positive."""
    tp, fp, fn, _ = tables.T
    with np.errstate(invalid="ignore"):
        f1: Floats = 2 * tp / (2 * tp + fp + fn)
    return f1


class SubgroupRow(NamedTuple):
    """One subgroup of a cohort.

    Attributes:
        group: its name.
        n: number of patients.
        events: number of positive patients.
        auc: area under the ROC curve; NaN with the reason when a class is missing.
        metrics: at the threshold; None when a class is missing.
        warnings: why there is no number, or why it is not to be trusted.
    """

    group: Any
    n: int
    events: int
    auc: Estimate
    metrics: BinaryMetrics | None
    warnings: tuple[str, ...]


def subgroup_table(
    groups: ArrayLike,
    y: ArrayLike,
    score: ArrayLike,
    threshold: float,
    *,
    level: float = 0.95,
) -> tuple[SubgroupRow, ...]:
    """Every subgroup with its size, area and proportions, in sorted order of the names.

    Differences between subgroups are not tested: overlapping intervals of small groups are no
    evidence of equality. Missing names (None, NaN, "") form a group of their own, named "missing".

    Args:
        groups: the subgroup of each patient [patients].
        y: labels [patients], 1 = positive.
        score: scores [patients].
        threshold: one threshold for all; per-group thresholds would hide what is looked for.
        level: confidence level.

    Raises:
        InputError: lengths differ, labels or scores cannot be used; but a subgroup with one
            class only is a row, not an error.
    """
    labels = binary_labels(y)
    scores = scores_for(labels, score)
    given = np.asarray(groups, dtype=object)  # not as text: None and NaN are no names
    names: list[Any] = [
        "missing" if name is None or name == "" or name != name else name
        for name in given.ravel().tolist()
    ]
    if given.shape != labels.shape:
        raise InputError(
            f"There are {labels.size} labels but {len(names)} subgroup names",
            remedy="Name the subgroup of each patient",
        )
    rows: list[SubgroupRow] = []
    for name in sorted(set(names), key=lambda name: (type(name).__name__, name)):
        members = np.array([own == name for own in names])
        events, size = int(labels[members].sum()), int(members.sum())
        if events in (0, size):
            missing = "positive" if events == 0 else "negative"
            reason = f"There is no case of the {missing} class"
            rows.append(SubgroupRow(name, size, events, Estimate.missing(reason), None, (reason,)))
            continue
        auc = roc_auc(labels[members], scores[members], level=level)
        cut = binary_metrics(labels[members], scores[members], threshold, level=level)
        rows.append(SubgroupRow(name, size, events, auc, cut, auc.warnings))
    return tuple(rows)
