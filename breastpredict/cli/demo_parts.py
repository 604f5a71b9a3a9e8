"""What the demonstrations of both systems share: stages and their times, the evaluation, a page."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING
from breastpredict.cli.progress import Steps, say
from breastpredict.files import write_text
from breastpredict.study.case_output import data_uri, templates
from breastpredict.study.results import Results

Row = dict[str, Any]


@contextmanager
def timed(times: dict[str, float], stage: str) -> Iterator[None]:
    """Note the seconds that a stage takes."""
    start = time.perf_counter()
    yield
    times[stage] = time.perf_counter() - start


def evaluated(
    evaluate: Callable[..., Path],
    table: Path,
    out: Path,
    times: dict[str, float],
    options: argparse.Namespace,
) -> str:
    """Where the evaluation's page is, seen from the demonstration's; "" without matplotlib.

    Args:
        evaluate: of the system.
        table: the cohort's.
        out: folder of the demonstration.
        times: grows.
        options: of the command.
    """
    if find_spec("matplotlib") is None:
        say("No evaluation: it needs the extra 'reports' (matplotlib)", options.quiet)
        return ""
    with timed(times, "Evaluated"):
        page = evaluate(
            table,
            out / "results",
            out / "evaluation",
            run=out / "run",
            seed=options.seed,
            progress=Steps("evaluate", options.quiet),
        )
    return page.relative_to(out).as_posix()


def predicted_rows(results: Results, truth: Mapping[str, Any]) -> list[Row]:
    """The rows of predictions.csv, each with its true class and its folder.

    Args:
        results: of the demonstration.
        truth: patient → class.
    """
    return [
        {**row, "truth": truth[row["patient_id"]], "folder": f"results/{row['case_key']}"}
        for row in results.predictions()
    ]


def write_page(
    out: Path, template: str, rows: list[Row], *, pictures: int, width: int, **view: Any
) -> None:
    """Write the page of a demonstration, index.html.

    Args:
        out: folder of the demonstration.
        template: of the page.
        rows: as `predicted_rows` gives them; the first ones get a picture.
        pictures: how many.
        width: of a picture, in pixels.
        view: what the template needs besides.
    """
    from PIL import Image

    for row in rows[:pictures]:
        picture = np.asarray(Image.open(out / row["folder"] / "overlay.png").convert("RGB"))
        row["thumbnail"] = data_uri(picture, width)
    page = (
        templates()
        .get_template(template)
        .render(
            note=RESEARCH_USE_ONLY,
            synthetic_note=SYNTHETIC_WARNING,
            rows=rows,
            shown=rows[:pictures],
            sets=json.loads((out / "run" / "run.json").read_text("utf-8"))["split"]["patients"],
            **view,
        )
    )
    write_text(out / "index.html", page)
