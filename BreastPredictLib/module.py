"""What the Slicer classes of both modules do alike: `PanelWidget`, `CaseLogic`, sample data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class PanelWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Hands the events of scene and application to a panel (`BreastPredictLib.panel.CasePanel`).

    Attributes:
        ui: the widgets by name.
        logic: a `CaseLogic`.
        panel: of its case.
    """

    def __init__(self, parent: Any = None) -> None:
        VTKObservationMixin.__init__(self)
        self.logic: Any = None
        self.panel: Any = None
        self.ui: Any = None
        self._tag: Any = None
        self._shown = False
        ScriptedLoadableModuleWidget.__init__(self, parent)  # without a parent it calls setup

    def make_logic(self) -> Any:
        """The module's logic."""
        raise NotImplementedError

    def make_panel(self, ui: Any, case: Any) -> Any:
        """The module's panel."""
        raise NotImplementedError

    def setup(self) -> None:
        """Make the panel. Works without a main window and without CLI modules."""
        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath(f"UI/{self.moduleName}.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = self.make_logic()
        self.panel = self.make_panel(self.ui, self.logic.case())
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.StartImportEvent, self.onSceneStartImport)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndClose)
        self._connect()

    def cleanup(self) -> None:
        """The application closes, or the module is reloaded: nothing goes on."""
        self.removeObservers()
        self._disconnect()
        if self.panel is not None:
            self.panel.close()
        if self.logic is not None:
            self.logic.close()

    def enter(self) -> None:
        """The module is shown."""
        self._shown = True
        self._connect()
        self.panel.enter()
        self.panel.refresh()

    def exit(self) -> None:
        """Another module is shown; a prediction or training under way goes on."""
        self._shown = False
        self.panel.exit()

    def onSceneStartClose(self, _caller: Any, _event: Any) -> None:
        """The scene is about to go, and with it what a task would be for."""
        self.panel.case.tasks.cancel()
        self.panel.forget()
        self._disconnect()

    def onSceneStartImport(self, _caller: Any, _event: Any) -> None:
        """A scene is loaded: nodes come one by one, and parameters before what they refer to."""
        self._disconnect()

    def onSceneEndClose(self, _caller: Any, _event: Any) -> None:
        """An empty or another scene."""
        self._connect()
        if self._shown:
            self.panel.enter()
        self.panel.refresh()

    def onReload(self) -> None:
        """The developer's button: the libraries are imported again too."""
        import sys

        libraries = (f"{self.moduleName}Lib", "BreastPredictLib")
        for name in [n for n in sys.modules if n.partition(".")[0] in libraries]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def _connect(self) -> None:
        self._disconnect()
        self.panel.case.parameters = self.logic.getParameterNode()
        self._tag = self.panel.case.parameters.connectGui(self.ui)
        self.panel.observe()

    def _disconnect(self) -> None:
        if self._tag is not None:
            self.panel.unobserve()
            self.panel.case.parameters.disconnectGui(self._tag)
            self._tag = None


class CaseLogic(ScriptedLoadableModuleLogic):
    """A case in the scene, for the panel, for scripts and for tests."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self._tasks: Any = None

    def make_parameters(self, node: Any) -> Any:
        """The module's parameters on a node of the scene."""
        raise NotImplementedError

    def make_case(self, parameters: Any, tasks: Any) -> Any:
        """The module's case."""
        raise NotImplementedError

    def getParameterNode(self) -> Any:
        """The parameters in the scene, typed."""
        return self.make_parameters(ScriptedLoadableModuleLogic.getParameterNode(self))

    def case(self) -> Any:
        """The case of the scene's parameters."""
        from .tasks import Tasks

        if self._tasks is None:
            self._tasks = Tasks(self.moduleName, slicer.app.temporaryPath)
        return self.make_case(self.getParameterNode(), self._tasks)

    def close(self) -> None:
        """End the child process and remove its files."""
        if self._tasks is not None:
            self._tasks.close()
            self._tasks = None


def offer_sample(
    name: str, file_name: str, thumbnail: Path, show: Callable[[Any], list[Any]]
) -> None:
    """Offer something in the module Sample Data that is made on this machine, not downloaded.

    Args:
        name: what it is called.
        file_name: not of a file; Sample Data wants one.
        thumbnail: a picture of it.
        show: makes it and puts it into the scene; returns the nodes.
    """
    import SampleData

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="BreastPredict",
        sampleName=name,
        uris="made by BreastPredict",
        fileNames=file_name,
        customDownloader=show,
        thumbnailFileName=str(thumbnail),
    )
