"""The radiologist's way through the module, from a folder of DICOM to saved results.

Driven through the widgets, on the real scene and the real backend in its child process; every step
is a picture of the tutorial (Docs/tutorial-her2.md).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from cli_runs import process
from harness import Harness
from panel_pictures import VIEW, part_of_panel, slice_view, whole_panel
from pictures import DOCS, beside, check_picture

from breastpredict.dicom import read_mask, read_study
from breastpredict.imaging import largest_slice

OBJECTS = ("segmentation.dcm", "report.dcm", "heatmap.dcm", "capture.dcm")
MINTED = "1.2.826.0.1.3680043."
"""Root of the identifiers that every writing makes anew; the phantom's own are of another."""


@dataclass
class Reader:
    """A radiologist at the panel."""

    app: Harness
    module: Any
    folder: Path

    @property
    def widget(self) -> Any:
        return self.module.widgetRepresentation().self()

    @property
    def ui(self) -> Any:
        return self.widget.ui

    @property
    def case(self) -> Any:
        return self.widget.panel.case

    def press(self, button: str, seconds: float = 60) -> None:
        """Press a button and wait for what it starts."""
        widget = getattr(self.ui, button)
        assert widget.enabled, f"{button}: {widget.toolTip}"
        widget.click()
        self.app.wait_until(lambda: self.case.tasks.current is None, seconds)
        assert not self.widget.panel.problem, self.widget.panel.problem

    def panel(self) -> np.ndarray:
        """The whole panel as it looks."""
        return whole_panel(self.app, self.module)

    def part(self, *names: str) -> np.ndarray:
        """Parts of the panel as they look, one below the other."""
        return part_of_panel(self.app, self.module, self.ui, *names)

    def view(self, name: str = "Red", size: tuple[int, int] = VIEW) -> np.ndarray:
        """A slice view as it looks, the whole volume in it."""
        return slice_view(self.app, name, size)


@pytest.fixture
def reader(slicer_app: Harness, repository: Path, tmp_path: Path) -> Iterator[Reader]:
    module = slicer_app.load(repository / "HER2Predict" / "HER2Predict.py")
    slicer_app.enter(module)
    yield Reader(slicer_app, module, tmp_path)


def study_of(cohort: Path) -> tuple[Path, Path]:
    """A study of an external cohort with a HER2-positive lesion, and its true mask."""
    rows = list(csv.DictReader(cohort.read_text().splitlines()))
    row = next(r for r in rows if r["patient_id"] == "PHANTOM-0707-0161")
    return cohort.parent / row["study"], cohort.parent / row["segmentation"]


def centre_of(study: Path, mask: Path) -> list[float]:
    """A point in the lesion, RAS."""
    read = read_study(study)
    found = read_mask(mask, read.dce[0].phases[0].geometry, study=read).mask
    k = largest_slice(found).index
    rows, columns = np.nonzero(found.on_slice(k))
    index = np.array([np.median(columns), np.median(rows), k])
    x, y, z = found.geometry.index_to_physical(index)
    return [-float(x), -float(y), float(z)]


def test_from_a_folder_of_dicom_to_saved_results(
    reader: Reader, learnt_cohort: Path, learnt_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qt
    import slicer

    # As after `make demo`; the pictures show these paths.
    (reader.folder / "demo").mkdir()
    (reader.folder / "demo" / "cohort").symlink_to(learnt_cohort.parent)
    (reader.folder / "demo" / "run").symlink_to(learnt_run)
    monkeypatch.chdir(reader.folder)
    study, truth = study_of(Path("demo/cohort/COHORT.csv"))
    run = Path("demo/run")
    ui, case = reader.ui, reader.case
    check_picture("tutorial-her2/0-panel.png", reader.panel())
    ui.trainSection.collapsed = False
    check_picture("tutorial-her2/5-train.png", reader.part("trainSection"))
    ui.trainSection.collapsed = True

    # Step 1: the study
    ui.studyEdit.currentPath = str(study)
    reader.press("openButton")
    [patient] = {pydicom.dcmread(f).PatientID for f in list(study.rglob("*"))[:9] if f.is_file()}
    assert patient in ui.patientLabel.text and "breast" in ui.patientLabel.text
    assert case.parameters.phase == case.acquisition["chosen"]
    assert "after injection" in ui.phaseReasonLabel.text
    reader.press("loadButton")
    p = case.parameters
    early = slicer.util.arrayFromVolume(p.early)
    difference = slicer.util.arrayFromVolume(p.subtraction)
    np.testing.assert_array_equal(difference, early - slicer.util.arrayFromVolume(p.pre))
    check_picture("tutorial-her2/1-study.png", reader.part("patientLabel", "studySection"))
    composite = reader.app.view("Red", VIEW).composite
    assert composite.GetBackgroundVolumeID() == p.early.GetID()

    # Step 2: the tumour
    point = centre_of(study, truth)
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *point)
    before = reader.view()
    ui.pointSelector.addNode()
    ui.pointPlace.placeButton().click()
    reader.app.click(tuple(point))
    assert ui.pointButton.enabled, ui.pointButton.toolTip
    reader.press("pointButton")
    assert case.region is not None
    check_picture("tutorial-her2/2-tumour.png", reader.part("tumourSection", "sliceSection"))
    check_picture("tutorial-her2/2-views.png", beside(before, reader.view()))
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(p.segmentation, p.segmentID, p.early)

    # Step 3: predict
    with reader.app.main_window():
        reader.app.dialogs.answer(str(run))
        ui.browseRunButton.click()
    assert p.run == run and "held-out patients" in ui.runLabel.text
    check_picture("tutorial-her2/3-predict.png", reader.part("syntheticLabel", "predictSection"))
    reader.press("applyButton")

    # Step 4: the result
    result = case.result
    assert ui.classLabel.text == f"HER2-{result['predicted_class']}"
    assert ui.syntheticLabel.visible and "synthetic" in ui.syntheticLabel.text
    assert p.map.GetParentTransformNode() is None
    assert composite.GetForegroundVolumeID() == p.map.GetID()
    check_picture("tutorial-her2/4-result.png", reader.part("resultSection"))
    check_picture("tutorial-her2/4-view.png", reader.view())
    views = [reader.view(name, (560, 560)) for name in ("Red", "Yellow", "Green")]
    check_picture("panel.png", beside(reader.panel(), np.concatenate(views)))

    # The same by the command line
    lps = f"{-point[0]!r},{-point[1]!r},{point[2]!r}"
    ended = process(
        "her2", "predict", study, "--model", run, "--out", reader.folder / "cli",
        "--seed-point", lps, "--json",
    )  # fmt: skip
    direct = json.loads(ended.out)
    for name in ("date", "device"):
        direct.pop(name)
    same = {name: value for name, value in result.items() if name in direct}
    parameters = (same.pop("parameters"), direct.pop("parameters"))
    assert all(parameters)
    assert same == direct
    [written] = [f for f in (reader.folder / "cli").iterdir() if f.is_dir()]
    for name in OBJECTS:
        assert_same_object(Path(result["folder"]) / name, written / name)
    seg = pydicom.dcmread(written / "segmentation.dcm")
    assert seg.pixel_array.sum() == mask.sum()

    # Step 5: keep it
    ui.saveDicomButton.click()
    assert "4 DICOM objects" in ui.problemLabel.text
    for name in OBJECTS:
        header = pydicom.dcmread(Path(result["folder"]) / name, stop_before_pixels=True)
        stored = slicer.dicomDatabase.fileForInstance(header.SOPInstanceUID)
        assert Path(stored).read_bytes() == (Path(result["folder"]) / name).read_bytes()
    report = reader.folder / "report.html"
    with reader.app.main_window():
        reader.app.dialogs.answer(str(report))
        ui.saveReportButton.click()
    assert "esearch use only" in report.read_text() and patient not in report.read_text()
    assert qt.QApplication.activeModalWidget() is None


def assert_same_object(one: Path, other: Path) -> None:
    """Equal but for the time of writing and the identifiers that every writing makes anew."""
    first, second = pydicom.dcmread(one), pydicom.dcmread(other)
    for data in (first, second):
        data.walk(_without_what_is_new)
    assert first == second


def _without_what_is_new(_data: pydicom.Dataset, element: pydicom.DataElement) -> None:
    is_minted = element.VR == "UI" and str(element.value).startswith(MINTED)
    if is_minted or element.VR in ("TM", "DT"):
        element.value = ""


def test_the_tutorial_shows_every_picture_and_no_other() -> None:
    text = (DOCS / "tutorial-her2.md").read_text()
    shown = {line.split("](")[1].rstrip(")") for line in text.splitlines() if "](tutorial" in line}
    there = {f"tutorial-her2/{path.name}" for path in (DOCS / "tutorial-her2").iterdir()}
    assert shown == there
