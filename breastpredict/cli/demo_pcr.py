"""The demonstration of the pCR system: synthetic cohort → train → predict → evaluate → a page."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from breastpredict.cli.demo_parts import evaluated, predicted_rows, timed, write_page
from breastpredict.cli.progress import Stages, Steps

_THUMBNAILS = 6


def demo_pcr(out: Path, options: argparse.Namespace) -> int:
    """Run it in a folder; how many cases failed.

    Args:
        out: the folder; its index.html is the page.
        options: cases, epochs, seed and quiet of the command.
    """
    from breastpredict.pcr.train import train_pcr
    from breastpredict.pcr.train_config import PcrTrainConfig
    from breastpredict.phantom import make_pcr_phantom
    from breastpredict.study import read_pcr_cohort
    from breastpredict.study.evaluation import evaluate_pcr_cohort
    from breastpredict.study.pcr_batch import pcr_results, run_pcr_batch

    times: dict[str, float] = {}
    with timed(times, "Synthetic cohort written"):
        table = make_pcr_phantom(
            out / "cohort",
            options.cases,
            seed=options.seed,
            progress=Steps("phantom", options.quiet),
        )
        cases = read_pcr_cohort(table)
    with timed(times, "Network trained"):
        config = PcrTrainConfig(
            preset="reduced", seed=options.seed, epochs=options.epochs, device="cpu"
        )
        train_pcr(cases, out / "run", config, Stages(options.quiet))
    with timed(times, "Other cohorts predicted"):
        done = run_pcr_batch(
            [case for case in cases if case.split == "external"],
            out / "run",
            out / "results",
            progress=Steps("predict", options.quiet, own_pace=True),
        )
    evaluation = evaluated(evaluate_pcr_cohort, table, out, times, options)
    results = pcr_results(out / "results")
    rows = predicted_rows(results, {case.patient_id: bool(case.pcr) for case in cases})
    write_page(
        out,
        "demo_pcr.html.j2",
        rows,
        pictures=_THUMBNAILS,
        width=420,
        evaluation=evaluation,
        failures=results.failures(),
        areas=_areas(rows),
        times=times,
        total=len(cases),
    )
    return done.failed


def _areas(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """AUC of the model and of the clinical baseline in every cohort that has both outcomes."""
    from breastpredict.stats import roc_auc

    out = []
    for cohort in sorted({row["cohort"] for row in rows}):
        for title, column in (("Model", "p_pcr"), ("Clinical variables only", "p_clinical")):
            members = [row for row in rows if row["cohort"] == cohort and row[column]]
            labels = np.array([row["truth"] for row in members])
            if labels.all() or not labels.any():
                continue
            area = roc_auc(labels, np.array([float(row[column]) for row in members]))
            out.append(
                {
                    "cohort": cohort,
                    "title": title,
                    "n": len(members),
                    "auc": area.value,
                    "low": area.low,
                    "high": area.high,
                }
            )
    return out
