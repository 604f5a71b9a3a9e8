"""The numbers of an evaluation as plain tables and as one JSON document."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from breastpredict.learning.evaluation import CohortResult, MarkerResult, Threshold
from breastpredict.stats import BinaryMetrics, Estimate
from breastpredict.study.evaluation.numbers import TaskNumbers
from breastpredict.study.results import csv_text

PROPORTIONS = ("accuracy", "sensitivity", "specificity", "ppv", "npv", "f1")
Row = dict[str, Any]


def task_tables(
    tasks: Sequence[TaskNumbers], columns_of: Callable[[Any], Mapping[str, Any]]
) -> dict[str, str]:
    """File name → CSV text of every table of the tasks.

    Args:
        tasks: the numbers.
        columns_of: what a case is called, and its class, as columns of the tables of scores.
    """
    out = {
        "metrics.csv": csv_of(row for task in tasks for row in _metrics(task)),
        "subgroups.csv": csv_of(row for task in tasks for row in _subgroups(task)),
    }
    for task in tasks:
        name = task.evaluation.task.name
        cohorts = list(parts(task))
        out[f"roc_{name}.csv"] = csv_of(roc_rows(cohorts))
        out[f"roc_band_{name}.csv"] = csv_of(_band(cohorts))
        out[f"confusion_{name}.csv"] = csv_of(_confusion(cohorts))
        out[f"calibration_{name}.csv"] = csv_of(_calibration(cohorts))
        out[f"decision_{name}.csv"] = csv_of(_decision(cohorts))
        out[f"scores_{name}.csv"] = csv_of(_scores(task, columns_of))
    return out


def to_json(value: Any) -> Any:
    """Numbers as JSON holds them: estimates by name, NaN and infinity as null."""
    if isinstance(value, Estimate):
        return {
            "value": to_json(value.value),
            "low": to_json(value.low),
            "high": to_json(value.high),
            **({"warnings": list(value.warnings)} if value.warnings else {}),
        }
    if isinstance(value, Threshold):  # the patients it was chosen on are nobody's business
        return {"value": to_json(value.value), "source": value.source,
                "patients": len(value.chosen_on)}  # fmt: skip
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: to_json(part) for name, part in value._asdict().items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): to_json(part) for name, part in value.items()}
    if isinstance(value, np.ndarray):
        return to_json(value.tolist())
    if isinstance(value, list | tuple):
        return [to_json(part) for part in value]
    if isinstance(value, np.generic):
        return to_json(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def parts(task: TaskNumbers) -> Iterator[tuple[str, CohortResult]]:
    """Every cohort of a task with what its numbers mean."""
    for cohort in task.evaluation.cohorts:
        yield "unseen", cohort
    if task.out_of_fold is not None:
        yield "cross-validated", task.out_of_fold
    for cohort in task.evaluation.training:
        yield "training", cohort


def _metrics(task: TaskNumbers) -> Iterator[Row]:
    yield from metric_rows(task.evaluation.task.name, parts(task))


def metric_rows(name: str, cohorts: Iterable[tuple[str, CohortResult]]) -> Iterator[Row]:
    """Long: one row a number, its limits, and what it is of."""
    for role, cohort in cohorts:
        for marker in cohort.markers:
            base: Row = {
                "task": name,
                "patients": role,
                "cohort": cohort.cohort,
                "marker": marker.marker,
                "n": marker.n,
                "positives": marker.positives,
            }
            for metric, value, note in _values(marker):
                yield {
                    **base,
                    "metric": metric,
                    "value": number(value.value),
                    "low": number(value.low),
                    "high": number(value.high),
                    "note": note,
                }


def _values(marker: MarkerResult) -> Iterator[tuple[str, Estimate, str]]:
    none = float("nan")
    if marker.auc is None:
        yield "auc", Estimate(none, none, none), marker.note
        return
    yield "auc", marker.auc, "; ".join((marker.note, *marker.auc.warnings)).strip("; ")
    if marker.threshold is not None:
        cut = marker.threshold
        yield "threshold", Estimate(cut.value, none, none), cut.source
    if isinstance(marker.metrics, BinaryMetrics):
        for name in PROPORTIONS:
            value: Estimate = getattr(marker.metrics, name)
            yield name, value, "; ".join(value.warnings)
    if marker.against_model is not None:
        test = marker.against_model
        yield "auc_difference_model_minus_this", Estimate(test.difference, none, none), ""
        yield "delong_p_against_model", Estimate(test.p_value, none, none), ""
    if marker.calibration is not None:
        for name in ("intercept", "slope", "brier"):
            value = getattr(marker.calibration, name)
            yield f"calibration_{name}", value, "; ".join(value.warnings)


def _subgroups(task: TaskNumbers) -> Iterator[Row]:
    for variable, rows in task.evaluation.subgroups.items():
        for row in rows:
            cut = row.metrics
            yield {
                "task": task.evaluation.task.name,
                "variable": variable,
                "subgroup": row.group,
                "n": row.n,
                "positives": row.events,
                "auc": number(row.auc.value),
                "auc_low": number(row.auc.low),
                "auc_high": number(row.auc.high),
                **{
                    f"{name}{end}": number(getattr(getattr(cut, name), part)) if cut else ""
                    for name in PROPORTIONS
                    for end, part in (("", "value"), ("_low", "low"), ("_high", "high"))
                },
                "note": "; ".join(row.warnings),
            }


def roc_rows(cohorts: Iterable[tuple[str, CohortResult]]) -> Iterator[Row]:
    """Every point of every curve."""
    for role, cohort in cohorts:
        for marker in cohort.markers:
            for false, true, cut in zip(*(marker.roc or ((), (), ())), strict=True):
                yield {
                    "patients": role,
                    "cohort": cohort.cohort,
                    "marker": marker.marker,
                    "false_positive_rate": number(false),
                    "true_positive_rate": number(true),
                    "threshold": number(cut),
                }


def _band(cohorts: Iterable[tuple[str, CohortResult]]) -> Iterator[Row]:
    for role, cohort in cohorts:
        for marker in cohort.markers:
            if marker.band is not None:
                for false, low, high in zip(*marker.band, strict=True):
                    yield {
                        "patients": role,
                        "cohort": cohort.cohort,
                        "marker": marker.marker,
                        "false_positive_rate": number(false),
                        "low": number(low),
                        "high": number(high),
                    }


def _confusion(cohorts: Iterable[tuple[str, CohortResult]]) -> Iterator[Row]:
    for role, cohort in cohorts:
        for marker in cohort.markers:
            if (cut := marker.metrics) is not None:
                yield {
                    "patients": role,
                    "cohort": cohort.cohort,
                    "marker": marker.marker,
                    "true_positive": cut.tp,
                    "false_positive": cut.fp,
                    "true_negative": cut.tn,
                    "false_negative": cut.fn,
                }


def _calibration(cohorts: Iterable[tuple[str, CohortResult]]) -> Iterator[Row]:
    for role, cohort in cohorts:
        for marker in cohort.markers:
            if (fit := marker.calibration) is not None:
                for i in range(len(fit.counts)):
                    yield {
                        "patients": role,
                        "cohort": cohort.cohort,
                        "marker": marker.marker,
                        "bin": i + 1,
                        "n": int(fit.counts[i]),
                        "expected": number(fit.expected[i]),
                        "observed": number(fit.observed[i]),
                        "low": number(fit.low[i]),
                        "high": number(fit.high[i]),
                    }


def _decision(cohorts: Iterable[tuple[str, CohortResult]]) -> Iterator[Row]:
    for role, cohort in cohorts:
        for marker in cohort.markers:
            if (curve := marker.decision) is not None:
                for i, cut in enumerate(curve.threshold):
                    yield {
                        "patients": role,
                        "cohort": cohort.cohort,
                        "marker": marker.marker,
                        "threshold_probability": number(cut),
                        "net_benefit": number(curve.model[i]),
                        "treat_all": number(curve.all[i]),
                        "treat_none": number(curve.none[i]),
                    }


def _scores(task: TaskNumbers, columns_of: Callable[[Any], Mapping[str, Any]]) -> Iterator[Row]:
    for i, scored in enumerate(task.scored):
        yield {
            "cohort": scored.group,
            "patients": "training" if scored.training else "unseen",
            **columns_of(scored),
            "label": int(task.cases.labels[i]),
            **{marker.name: number(marker.scores[i]) for marker in task.markers},
        }


def number(value: float) -> str:
    """As many digits as the number has; nothing where there is none."""
    return repr(float(value)) if math.isfinite(value) else "inf" if value == math.inf else ""


def csv_of(rows: Iterable[Row]) -> str:
    """Rows as CSV text, with every column that one of them has."""
    content = list(rows)
    columns = list(dict.fromkeys(name for row in content for name in row))
    return csv_text(columns, content) if content else ""
