"""A scripted module in the harness: loaded, used, saved with the scene, reloaded, unloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import Harness

TOY = Path(__file__).parent / "toy_module" / "ToyModule.py"


@pytest.fixture
def toy(slicer_app: Harness) -> Any:
    """The toy module, loaded but not shown."""
    return slicer_app.load(TOY)


@pytest.fixture
def panel(slicer_app: Harness, toy: Any) -> Any:
    """The toy module's Python widget, shown to the user."""
    return slicer_app.enter(toy)


def _volume(value: float = 10) -> Any:
    import slicer

    return slicer.util.addVolumeFromArray(np.full((2, 3, 4), value, np.float32))


def test_a_loaded_module_is_known_to_the_application(slicer_app: Harness, toy: Any) -> None:
    import slicer

    assert slicer.modules.toymodule is toy and toy.title == "Toy"
    assert toy.categories == ("Examples",)
    assert slicer.util.modulePath("ToyModule") == str(TOY)
    assert "ToyModule" in slicer.app.moduleManager().modulesNames()
    assert slicer.util.getModuleWidget("ToyModule") is slicer.modules.ToyModuleWidget
    assert slicer.util.getModuleLogic("ToyModule").moduleName == "ToyModule"


def test_setup_fills_the_panel_from_the_parameter_node(panel: Any) -> None:
    ui = panel.ui
    assert ui.opacitySlider.value == 0.5 and ui.opacitySlider.maximum == 1
    assert ui.slicesBox.value == 3 and ui.slicesBox.maximum == 20
    assert ui.titleEdit.text == "toy" and ui.folderEdit.currentPath == "somewhere"
    assert ui.shapeBox.currentText == "ROUND" and ui.methodBox.currentText == "fast"
    assert ui.outerBox.value == 2.0 and not ui.invertBox.checked


def test_what_the_user_changes_reaches_the_parameter_node(panel: Any) -> None:
    import ToyModule

    ui, parameters, volume = panel.ui, panel.parameters, _volume()
    ui.volumeSelector.setCurrentNode(volume)
    ui.opacitySlider.value = 0.25
    ui.slicesBox.value = 7
    ui.invertBox.click()
    ui.titleEdit.text = "other"
    ui.folderEdit.currentPath = "/elsewhere"
    ui.shapeBox.currentIndex = 1
    ui.methodBox.currentIndex = 1
    ui.windowRange.setValues(20, 150)
    ui.outerBox.value = 4.5
    assert parameters.volume is volume
    assert parameters.opacity == 0.25 and parameters.slices == 7 and parameters.invert is True
    assert parameters.title == "other" and parameters.folder == Path("/elsewhere")
    assert parameters.shape is ToyModule.Shape.SQUARE and parameters.method == "exact"
    assert (parameters.window.minimum, parameters.window.maximum) == (20, 150)
    assert parameters.margin.outer == 4.5 and parameters.margin.inner == 1.0


def test_what_code_changes_reaches_the_panel(panel: Any) -> None:
    import ToyModule

    ui, parameters, volume = panel.ui, panel.parameters, _volume()
    parameters.volume = volume
    parameters.opacity = 0.75
    parameters.slices = 5
    parameters.invert = True
    parameters.title = "new"
    parameters.folder = Path("/there")
    parameters.shape = ToyModule.Shape.SQUARE
    parameters.method = "exact"
    parameters.margin.outer = 8.0
    assert ui.volumeSelector.currentNode() is volume
    assert ui.opacitySlider.value == 0.75 and ui.slicesBox.value == 5 and ui.invertBox.checked
    assert ui.titleEdit.text == "new" and ui.folderEdit.currentPath == "/there"
    assert ui.shapeBox.currentText == "SQUARE" and ui.methodBox.currentText == "exact"
    assert ui.outerBox.value == 8.0


def test_a_value_outside_its_bounds_or_of_another_type_is_refused(panel: Any) -> None:
    parameters = panel.parameters
    for name, value, error in (
        ("opacity", 1.5, ValueError),
        ("method", "slow", ValueError),
        ("slices", 2.5, TypeError),
        ("title", None, ValueError),
        ("volume", panel.parameters.parameterNode, TypeError),
        ("points", [1.0, "a"], TypeError),
    ):
        before = parameters.getValue(name)
        with pytest.raises(error):
            parameters.setValue(name, value)
        assert parameters.getValue(name) == before
    with pytest.raises(ValueError, match="no parameter 'colour'"):
        parameters.getValue("colour")


def test_a_list_in_the_parameter_node_is_written_as_it_changes(panel: Any) -> None:
    import ToyModule

    points = panel.parameters.points
    points.append(1.5)
    points += [2.5, 3.5]
    del points[0]
    again = ToyModule.ToyParameters(panel.parameters.parameterNode)
    assert again.points == [2.5, 3.5]
    with pytest.raises(TypeError):
        points.append("a")
    assert points == [2.5, 3.5]


def test_an_optional_node_is_none_until_it_is_set(panel: Any) -> None:
    import slicer

    volume = _volume()
    assert panel.parameters.mask is None
    panel.parameters.mask = volume
    assert panel.parameters.mask is volume
    slicer.mrmlScene.RemoveNode(volume)
    assert panel.parameters.mask is None


def test_a_block_of_changes_is_announced_once(panel: Any) -> None:
    import slicer
    import vtk

    parameters, calls = panel.parameters, []
    tag = parameters.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: calls.append(1))
    with slicer.util.NodeModify(parameters):
        parameters.opacity = 0.1
        parameters.title = "changed"
    assert len(calls) == 1
    parameters.RemoveObserver(tag)
    parameters.opacity = 0.2
    assert len(calls) == 1


def test_after_disconnecting_neither_side_follows_the_other(panel: Any) -> None:
    parameters = panel.parameters
    parameters.disconnectGui(panel.tag)
    panel.ui.opacitySlider.value = 0.9
    assert parameters.opacity == 0.5
    parameters.title = "unseen"
    assert panel.ui.titleEdit.text == "toy"


@pytest.mark.parametrize("suffix", [".mrml", ".mrb"])
def test_values_survive_saving_and_loading_the_scene(
    slicer_app: Harness, panel: Any, tmp_path: Path, suffix: str
) -> None:
    import slicer
    import ToyModule

    panel.parameters.volume = volume = _volume(3)
    volume.SetName("kept")
    panel.parameters.opacity = 0.125
    panel.parameters.shape = ToyModule.Shape.SQUARE
    panel.parameters.points = [1.0, 2.0]
    if suffix == ".mrml":
        assert slicer.util.saveNode(volume, str(tmp_path / "kept.nrrd"), {})
    assert slicer.util.saveScene(str(tmp_path / f"scene{suffix}"))
    slicer_app.close_scene()
    assert panel.parameters.opacity == 0.5 and panel.parameters.volume is None
    slicer.util.loadScene(str(tmp_path / f"scene{suffix}"))
    loaded = ToyModule.ToyModuleLogic().getParameterNode()
    assert loaded.volume.GetName() == "kept"
    assert slicer.util.arrayFromVolume(loaded.volume).max() == 3
    assert loaded.opacity == 0.125 and loaded.points == [1.0, 2.0]
    assert loaded.shape is ToyModule.Shape.SQUARE
    assert loaded.parameterNode.GetParameter("shape") == "SQUARE"  # by name, not by value


def test_closing_the_scene_resets_the_panel_and_keeps_it_working(
    slicer_app: Harness, panel: Any
) -> None:
    panel.parameters.volume = _volume()
    panel.parameters.opacity = 0.9
    slicer_app.close_scene()
    assert panel.ui.volumeSelector.currentNode() is None
    assert panel.ui.opacitySlider.value == 0.5
    panel.ui.opacitySlider.value = 0.3
    assert panel.parameters.opacity == 0.3


def test_entering_leaving_reloading_and_unloading_call_the_module_in_slicers_order(
    slicer_app: Harness, toy: Any
) -> None:
    import slicer

    panel = slicer_app.enter(toy)
    other = slicer_app.load(TOY.with_name("OtherToyModule.py"))
    slicer_app.enter(other)
    assert panel.history == ["enter", "exit"] and panel.parameters is None
    slicer_app.enter(toy)
    again = slicer_app.reload(toy)
    assert again is not panel and again is slicer.modules.ToyModuleWidget
    assert panel.history == ["enter", "exit", "enter", "cleanup"]
    slicer_app.unload(toy)
    assert again.history == ["exit", "cleanup"]
    assert not hasattr(slicer.modules, "toymodule")


def test_a_module_is_selected_by_name_only_where_there_is_a_main_window(
    slicer_app: Harness, panel: Any
) -> None:
    import slicer

    with pytest.raises(RuntimeError, match="main window"):
        slicer.util.selectModule("Data")
    with slicer_app.main_window():
        assert slicer.util.selectedModule() == "ToyModule"
        slicer.util.selectModule("Data")  # another module, whose panel is not in the harness
        assert slicer.util.selectedModule() == "Data" and panel.history == ["enter", "exit"]
        slicer.util.selectModule("ToyModule")
        assert panel.history == ["enter", "exit", "enter"]
        with slicer_app.failures.expected("no module NoSuchModule"):
            slicer.util.selectModule("NoSuchModule")


def test_the_apply_button_computes_and_a_failure_is_shown_to_the_user(
    slicer_app: Harness, panel: Any
) -> None:
    with slicer_app.failures.expected("no volume is selected", "Failed to compute results"):
        panel.ui.applyButton.click()
    panel.ui.volumeSelector.setCurrentNode(_volume(10))
    panel.ui.applyButton.click()
    assert panel.ui.resultLabel.text == "5.0"


def test_a_widget_of_a_type_without_connector_is_refused(panel: Any) -> None:
    import ctk
    import qt
    import slicer

    for name, widget in (
        ("invert", ctk.ctkCollapsibleButton()),
        ("volume", slicer.qMRMLColorTableComboBox()),  # the type must match exactly
        ("title", qt.QSpinBox()),
    ):
        with pytest.raises(RuntimeError, match="no connector"):
            panel.parameters.connectParametersToGui({name: widget})


def test_the_modules_own_test_class_runs(slicer_app: Harness, toy: Any) -> None:
    import ToyModule

    slicer_app.run_module_test(toy)
    ToyModule.ToyModuleLogic.process = lambda self, volume, factor: 0.0
    with pytest.raises(AssertionError):
        slicer_app.run_module_test(toy)


def test_a_reset_leaves_nothing_of_a_module_behind(slicer_app: Harness) -> None:
    import sys

    import slicer

    panel = slicer_app.enter(slicer_app.load(TOY))
    panel.parameters.volume = _volume()
    slicer_app.reset()
    assert "ToyModule" not in sys.modules and str(TOY.parent) not in sys.path
    assert slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode") == []
    assert slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") == []


def test_the_panel_is_drawn_with_what_it_holds(
    slicer_app: Harness, toy: Any, tmp_path: Path
) -> None:
    panel = slicer_app.enter(toy)
    representation = toy.widgetRepresentation()
    before = slicer_app.grab(representation, tmp_path / "panel.png")
    assert (tmp_path / "panel.png").stat().st_size > 1000
    assert before.shape[1] == 480 and len(np.unique(before.reshape(-1, 3), axis=0)) > 20
    panel.parameters.opacity = 1.0
    after = slicer_app.grab(representation)
    rows = np.flatnonzero((before != after).any(axis=(1, 2)))
    slider = panel.ui.opacitySlider
    top = slider.mapTo(representation, slider.rect.topLeft()).y()
    assert rows.size and top <= rows.min() and rows.max() <= top + slider.height
    panel.ui.inputsButton.collapsed = True
    assert not panel.ui.opacitySlider.visible
    assert slicer_app.grab(representation).shape[0] < before.shape[0] / 2
