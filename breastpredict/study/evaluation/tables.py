"""The numbers of an evaluation as plain tables and as one JSON document."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from breastpredict.her2 import CLASSES
from breastpredict.learning.evaluation import CohortResult, MarkerResult, Threshold
from breastpredict.stats import BinaryMetrics, Estimate
from breastpredict.study.evaluation.her2_cases import JoinedHer2, Scored, counts
from breastpredict.study.evaluation.her2_numbers import Her2Numbers, TaskNumbers
from breastpredict.study.results import csv_text

PROPORTIONS = ("accuracy", "sensitivity", "specificity", "ppv", "npv", "f1")
Row = dict[str, Any]


def all_tables(
    joined: JoinedHer2, numbers: Her2Numbers, name_of: Callable[[Scored], str]
) -> dict[str, str]:
    """File name → CSV text of every table.

    Args:
        joined: cohort and predictions.
        numbers: the evaluation.
        name_of: how a case is named: by its key, or by its identifier where that was asked for.
    """
    out = {
        "flow.csv": _csv(counts(joined)),
        "metrics.csv": _csv([row for task in numbers.tasks for row in _metrics(task)]),
        "subgroups.csv": _csv([row for task in numbers.tasks for row in _subgroups(task)]),
        "three_class.csv": _csv(list(_ordered(numbers))),
        "three_class_confusion.csv": _csv(list(_ordered_confusion(numbers))),
    }
    for task in numbers.tasks:
        name = task.evaluation.task.name
        out[f"roc_{name}.csv"] = _csv(list(_roc(task)))
        out[f"roc_band_{name}.csv"] = _csv(list(_band(task)))
        out[f"confusion_{name}.csv"] = _csv(list(_confusion(task)))
        out[f"calibration_{name}.csv"] = _csv(list(_calibration(task)))
        out[f"decision_{name}.csv"] = _csv(list(_decision(task)))
        out[f"scores_{name}.csv"] = _csv(list(_scores(task, name_of)))
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
    """Long: one row a number, its limits, and what it is of."""
    for role, cohort in parts(task):
        for marker in cohort.markers:
            base: Row = {
                "task": task.evaluation.task.name,
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
                    "value": _number(value.value),
                    "low": _number(value.low),
                    "high": _number(value.high),
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
                "auc": _number(row.auc.value),
                "auc_low": _number(row.auc.low),
                "auc_high": _number(row.auc.high),
                **{
                    f"{name}{end}": _number(getattr(getattr(cut, name), part)) if cut else ""
                    for name in PROPORTIONS
                    for end, part in (("", "value"), ("_low", "low"), ("_high", "high"))
                },
                "note": "; ".join(row.warnings),
            }


def _roc(task: TaskNumbers) -> Iterator[Row]:
    for role, cohort in parts(task):
        for marker in cohort.markers:
            for false, true, cut in zip(*(marker.roc or ((), (), ())), strict=True):
                yield {
                    "patients": role,
                    "cohort": cohort.cohort,
                    "marker": marker.marker,
                    "false_positive_rate": _number(false),
                    "true_positive_rate": _number(true),
                    "threshold": _number(cut),
                }


def _band(task: TaskNumbers) -> Iterator[Row]:
    for role, cohort in parts(task):
        for marker in cohort.markers:
            if marker.band is not None:
                for false, low, high in zip(*marker.band, strict=True):
                    yield {
                        "patients": role,
                        "cohort": cohort.cohort,
                        "marker": marker.marker,
                        "false_positive_rate": _number(false),
                        "low": _number(low),
                        "high": _number(high),
                    }


def _confusion(task: TaskNumbers) -> Iterator[Row]:
    for role, cohort in parts(task):
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


def _calibration(task: TaskNumbers) -> Iterator[Row]:
    for role, cohort in parts(task):
        for marker in cohort.markers:
            if (fit := marker.calibration) is not None:
                for i in range(len(fit.counts)):
                    yield {
                        "patients": role,
                        "cohort": cohort.cohort,
                        "marker": marker.marker,
                        "bin": i + 1,
                        "n": int(fit.counts[i]),
                        "expected": _number(fit.expected[i]),
                        "observed": _number(fit.observed[i]),
                        "low": _number(fit.low[i]),
                        "high": _number(fit.high[i]),
                    }


def _decision(task: TaskNumbers) -> Iterator[Row]:
    for role, cohort in parts(task):
        for marker in cohort.markers:
            if (curve := marker.decision) is not None:
                for i, cut in enumerate(curve.threshold):
                    yield {
                        "patients": role,
                        "cohort": cohort.cohort,
                        "marker": marker.marker,
                        "threshold_probability": _number(cut),
                        "net_benefit": _number(curve.model[i]),
                        "treat_all": _number(curve.all[i]),
                        "treat_none": _number(curve.none[i]),
                    }


def _scores(task: TaskNumbers, name_of: Callable[[Scored], str]) -> Iterator[Row]:
    for i, scored in enumerate(task.scored):
        yield {
            "case": name_of(scored),
            "cohort": scored.group,
            "patients": "training" if scored.training else "unseen",
            "her2": scored.case.her2,
            "label": int(task.cases.labels[i]),
            **{marker.name: _number(marker.scores[i]) for marker in task.markers},
        }


def _ordered(numbers: Her2Numbers) -> Iterator[Row]:
    for result in numbers.ordered:
        for name in ("accuracy", "kappa", "macro_auc"):
            value: Estimate = getattr(result, name)
            yield {
                "cohort": result.cohort,
                "n": result.n,
                "metric": "quadratic_kappa" if name == "kappa" else name,
                "value": _number(value.value),
                "low": _number(value.low),
                "high": _number(value.high),
                "note": "; ".join(value.warnings),
            }


def _ordered_confusion(numbers: Her2Numbers) -> Iterator[Row]:
    for result in numbers.ordered:
        for i, name in enumerate(result.classes):
            said = dict(zip(CLASSES, result.confusion[i].tolist(), strict=True))
            yield {
                "cohort": result.cohort,
                "true": name,
                **{f"said_{k}": v for k, v in said.items()},
            }


def _number(value: float) -> str:
    """As many digits as the number has; nothing where there is none."""
    return repr(float(value)) if math.isfinite(value) else "inf" if value == math.inf else ""


def _csv(rows: Sequence[Row] | Any) -> str:
    content = list(rows)
    columns = list(dict.fromkeys(name for row in content for name in row))
    return csv_text(columns, content) if content else ""
