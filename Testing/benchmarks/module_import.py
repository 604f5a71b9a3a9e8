"""Importing a scripted module, against importing an empty one.

Both are imported in one process in which Slicer's Python is up (Testing/harness) and torch, monai
and timm cannot be imported, in alternation; what an import brought along is forgotten before the
next one, so that each pays for all of it. Printed in milliseconds, the fastest of all runs: their
difference is at most 50.

    python Testing/benchmarks/module_import.py [MODULE.py ...] [--runs 9]
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
MODULES = (
    REPOSITORY / "HER2Predict" / "HER2Predict.py",
    REPOSITORY / "HER2Predict" / "DICOMBreastDCEPlugin.py",
    REPOSITORY / "PCRPredict" / "PCRPredict.py",
    REPOSITORY / "PCRPredict" / "DICOMBreastUSPlugin.py",
)
BLOCKED = ("torch", "torchvision", "monai", "timm")
EMPTY = """
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule, ScriptedLoadableModuleLogic, ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)


class EmptyModule(ScriptedLoadableModule):
    pass


class EmptyModuleWidget(ScriptedLoadableModuleWidget):
    pass


class EmptyModuleLogic(ScriptedLoadableModuleLogic):
    pass


class EmptyModuleTest(ScriptedLoadableModuleTest):
    pass
"""


class Without:
    """Finds modules and distributions as Python does, but for the blocked packages."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        is_blocked = name.partition(".")[0] in BLOCKED
        return None if is_blocked else PathFinder.find_spec(name, path, target)

    @staticmethod
    def find_distributions(*context: Any) -> Any:
        found = PathFinder.find_distributions(*context)
        return (each for each in found if each.metadata["Name"] not in BLOCKED)


def block() -> None:
    """From now on as in an interpreter without these packages."""
    sys.meta_path[:] = [Without if finder is PathFinder else finder for finder in sys.meta_path]


def timed(name: str) -> float:
    """Milliseconds of importing the module; then it and what it brought are forgotten."""
    before = set(sys.modules)
    start = time.perf_counter()
    importlib.import_module(name)
    elapsed = 1000 * (time.perf_counter() - start)
    for new in set(sys.modules) - before:
        del sys.modules[new]
    return elapsed


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", type=Path, default=MODULES)
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(REPOSITORY / "Testing"))
    block()
    from harness import Harness

    with tempfile.TemporaryDirectory() as folder:
        Harness(Path(folder) / "slicer")
        (Path(folder) / "EmptyModule.py").write_text(EMPTY, encoding="utf-8")
        sys.path[:0] = [folder, *(str(path.parent) for path in options.modules)]
        names = [path.stem for path in options.modules]
        times: dict[str, list[float]] = {name: [] for name in ("EmptyModule", *names)}
        for _ in range(options.runs):
            for name, measured in times.items():
                measured.append(timed(name))
    empty = min(times["EmptyModule"])
    for name in names:
        mine = min(times[name])
        print(f"{name}: {mine:.2f} ms, empty module: {empty:.2f} ms, above it: {mine - empty:.2f}")


if __name__ == "__main__":
    main()
