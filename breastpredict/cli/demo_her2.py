"""The demonstration of the HER2 system: synthetic cohort → train → predict → evaluate → a page."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from breastpredict.cli.demo_parts import evaluated, predicted_rows, timed, write_page
from breastpredict.cli.progress import Stages, Steps

_THUMBNAILS = 12
_TASKS = (
    ("Task 1: HER2-zero or not (score points to low or positive)", "task1_score"),
    ("Task 2: HER2-low or positive (score points to low)", "task2_score"),
)


def demo_her2(out: Path, options: argparse.Namespace) -> int:
    """Run it in a folder; how many cases failed.

    Args:
        out: the folder; its index.html is the page.
        options: cases, epochs, seed and quiet of the command.
    """
    from breastpredict.her2 import Her2TrainConfig, train_her2
    from breastpredict.phantom import make_her2_phantom
    from breastpredict.study import Results, read_cohort, run_batch
    from breastpredict.study.evaluation import evaluate_her2_cohort

    times: dict[str, float] = {}
    with timed(times, "Synthetic cohort written as DICOM"):
        table = make_her2_phantom(
            out / "cohort",
            options.cases,
            seed=options.seed,
            progress=Steps("phantom", options.quiet),
        )
        cases = read_cohort(table)
    with timed(times, "Both tasks trained"):
        config = Her2TrainConfig(
            preset="reduced", weights="none", seed=options.seed, epochs=options.epochs, device="cpu"
        )
        train_her2(cases, out / "run", config, Stages(options.quiet))
    with timed(times, "External cohorts predicted"):
        done = run_batch(
            [case for case in cases if case.split == "external"],
            out / "run",
            out / "results",
            progress=Steps("predict", options.quiet, own_pace=True),
        )
    evaluation = evaluated(evaluate_her2_cohort, table, out, times, options)
    results = Results(out / "results")
    rows = predicted_rows(results, {case.patient_id: case.her2 for case in cases})
    write_page(
        out,
        "demo.html.j2",
        rows,
        pictures=_THUMBNAILS,
        width=220,
        evaluation=evaluation,
        failures=results.failures(),
        areas=_areas(rows),
        times=times,
        total=len(cases),
        counts=_confusion(rows),
    )
    return done.failed


def _areas(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """External AUC of both tasks with its interval, one case a patient."""
    from breastpredict.stats import roc_auc

    out = []
    for title, column in _TASKS:
        asked = [row for row in rows if column == "task1_score" or row["truth"] != "zero"]
        positive = [
            row["truth"] != "zero" if column == "task1_score" else row["truth"] == "low"
            for row in asked
        ]
        area = roc_auc(np.array(positive), np.array([float(row[column]) for row in asked]))
        out.append(
            {"title": title, "n": len(asked), "auc": area.value, "low": area.low, "high": area.high}
        )
    return out


def _confusion(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, int]]:
    classes = ("zero", "low", "positive")
    return {
        true: {
            said: sum(row["truth"] == true and row["predicted_class"] == said for row in rows)
            for said in classes
        }
        for true in classes
    }
