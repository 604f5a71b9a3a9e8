"""Complete response from ultrasound and pathology: the Slicer module. Research use only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import PCRPredictLib  # noqa: F401  (finds BreastPredictLib in a source tree too)
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

from BreastPredictLib.module import CaseLogic, PanelWidget, offer_sample


class PCRPredict(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        parent.title = _("PCR Predict")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        parent.dependencies = ["Markups", "DICOM"]
        parent.contributors = ["The BreastPredict contributors"]
        parent.helpText = _(
            "Pathological complete response to neoadjuvant treatment of breast cancer, from "
            "ultrasound before and after two cycles, the biopsy and clinical variables. "
            "Research use only."
        )
        parent.acknowledgementText = _("After a published system, SE-CrossT; see the README.")
        slicer.app.connect("startupCompleted()", register_sample_data)


def register_sample_data() -> None:
    """Offer a phantom patient in the module Sample Data; it is made, not downloaded."""
    from PCRPredictLib.sample import show_sample_patient

    thumbnail = Path(__file__).parent / "Resources/Icons/PCRPhantom.png"
    offer_sample("pCR phantom patient", "pcr-phantom", thumbnail, show_sample_patient)


class PCRPredictWidget(PanelWidget):
    """The panel, see `PCRPredictLib.panel.Panel`."""

    def make_logic(self) -> Any:
        """The module's logic."""
        return PCRPredictLogic()

    def make_panel(self, ui: Any, case: Any) -> Any:
        """The module's panel."""
        from PCRPredictLib.panel import Panel

        return Panel(ui, case)


class PCRPredictLogic(CaseLogic):
    """A case in the scene, for the panel, for scripts and for tests; see `process`."""

    def make_parameters(self, node: Any) -> Any:
        """The parameters on a node of the scene."""
        from PCRPredictLib.parameters import PCRPredictParameterNode

        return PCRPredictParameterNode(node)

    def make_case(self, parameters: Any, tasks: Any) -> Any:
        """The case (`PCRPredictLib.case.Case`)."""
        from PCRPredictLib.case import Case

        return Case(parameters, tasks)

    def process(
        self,
        patient: dict[str, str],
        run: str,
        explain: str = "both",
        variant: str = "",
        device: str = "cpu",
    ) -> dict[str, Any]:
        """From a patient's files to the result in the scene; waits. For scripts: opens no dialog.

        Args:
            patient: by the columns of a cohort table, as `breastpredict.pcr.case_of` takes them.
            run: folder of the trained bundles.
            explain: "both", "gradcam", "occlusion" or "none".
            variant: of the run; empty: the one that takes the most of what there is.
            device: as torch names it.

        Returns:
            result.json, with the folder of the result's files.

        Raises:
            Exception: what the backend refused, in one line.
        """
        from PCRPredictLib.list_of_patients import take
        from PCRPredictLib.reading import is_chosen

        case = self.case()
        p = case.parameters
        take(p, {"patient_id": "", **patient})
        p.run, p.explain, p.variant, p.device = Path(run), explain, variant, device
        if is_chosen(p):
            case.tasks.wait(case.open_images)
        case.tasks.wait(case.predict)
        result: dict[str, Any] = case.result
        return result


class PCRPredictTest(ScriptedLoadableModuleTest):
    """Reading, and the whole workflow with a phantom and tiny networks, inside of any Slicer."""

    def setUp(self) -> None:
        """An empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """What the button "Reload and Test" runs."""
        self.setUp()
        self.test_anImageIsReadAsItsFile()
        self.setUp()
        self.test_fromFilesToResult()

    def test_fromFilesToResult(self) -> None:
        """A phantom patient's files lead to a prediction, its maps and its DICOM files."""
        from PCRPredictLib.sample import make_sample

        from BreastPredictLib.packages import missing_requirements

        if missing_requirements():
            self.skipTest("PyTorch or other requirements are not installed")
        logic = PCRPredictLogic()
        try:
            made = make_sample(logic.case().tasks, run=True)
            result = logic.process(made["patients"][0], made["run"])
            written = {path.name for path in Path(result["folder"]).iterdir()}
            p = logic.getParameterNode()
            shown = {node.GetName() for node in logic.case().maps}
            square = p.us0Square.GetSize()
        finally:
            logic.close()
        self.assertEqual(result["status"], "predicted")
        self.assertEqual(result["variant"], "full")
        self.assertTrue(0.0 < result["probability"] < 1.0)
        for name in ("report.dcm", "capture.dcm", "overlay.png", "report.html"):
            self.assertIn(name, written)
        self.assertEqual(len(shown), 6)
        self.assertAlmostEqual(square[0], result["ultrasound"]["us0"]["side_mm"], places=3)

    def test_anImageIsReadAsItsFile(self) -> None:
        """A picture in the scene, in grey and in colours, gives what its file gives."""
        import numpy as np
        from PCRPredictLib.ultrasound_source import UltrasoundSource, source_of

        logic = PCRPredictLogic()
        try:
            folder = Path(logic.case().tasks.folder)
            y, x = np.mgrid[:120, :160]
            grey = (90 + 80 * np.sin(x / 3.0) * np.cos(y / 4.0)).astype(np.uint8)
            grey[:, :20] = 0
            for name, kind, pixels in (
                ("grey", "vtkMRMLScalarVolumeNode", grey),
                ("colour", "vtkMRMLVectorVolumeNode", np.repeat(grey[..., None], 3, axis=-1)),
            ):
                node = slicer.mrmlScene.AddNewNodeByClass(kind, name)
                slicer.util.updateVolumeFromArray(node, pixels[None])
                found = source_of(node, folder).read()
                self.assertEqual(found.source_size, (160, 120))
                x0, y0, x1, y1 = found.region.box
                shown = grey[y0 : y1 + 1, x0 : x1 + 1]
                self.assertTrue(np.array_equal(found.pixels[found.scan], shown[found.scan]))
                again = UltrasoundSource(source_of(node, folder).path).read()
                self.assertTrue(np.array_equal(again.pixels, found.pixels))
        finally:
            logic.close()
