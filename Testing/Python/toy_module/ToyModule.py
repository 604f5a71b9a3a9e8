"""A small scripted module, written as Slicer's template has it, for the tests of the harness."""

import enum
from pathlib import Path
from typing import Annotated, Optional

import slicer
from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.parameterNodeWrapper import (
    Choice,
    Default,
    FloatRange,
    Minimum,
    RangeBounds,
    WithinRange,
    parameterNodeWrapper,
    parameterPack,
)
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class ToyModule(ScriptedLoadableModule):
    def __init__(self, parent):
        super().__init__(parent)
        self.parent.title = _("Toy")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Examples")]


class Shape(enum.Enum):
    ROUND = 1
    SQUARE = 2


@parameterPack
class Margin:
    inner: float = 1.0
    outer: Annotated[float, Minimum(0)] = 2.0


@parameterNodeWrapper
class ToyParameters:
    volume: vtkMRMLScalarVolumeNode
    mask: Optional[vtkMRMLScalarVolumeNode]  # noqa: UP045  (as older modules write it)
    opacity: Annotated[float, WithinRange(0, 1)] = 0.5
    slices: Annotated[int, WithinRange(1, 20)] = 3
    invert: bool = False
    title: str = "toy"
    folder: Path = Path("somewhere")
    shape: Shape = Shape.ROUND
    method: Annotated[str, Choice(["fast", "exact"]), Default("fast")]
    window: Annotated[FloatRange, RangeBounds(0, 200)]
    points: list[float]
    margin: Margin


class ToyModuleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.parameters = self.tag = None
        self.history = []

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath("UI/ToyModule.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = ToyModuleLogic()
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.connectParameters()

    def cleanup(self):
        self.removeObservers()
        self.history.append("cleanup")

    def enter(self):
        self.history.append("enter")
        self.connectParameters()

    def exit(self):
        self.history.append("exit")
        self.disconnectParameters()

    def onSceneStartClose(self, caller, event):
        self.history.append("close")
        self.disconnectParameters()

    def onSceneEndClose(self, caller, event):
        if self.parent.isEntered:
            self.connectParameters()

    def connectParameters(self):
        self.disconnectParameters()
        self.parameters = self.logic.getParameterNode()
        self.tag = self.parameters.connectGui(self.ui)

    def disconnectParameters(self):
        if self.parameters:
            self.parameters.disconnectGui(self.tag)
        self.parameters = None

    def onApply(self, checked=False):
        with slicer.util.tryWithErrorDisplay(_("Failed to compute results.")):
            result = self.logic.process(self.parameters.volume, self.parameters.opacity)
            self.ui.resultLabel.text = f"{result:.1f}"


class ToyModuleLogic(ScriptedLoadableModuleLogic):
    def getParameterNode(self):
        return ToyParameters(super().getParameterNode())

    def process(self, volume, factor):
        if volume is None:
            raise ValueError("no volume is selected")
        return float(slicer.util.arrayFromVolume(volume).mean() * factor)


class ToyModuleTest(ScriptedLoadableModuleTest):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def runTest(self):
        self.setUp()
        self.test_mean()

    def test_mean(self):
        import numpy as np

        volume = slicer.util.addVolumeFromArray(np.full((2, 3, 4), 8, np.int16))
        self.assertEqual(ToyModuleLogic().process(volume, 0.5), 4.0)
