"""What ``her2 evaluate`` and ``pcr evaluate`` are both given."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from breastpredict.cli.progress import Steps
from breastpredict.errors import InputError


def add_evaluation(parser: argparse.ArgumentParser, *, model: str) -> None:
    """Add the tables, the folder of the report and what is shown in it.

    Args:
        parser: of the command.
        model: what naming the training run is good for.
    """
    parser.add_argument("cohort", type=Path, metavar="COHORT.csv")
    parser.add_argument("--predictions", type=Path, required=True, metavar="OUT")
    parser.add_argument("--out", type=Path, required=True, metavar="REPORT")
    parser.add_argument("--model", type=Path, metavar="RUN", help=f"the training run: {model}")
    parser.add_argument(
        "--case", action="append", default=[], metavar="ID", help="show this case; repeatable"
    )
    parser.add_argument("--random-cases", type=int, default=6, metavar="N", help="show so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--identifiers", action="store_true", help="name cases by patient_id in the report"
    )


def evaluation_of(options: argparse.Namespace) -> dict[str, Any]:
    """The options as keywords of either evaluation.

    Raises:
        InputError: a number out of range.
    """
    if not 0 <= options.random_cases <= 100:
        raise InputError("--random-cases must lie between 0 and 100")
    if options.seed < 0:
        raise InputError("--seed must not be negative")
    return {
        "cohort": options.cohort,
        "predictions": options.predictions,
        "out": options.out,
        "run": options.model,
        "cases": options.case,
        "random_cases": options.random_cases,
        "identifiers": options.identifiers,
        "seed": options.seed,
        "progress": Steps("evaluate", options.quiet),
    }
