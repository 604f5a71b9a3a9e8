"""Complete response from ultrasound and pathology: the Slicer module. Research use only.

Not finished, and not part of the extension yet: it reads and checks the pair of examinations.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import PCRPredictLib  # noqa: F401  (finds BreastPredictLib in a source tree too)
import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

from BreastPredictLib.module import CaseLogic, PanelWidget


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
    """A case in the scene, for the panel, for scripts and for tests."""

    def make_parameters(self, node: Any) -> Any:
        """The parameters on a node of the scene."""
        from PCRPredictLib.parameters import PCRPredictParameterNode

        return PCRPredictParameterNode(node)

    def make_case(self, parameters: Any, tasks: Any) -> Any:
        """The case (`PCRPredictLib.case.Case`)."""
        from PCRPredictLib.case import Case

        return Case(parameters, tasks)


class PCRPredictTest(ScriptedLoadableModuleTest):
    """That an image of the scene is read as its file is, inside of any Slicer."""

    def setUp(self) -> None:
        """An empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """What the button "Reload and Test" runs."""
        self.setUp()
        self.test_anImageIsReadAsItsFile()

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
