"""``breastpredict worker``: the child process of the Slicer modules."""

from __future__ import annotations

import argparse
from typing import Any


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    worker = commands.add_parser(
        "worker",
        parents=[common],
        help="answer requests, JSON lines on standard input and output (for 3D Slicer)",
    )
    worker.add_argument(
        "--die-with-parent", action="store_true", help="end at once when the input ends"
    )
    worker.set_defaults(run=_worker)


def _worker(options: argparse.Namespace) -> int:
    from breastpredict.worker.commands import Commands
    from breastpredict.worker.server import run

    return run(Commands().handlers, die_with_parent=options.die_with_parent, debug=options.debug)
