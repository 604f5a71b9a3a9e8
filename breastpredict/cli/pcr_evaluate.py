"""``breastpredict pcr evaluate``."""

from __future__ import annotations

import argparse
from typing import Any

from breastpredict.cli.evaluation import add_evaluation, evaluation_of


def add_command(tasks: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser of the pCR system."""
    evaluate = tasks.add_parser(
        "evaluate", parents=[common], help="a cohort's predictions against its outcomes: a report"
    )
    add_evaluation(evaluate, model="tells whom the model has seen, and compares its variants")
    evaluate.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    from breastpredict.study.evaluation import evaluate_pcr_cohort

    print(evaluate_pcr_cohort(**evaluation_of(options)).resolve())
    return 0
