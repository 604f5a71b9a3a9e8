"""A prediction that is stopped, each on a child process of its own, which dies."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from harness import Harness
from her2_panel import BUTTONS, Her2Panel, SmallCase, all_dead


@pytest.fixture
def own(slicer_app: Harness, small_case: SmallCase, monkeypatch: pytest.MonkeyPatch) -> Her2Panel:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    panel = Her2Panel(slicer_app)
    panel.prepare(small_case)
    return panel


def started(her2: Her2Panel) -> None:
    """Apply, until the child has said something."""
    her2.ui.applyButton.click()
    her2.app.wait_until(lambda: bool(her2.case.tasks.current.heard), 60)


def test_a_cancelled_and_a_killed_prediction_leave_the_scene_as_it_was(own: Her2Panel) -> None:
    before, parameters = own.nodes(), own.parameters.parameterNode.GetParameterNames()
    values = {n: own.parameters.parameterNode.GetParameter(n) for n in parameters}

    def assert_as_before() -> None:
        assert own.nodes() == before
        now = own.parameters.parameterNode
        assert {n: now.GetParameter(n) for n in parameters} == values
        assert own.parameters.map is None and own.case.result is None
        assert own.ui.applyButton.text == "Apply" and "predict" in own.enabled()

    started(own)
    family = own.family()
    own.ui.applyButton.click()
    assert all_dead(family)
    assert own.ui.problemLabel.text == "Cancelled."
    assert_as_before()

    started(own)
    family = own.family()
    os.kill(family[0].pid, signal.SIGKILL)
    own.wait()
    assert all_dead(family)
    assert "ended unexpectedly" in own.ui.problemLabel.text
    assert_as_before()

    own.press("predict")  # the next one succeeds
    assert own.parameters.map is not None


@pytest.mark.parametrize("how", ["unload", "reload"])
def test_closing_or_reloading_the_module_leaves_no_process_and_no_images(
    own: Her2Panel, how: str
) -> None:
    own.ui.applyButton.click()
    family, folder = own.family(), own.case.tasks.folder
    assert folder.stat().st_mode & 0o077 == 0 and any(folder.rglob("*.nrrd"))
    if how == "unload":
        own.app.unload(own.module)
    else:
        editor = own.ui.segmentEditor
        own.reload()
        assert editor.mrmlSegmentEditorNode() is None  # or the scene would go on calling it
        assert own.case.tasks.folder != folder and own.ui.applyButton.text == "Apply"
        own.press("draw")  # the editor works without another enter
    assert all_dead(family) and not folder.exists()
    own.app.process_events()  # nothing is left that would wake up


def test_what_the_scene_no_longer_takes_is_told(own: Her2Panel) -> None:
    import slicer

    started(own)
    slicer.mrmlScene.RemoveNode(own.parameters.early)
    own.wait()
    assert own.ui.problemLabel.text and own.parameters.map is None
    assert own.why_not("predict") == "Load the volumes of phase 2 first."


def test_every_button_that_can_be_pressed_does_something(own: Her2Panel, tmp_path: Path) -> None:
    import slicer

    p = own.parameters
    centre = own.case.region.center_ras
    p.point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    p.point.AddControlPointWorld(centre)
    p.box = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    p.box.SetCenter(centre)
    p.box.SetSize(14.0, 18.0, 10.0)
    p.cohort, p.trainingRun = tmp_path / "COHORT.csv", tmp_path / "run"
    own.panel.refresh()
    before = own.nodes()
    tasks = {
        "open": "reading the study",
        "load": "loading the volumes",
        "point": "delineating",
        "box": "delineating",
        "import": "importing the mask",
        "predict": "predicting",
        "train": "training",
    }
    assert own.enabled() == {*tasks, "draw"}
    for button, task in tasks.items():
        getattr(own.ui, BUTTONS[button]).click()
        assert own.case.tasks.current.name == task, own.panel.problem
        assert own.ui.taskFrame.visible
        own.ui.cancelButton.click()
        assert own.ui.problemLabel.text == "Cancelled." and own.nodes() == before
    own.press("draw")
    assert own.ui.segmentEditor.activeEffect().name == "Paint"
    for button in ("point", "box"):
        own.press(button)
        assert p.outlinedBy == button and abs(own.case.region.center_ras[2] - centre[2]) < 6.0


def test_closing_the_scene_kills_it_and_leaves_an_empty_panel(
    own: Her2Panel, small_case: SmallCase
) -> None:
    with_singletons = own.nodes()
    family = own.family()
    own.ui.applyButton.click()
    own.app.close_scene()
    assert all_dead(family) and own.case.tasks.current is None
    assert own.enabled() == set()
    assert own.why_not("open") == "Choose a study."
    assert own.ui.patientLabel.text == "No patient: no study is open"
    assert own.case.region is None and len(own.nodes()) < len(with_singletons)
    own.read(small_case.study)  # and it can be used again
