"""``breastpredict inspect`` and ``breastpredict phantom``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from breastpredict.cli.progress import Steps
from breastpredict.errors import InputError


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add both commands to the parser."""
    inspect = commands.add_parser(
        "inspect", parents=[common], help="what a folder holds: phases, times, the early one, why"
    )
    inspect.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="or DICOMDIR, zip, Slicer DICOM database, table of loaded volumes",
    )
    inspect.add_argument("--json", action="store_true", help="for programs")
    inspect.set_defaults(run=_inspect)

    phantom = commands.add_parser("phantom", help="a synthetic cohort")
    kinds = phantom.add_subparsers(required=True, metavar="SYSTEM")
    her2 = kinds.add_parser("her2", parents=[common], help="breast DCE-MRI as DICOM, with masks")
    her2.add_argument("--cases", type=int, required=True, metavar="N", help="of all three cohorts")
    her2.add_argument("--out", type=Path, required=True, metavar="DIR")
    her2.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes")
    her2.set_defaults(run=_phantom)
    pcr = kinds.add_parser(
        "pcr", parents=[common], help="serial ultrasound and biopsies, with where the tumours are"
    )
    pcr.add_argument("--cases", type=int, required=True, metavar="N", help="of all three cohorts")
    pcr.add_argument("--out", type=Path, required=True, metavar="DIR")
    pcr.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes")
    pcr.add_argument(
        "--null",
        choices=("change", "tissue", "clinical"),
        help="which of these is to tell nothing of the outcome",
    )
    pcr.add_argument(
        "--size", choices=("small", "full"), default="small", help="full: slides at ×20 (slow)"
    )
    pcr.set_defaults(run=_phantom_pcr)


def _inspect(options: argparse.Namespace) -> int:
    from breastpredict.pathology import inspect_everything, inspect_everything_text

    found = inspect_everything(options.folder)
    print(json.dumps(found, indent=2) if options.json else inspect_everything_text(found))
    return 0


def _phantom(options: argparse.Namespace) -> int:
    from breastpredict.phantom import make_her2_phantom

    _enough(options.cases)
    table = make_her2_phantom(
        options.out,
        options.cases,
        seed=options.seed,
        progress=Steps("phantom", options.quiet),
    )
    print(table)
    return 0


def _phantom_pcr(options: argparse.Namespace) -> int:
    from breastpredict.phantom import make_pcr_phantom

    _enough(options.cases)
    table = make_pcr_phantom(
        options.out,
        options.cases,
        seed=options.seed,
        null=options.null,
        size=options.size,
        progress=Steps("phantom", options.quiet),
    )
    print(table)
    return 0


def _enough(cases: int) -> None:
    if cases < 3:
        raise InputError("A cohort needs at least 3 cases", remedy="Raise --cases")
