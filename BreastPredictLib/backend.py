"""Finds the package ``breastpredict``. Needs nothing but Python: headless scripts begin with it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

RESOURCES = Path(__file__).resolve().parents[1] / "Resources"
"""What both modules use: colour tables, and what they need from a package index."""


def find_backend() -> None:
    """Make ``breastpredict`` importable: a wheel, the source tree, or the installed extension.

    The extension installs the backend beside its scripted modules; the source tree has it beside
    the modules' folders.

    Raises:
        ImportError: it is nowhere; the extension is not whole.
    """
    if importlib.util.find_spec("breastpredict") is not None:
        return
    for folder in Path(__file__).resolve().parents:
        if (folder / "breastpredict" / "__init__.py").is_file():
            sys.path.append(str(folder))
            return
    raise ImportError("the package breastpredict is missing: install the extension again")
