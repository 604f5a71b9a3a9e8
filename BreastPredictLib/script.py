"""A command of ``breastpredict`` inside 3D Slicer, without a window.

Needs nothing but Python, so that whatever is missing is said, and Slicer ended, by it.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from .backend import find_backend


def main(system: str, commands: Sequence[str], argv: list[str]) -> int:
    """Run ``breastpredict SYSTEM`` with these arguments.

    Args:
        system: "her2" or "pcr".
        commands: those of its commands that may be asked for.
        argv: what came after the script's name.

    Returns:
        its exit code.
    """
    if argv[:1] == ["--"]:  # Slicer hands the separator on
        argv = argv[1:]
    if argv[:1] not in [[command] for command in commands]:
        names = " or ".join(repr(command) for command in commands)
        print(f"breastpredict: error: say {names} first", file=sys.stderr)
        return 2
    find_backend()
    from breastpredict.cli import main as command_line

    return command_line([system, *argv])


def run(system: str, commands: Sequence[str]) -> int:
    """`main` on the script's own arguments, with every way out turned into an exit code."""
    try:
        return main(system, commands, sys.argv[1:])
    except SystemExit as stop:  # argparse: wrong usage, or --help
        return stop.code if isinstance(stop.code, int) else (1 if stop.code else 0)
    except ImportError as error:
        print(f"breastpredict: error: {error.name or error} is not installed", file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
        return 1


def end(exit_code: int) -> None:
    """End Slicer, which goes on after a script, also after one that failed; or plain Python."""
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        import slicer.util

        slicer.util.exit(exit_code)
    except ImportError:  # no Slicer, or its libraries without the application
        sys.exit(exit_code)
