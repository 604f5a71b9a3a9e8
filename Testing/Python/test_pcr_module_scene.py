"""PCR Predict in a scene that is saved, and loaded again on another day."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pcr_panel import PcrPanel, PhantomList
from test_pcr_module_reading import volume
from ultrasound_screens import fan, screen

ONLY_OF_A_SESSION = {"us0Point", "us1Point"}
"""They wait for a click."""


@dataclass
class Standing:
    """What a reader sees of the panel, and what is in the scene."""

    texts: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    enabled: frozenset[str] = frozenset()
    views: dict[str, tuple[str, str]] = field(default_factory=dict)
    markups: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    maps: dict[str, np.ndarray] = field(default_factory=dict)

    LABELS = (
        *("patientLabel", "listLabel", "pairLabel", "clinicalLabel", "clinicalRowLabel"),
        *("squaresLabel", "rectangleLabel", "runLabel", "inputsLabel", "classLabel", "scoreLabel"),
        *("resultNoteLabel", "mapLabel", "syntheticLabel"),
    )
    EDITS = "us0RoiEdit", "us1RoiEdit", "rectangleEdit", "ki67Edit", "mppEdit", "us0DateEdit"
    BOXES = (
        *("subtypeBox", "erBox", "regimenBox", "lateralityBox", "patientBox", "clinicalBox"),
        *("variantBox", "runBox", "explainBox", "methodBox", "colourBox", "deviceBox"),
    )
    PATHS = "us0FileEdit", "us1FileEdit", "pathologyEdit", "patientsEdit", "resultsEdit"

    @classmethod
    def of(cls, pcr: PcrPanel) -> Standing:
        import slicer

        ui, p = pcr.ui, pcr.parameters
        texts = {name: getattr(ui, name).text for name in (*cls.LABELS, *cls.EDITS)}
        texts |= {name: getattr(ui, name).currentText for name in cls.BOXES}
        texts |= {name: getattr(ui, name).currentPath for name in cls.PATHS}
        values = {}
        for name in p.allParameters:
            value = p.getValue(name)
            if hasattr(value, "GetName"):
                value = None if name in ONLY_OF_A_SESSION else value.GetName()
            values[name] = [one.GetName() for one in value] if name == "mapNodes" else value
        views = {}
        for name in ("Red", "Yellow", "Green"):
            shown = pcr.app.view(name).composite
            ids = shown.GetBackgroundVolumeID(), shown.GetForegroundVolumeID()
            nodes = [slicer.mrmlScene.GetNodeByID(one) if one else None for one in ids]
            views[name] = tuple("" if node is None else node.GetName() for node in nodes)
        return cls(
            texts,
            values,
            frozenset(pcr.enabled()),
            views,
            {
                name: (
                    *np.round([*node.GetCenter(), *node.GetSize()], 4).tolist(),
                    node.GetLocked(),
                    node.GetDisplayNode().GetViewNodeIDs(),
                )
                for name in ("us0Square", "us1Square", "rectangle")
                if (node := getattr(p, name)) is not None
            },
            {node.GetName(): slicer.util.arrayFromVolume(node).copy() for node in pcr.case.maps},
        )

    def assert_same(self, other: Standing) -> None:
        for name in ("texts", "values", "enabled", "views", "markups"):
            assert getattr(self, name) == getattr(other, name), name
        assert self.maps.keys() == other.maps.keys()
        for name, values in self.maps.items():
            np.testing.assert_array_equal(values, other.maps[name])


def on_another_day(pcr: PcrPanel, scene: Path) -> None:
    """Slicer is left, with all that it kept for the session, and started with the scene."""
    import slicer

    assert slicer.util.saveScene(str(scene))
    folder = pcr.case.tasks.folder
    pcr.start_again()
    assert not folder.exists() and pcr.case.tasks.folder != folder
    slicer.util.loadScene(str(scene))


def test_a_list_goes_on_where_it_was_when_its_scene_is_loaded_again(
    pcr: PcrPanel, phantom_list: PhantomList, tmp_path: Path
) -> None:
    first, second, third = phantom_list.patients
    ui, p = pcr.ui, pcr.parameters
    ui.patientsEdit.currentPath = str(phantom_list.table)
    ui.resultsEdit.currentPath = str(tmp_path / "results")
    pcr.press("table")
    p.run, p.device, p.explain = phantom_list.run, "cpu", "gradcam"
    pcr.press("next")
    pcr.press("predict")
    before_first = Standing.of(pcr)
    pcr.press("next")
    # What a reader changes: squares, rectangle, a clinical variable, variant, how maps look.
    pcr.drag("us0Square", (170.0, 90.0, 290.0, 210.0))
    pcr.press("rectangle")
    ui.ki67Edit.text = "33"
    ui.linkedBox.checked = False
    ui.goneBox.click()
    p.opacity, p.threshold, p.colour = 0.4, 0.3, "Viridis"
    pcr.press("predict")
    assert not pcr.case.result_is_stale and p.us1Roi == "us0" and p.place == 1
    before, result = Standing.of(pcr), pcr.case.result

    on_another_day(pcr, tmp_path / "reading.mrb")
    Standing.of(pcr).assert_same(before)
    assert pcr.case.result == result and not pcr.ui.staleLabel.visible
    assert {"previous", "next", "predict", "save_dicom", "save_report"} <= pcr.enabled()
    # What lives in the scene goes on living: a square is dragged, the tumour is visible again.
    pcr.ui.goneBox.click()
    assert pcr.parameters.us1Roi == second["us1_roi"] and pcr.ui.staleLabel.visible
    pcr.ui.goneBox.click()
    assert not pcr.ui.staleLabel.visible
    assert pcr.parameters.us0Point is not None and pcr.ui.us0Place.enabled
    # The list goes on, and back to what was done before the scene was saved.
    pcr.press("next")
    assert third["patient_id"] in pcr.ui.patientLabel.text
    assert "Patient 3 of 3; 2 done" in pcr.ui.listLabel.text
    assert pcr.why_not("next") == "This is the last patient."
    pcr.press("previous")
    assert pcr.case.result == result and pcr.parameters.ki67 == "33"
    pcr.press("previous")
    again = Standing.of(pcr)
    assert first["patient_id"] in pcr.ui.patientLabel.text
    assert again.texts["scoreLabel"] == before_first.texts["scoreLabel"]
    assert again.markups == before_first.markups and again.maps.keys() == before_first.maps.keys()


def test_results_of_a_temporary_folder_are_shown_but_not_saved_after_loading(
    pcr: PcrPanel, phantom_list: PhantomList, tmp_path: Path
) -> None:
    result = pcr.predict(phantom_list.patients[0], phantom_list.run)
    before = Standing.of(pcr)
    on_another_day(pcr, tmp_path / "reading.mrb")
    now = Standing.of(pcr)
    assert before.enabled - now.enabled == {"save_dicom", "save_report"}
    assert pcr.why_not("save_report") == "The result's files are gone: predict again."
    now.enabled = before.enabled
    now.assert_same(before)
    pcr.press("predict")
    assert pcr.case.result["probability"] == result["probability"]


def test_an_image_without_a_file_is_read_again_and_keeps_its_square(
    pcr: PcrPanel, tmp_path: Path
) -> None:
    """Its pixels are in the scene, and are written for each session anew."""
    pcr.ui.us0Selector.setCurrentNode(volume(screen(fan()), "US of nowhere"))
    pcr.press("read")
    pcr.press("us0_square")
    pcr.drag("us0Square", (150.0, 100.0, 250.0, 200.0))
    drawn, key = pcr.parameters.us0Roi, pcr.case.inputs_key()
    on_another_day(pcr, tmp_path / "reading.mrb")
    assert pcr.parameters.us0.GetName() == "US of nowhere" and pcr.parameters.us0Roi == drawn
    assert pcr.parameters.us0Square is not None and not pcr.case.regions.problem
    assert pcr.case.inputs_key() == key
    pcr.press("read")
    assert pcr.parameters.us0Roi == drawn and pcr.parameters.us0Square is not None


@pytest.mark.parametrize("kind", ["mrb", "mrml"])
def test_choices_before_reading_are_kept_too(
    pcr: PcrPanel, phantom_list: PhantomList, tmp_path: Path, kind: str
) -> None:
    ui = pcr.ui
    pcr.choose(phantom_list.patients[2])
    ui.us0FrameBox.value, ui.us1RegionBox.value = 1, 1
    ui.networkBox.currentText, ui.epochsBox.value = "reduced", 7
    before = Standing.of(pcr)
    on_another_day(pcr, tmp_path / f"reading.{kind}")
    Standing.of(pcr).assert_same(before)
    assert pcr.enabled() == {"read"}
