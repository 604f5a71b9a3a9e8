"""HER2 status from breast DCE-MRI: the Slicer module. Research use only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class HER2Predict(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        parent.title = _("HER2 Predict")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        parent.dependencies = ["Segmentations", "Markups", "DICOM"]
        parent.contributors = ["The BreastPredict contributors"]
        parent.helpText = _(
            "HER2-zero, -low or -positive from breast DCE-MRI: the early post-contrast phase, the "
            "tumour, its largest cross-section, two networks, and a map of what they looked at. "
            "Research use only."
        )
        parent.acknowledgementText = _("After a published ViT-based system; see the README.")
        slicer.app.connect("startupCompleted()", register_sample_data)


def register_sample_data() -> None:
    """Offer a phantom study in the module Sample Data; it is made, not downloaded."""
    import SampleData
    from HER2PredictLib.sample import show_sample_study

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="BreastPredict",
        sampleName="HER2 phantom study",
        uris="made by BreastPredict",
        fileNames="her2-phantom",
        customDownloader=show_sample_study,
        thumbnailFileName=str(Path(__file__).parent / "Resources/Icons/HER2Phantom.png"),
    )


class HER2PredictWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Hands the events of scene and application to `HER2PredictLib.panel.Panel`."""

    def __init__(self, parent: Any = None) -> None:
        VTKObservationMixin.__init__(self)
        self.logic: Any = None
        self.panel: Any = None
        self.ui: Any = None
        self._tag: Any = None
        self._shown = False
        ScriptedLoadableModuleWidget.__init__(self, parent)  # without a parent it calls setup

    def setup(self) -> None:
        """Make the panel. Works without a main window and without CLI modules."""
        from HER2PredictLib.panel import Panel

        ScriptedLoadableModuleWidget.setup(self)
        widget = slicer.util.loadUI(self.resourcePath("UI/HER2Predict.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = HER2PredictLogic()
        self.panel = Panel(self.ui, self.logic.case())
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
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
        self.panel.tumour.enter()
        self.panel.refresh()

    def exit(self) -> None:
        """Another module is shown; a prediction or training under way goes on."""
        self._shown = False
        self.panel.tumour.exit()

    def onSceneStartClose(self, _caller: Any, _event: Any) -> None:
        """The scene is about to go, and with it what a task would be for."""
        self.panel.case.tasks.cancel()
        self.panel.study.forget()
        self.panel.tumour.forget()
        self._disconnect()

    def onSceneEndClose(self, _caller: Any, _event: Any) -> None:
        """An empty or another scene."""
        self._connect()
        if self._shown:
            self.panel.tumour.enter()
        self.panel.refresh()

    def onReload(self) -> None:
        """The developer's button: the library is imported again too."""
        import sys

        for name in [n for n in sys.modules if n.partition(".")[0] == "HER2PredictLib"]:
            del sys.modules[name]
        super().onReload()

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


class HER2PredictLogic(ScriptedLoadableModuleLogic):
    """A case in the scene, for the panel, for scripts and for tests; see `process`."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self._tasks: Any = None

    def getParameterNode(self) -> Any:
        """The parameters in the scene, typed."""
        from HER2PredictLib.parameters import HER2PredictParameterNode

        return HER2PredictParameterNode(super().getParameterNode())

    def case(self) -> Any:
        """The case of the scene's parameters (`HER2PredictLib.case.Case`)."""
        from HER2PredictLib.case import Case
        from HER2PredictLib.tasks import Tasks

        if self._tasks is None:
            self._tasks = Tasks(slicer.app.temporaryPath)
        return Case(self.getParameterNode(), self._tasks)

    def close(self) -> None:
        """End the child process and remove its files."""
        if self._tasks is not None:
            self._tasks.close()
            self._tasks = None

    def process(
        self,
        study: str,
        run: str,
        mask: str = "",
        point: list[float] | None = None,
        explain: str = "attention",
        device: str = "cpu",
    ) -> dict[str, Any]:
        """From a study to its result in the scene; waits. For scripts: opens no dialog.

        Args:
            study: whatever the backend reads.
            run: folder of the trained bundles.
            mask: file of the tumour's mask; or
            point: a point in the tumour, RAS in mm.
            explain: "attention", "evidence", "rollout" or "none".
            device: as torch names it.

        Returns:
            result.json, with the folder of the result's files.

        Raises:
            Exception: what the backend refused, in one line.
        """
        case = self.case()
        p = case.parameters
        p.study, p.studyUID, p.run = Path(study), "", Path(run)
        p.explain, p.device = explain, device
        wait = case.tasks.wait
        wait(case.open_study)
        wait(case.load_volumes)
        if mask:
            wait(case.import_mask, mask)
        elif point is not None:
            p.point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Point")
            p.point.AddControlPointWorld(point)
            wait(case.delineate_from_point)
        wait(case.predict)
        result: dict[str, Any] = case.result
        return result


class HER2PredictTest(ScriptedLoadableModuleTest):
    """The whole workflow with a phantom and a tiny seeded bundle, inside of any Slicer."""

    def setUp(self) -> None:
        """An empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """What the button "Reload and Test" runs."""
        self.setUp()
        self.test_fromStudyToResult()

    def test_fromStudyToResult(self) -> None:
        """A phantom study and its mask lead to a prediction, its map and its DICOM files."""
        from HER2PredictLib import backend
        from HER2PredictLib.sample import make_sample

        if backend.missing_requirements():
            self.skipTest("PyTorch or other requirements are not installed")
        logic = HER2PredictLogic()
        try:
            made = make_sample(logic.case().tasks, run=True)
            result = logic.process(made["study"], made["run"], mask=made["mask"])
            written = {path.name for path in Path(result["folder"]).iterdir()}
            p = logic.getParameterNode()
            shown = slicer.util.arrayFromVolume(p.map)
            shape = slicer.util.arrayFromVolume(p.early).shape
        finally:
            logic.close()
        self.assertEqual(result["status"], "predicted")
        self.assertAlmostEqual(sum(result["probabilities"].values()), 1.0)
        for name in ("segmentation.dcm", "report.dcm", "heatmap.dcm", "capture.dcm"):
            self.assertIn(name, written)
        self.assertEqual(shown.shape, shape)
        plane = shown[result["slice_index"]]
        self.assertGreater(plane.max(), 0.0)
        self.assertEqual((shown > 0).sum(), (plane > 0).sum())
