"""The HER2 batch inside 3D Slicer, without a window.

    Slicer --no-splash --no-main-window --python-script batch.py -- batch COHORT.csv --model RUN …
    Slicer --no-splash --no-main-window --python-script batch.py -- predict CASE --model RUN …

Same options, outputs and exit codes as ``breastpredict her2``. Slicer goes on running after a
script, also after one that failed, so this one always ends it. Nothing is installed and no dialog
is opened: nobody could answer it. Plain Python runs the same file.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path


def find_backend() -> None:
    """Make ``breastpredict`` importable: a wheel, the source tree, or the installed extension.

    The extension installs the backend beside its scripted modules, which is two levels above this
    file, as in the source tree; deeper layouts are looked through upwards.
    """
    try:
        import breastpredict  # noqa: F401
    except ImportError:
        for folder in Path(__file__).resolve().parents:
            if (folder / "breastpredict" / "__init__.py").is_file():
                sys.path.insert(0, str(folder))
                return
        raise


def main(argv: list[str]) -> int:
    """Run ``breastpredict her2`` with these arguments; returns its exit code."""
    if argv[:1] == ["--"]:  # Slicer hands the separator on
        argv = argv[1:]
    if argv[:1] not in (["batch"], ["predict"]):
        print("breastpredict: error: say 'batch' or 'predict' first", file=sys.stderr)
        return 2
    find_backend()
    from breastpredict.cli import main as command_line

    return command_line(["her2", *argv])


def run() -> int:
    """`main` with every way out turned into an exit code."""
    try:
        return main(sys.argv[1:])
    except SystemExit as stop:  # argparse: wrong usage, or --help
        return stop.code if isinstance(stop.code, int) else (1 if stop.code else 0)
    except ImportError as error:
        print(f"breastpredict: error: {error.name or error} is not installed", file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    exit_code = run()
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        import slicer.util

        slicer.util.exit(exit_code)
    except ImportError:  # no Slicer, or its libraries without the application
        sys.exit(exit_code)
