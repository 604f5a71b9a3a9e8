"""Copies from Slicer's full API files the classes and modules the project uses.

    python Testing/harness/make_contract.py FOLDER

FOLDER holds `slicer_qt_api-5.12.json` (what PythonQt shows of Slicer's Qt classes),
`slicer_python_api-5.12.json` (Slicer's Python modules) and
`slicer_core_methods_absent_in_5.12.json`. To let the modules use another class, add its name
below and run this again; its base classes come along by themselves.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

QT_FILE = "slicer_qt_api-5.12.json"
PYTHON_FILE = "slicer_python_api-5.12.json"
ABSENT_FILE = "slicer_core_methods_absent_in_5.12.json"
HERE = Path(__file__).resolve().parent / "contract"

QT_CLASSES = """
ctkCheckableComboBox ctkCheckablePushButton ctkCollapsibleButton ctkCollapsibleGroupBox
ctkColorPickerButton ctkComboBox ctkDICOMBrowser ctkDICOMDatabase ctkDICOMIndexer
ctkDICOMModel
ctkDirectoryButton ctkDoubleRangeSlider ctkDoubleSlider ctkDoubleSpinBox ctkFittedTextBrowser
ctkMenuButton ctkMessageBox ctkPathLineEdit ctkRangeWidget ctkSettingsPanel ctkSliderWidget

qMRMLCheckableNodeComboBox qMRMLColorTableComboBox qMRMLLayoutManager qMRMLNodeComboBox
qMRMLPlotView qMRMLPlotWidget qMRMLSegmentEditorWidget qMRMLSegmentSelectorWidget
qMRMLSegmentsTableView qMRMLSliceWidget qMRMLSliceView qMRMLSliderWidget
qMRMLSubjectHierarchyComboBox qMRMLSubjectHierarchyTreeView qMRMLTableView qMRMLWidget

qSlicerApplication qSlicerDICOMExportable qSlicerIOManager qSlicerLayoutManager
qSlicerLoadableModule qSlicerMainWindow qSlicerMarkupsPlaceWidget qSlicerModuleFactoryManager
qSlicerModuleManager qSlicerModuleSelectorToolBar
qSlicerScriptedLoadableModule qSlicerScriptedLoadableModuleWidget
qSlicerSegmentEditorAbstractEffect qSlicerSimpleMarkupsWidget qSlicerSubjectHierarchyPluginHandler
qSlicerWidget
""".split()

PYTHON_MODULES = """
slicer.ScriptedLoadableModule slicer.cli slicer.i18n slicer.packaging slicer.testing slicer.util
slicer.parameterNodeWrapper slicer.parameterNodeWrapper.default
slicer.parameterNodeWrapper.guiConnectors slicer.parameterNodeWrapper.parameterInfo
slicer.parameterNodeWrapper.parameterPack slicer.parameterNodeWrapper.serializers
slicer.parameterNodeWrapper.types slicer.parameterNodeWrapper.util
slicer.parameterNodeWrapper.validators slicer.parameterNodeWrapper.wrapper
DICOMLib DICOMLib.DICOMPlugin DICOMLib.DICOMUtils SampleData
""".split()


def with_bases(classes: dict[str, Any], wanted: list[str]) -> list[str]:
    """The wanted classes and all their bases that the contract knows, sorted."""
    found: set[str] = set()
    pending = list(wanted)
    while pending:
        name = pending.pop()
        if name in classes and name not in found:
            found.add(name)
            pending += classes[name]["bases"]
    missing = set(wanted) - found
    if missing:
        raise SystemExit(f"the contract has no class {', '.join(sorted(missing))}")
    return sorted(found)


def qt_part(full: dict[str, Any]) -> dict[str, Any]:
    """The part of the Qt contract the project uses; each class as it stands in the original."""
    classes = full["classes"]
    return {
        "label": full["label"],
        "slicerCommit": full["slicerCommit"],
        "ctkCommit": full["ctkCommit"],
        "classes": {name: classes[name] for name in with_bases(classes, QT_CLASSES)},
    }


def python_part(full: dict[str, Any]) -> dict[str, Any]:
    """The part of the Python contract the project uses; each module as it stands there."""
    return {
        "label": full["label"],
        "slicerCommit": full["slicerCommit"],
        "modules": {name: full["modules"][name] for name in PYTHON_MODULES},
    }


def parts(folder: Path) -> dict[str, dict[str, Any]]:
    """File name in `contract/` and what it must hold, made from the full files in `folder`."""

    def read(name: str) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
        return content

    return {
        "qt_api.json": qt_part(read(QT_FILE)),
        "python_api.json": python_part(read(PYTHON_FILE)),
        "absent.json": read(ABSENT_FILE),
    }


def one_line_each(part: dict[str, Any]) -> str:
    """JSON with one class or module to a line, so that a change of the list reads as one."""
    lines = []
    for key, value in part.items():
        if isinstance(value, dict):
            inner = ",\n".join(
                f"{json.dumps(name)}: {json.dumps(entry, separators=(',', ':'))}"
                for name, entry in value.items()
            )
            lines.append(f"{json.dumps(key)}: {{\n{inner}\n}}")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print(__doc__)
        return 2
    for name, part in parts(Path(arguments[0])).items():
        (HERE / name).write_text(one_line_each(part), encoding="utf-8")
        print(f"{HERE / name}: {(HERE / name).stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
