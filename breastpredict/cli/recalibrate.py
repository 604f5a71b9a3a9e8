"""``her2 recalibrate`` and ``pcr recalibrate``: their options, and what they tell at the end."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breastpredict import RESEARCH_USE_ONLY
from breastpredict.cli.progress import Steps

if TYPE_CHECKING:
    from breastpredict.learning.site import SiteRecalibration


def add_recalibrate(
    tasks: Any, common: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]
) -> None:
    """Add the command to the parser of a system.

    Args:
        tasks: of the system's commands.
        common: what all commands are given.
        run: the command.
    """
    recalibrate = tasks.add_parser(
        "recalibrate", parents=[common], help="fit a run's output to local patients"
    )
    recalibrate.add_argument("cohort", type=Path, metavar="COHORT.csv")
    recalibrate.add_argument("--model", type=Path, required=True, metavar="RUN")
    recalibrate.add_argument("--cohort", required=True, dest="site", metavar="SITE")
    recalibrate.add_argument("--out", type=Path, required=True, metavar="RUN2")
    recalibrate.add_argument(
        "--method",
        choices=("threshold", "temperature", "platt", "all"),
        default="all",
        help="what is fitted; all: Platt scaling and the threshold (default)",
    )
    recalibrate.add_argument(
        "--sensitivity", type=float, metavar="S", help="choose the threshold by it, not by Youden"
    )
    recalibrate.add_argument("--device", default="cpu", metavar="auto|cpu|cuda|...")
    recalibrate.set_defaults(run=run)


def recalibration_of(options: argparse.Namespace) -> dict[str, Any]:
    """The options as keywords of either recalibration."""
    return {
        "run": options.model,
        "site": options.site,
        "out": options.out,
        "method": options.method,
        "sensitivity": options.sensitivity,
        "device": options.device,
        "progress": Steps("recalibrate", options.quiet),
    }


def tell_recalibration(
    done: SiteRecalibration, titles: Mapping[str, str], options: argparse.Namespace
) -> int:
    """Print what was fitted and what could not be; the exit code.

    Args:
        done: what came out.
        titles: task or variant → as readers see it; as it is called where there is none.
        options: of the command.
    """
    for name, found in done.fitted.items():
        before, after = found.before, found.after
        print(
            f"{titles.get(name, name)}: {sum(found.patients.values())} patients, "
            f"AUC {before['auc']['value']:.3f}, Brier {before['brier']:.3f} to "
            f"{after['brier']:.3f}, threshold {before['threshold']:.3f} to {found.threshold:.3f}"
        )
    for note in done.notes:
        print(note)
    if done.failures:
        print(f"{len(done.failures)} patients could not be used: see failures.csv")
    print(RESEARCH_USE_ONLY)
    print(options.out)
    return 1 if done.failures or done.left else 0
