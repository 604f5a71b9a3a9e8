"""A command of ``breastpredict`` inside 3D Slicer, without a window.

Needs nothing but Python, so that whatever is missing is said, and Slicer ended, by it.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from .backend import find_backend

SCENES = "--mrb"
"""The option of ``batch`` that only Slicer has: a scene bundle for each predicted case."""


def main(system: str, commands: Sequence[str], argv: list[str]) -> int:
    """Run ``breastpredict SYSTEM`` with these arguments.

    Args:
        system: "her2" or "pcr".
        commands: those of its commands that may be asked for.
        argv: what came after the script's name.

    Returns:
        its exit code; with ``--mrb`` also 1 where a scene could not be made.
    """
    if argv[:1] == ["--"]:  # Slicer hands the separator on
        argv = argv[1:]
    if argv[:1] not in [[command] for command in commands]:
        names = " or ".join(repr(command) for command in commands)
        return _refused(f"say {names} first")
    scenes = SCENES in argv
    if scenes:
        argv = [word for word in argv if word != SCENES]
        if argv[0] != "batch":
            return _refused(f"{SCENES} is an option of 'batch' only")
        if not inside_slicer():
            return _refused(f"{SCENES} needs 3D Slicer: run this script with Slicer")
    find_backend()
    from breastpredict.cli import main as command_line

    code = command_line([system, *argv])
    # Where the batch itself could not go on there is nothing to make scenes of.
    return max(code, _write_scenes(system, argv)) if scenes and code in (0, 1) else code


def run(system: str, commands: Sequence[str]) -> int:
    """`main` on the script's own arguments, with every way out turned into an exit code."""
    try:
        return main(system, commands, sys.argv[1:])
    except SystemExit as stop:  # argparse: wrong usage, or --help
        return stop.code if isinstance(stop.code, int) else (1 if stop.code else 0)
    except ImportError as error:
        print(f"breastpredict: error: {error.name or error} is not installed", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("breastpredict: stopped; what is finished is kept", file=sys.stderr)
        return 130
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


def inside_slicer() -> bool:
    """Whether the application runs in this process, not only its Python or its libraries."""
    try:
        import slicer
    except ImportError:
        return False
    return getattr(slicer, "app", None) is not None and hasattr(slicer, "mrmlScene")


def _write_scenes(system: str, argv: Sequence[str]) -> int:
    """The scenes of a batch that has ended; the exit code."""
    from breastpredict.errors import BreastPredictError, reason_of

    from .review_scenes import write_scenes

    try:
        return write_scenes(system, argv)
    except BreastPredictError as error:
        return _refused(str(error))
    except OSError as error:  # a full disk
        return _refused(reason_of(error))


def _refused(why: str) -> int:
    print(f"breastpredict: error: {why}", file=sys.stderr)
    return 2
