"""``breastpredict pcr deidentify``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from breastpredict.cli.progress import Steps
from breastpredict.errors import InputError


def add_command(tasks: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to those of the pCR system."""
    deidentify = tasks.add_parser(
        "deidentify", parents=[common], help="a cohort without what identifies its patients"
    )
    deidentify.add_argument(
        "cohort",
        type=Path,
        metavar="COHORT.csv",
        help="with a column research_id, or patient_id is it",
    )
    deidentify.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    deidentify.add_argument(
        "--review", type=Path, metavar="DIR", help="pictures before and after; they stay with you"
    )
    deidentify.add_argument(
        "--reviewed", type=Path, metavar="FILE", help="research identifiers found clean, one a line"
    )
    deidentify.add_argument(
        "--key", type=Path, metavar="FILE", help="secret of the project; made where there is none"
    )
    deidentify.add_argument(
        "--drop-dates", action="store_true", help="instead of shifting them with their intervals"
    )
    deidentify.set_defaults(run=_deidentify)


def _deidentify(options: argparse.Namespace) -> int:
    from breastpredict.study import read_pcr_cohort
    from breastpredict.study.pcr_deidentify import deidentify_pcr_cohort

    reviewed: list[str] = []
    if options.reviewed is not None:
        try:
            lines = options.reviewed.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError("The list cannot be read", path=options.reviewed) from error
        reviewed = [line.strip() for line in lines if line.strip()]
    done = deidentify_pcr_cohort(
        read_pcr_cohort(options.cohort),
        options.out,
        review=options.review,
        key_file=options.key,
        keep_intervals=not options.drop_dates,
        reviewed=reviewed,
        progress=Steps("deidentify", options.quiet),
    )
    print(f"{done.patients} patients written: {done.table}")
    if done.unclear:
        print(
            f"{done.unclear} ultrasound images may hold writing on the scan and say so "
            "(BurnedInAnnotation YES): look at them (--review), then name the clean ones "
            "(--reviewed)"
        )
    for number, reason in enumerate(done.failures.values(), start=1):
        print(f"left out {number}: {reason}")
    return 1 if done.failures else 0
