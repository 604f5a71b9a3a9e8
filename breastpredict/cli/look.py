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


def _inspect(options: argparse.Namespace) -> int:
    from breastpredict.dicom import inspect_folder, inspect_text

    found = inspect_folder(options.folder)
    print(json.dumps(found, indent=2) if options.json else inspect_text(found))
    return 0


def _phantom(options: argparse.Namespace) -> int:
    from breastpredict.phantom import make_her2_phantom

    if options.cases < 3:
        raise InputError("A cohort needs at least 3 cases", remedy="Raise --cases")
    table = make_her2_phantom(
        options.out,
        options.cases,
        seed=options.seed,
        progress=Steps("phantom", options.quiet),
    )
    print(table)
    return 0
