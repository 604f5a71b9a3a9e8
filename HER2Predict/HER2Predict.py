"""HER2 status from breast DCE-MRI: the Slicer module. Research use only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import HER2PredictLib  # noqa: F401  (finds BreastPredictLib in a source tree too)
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

from BreastPredictLib.module import CaseLogic, PanelWidget, offer_sample


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
    from HER2PredictLib.sample import show_sample_study

    thumbnail = Path(__file__).parent / "Resources/Icons/HER2Phantom.png"
    offer_sample("HER2 phantom study", "her2-phantom", thumbnail, show_sample_study)


class HER2PredictWidget(PanelWidget):
    """The panel, see `HER2PredictLib.panel.Panel`."""

    def make_logic(self) -> Any:
        """The module's logic."""
        return HER2PredictLogic()

    def make_panel(self, ui: Any, case: Any) -> Any:
        """The module's panel."""
        from HER2PredictLib.panel import Panel

        return Panel(ui, case)


class HER2PredictLogic(CaseLogic):
    """A case in the scene, for the panel, for scripts and for tests; see `process`."""

    def make_parameters(self, node: Any) -> Any:
        """The parameters on a node of the scene."""
        from HER2PredictLib.parameters import HER2PredictParameterNode

        return HER2PredictParameterNode(node)

    def make_case(self, parameters: Any, tasks: Any) -> Any:
        """The case (`HER2PredictLib.case.Case`)."""
        from HER2PredictLib.case import Case

        return Case(parameters, tasks)

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
        from HER2PredictLib.sample import make_sample

        from BreastPredictLib.packages import missing_requirements

        if missing_requirements():
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
