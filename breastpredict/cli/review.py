"""``breastpredict her2 review | pcr review``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_review(tasks: Any, common: argparse.ArgumentParser, system: str) -> None:
    """Add the command to a system's.

    Args:
        tasks: the system's commands.
        common: options of every command.
        system: "her2" or "pcr".
    """
    review = tasks.add_parser(
        "review", parents=[common], help="write the page of all cases of a results folder again"
    )
    review.add_argument("out", type=Path, metavar="OUT")
    review.add_argument(
        "--identifiers", action="store_true", help="show patient_id, and reasons with their paths"
    )
    review.set_defaults(run=_review, system=system)


def _review(options: argparse.Namespace) -> int:
    from breastpredict.study import her2_batch, pcr_batch
    from breastpredict.study.review import write_review

    layout = her2_batch.REVIEW if options.system == "her2" else pcr_batch.REVIEW
    print(write_review(options.out, layout, identifiers=options.identifiers).resolve())
    return 0
