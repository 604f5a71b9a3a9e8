"""Every number of a HER2 evaluation: both tasks, the ordered view, the baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from breastpredict.errors import InputError
from breastpredict.her2 import CLASSES
from breastpredict.her2.cases import TITLES, ZERO_VS_REST, label_of
from breastpredict.her2.train_pool import TASKS
from breastpredict.learning.baselines import Baseline, fit_baseline
from breastpredict.learning.evaluation import (
    MODEL,
    Cases,
    CohortResult,
    Marker,
    evaluate_task,
)
from breastpredict.learning.examples import BinaryTask
from breastpredict.learning.ordered import OrderedResult, evaluate_ordered
from breastpredict.study.evaluation.her2_cases import JoinedHer2, Scored
from breastpredict.study.evaluation.numbers import (
    CLINICAL,
    TRAINED,
    TaskNumbers,
    as_trained,
    known,
    own_cut,
)

__all__ = ["CLINICAL", "SIZE", "TRAINED", "Her2Numbers", "evaluate_her2"]

SIZE = "Tumour size only"
CLINICAL_COLUMNS = ("age", "menopause", "histology", "size_mm", "pt", "pn", "grade", "er", "pr",
                    "ki67", "lvi", "family_history")  # fmt: skip
"""What the clinical baseline uses where the cohort has it; outcomes and HER2 itself never."""
FORBIDDEN = ("patient_id", "cohort", "split", "study", "segmentation", "ihc", "ish", "synthetic",
             "os_months", "os_event", "rfs_months", "rfs_event")  # fmt: skip
"""Columns that are labels, outcomes or names."""
_VENDOR = ("vendor", "manufacturer", "scanner")
_AGE_CUT = 50


@dataclass(frozen=True)
class Her2Numbers:
    """The evaluation of a HER2 cohort.

    Attributes:
        tasks: both.
        ordered: zero < low < positive, per cohort of unseen patients.
    """

    tasks: tuple[TaskNumbers, ...]
    ordered: tuple[OrderedResult, ...]


def evaluate_her2(
    joined: JoinedHer2, clinical: Sequence[str] = (), *, seed: int = 0
) -> Her2Numbers:
    """Evaluate both tasks against both baselines.

    Args:
        joined: cohort and predictions.
        clinical: columns of the clinical baseline; by default those of ``CLINICAL_COLUMNS`` that
            the cohort has.
        seed: of the bootstraps.

    Raises:
        InputError: a clinical column that is not there, or is a label or an outcome.
    """
    columns = _columns(joined, clinical)
    tasks = tuple(_task(task, joined, columns, seed) for task in TASKS)
    unseen = [s for s in joined.scored if not s.training and s.predicted]
    ordered = tuple(
        evaluate_ordered(
            group,
            CLASSES,
            [CLASSES.index(s.case.her2) for s in members],
            [CLASSES.index(s.predicted) for s in members],
            np.array([s.probabilities for s in members]),
        )
        for group in dict.fromkeys(s.group for s in unseen)
        if (members := [s for s in unseen if s.group == group])
    )
    return Her2Numbers(tasks, ordered)


def _columns(joined: JoinedHer2, clinical: Sequence[str]) -> list[str]:
    there = list(joined.cases[0].extra)
    if bad := sorted(set(clinical) & set(FORBIDDEN)):
        raise InputError(f"The column {bad[0]} is a label, an outcome or a name, no clinical one")
    if missing := sorted(set(clinical) - set(there)):
        raise InputError(f"The cohort table has no column {missing[0]}")
    return list(dict.fromkeys(clinical)) or [name for name in CLINICAL_COLUMNS if name in there]


def _task(task: BinaryTask, joined: JoinedHer2, columns: Sequence[str], seed: int) -> TaskNumbers:
    scored = tuple(
        s
        for s in joined.scored
        if label_of(task.name, s.case.her2) is not None and task.name in s.scores
    )
    cases = Cases(
        task,
        TITLES[task.name],
        tuple(s.case.patient_id for s in scored),
        tuple(s.group for s in scored),
        np.array([label_of(task.name, s.case.her2) for s in scored], bool),
        np.array([s.training for s in scored], bool),
        _subgroups(scored),
    )
    probability = joined.calibrated[task.name]
    model = Marker(
        MODEL,
        np.array([s.scores[task.name] for s in scored], float),
        joined.thresholds[task.name],
        joined.fitted_on,
        probability,
    )
    clinical, baseline = _clinical(task, joined, scored, columns)
    trained = as_trained(model, joined.trained_thresholds.get(task.name))
    markers = (model, *trained, clinical, _size(task, scored))
    return TaskNumbers(
        evaluate_task(cases, markers, seed=seed),
        cases,
        scored,
        markers,
        probability,
        baseline,
        _out_of_fold(task, joined, seed),
    )


def _out_of_fold(task: BinaryTask, joined: JoinedHer2, seed: int) -> CohortResult | None:
    """The training patients by models of folds they were not in: cross-validated, no threshold."""
    kept = joined.out_of_fold.get(task.name, {})
    rows = [
        (case, label)
        for case in joined.cases
        if case.patient_id in kept and (label := label_of(task.name, case.her2)) is not None
    ]
    if not rows:
        return None
    cases = Cases(
        task,
        TITLES[task.name],
        tuple(case.patient_id for case, _ in rows),
        tuple(f"{case.cohort} (cross-validated)" for case, _ in rows),
        np.array([label for _, label in rows], bool),
        np.zeros(len(rows), bool),
    )
    note = "each patient scored by a model of the folds without it; no one threshold"
    scores = np.array([kept[case.patient_id] for case, _ in rows])
    return evaluate_task(cases, [Marker(MODEL, scores, None, note=note)], seed=seed).cohorts[0]


def _clinical(
    task: BinaryTask, joined: JoinedHer2, scored: Sequence[Scored], columns: Sequence[str]
) -> tuple[Marker, Baseline | None]:
    """Fitted on the training rows of the cohort table, whether they were predicted or not."""
    training = [
        (case, label)
        for case in joined.cases
        if case.patient_id in joined.fitted_on
        and (label := label_of(task.name, case.her2)) is not None
    ]
    nothing = np.full(len(scored), math.nan)
    if not columns:
        return Marker(CLINICAL, nothing, None, note="the cohort has no clinical columns"), None
    if not training:
        note = "the cohort has no training rows to fit it on"
        return Marker(CLINICAL, nothing, None, note=note), None
    try:
        baseline = fit_baseline(
            [case.extra for case, _ in training], [label for _, label in training], columns
        )
    except InputError as error:
        return Marker(CLINICAL, nothing, None, note=error.problem), None
    patients = frozenset(case.patient_id for case, _ in training)
    note = f"{', '.join(baseline.columns)}; fitted on {baseline.rows} training patients"
    scores = baseline.probability([s.case.extra for s in scored])
    return Marker(CLINICAL, scores, own_cut(baseline, patients), patients, True, note), baseline


def _size(task: BinaryTask, scored: Sequence[Scored]) -> Marker:
    """Logarithm of the largest section's area; fitted on training patients where they have one.

    Without them its direction is fixed beforehand: a larger tumour is rather not zero, and rather
    positive than low. It then has no threshold.
    """
    areas = np.log([s.area_mm2 for s in scored])
    training = [
        (s, area)
        for s, area in zip(scored, areas.tolist(), strict=True)
        if s.training and math.isfinite(area)
    ]
    if not np.isfinite(areas).any():
        return Marker(SIZE, areas, None, note="no result.json gives the tumour's size")
    rows = [{"log_area": repr(area)} for area in areas.tolist()]
    try:
        baseline = fit_baseline(
            [{"log_area": repr(area)} for _, area in training],
            [bool(label_of(task.name, s.case.her2)) for s, _ in training],
            ["log_area"],
        )
    except InputError:
        direction = 1.0 if task.name == ZERO_VS_REST else -1.0
        words = "larger" if direction > 0 else "smaller"
        note = (
            f"area of the largest section as it is, {words} pointing to {_words(task.positive)}: "
            "too few training patients were predicted to fit it, so it has no threshold"
        )
        return Marker(SIZE, direction * areas, None, note=note)
    patients = frozenset(s.case.patient_id for s, _ in training)
    scores = np.where(np.isfinite(areas), baseline.probability(rows), math.nan)
    note = f"log area of the largest section; fitted on {baseline.rows} training patients"
    return Marker(SIZE, scores, own_cut(baseline, patients), patients, True, note)


def _subgroups(scored: Sequence[Scored]) -> dict[str, tuple[str, ...]]:
    """Age, menopause and vendor, where the table has them."""
    extras = [s.case.extra for s in scored]
    out: dict[str, tuple[str, ...]] = {}
    if any("age" in extra for extra in extras):
        out["Age"] = tuple(_age(extra.get("age", "")) for extra in extras)
    for title, names in (("Menopause", ("menopause",)), ("Vendor", _VENDOR)):
        for name in names:
            if any(known(extra, name) for extra in extras):
                out[title] = tuple(known(extra, name) for extra in extras)
                break
    return out


def _age(cell: str) -> str:
    try:
        years = float(cell)
    except ValueError:
        return ""
    return f"< {_AGE_CUT} years" if years < _AGE_CUT else f"≥ {_AGE_CUT} years"


def _words(name: str) -> str:
    return f"HER2-{name.replace('_', ' ')}"
