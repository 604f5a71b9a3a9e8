"""A HER2 cohort joined with its predictions: who is evaluated, who is not, and with which scores.

See `join` for the rules.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from breastpredict.her2 import CLASSES, Her2Case
from breastpredict.her2.cases import POINTS_TO, TITLES
from breastpredict.learning.evaluation import Threshold
from breastpredict.study.cohort import read_cohort
from breastpredict.study.evaluation.her2_run import TASKS, read_her2_run
from breastpredict.study.evaluation.join import (
    JoinError,
    Lost,
    check_patients,
    check_somebody_unseen,
    flow_counts,
    group_of,
    is_calibrated,
    is_fitted,
    lost_case,
    own_threshold,
    read_result_files,
    run_scores,
    shares_of,
    warn_of_single,
    warn_of_splits,
)
from breastpredict.study.evaluation.told_run import trained_thresholds
from breastpredict.study.results import read_results

_PREFIXES = dict(zip(TASKS, ("task1", "task2"), strict=True))
"""Of the columns of predictions.csv."""
_SHARES = ("p_zero", "p_low", "p_positive", "task1_score", "task2_score", "task1_threshold",
           "task2_threshold")  # fmt: skip


@dataclass(frozen=True)
class Scored:
    """A patient with a class and scores.

    Attributes:
        case: the row of the cohort table.
        key: case key, or the row of the cohort table where the score is the training run's.
        group: what it is reported under.
        training: the model was fitted, or its threshold chosen, on it.
        scores: task → score; a task may be missing.
        probabilities: of zero, low and positive; empty where only the run's scores are known.
        predicted: class by both thresholds; "" where only the run's scores are known.
        area_mm2, volume_mm3: of the tumour; NaN where not known.
        folder: of its pictures, where there is one.
        overrides: gates that were overridden.
    """

    case: Her2Case = field(repr=False)
    key: str
    group: str
    training: bool
    scores: Mapping[str, float]
    probabilities: tuple[float, ...] = ()
    predicted: str = ""
    area_mm2: float = math.nan
    volume_mm3: float = math.nan
    folder: Path | None = field(default=None, repr=False)
    overrides: str = ""


@dataclass(frozen=True)
class JoinedHer2:
    """A cohort and its predictions.

    Attributes:
        cases: every row of the cohort table.
        scored: with a class and scores, in the order of the table.
        indeterminate: IHC 2+ without ISH: no label, excluded.
        lost: with a class and no prediction.
        fitted_on: patients the model was fitted on or its thresholds chosen with.
        sets: patient → set of the training, where the run is known.
        thresholds: task → where the model cuts.
        calibrated: task → the score may be read as a probability.
        trained_thresholds: task → the threshold before a recalibration, on the scale of the score
            after it; only for recalibrated tasks.
        out_of_fold: task → training patient → score of a model that was trained without it.
        synthetic: the model was trained on phantoms.
        warnings: what a reader must know before any number.
    """

    cases: tuple[Her2Case, ...] = field(repr=False)
    scored: tuple[Scored, ...] = field(repr=False)
    indeterminate: tuple[Her2Case, ...] = field(repr=False)
    lost: tuple[Lost[Her2Case], ...] = field(repr=False)
    fitted_on: frozenset[str] = field(repr=False)
    sets: Mapping[str, str] = field(repr=False)
    thresholds: Mapping[str, Threshold]
    calibrated: Mapping[str, bool]
    trained_thresholds: Mapping[str, Threshold]
    out_of_fold: Mapping[str, Mapping[str, float]] = field(repr=False)
    synthetic: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Found:
    """What the result.json files of all predicted cases say."""

    results: Mapping[str, Mapping[str, Any]]
    weights: Mapping[str, frozenset[str]]
    calibrated: Mapping[str, frozenset[bool]]


def join_her2(
    cohort: str | os.PathLike[str],
    predictions: str | os.PathLike[str],
    run: str | os.PathLike[str] | None = None,
) -> JoinedHer2:
    """Join a cohort table with the results folder of a batch.

    Args:
        cohort: COHORT.csv.
        predictions: OUT of ``her2 batch``; only read.
        run: the training run that the model comes from. It tells whom the model has seen, and
            gives the scores of its held-out patients where OUT has none.

    Raises:
        CohortError, JoinError: all violations of the table, of the join, at once.
        InputError: no such files; nobody to evaluate.
    """
    cases = read_cohort(cohort)
    out = Path(predictions)
    rows, failures = read_results(out)
    warnings: list[str] = []
    told = read_her2_run(run, warnings)
    warn_of_single([*rows, *failures], warnings)
    violations: list[str] = []
    check_patients(rows, failures, {case.patient_id: case for case in cases}, violations)
    _check_rows(rows, violations)
    found = _read_json(out, rows, violations)
    thresholds = {
        task: cut
        for task in TASKS
        if (cut := own_threshold(
            TITLES[task],
            {row[f"{_PREFIXES[task]}_threshold"] for row in rows},
            found.weights[task],
            told.blocks.get(task),
            told.sets,
            violations,
        ))
    }  # fmt: skip
    if violations:
        raise JoinError(out, violations)
    fitted_on = frozenset(case.patient_id for case in cases if is_fitted(case, told.sets))
    warn_of_splits(cases, told.sets, warnings)
    predicted = {row["patient_id"]: row for row in rows if row["patient_id"]}
    failed = {row["patient_id"]: row for row in failures if row["patient_id"]}
    scored: list[Scored] = []
    lost: list[Lost[Her2Case]] = []
    for number, case in enumerate(cases, start=2):
        if case.her2 is None:
            continue
        patient, training = case.patient_id, case.patient_id in fitted_on
        if patient in predicted:
            scored.append(_predicted(case, predicted[patient], found, out, told.sets))
        elif (kept := run_scores(patient, told, thresholds)) and patient not in failed:
            group = group_of(case, told.sets)
            scored.append(Scored(case, f"row-{number}", group, training, kept))
        else:
            lost.append(lost_case(case, failed.get(patient), out, training))
    check_somebody_unseen(scored, told, run is not None, out)
    return JoinedHer2(
        cases=tuple(cases),
        scored=tuple(scored),
        indeterminate=tuple(case for case in cases if case.her2 is None),
        lost=tuple(lost),
        fitted_on=fitted_on,
        sets=told.sets,
        thresholds=thresholds,
        calibrated={
            task: is_calibrated(found.calibrated[task], told.blocks.get(task)) for task in TASKS
        },
        trained_thresholds=trained_thresholds(told),
        out_of_fold=told.out_of_fold,
        synthetic=any(row["synthetic"] == "1" for row in rows)
        or any(bool(block.get("synthetic")) for block in told.blocks.values()),
        warnings=tuple(warnings),
    )


def _check_rows(rows: Sequence[Mapping[str, str]], violations: list[str]) -> None:
    """What is wrong with the numbers and classes of predictions.csv."""
    for number, row in enumerate(rows, start=2):
        place = f"predictions.csv row {number}"
        values = shares_of(row, _SHARES, place, violations)
        total = sum(values[f"p_{name}"] for name in CLASSES)
        if math.isfinite(total) and abs(total - 1) > 1e-6:
            violations.append(f"{place}: the class probabilities sum to {total:.4f}")
        if row["predicted_class"] not in CLASSES:
            violations.append(f"{place}, column predicted_class: is {row['predicted_class']!r}")
        for task, prefix in _PREFIXES.items():
            if row[f"{prefix}_points_to"] != POINTS_TO[task]:
                violations.append(
                    f"{place}, column {prefix}_points_to: is {row[f'{prefix}_points_to']!r}, "
                    f"not {POINTS_TO[task]!r}"
                )


def _read_json(out: Path, rows: Sequence[Mapping[str, str]], violations: list[str]) -> _Found:
    """What the result.json files say; the tables alone are enough."""
    weights: dict[str, set[str]] = {task: set() for task in TASKS}
    calibrated: dict[str, set[bool]] = {task: set() for task in TASKS}

    def take(row: Mapping[str, str], content: Mapping[str, Any]) -> None:
        for task, digest in content["weights_sha256"].items():
            weights[task].add(str(digest))
        for score in content["scores"]:
            calibrated[score["task"]].add(bool(score["calibrated"]))

    results = read_result_files(out, rows, take, violations)
    return _Found(
        results,
        {task: frozenset(found) for task, found in weights.items()},
        {task: frozenset(found) for task, found in calibrated.items()},
    )


def _predicted(
    case: Her2Case, row: Mapping[str, str], found: _Found, out: Path, sets: Mapping[str, str]
) -> Scored:
    result = found.results.get(row["case_key"], {})
    folder = out / row["case_key"]
    return Scored(
        case,
        row["case_key"],
        group_of(case, sets),
        is_fitted(case, sets),
        {task: float(row[f"{prefix}_score"]) for task, prefix in _PREFIXES.items()},
        tuple(float(row[f"p_{name}"]) for name in CLASSES),
        row["predicted_class"],
        _size(result.get("area_mm2")),
        _size(result.get("volume_mm3")),
        folder if row["case_key"] in found.results else None,
        row["overrides"],
    )


def _size(value: Any) -> float:
    good = isinstance(value, int | float) and math.isfinite(value) and value > 0
    return float(value) if good else math.nan


def counts(joined: JoinedHer2) -> list[dict[str, Any]]:
    """One row a cohort: where every patient of the table went; the parts add up to the rows."""
    return flow_counts(
        joined.cases,
        ("indeterminate", joined.indeterminate),
        joined.scored,
        joined.lost,
        lambda case: str(case.her2),
        CLASSES,
    )


__all__ = ["JoinError", "JoinedHer2", "Lost", "Scored", "counts", "join_her2"]
