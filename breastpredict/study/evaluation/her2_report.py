"""``her2 evaluate``: the folder of a report, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from breastpredict.her2 import CLASSES, Her2Case
from breastpredict.study.evaluation import figures
from breastpredict.study.evaluation.her2_cases import Lost, Scored, counts, join_her2
from breastpredict.study.evaluation.her2_numbers import evaluate_her2
from breastpredict.study.evaluation.her2_tables import all_tables
from breastpredict.study.evaluation.page import (
    Progress,
    Report,
    check_target,
    flow_pictures,
    flow_sets,
    lost_row,
    write_report,
)
from breastpredict.study.evaluation.panels import choose_panels
from breastpredict.study.evaluation.tables import Row, to_json
from breastpredict.study.evaluation.views import Shown, task_figures
from breastpredict.study.flow import inclusion_flow


def evaluate_her2_cohort(
    cohort: str | os.PathLike[str],
    predictions: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    run: str | os.PathLike[str] | None = None,
    cases: Sequence[str] = (),
    random_cases: int = 6,
    clinical: Sequence[str] = (),
    identifiers: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Evaluate predictions and write the report.

    Args:
        cohort: COHORT.csv.
        predictions: results folder of a batch; only read.
        out: folder of the report: ``index.html`` (self-contained), ``evaluation.json`` (every
            number), ``figures/`` (SVG and PNG), ``tables/`` (CSV). An earlier report is replaced.
        run: the training run of the model.
        cases: patients or case keys to show.
        random_cases: how many to show besides, drawn with ``seed``.
        clinical: columns of the clinical baseline.
        identifiers: name cases by patient_id instead of by case key.
        seed: of the draw and the bootstraps.
        progress: called with steps done, steps in all and what is being done.

    Returns:
        The page.

    Raises:
        CohortError, JoinError: tables that are wrong or do not fit together, all violations.
        InputError: nothing to evaluate, or ``out`` holds something else than a report.
    """
    say = progress or (lambda done, total, line: None)
    out = Path(out)
    check_target(out)
    say(0, 4, "joining cohort and predictions")
    joined = join_her2(cohort, predictions, run)
    panels = choose_panels(joined.scored, cases, random_cases, seed)
    say(1, 4, "computing")
    numbers = evaluate_her2(joined, clinical, seed=seed)

    def name_of(scored: Scored) -> str:
        return scored.case.patient_id if identifiers else scored.key

    def row_of(entry: Lost[Her2Case]) -> Row:
        return lost_row(entry, {"her2": entry.case.her2}, _secrets(entry.case), identifiers)

    say(2, 4, "drawing")
    shown = {task.evaluation.task.name: task_figures(task, _words) for task in numbers.tasks}
    if numbers.ordered:
        shown["ordered"] = [
            Shown(
                "three_class",
                "Class by both thresholds against the true class: cases, and share of the row.",
                "three_class_confusion.csv",
                figures.ordered_confusion(numbers.ordered),
            )
        ]
    sets, reasons = flow_sets(joined.scored, joined.lost)
    say(3, 4, "writing")
    page = write_report(
        out,
        Report(
            template="her2_evaluation.html.j2",
            label=("her2", "HER2"),
            joined=joined,
            tasks=numbers.tasks,
            words=_words,
            figures=shown,
            flow=counts(joined),
            flows=flow_pictures(inclusion_flow(joined.cases, sets, reasons), "HER2-"),
            tables=all_tables(joined, numbers, name_of),
            panels=panels,
            name_of=name_of,
            row_of=row_of,
            seed=seed,
            content={"ordered": to_json(numbers.ordered)},
            view={
                "classes": CLASSES,
                "ordered": numbers.ordered,
                "ordered_figures": shown.get("ordered", []),
            },
        ),
    )
    say(4, 4, "done")
    return page


def _secrets(case: Any) -> tuple[str, ...]:
    return str(case.study), str(case.segmentation or ""), case.study.name


def _words(name: str) -> str:
    return f"HER2-{name.replace('_', ' ')}"
