"""How good a binary score is, per cohort, beside its baselines: numbers only, for any task.

Two rules are held here, whoever calls:

- A number stands for unseen patients only. Patients on whom a marker (the model, a baseline) was
  fitted, or its threshold chosen, are reported apart; a marker that saw a patient of the headline
  is refused.
- A threshold comes with the patients it was chosen on. None is chosen here.

Figures and pages are made of these numbers elsewhere (`breastpredict.study.evaluation`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breastpredict.errors import InputError
from breastpredict.learning.examples import BinaryTask
from breastpredict.stats import (
    BinaryMetrics,
    Calibration,
    DecisionCurve,
    Estimate,
    SubgroupRow,
    TestResult,
    binary_metrics,
    calibration,
    decision_curve,
    delong_test,
    roc_auc,
    roc_curve,
    size_warnings,
    subgroup_table,
)

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MODEL = "Model"
"""Name of the marker that the others are compared with."""
_RESAMPLES = 500  # of the ROC band, which is looked at and not quoted
_BAND_CASES = 5  # of each class; of fewer, resamples hardly differ and the band is falsely narrow
_PER_BIN = 10  # cases of a bin of the reliability curve, at least where there are so many
_GRID = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class Threshold:
    """A cut of a score: positive means at least ``value``.

    Attributes:
        value: on the score.
        source: where it comes from, in words.
        chosen_on: patients whose labels it was chosen with.
    """

    value: float
    source: str
    chosen_on: frozenset[str] = field(default=frozenset(), repr=False)


@dataclass(frozen=True)
class Marker:
    """A score of every case: the model's, or a baseline's.

    Attributes:
        name: as tables show it; the model's is ``MODEL``.
        scores: [cases]; higher points to the positive class; NaN where there is none.
        threshold: None where there is none; there are then no proportions.
        fitted_on: patients whose labels it was fitted with.
        probability: the scores may be read as probabilities.
        note: what a reader should know of it.
        rival: a score of its own, to be tested against the model; not the model cut elsewhere.
    """

    name: str
    scores: Floats = field(repr=False)
    threshold: Threshold | None
    fitted_on: frozenset[str] = field(default=frozenset(), repr=False)
    probability: bool = False
    note: str = ""
    rival: bool = True


@dataclass(frozen=True)
class Cases:
    """The cases of one task that have a label.

    Attributes:
        task: the question.
        title: as readers see it.
        patients: [cases], each once.
        cohorts: [cases], the cohort each is reported in.
        labels: [cases], True for the task's positive class.
        training: [cases], True for patients that the model was fitted on.
        subgroups: name → [cases] value, "" where not known.
    """

    task: BinaryTask
    title: str
    patients: tuple[str, ...] = field(repr=False)
    cohorts: tuple[str, ...] = field(repr=False)
    labels: Bools = field(repr=False)
    training: Bools = field(repr=False)
    subgroups: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)


class RocBand(NamedTuple):
    """Sensitivity at each false-positive rate, with pointwise 95 % limits by bootstrap."""

    false_positive_rate: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class MarkerResult:
    """What a marker does in one cohort. What cannot be computed is None, and ``note`` says why.

    Attributes:
        marker: its name.
        n, positives: cases with a score, and of them of the positive class.
        auc: with logit-DeLong limits.
        threshold: the cut of ``metrics``.
        metrics: accuracy, sensitivity, specificity, PPV, NPV, F1 and the counts.
        against_model: DeLong's paired test, model minus this, on cases that have both scores.
        roc: false- and true-positive rate and threshold of each point [points].
        band: of the curve; None for baselines and for fewer than 5 cases of a class.
        calibration, decision: only where the score is a probability.
        note: what a reader should know.
    """

    marker: str
    n: int
    positives: int
    auc: Estimate | None = None
    threshold: Threshold | None = None
    metrics: BinaryMetrics | None = None
    against_model: TestResult | None = None
    roc: tuple[Floats, Floats, Floats] | None = field(default=None, repr=False)
    band: RocBand | None = field(default=None, repr=False)
    calibration: Calibration | None = field(default=None, repr=False)
    decision: DecisionCurve | None = field(default=None, repr=False)
    note: str = ""


@dataclass(frozen=True)
class CohortResult:
    """One cohort of a task; the model is the first marker.

    Attributes:
        cohort: its name.
        n, positives: labelled cases.
        markers: the model, then the baselines.
        warnings: what the sample size does not allow.
    """

    cohort: str
    n: int
    positives: int
    markers: tuple[MarkerResult, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskEvaluation:
    """One task.

    Attributes:
        task, title: the question.
        cohorts: unseen patients only, one result a cohort: the headline.
        training: patients that the model was fitted on; no measure of performance.
        subgroups: variable → the model in its subgroups, unseen patients of all cohorts together.
    """

    task: BinaryTask
    title: str
    cohorts: tuple[CohortResult, ...]
    training: tuple[CohortResult, ...]
    subgroups: Mapping[str, tuple[SubgroupRow, ...]]


def evaluate_task(cases: Cases, markers: Sequence[Marker], *, seed: int = 0) -> TaskEvaluation:
    """Evaluate markers on the cases of a task, per cohort.

    Args:
        cases: with the model's training patients marked.
        markers: the model first, then baselines.
        seed: of the bootstraps.

    Raises:
        InputError: a patient twice; a marker that was fitted, or whose threshold was chosen, on
            patients of the headline; scores of another length.
    """
    _check(cases, markers)
    cohorts = np.array(cases.cohorts, dtype=object)

    def of(part: Bools) -> tuple[CohortResult, ...]:
        names = list(dict.fromkeys(cohorts[part].tolist()))
        return tuple(
            _cohort(name, cases.labels, markers, part & (cohorts == name), seed) for name in names
        )

    return TaskEvaluation(
        cases.task,
        cases.title,
        of(~cases.training),
        of(cases.training),
        _subgroups(cases, markers[0]),
    )


def _check(cases: Cases, markers: Sequence[Marker]) -> None:
    size = len(cases.patients)
    if len(set(cases.patients)) != size:
        raise InputError(f"A patient is there twice among the cases of {cases.title}")
    if not markers or markers[0].name != MODEL:
        raise InputError("The first marker is not the model")
    unseen = {p for p, seen in zip(cases.patients, cases.training, strict=True) if not seen}
    for marker in markers:
        if marker.scores.shape != (size,):
            raise InputError(f"{marker.name} has {marker.scores.size} scores for {size} cases")
        if shared := len(unseen & marker.fitted_on):
            raise InputError(
                f"{marker.name} was fitted on {shared} of the patients it would be judged on",
                remedy="Mark them as training patients, or fit it without them",
            )
        if marker.threshold and (shared := len(unseen & marker.threshold.chosen_on)):
            raise InputError(
                f"The threshold of {marker.name} was chosen on {shared} of the patients it would "
                "be judged on",
                remedy="Choose it on training or tuning patients",
            )


def _cohort(
    name: str, labels: Bools, markers: Sequence[Marker], part: Bools, seed: int
) -> CohortResult:
    n, positives = int(part.sum()), int((labels & part).sum())
    model = markers[0]
    return CohortResult(
        name,
        n,
        positives,
        tuple(
            _marker(marker, labels, part, None if marker is model else model, seed)
            for marker in markers
        ),
        size_warnings(positives, n - positives),
    )


def _marker(
    marker: Marker, labels: Bools, part: Bools, model: Marker | None, seed: int
) -> MarkerResult:
    have = part & np.isfinite(marker.scores)
    y, s = labels[have], marker.scores[have]
    n, positives = int(have.sum()), int(y.sum())
    note = marker.note
    if n < part.sum() and n:
        note = _joined(note, f"no score for {int(part.sum()) - n} of {int(part.sum())} cases")
    if positives in (0, n):
        missing = "scores" if not n else "positive cases" if not positives else "negative cases"
        return MarkerResult(
            marker.name, n, positives, note=_joined(note, f"no {missing}, so no number")
        )
    curve = roc_curve(y, s)
    enough = min(positives, n - positives) >= _BAND_CASES
    against = None
    if model is not None and marker.rival:
        both = have & np.isfinite(model.scores)
        try:
            against = delong_test(labels[both], model.scores[both], marker.scores[both])
        except InputError as error:
            note = _joined(note, f"no test against the model: {error.problem}")
    fit: Calibration | None = None
    if marker.probability:
        try:
            fit = calibration(y, s, bins=int(np.clip(n // _PER_BIN, 1, 10)))
        except InputError as error:
            note = _joined(note, f"no calibration: {error.problem}")
    return MarkerResult(
        marker.name,
        n,
        positives,
        auc=roc_auc(y, s),
        threshold=marker.threshold,
        metrics=None if marker.threshold is None else binary_metrics(y, s, marker.threshold.value),
        against_model=against,
        roc=(curve.false_positive_rate, curve.true_positive_rate, curve.thresholds),
        band=_band(y, s, seed) if model is None and enough else None,
        calibration=fit,
        decision=decision_curve(y, s) if marker.probability else None,
        note=note,
    )


def _band(labels: Bools, scores: Floats, seed: int) -> RocBand:
    """Pointwise percentile limits of the curve, by resampling both classes (vertical averaging)."""
    rng = np.random.default_rng(seed)
    positive, negative = np.sort(scores[labels]), np.sort(scores[~labels])
    curves = np.empty((_RESAMPLES, _GRID.size))
    for i in range(_RESAMPLES):
        p = np.sort(rng.choice(positive, positive.size))
        q = np.sort(rng.choice(negative, negative.size))
        cuts = np.unique(np.concatenate([p, q]))[::-1]
        tpr = 1 - np.searchsorted(p, cuts, "left") / p.size
        fpr = 1 - np.searchsorted(q, cuts, "left") / q.size
        # The straight line between points is what a tie's random order gives on average. At a jump
        # the higher end counts, as on the empirical curve read from left to right.
        curves[i] = np.interp(_GRID, np.r_[0.0, fpr], np.r_[0.0, tpr])
    low, high = np.quantile(curves, [0.025, 0.975], axis=0)
    return RocBand(_GRID, low, high)


def _subgroups(cases: Cases, model: Marker) -> dict[str, tuple[SubgroupRow, ...]]:
    if model.threshold is None:
        return {}
    unseen = ~cases.training & np.isfinite(model.scores)
    out = {}
    for variable, values in cases.subgroups.items():
        part = unseen & np.array([bool(value) for value in values])
        y, names = cases.labels[part], np.array(values, dtype=object)[part]
        if len(set(names)) > 1 and 0 < y.sum() < y.size:
            out[variable] = subgroup_table(names, y, model.scores[part], model.threshold.value)
    return out


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
