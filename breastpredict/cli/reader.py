"""``breastpredict reader plan | assign | import | report``."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from breastpredict import RESEARCH_USE_ONLY
from breastpredict.cli.progress import Steps
from breastpredict.errors import InputError

_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*([dwh]?)")
_DAYS = {"": 1.0, "d": 1.0, "w": 7.0, "h": 1 / 24}


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of reader studies to the parser."""
    reader = commands.add_parser("reader", help="repeatability of contours: plan, read, report")
    tasks = reader.add_subparsers(required=True, metavar="COMMAND")

    plan = tasks.add_parser("plan", parents=[common], help="draw cases, blind them, shuffle them")
    plan.add_argument("cohort", type=Path, metavar="COHORT.csv")
    plan.add_argument("--out", type=Path, required=True, metavar="PLAN")
    plan.add_argument("--cases", type=int, default=60, metavar="N")
    plan.add_argument("--readers", required=True, metavar="A,B", help="pseudonyms")
    plan.add_argument("--sessions", type=int, default=2, metavar="N")
    plan.add_argument("--washout", default="14d", metavar="14d", help="days (d), weeks (w), hours")
    plan.add_argument("--seed", type=int, default=0)
    plan.add_argument(
        "--mode",
        choices=("point", "box", "manual"),
        default="point",
        help="how every reader starts a contour (default: a point)",
    )
    plan.add_argument("--tolerance", type=float, default=2.0, metavar="MM", help="of surface Dice")
    plan.add_argument(
        "--expected-icc", type=float, default=0.8, metavar="ICC", help="to show its interval"
    )
    plan.add_argument("--only", action="append", default=[], metavar="COHORT", help="draw from it")
    plan.add_argument(
        "--key", type=Path, metavar="FILE", help="for the coordinator; default: PLAN-key.json"
    )
    plan.set_defaults(run=_plan)

    assign = tasks.add_parser("assign", parents=[common], help="a package for a reader elsewhere")
    assign.add_argument("plan", type=Path, metavar="PLAN")
    assign.add_argument("--reader", required=True, metavar="NAME")
    assign.add_argument("--session", type=int, required=True, metavar="N")
    assign.add_argument("--out", type=Path, required=True, metavar="PACKAGE")
    assign.set_defaults(run=_assign)

    bring = tasks.add_parser("import", parents=[common], help="readings made elsewhere")
    bring.add_argument("plan", type=Path, metavar="PLAN")
    bring.add_argument("source", type=Path, metavar="PACKAGE|TABLE.csv")
    bring.set_defaults(run=_import)

    report = tasks.add_parser("report", parents=[common], help="agreement within and between")
    report.add_argument("plan", type=Path, metavar="PLAN")
    report.add_argument("--out", type=Path, required=True, metavar="REPORT")
    report.add_argument("--model", type=Path, metavar="RUN", help="compare its scores too")
    report.add_argument("--device", default="cpu", metavar="auto|cpu|cuda|...")
    report.set_defaults(run=_report)


def _plan(options: argparse.Namespace) -> int:
    from breastpredict.reader import make_plan

    if options.seed < 0:
        raise InputError("--seed must not be negative")
    made = make_plan(
        options.cohort,
        options.out,
        readers=[name.strip() for name in options.readers.split(",")],
        cases=options.cases,
        sessions=options.sessions,
        washout_days=_days(options.washout),
        seed=options.seed,
        mode=options.mode,
        tolerance_mm=options.tolerance,
        expected_icc=options.expected_icc,
        only=options.only,
        key_file=options.key,
        progress=Steps("plan", options.quiet),
    )
    strata = ", ".join(f"{count} HER2-{name}" for name, count in made.strata.items())
    print(f"{len(made.plan.cases)} cases ({strata})")
    if made.passed_over:
        print(f"{made.passed_over} cases that cannot be read were replaced: see the key file")
    if made.left_out:
        print(f"{made.left_out} patients without a HER2 class were left out")
    if (expected := made.plan.expected) is not None:
        print(
            f"An ICC(A,1) of {expected.value:.2f} will have the limits {expected.low:.2f} to "
            f"{expected.high:.2f}, if the readers do not differ on average"
        )
    print(f"For the coordinator only: {made.key_file}")
    print(RESEARCH_USE_ONLY)
    print(options.out)
    return 0


def _assign(options: argparse.Namespace) -> int:
    from breastpredict.reader import assign, open_plan

    print(assign(open_plan(options.plan), options.reader, options.session, options.out))
    return 0


def _import(options: argparse.Namespace) -> int:
    from breastpredict.reader import import_readings, open_plan

    done = import_readings(
        open_plan(options.plan), options.source, progress=Steps("import", options.quiet)
    )
    print(
        f"{done.new} readings imported, {done.known} known already, {len(done.failures)} not usable"
    )
    if done.duplicates:
        print(f"{done.duplicates} of cases that were read in that session before: not counted")
    for line in done.failures:
        print(line)
    return 1 if done.failures else 0


def _report(options: argparse.Namespace) -> int:
    from breastpredict.reader import open_plan
    from breastpredict.reader.report import report_study

    page = report_study(
        open_plan(options.plan),
        options.out,
        run=options.model,
        device=options.device,
        progress=Steps("report", options.quiet),
    )
    print(RESEARCH_USE_ONLY)
    print(page.resolve())
    return 0


def _days(text: str) -> float:
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise InputError(f"--washout takes a time such as 14d, 2w or 36h, not {text!r}")
    return float(match[1]) * _DAYS[match[2]]
