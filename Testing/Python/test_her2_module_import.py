"""What importing and setting up HER2 Predict costs, and what it brings into Slicer's process."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_runs import environment
from harness import Harness
from her2_panel import MODULE, SmallCase
from pcr_panel import PhantomList

SHARED = MODULE.parents[1] / "BreastPredictLib"
MODULES = [MODULE, MODULE.parents[1] / "PCRPredict" / "PCRPredict.py"]
FOLDERS = [SHARED, *(f for m in MODULES for f in (m.parent, m.parent / f"{m.stem}Lib"))]
FILES = [file for folder in FOLDERS for file in sorted(folder.glob("*.py"))]
HEAVY = ("torch", "torchvision", "timm", "monai")
BENCHMARK = Path(__file__).resolve().parents[1] / "benchmarks" / "module_import.py"
FILE_SCOPE = {*sys.stdlib_module_names, "slicer", "vtk", "SimpleITK", "numpy"}
OURS = {"HER2PredictLib", "PCRPredictLib", "BreastPredictLib"}
FINDS_SHARED = "if _BESIDE not in sys.path:\n    sys.path.append(_BESIDE)"
"""What the library of a module runs, so that what the modules share is found in a source tree."""


def shows_widgets(file: Path) -> bool:
    return file.stem == "panel" or file.stem.endswith("_section")


def imported(nodes: list[ast.stmt] | Iterator[ast.AST]) -> set[str]:
    """Top-level names of the packages that these statements import; "" for the library itself."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("" if node.level else (node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_a_file_imports_only_what_every_slicer_has_and_runs_nothing(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    allowed = FILE_SCOPE | OURS | {""} | ({"qt"} if shows_widgets(file) else set())
    if file.stem == "dicom_plugin":
        allowed |= {"DICOMLib"}
    assert imported(tree.body) <= allowed
    for node in tree.body:
        is_doc = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, ast.If):  # for the type checker only
            if file.name == "__init__.py" and ast.unparse(node) == FINDS_SHARED:
                continue
            assert ast.unparse(node.test) == "TYPE_CHECKING" and not node.orelse
            continue
        assert is_doc or isinstance(
            node,
            (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.FunctionDef, ast.ClassDef),
        ), ast.unparse(node)
    if not shows_widgets(file):
        everywhere = imported(ast.walk(tree))
        assert not everywhere & {"qt", "ctk"}
    assert not imported(ast.walk(tree)) & set(HEAVY)


def test_no_module_knows_another_and_what_they_share_knows_none() -> None:
    for folder in FOLDERS:
        own = {f"{folder.name.removesuffix('Lib')}Lib", "BreastPredictLib"}
        for file in sorted(folder.glob("*.py")):
            everywhere = imported(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
            assert not {name for name in everywhere if name in OURS} - own, file
            if folder == SHARED and file.stem in ("__init__", "backend", "script", "state"):
                at_first = imported(ast.parse(file.read_text(encoding="utf-8")).body)
                assert not at_first & {"slicer", "vtk", "qt"}, "scripts begin with it"


def test_importing_without_torch_costs_at_most_50_ms_above_an_empty_module() -> None:
    ended = subprocess.run(
        [sys.executable, str(BENCHMARK)], capture_output=True, text=True, check=True
    )
    lines = ended.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "HER2Predict", "DICOMBreastDCEPlugin", "PCRPredict", "DICOMBreastUSPlugin",
    ]  # fmt: skip
    for line in lines:
        assert float(line.rpartition(" ")[2]) <= 50.0, line


def in_a_slicer_without_networks(module: Path, home: Path, statements: str, *words: object) -> Any:
    """What a Slicer without main window and CLI modules says, where no torch, timm, monai are.

    Args:
        module: is loaded and shown; its widget is ``widget``.
        home: for settings.
        statements: make ``told`` of it; ``words`` are theirs.
        words: for the statements, as text.

    Returns:
        names of the modules in the process, the text about what is missing, what pip was asked
        for, and ``told``.
    """
    script = home.parent / "slicer_process.py"
    script.write_text(
        "import json, sys\n"
        "from pathlib import Path\n"
        "testing, home, module, *words = sys.argv[1:]\n"
        "sys.path[:0] = [testing, testing + '/benchmarks']\n"
        "from module_import import block\n"
        "block()\n"
        "from harness import Harness\n"
        "app = Harness(Path(home))\n"
        "import slicer\n"
        "loaded = app.load(Path(module))\n"
        "widget = app.enter(loaded)\n"
        "assert slicer.util.mainWindow() is None\n"
        "missing = widget.ui.missingLabel.text\n"
        f"{statements}\n"
        "app.reset()\n"
        "print(json.dumps([sorted(sys.modules), missing,\n"
        "                  slicer.packaging.pretend.requests, told]))\n"
    )
    arguments = (BENCHMARK.parents[1], home, module, *words)
    ended = subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert ended.returncode == 0, ended.stderr
    modules, missing, asked, told = json.loads(ended.stdout.splitlines()[-1])
    assert not {name.partition(".")[0] for name in modules} & set(HEAVY)
    assert "PyTorch" in missing and "timm" in missing and asked == []
    return told


def test_a_whole_prediction_brings_no_network_library_into_slicers_process(
    small_case: SmallCase, tmp_path: Path
) -> None:
    predicted, told = in_a_slicer_without_networks(
        MODULE,
        tmp_path / "home",
        "study, mask, run = words\n"
        "result = widget.logic.process(study, run, mask=mask)\n"
        "told = [result['predicted_class'], widget.ui.classLabel.text]",
        *(small_case.study, small_case.mask, small_case.run),
    )
    assert told == f"HER2-{predicted}"  # the panel follows a script


def test_the_same_of_a_pcr_patient(phantom_list: PhantomList, tmp_path: Path) -> None:
    expected, told = in_a_slicer_without_networks(
        MODULES[1],
        tmp_path / "home",
        "result = widget.logic.process(json.loads(words[0]), words[1], explain='none')\n"
        "told = [result['expected'], widget.ui.classLabel.text]",
        *(json.dumps(phantom_list.patients[0]), phantom_list.run),
    )
    assert told == f"Complete response {'expected' if expected else 'not expected'}"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_setup_works_for_a_widget_of_its_own(slicer_app: Harness, module: Path) -> None:
    """As ``HER2PredictWidget()`` in the Python console makes one."""
    slicer_app.load(module)
    widget = getattr(importlib.import_module(module.stem), f"{module.stem}Widget")()
    assert widget.ui.applyButton.text == "Apply" and not widget.ui.applyButton.enabled
    slicer_app.close_scene()
    widget.cleanup()
    assert not widget.panel.case.tasks.folder.exists()
    slicer_app.process_events()
