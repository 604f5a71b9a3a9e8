"""Modules: loaded, shown, left, reloaded and unloaded as Slicer does it."""

from __future__ import annotations

import importlib
import logging
import sys
from pathlib import Path
from typing import Any

import qt
import slicer

from ..behaviours.registry import behaves_as, remembered
from ..descriptors import memory
from ..standins import Standins
from .state import running


@behaves_as("qSlicerModuleManager")
class ModuleManager:
    """Knows the modules by name, without regard to case."""

    def _do_module(self, name: str) -> Any:
        return running().modules.get(name.lower())

    def _do_modulesNames(self) -> list[str]:
        return [module.name for module in running().modules.values()]

    def _do_factoryManager(self) -> Any:
        return running().factory_manager


@behaves_as("qSlicerAbstractCoreModule")
class CoreModule:
    """Name, path and logic."""

    def _do_logic(self) -> Any:
        return remembered(self, "logic")

    def _do_mrmlScene(self) -> Any:
        return running().scene


@behaves_as("qSlicerAbstractModule")
class Module:
    """Has one widget representation, made when first asked for."""

    def _do_widgetRepresentation(self) -> Any:
        if remembered(self, "representation") is None:
            memory(self).representation = self._do_createNewWidgetRepresentation()
        return memory(self).representation

    def _do_createNewWidgetRepresentation(self) -> Any:
        if remembered(self, "python_module") is None:
            return None  # a loadable module; its panel is not part of the harness
        widget = slicer.qSlicerScriptedLoadableModuleWidget()
        widget.setLayout(qt.QVBoxLayout())
        memory(widget).values["moduleName"] = self.name
        memory(widget).module = self
        widget.setMRMLScene(running().scene)
        widget._create()
        return widget


@behaves_as("qSlicerAbstractModuleWidget")
class ModuleWidget:
    """Calls the Python widget's enter and exit."""

    def _get_isEntered(self) -> bool:
        return bool(remembered(self, "entered", False))

    def _do_enter(self) -> None:
        memory(self).entered = True
        self._call("enter")

    def _do_exit(self) -> None:
        memory(self).entered = False
        self._call("exit")

    def _call(self, name: str) -> None:
        method = getattr(remembered(self, "python"), name, None)
        if method is not None:
            method()


@behaves_as("qSlicerScriptedLoadableModuleWidget")
class ScriptedModuleWidget:
    """Makes the module's Python widget and calls its setup."""

    def _create(self) -> None:
        name = self.moduleName
        python_class = getattr(sys.modules[name], f"{name}Widget", None)
        if python_class is not None:
            memory(self).python = python = python_class(self)
            setattr(slicer.modules, f"{name}Widget", python)
            python.setup()

    def _do_self(self) -> Any:
        return remembered(self, "python")

    def _do_reload(self) -> None:
        self._create()


@behaves_as("qSlicerModuleSelectorToolBar")
class ModuleSelector:
    """Selects modules by name, as the user does."""

    def _get_selectedModule(self) -> str:
        return str(running().selected.name) if running().selected is not None else ""

    def _do_selectModule(self, name: str) -> None:
        module = running().modules.get(name.lower())
        if module is None:
            logging.error(f"there is no module {name}")
            return
        select(module)
        self._announce("moduleSelected", module.name)


@behaves_as("qSlicerMainWindow")
class MainWindow:
    """The window; of its tool bars it has the module selector."""

    def _begin(self) -> None:
        super()._begin()
        self.objectName = "qSlicerMainWindow"
        memory(self).selector = slicer.qSlicerModuleSelectorToolBar()
        self.addToolBar(memory(self).selector)

    def _do_moduleSelector(self) -> Any:
        return memory(self).selector


def select(module: Any) -> None:
    """Leave the module that is shown, and show this one; None leaves only."""
    state = running()
    if state.selected is not None:
        representation = state.selected.widgetRepresentation()
        if representation is not None:
            representation.hide()
            representation.exit()
    state.selected = module
    if module is not None:
        representation = module.widgetRepresentation()
        if representation is not None:
            representation.enter()
            representation.show()


def register(name: str, module: Any) -> None:
    """Make the module known as `slicer.modules.<lower-case name>`."""
    running().modules[name.lower()] = module
    setattr(slicer.modules, name.lower(), module)
    setattr(slicer.moduleNames, name, name)


def register_loadable(standins: Standins) -> None:
    """A module object for every logic of the application."""
    for name, logic in running().module_logics.items():
        module = standins.create("qSlicerLoadableModule")
        memory(module).values.update(name=name, title=name)
        memory(module).logic = logic
        register(name, module)


def load(standins: Standins, path: Path) -> Any:
    """Load a scripted module from its .py file, as qSlicerScriptedLoadableModule does."""
    name = path.stem
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    python_module = importlib.import_module(name)
    module = standins.create("qSlicerScriptedLoadableModule")
    memory(module).values.update(name=name, path=str(path))
    memory(module).python_module = python_module
    memory(module).logic = slicer.vtkSlicerScriptedLoadableModuleLogic()
    memory(module).python = instance = getattr(python_module, name)(module)
    setattr(slicer.modules, f"{name}Instance", instance)
    register(name, module)
    running().module_manager.moduleLoaded.emit(name)
    setup = getattr(instance, "setup", None)
    if setup is not None:
        setup()
    return module


def unload(module: Any) -> Any:
    """Take a module out of the application, with its widget's cleanup; returns the old widget.

    The caller deletes the widget once nothing in the scene is connected to it any more.
    """
    name = module.name
    running().module_manager.moduleAboutToBeUnloaded.emit(name)
    running().modules.pop(name.lower(), None)
    for attribute in (name.lower(), f"{name}Instance", f"{name}Widget"):
        if hasattr(slicer.modules, attribute):
            delattr(slicer.modules, attribute)
    sys.modules.pop(name, None)
    widget = remembered(module, "representation")
    memory(module).representation = None
    return widget
