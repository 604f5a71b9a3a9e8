"""Brings `slicer`, `qt` and `ctk` up in this process. Once: the Qt classes stay patched."""

from __future__ import annotations

import importlib
import importlib.util
import locale
import os
import sys
import types
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OWN_PYTHON = HERE / "slicer_python"
# VTK and Qt read these when they are loaded; there is neither a display nor a GPU.
ENVIRONMENT = {
    "QT_QPA_PLATFORM": "offscreen",
    "VTK_DEFAULT_OPENGL_WINDOW": "vtkOSOpenGLRenderWindow",
    "MPLBACKEND": "Agg",
}
# C++ modules that Slicer's own Python sources import by name; all are in `slicer` here.
COMPILED = """
MRMLCorePython MRMLLogicPython MRMLDisplayableManagerPython MRMLCLIPython mrml
vtkSegmentationCorePython vtkAddonPython vtkITKPython vtkTeemPython SlicerBaseLogicPython
vtkSlicerSegmentationsModuleLogicPython vtkSlicerSegmentationsModuleMRMLPython
vtkSlicerSubjectHierarchyModuleLogicPython vtkSlicerMarkupsModuleMRMLPython
qSlicerSubjectHierarchyModuleWidgetsPythonQt qSlicerMarkupsModuleWidgetsPythonQt
""".split()
SOURCE_FOLDERS = """
Base/Python Modules/Scripted Modules/Scripted/DICOMPlugins Modules/Scripted/SampleData
Modules/Scripted/SegmentStatistics Modules/Scripted/ScreenCapture
Modules/Loadable/Segmentations/EditorEffects/Python
Modules/Loadable/SubjectHierarchy/Widgets/Python Modules/Loadable/SubjectHierarchy
Modules/Loadable/Markups
""".split()
# Registered by Slicer's loadable modules when they are set up.
CONNECTORS = (
    "SubjectHierarchyLib.parameterNodeWrapper.guiConnectors",
    "MarkupsLib.parameterNodeWrapper.guiConnectors",
)


def start(
    home: Path, answers: Any, sources: Path | None = None, contract: Path | None = None
) -> tuple[Any, Any]:
    """Bring everything up; returns the stand-ins and the application's state.

    `home` is an empty folder for settings, temporary files and the DICOM database. `sources` is an
    unpacked Slicer source tree whose Python is used instead of the harness's smaller one, but for
    `slicer.packaging`;
    `contract` a full contract file to use instead of the project's part of it.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from . import contract as contracts
    from . import qt_module, qt_signals, ui_files
    from .standins import Standins

    qt: Any = qt_module.build(answers)
    slicer = _slicer(sources)
    from .application.state import State, begin

    state = begin(State(home, (5, 12)))
    state.temporary.mkdir(parents=True)
    from . import behaviours
    from .application import absent

    absent.remove(slicer, contracts.absent())
    registry = behaviours.REGISTRY
    standins = Standins(contracts.qt_classes(str(contract) if contract else None), registry, qt)
    qt.QUiLoader = ui_files.make_loader(qt, standins)
    qt_signals.install(lambda name: getattr(qt, name, None) or standins.get(name))
    _modules_of_classes(slicer, standins)
    behaviours.load_all()
    _load_application_behaviours()
    wrong = standins.invented()
    if wrong:
        raise RuntimeError(f"behaviours imitate what Slicer does not have: {', '.join(wrong)}")
    _application(slicer, qt, standins, state)
    if sources is not None:
        for name in CONNECTORS:
            importlib.import_module(name)
    return standins, state


def _slicer(sources: Path | None) -> Any:
    """slicer-core's package, with the rest of Slicer's Python added to it."""
    import slicer

    if sources is None:
        package, paths = OWN_PYTHON / "slicer", [OWN_PYTHON]
    else:
        package, paths = sources / "Base/Python/slicer", [sources / f for f in SOURCE_FOLDERS]
    slicer.__path__ = [str(package), *slicer.__path__]
    sys.path += [str(path) for path in paths]
    if sources is not None:
        _pretend_packaging()
    shipped = sys.modules.pop("slicer.util", None)
    # slicer-core copies all of util into the package itself; Slicer does not.
    for name in list(vars(slicer)):
        is_copy = shipped is not None and getattr(shipped, name, None) is vars(slicer)[name]
        if is_copy and name not in ("slicer", "vtk") and not name.startswith("__"):
            delattr(slicer, name)
    for name in COMPILED:
        sys.modules.setdefault(name, slicer)
    for name in ("modules", "moduleNames"):
        module = types.ModuleType(f"slicer.{name}")
        sys.modules[f"slicer.{name}"] = module
        setattr(slicer, name, module)
    return slicer


def _pretend_packaging() -> None:
    """The harness's own `slicer.packaging` on Slicer's sources too: tests must install nothing."""
    name = "slicer.packaging"
    spec = importlib.util.spec_from_file_location(name, OWN_PYTHON / "slicer" / "packaging.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    setattr(sys.modules["slicer"], "packaging", module)  # noqa: B010


def _modules_of_classes(slicer: Any, standins: Any) -> None:
    """Stand-in classes as attributes of `slicer` and `ctk`."""

    def looks_in(module: str) -> Any:
        def get(name: str) -> Any:
            found = standins.get(name)
            if found is not None and (standins.module_of(name) == "ctk") == (module == "ctk"):
                return found
            raise AttributeError(f"module '{module}' has no attribute '{name}'")

        return get

    ctk = types.ModuleType("ctk")
    ctk.__getattr__ = looks_in("ctk")  # type: ignore[method-assign]
    sys.modules["ctk"] = ctk
    slicer.__getattr__ = looks_in("slicer")
    from .contract import python_modules

    util = importlib.import_module("slicer.util")
    known = python_modules()["slicer.util"]
    for name in ("LazyImport",):  # in slicer-core's util, not in 5.12
        if name not in known["classes"] and hasattr(util, name):
            delattr(util, name)


def _load_application_behaviours() -> None:
    for name in ("app", "dicom", "dicom_browser", "io", "layout", "modules"):
        importlib.import_module(f"{__package__}.application.{name}")


def _write_python_slicer(folder: Path) -> None:
    """Slicer's Python interpreter as a command; here this process's own."""
    folder.mkdir()
    program = folder / "PythonSlicer"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    program.chmod(0o755)


def _application(slicer: Any, qt: Any, standins: Any, state: Any) -> None:
    from .application import modules, scene

    qt.QSettings.setDefaultFormat(qt.QSettings.IniFormat)
    qt.QSettings.setPath(qt.QSettings.IniFormat, qt.QSettings.UserScope, str(state.home))
    scene.create(state)
    slicer.app = state.app = standins.create("qSlicerApplication", [])
    locale.setlocale(locale.LC_NUMERIC, "C")  # Qt took the user's; VTK reads numbers by it
    state.app.setOrganizationName("harness")
    state.app.setApplicationName("Slicer")
    state.app.setQuitOnLastWindowClosed(False)
    state.module_manager = standins.create("qSlicerModuleManager")
    state.factory_manager = standins.create("qSlicerModuleFactoryManager")
    state.io_manager = standins.create("qSlicerIOManager")
    state.layout_manager = standins.create("qSlicerLayoutManager")
    state.plugin_handler = standins.create("qSlicerSubjectHierarchyPluginHandler")
    modules.register_loadable(standins)
    state.dicom_database = slicer.dicomDatabase = standins.create("ctkDICOMDatabase")
    slicer.dicomDatabase.openDatabase(str(state.home / "dicom" / "ctkDICOM.sql"))
    slicer.modules.dicomPlugins = {}
    slicer.modules.sampleDataSources = {}
    _write_python_slicer(state.programs)
    import ctk
    import vtk

    import __main__

    for name, value in (("slicer", slicer), ("qt", qt), ("ctk", ctk), ("vtk", vtk)):
        setattr(__main__, name, value)
