"""The numbers of a HER2 evaluation as plain tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from breastpredict.her2 import CLASSES
from breastpredict.stats import Estimate
from breastpredict.study.evaluation.her2_cases import JoinedHer2, Scored, counts
from breastpredict.study.evaluation.her2_numbers import Her2Numbers
from breastpredict.study.evaluation.tables import Row, csv_of, number, task_tables


def all_tables(
    joined: JoinedHer2, numbers: Her2Numbers, name_of: Callable[[Scored], str]
) -> dict[str, str]:
    """File name → CSV text of every table.

    Args:
        joined: cohort and predictions.
        numbers: the evaluation.
        name_of: how a case is named: by its key, or by its identifier where that was asked for.
    """
    return {
        "flow.csv": csv_of(counts(joined)),
        **task_tables(numbers.tasks, lambda s: {"case": name_of(s), "her2": s.case.her2}),
        "three_class.csv": csv_of(_ordered(numbers)),
        "three_class_confusion.csv": csv_of(_ordered_confusion(numbers)),
    }


def _ordered(numbers: Her2Numbers) -> Iterator[Row]:
    for result in numbers.ordered:
        for name in ("accuracy", "kappa", "macro_auc"):
            value: Estimate = getattr(result, name)
            yield {
                "cohort": result.cohort,
                "n": result.n,
                "metric": "quadratic_kappa" if name == "kappa" else name,
                "value": number(value.value),
                "low": number(value.low),
                "high": number(value.high),
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
