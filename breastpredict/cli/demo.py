"""``breastpredict demo``: synthetic cohort → train → predict → evaluate → a page."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING
from breastpredict.cli.progress import Stages, Steps, say
from breastpredict.errors import InputError
from breastpredict.files import write_text

if TYPE_CHECKING:
    from breastpredict.her2 import Her2Case

_THUMBNAILS = 12
_TASKS = (
    ("Task 1: HER2-zero or not (score points to low or positive)", "task1_score"),
    ("Task 2: HER2-low or positive (score points to low)", "task2_score"),
)


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    demo = commands.add_parser(
        "demo", parents=[common], help="the whole way on a synthetic cohort, in minutes"
    )
    demo.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR")
    demo.add_argument("--system", choices=("her2", "pcr", "both"), default="her2")
    demo.add_argument("--cases", type=int, default=240, metavar="N", help="of each system")
    demo.add_argument("--epochs", type=int, help="of training")
    demo.add_argument("--seed", type=int, default=0)
    demo.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    from breastpredict.cli.demo_pcr import demo_pcr

    out: Path = options.out
    if out.exists() and any(out.iterdir()):
        raise InputError(
            "The folder of the demonstration is not empty",
            path=out,
            remedy="Remove it, or choose another with --out",
        )
    if options.cases < 60:
        raise InputError("The demonstration needs at least 60 cases", remedy="Raise --cases")
    say(f"{RESEARCH_USE_ONLY} {SYNTHETIC_WARNING}", options.quiet)
    parts = {"her2": _demo_her2, "pcr": demo_pcr}
    if options.system == "both":
        failed = [part(out / system, options) for system, part in parts.items()]
        write_text(out / "index.html", _both())
    else:
        failed = [parts[options.system](out, options)]
    print((out / "index.html").resolve())
    return 1 if any(failed) else 0


def _both() -> str:
    """The page that leads to both systems'."""
    from breastpredict.study.case_output import templates

    page = templates().get_template("demo_both.html.j2")
    return page.render(note=RESEARCH_USE_ONLY, synthetic_note=SYNTHETIC_WARNING)


def _demo_her2(out: Path, options: argparse.Namespace) -> int:
    """The demonstration of HER2 in a folder; how many cases failed."""
    from breastpredict.her2 import Her2TrainConfig, train_her2
    from breastpredict.phantom import make_her2_phantom
    from breastpredict.study import Results, read_cohort, run_batch

    times = {}
    start = time.perf_counter()
    table = make_her2_phantom(
        out / "cohort", options.cases, seed=options.seed, progress=Steps("phantom", options.quiet)
    )
    cases = read_cohort(table)
    times["Synthetic cohort written as DICOM"] = time.perf_counter() - start
    start = time.perf_counter()
    config = Her2TrainConfig(
        preset="reduced", weights="none", seed=options.seed, epochs=options.epochs, device="cpu"
    )
    train_her2(cases, out / "run", config, Stages(options.quiet))
    times["Both tasks trained"] = time.perf_counter() - start
    start = time.perf_counter()
    external = [case for case in cases if case.split == "external"]
    done = run_batch(
        external,
        out / "run",
        out / "results",
        progress=Steps("predict", options.quiet, own_pace=True),
    )
    times["External cohorts predicted"] = time.perf_counter() - start
    evaluation = _evaluation(out, table, times, options)
    page = out / "index.html"
    write_text(page, _page(out, external, Results(out / "results"), times, len(cases), evaluation))
    return done.failed


def _evaluation(
    out: Path, table: Path, times: dict[str, float], options: argparse.Namespace
) -> str:
    """Where the evaluation's page is, seen from the demonstration's; "" without matplotlib."""
    from breastpredict.study.evaluation import evaluate_her2_cohort

    if find_spec("matplotlib") is None:
        say("No evaluation: it needs the extra 'reports' (matplotlib)", options.quiet)
        return ""
    start = time.perf_counter()
    page = evaluate_her2_cohort(
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
    cases: Sequence[Her2Case],
    results: Any,
    times: dict[str, float],
    total: int,
    evaluation: str,
) -> str:
    from PIL import Image

    from breastpredict.study.case_output import data_uri, templates

    truth = {case.patient_id: case.her2 for case in cases}
    rows = []
    for row in results.predictions():
        folder = f"results/{row['case_key']}"
        rows.append({**row, "truth": truth[row["patient_id"]], "folder": folder})
    for row in rows[:_THUMBNAILS]:
        picture = np.asarray(Image.open(out / row["folder"] / "overlay.png").convert("RGB"))
        row["thumbnail"] = data_uri(picture, 220)
    return (
        templates()
        .get_template("demo.html.j2")
        .render(
            note=RESEARCH_USE_ONLY,
            synthetic_note=SYNTHETIC_WARNING,
            evaluation=evaluation,
            rows=rows,
            shown=rows[:_THUMBNAILS],
            failures=results.failures(),
            areas=_areas(rows),
            times=times,
            total=total,
            counts=_confusion(rows),
            sets=json.loads((out / "run" / "run.json").read_text("utf-8"))["split"]["patients"],
        )
    )


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
