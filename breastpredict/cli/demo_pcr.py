"""The demonstration of the pCR system: synthetic cohort → train → predict → evaluate → a page."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING
from breastpredict.cli.progress import Stages, Steps, say
from breastpredict.files import write_text

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
    from breastpredict.study.pcr_batch import pcr_results, run_pcr_batch

    times = {}
    start = time.perf_counter()
    table = make_pcr_phantom(
        out / "cohort", options.cases, seed=options.seed, progress=Steps("phantom", options.quiet)
    )
    cases = read_pcr_cohort(table)
    times["Synthetic cohort written"] = time.perf_counter() - start
    start = time.perf_counter()
    config = PcrTrainConfig(
        preset="reduced", seed=options.seed, epochs=options.epochs, device="cpu"
    )
    train_pcr(cases, out / "run", config, Stages(options.quiet))
    times["Network trained"] = time.perf_counter() - start
    start = time.perf_counter()
    external = [case for case in cases if case.split == "external"]
    done = run_pcr_batch(
        external,
        out / "run",
        out / "results",
        progress=Steps("predict", options.quiet, own_pace=True),
    )
    times["Other cohorts predicted"] = time.perf_counter() - start
    evaluation = _evaluation(out, table, times, options)
    results = pcr_results(out / "results")
    truth = {case.patient_id: bool(case.pcr) for case in cases}
    rows = [
        {**row, "truth": truth[row["patient_id"]], "folder": f"results/{row['case_key']}"}
        for row in results.predictions()
    ]
    write_text(
        out / "index.html", _page(out, rows, results.failures(), times, len(cases), evaluation)
    )
    return done.failed


def _evaluation(
    out: Path, table: Path, times: dict[str, float], options: argparse.Namespace
) -> str:
    """Where the evaluation's page is, seen from the demonstration's; "" without matplotlib."""
    from breastpredict.study.evaluation import evaluate_pcr_cohort

    if find_spec("matplotlib") is None:
        say("No evaluation: it needs the extra 'reports' (matplotlib)", options.quiet)
        return ""
    start = time.perf_counter()
    page = evaluate_pcr_cohort(
        table,
        out / "results",
        out / "evaluation",
        run=out / "run",
        seed=options.seed,
        progress=Steps("evaluate", options.quiet),
    )
    times["Evaluated"] = time.perf_counter() - start
    return page.relative_to(out).as_posix()


def _page(
    out: Path,
    rows: list[dict[str, Any]],
    failures: Sequence[Mapping[str, str]],
    times: Mapping[str, float],
    total: int,
    evaluation: str,
) -> str:
    from PIL import Image

    from breastpredict.study.case_output import data_uri, templates

    for row in rows[:_THUMBNAILS]:
        picture = np.asarray(Image.open(out / row["folder"] / "overlay.png").convert("RGB"))
        row["thumbnail"] = data_uri(picture, 420)
    return (
        templates()
        .get_template("demo_pcr.html.j2")
        .render(
            note=RESEARCH_USE_ONLY,
            synthetic_note=SYNTHETIC_WARNING,
            evaluation=evaluation,
            rows=rows,
            shown=rows[:_THUMBNAILS],
            failures=failures,
            areas=_areas(rows),
            times=times,
            total=total,
            sets=json.loads((out / "run" / "run.json").read_text("utf-8"))["split"]["patients"],
        )
    )


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
