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
from breastpredict.study.cohort import read_cohort
from breastpredict.study.evaluation.her2_run import TASKS, read_her2_run
from breastpredict.study.evaluation.join import (
    JoinError,
    ResultFiles,
    Said,
    check_patients,
    check_somebody_unseen,
    flow_counts,
    group_of,
    is_calibrated,
    is_fitted,
    is_synthetic,
    own_threshold,
    read_result_files,
    run_scores,
    scored_and_lost,
    shares_of,
    warn_of_single,
    warn_of_splits,
)
from breastpredict.study.evaluation.joined import Joined, Lost, ScoredCase
from breastpredict.study.evaluation.told_run import trained_thresholds
from breastpredict.study.results import read_results

_PREFIXES = dict(zip(TASKS, ("task1", "task2"), strict=True))
"""Of the columns of predictions.csv."""
_SHARES = ("p_zero", "p_low", "p_positive", "task1_score", "task2_score", "task1_threshold",
           "task2_threshold")  # fmt: skip


@dataclass(frozen=True)
class Scored(ScoredCase[Her2Case]):
    """A patient with a class and scores.

    Attributes:
        scores: task → score; a task may be missing.
        probabilities: of zero, low and positive; empty where only the run's scores are known.
        predicted: class by both thresholds; "" where only the run's scores are known.
        area_mm2, volume_mm3: of the tumour; NaN where not known.
    """

    scores: Mapping[str, float]
    probabilities: tuple[float, ...] = ()
    predicted: str = ""
    area_mm2: float = math.nan
    volume_mm3: float = math.nan


@dataclass(frozen=True)
class JoinedHer2(Joined[Her2Case, Scored]):
    """A cohort and its predictions, by task.

    Attributes:
        indeterminate: IHC 2+ without ISH: no label, excluded.
        out_of_fold: task → training patient → score of a model that was trained without it.
    """

    indeterminate: tuple[Her2Case, ...] = field(repr=False)
    out_of_fold: Mapping[str, Mapping[str, float]] = field(repr=False)


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
    found = read_result_files(out, rows, TASKS, _said_of, violations)
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

    def of_row(case: Her2Case, row: Mapping[str, str]) -> Scored:
        return _predicted(case, row, found, out, told.sets)

    def of_run(case: Her2Case, key: str) -> Scored | None:
        kept = run_scores(case.patient_id, told, thresholds)
        fitted = case.patient_id in fitted_on
        return Scored(case, key, group_of(case, told.sets), fitted, kept) if kept else None

    scored, lost = scored_and_lost(
        cases, lambda case: case.her2 is not None, (rows, failures), of_row, of_run, fitted_on, out
    )
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
        synthetic=is_synthetic(rows, told),
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


def _said_of(row: Mapping[str, str], content: Mapping[str, Any]) -> Said:
    """What a result.json says of its models."""
    scaled = {score["task"]: score["calibrated"] for score in content["scores"]}
    return content["weights_sha256"], scaled


def _predicted(
    case: Her2Case, row: Mapping[str, str], found: ResultFiles, out: Path, sets: Mapping[str, str]
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
        folder=folder if row["case_key"] in found.results else None,
        overrides=row["overrides"],
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
