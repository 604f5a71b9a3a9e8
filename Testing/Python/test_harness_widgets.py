"""The stand-ins that a panel is made of do what the real widgets do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import Harness

VOLUME = "vtkMRMLScalarVolumeNode"


def _volume(name: str = "volume") -> Any:
    import slicer

    return slicer.util.addVolumeFromArray(np.zeros((3, 4, 5), np.int16), name=name)


def _selector(**properties: Any) -> Any:
    import slicer

    box = slicer.qMRMLNodeComboBox()
    box.nodeTypes = [VOLUME]
    for name, value in properties.items():
        setattr(box, name, value)
    box.setMRMLScene(slicer.mrmlScene)
    return box


def test_a_node_selector_offers_nodes_of_its_types_and_chooses_the_first(
    slicer_app: Harness,
) -> None:
    import slicer

    first, second = _volume("a"), _volume("b")
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode")
    box = _selector()
    assert box.nodeCount() == 2 and box.currentNode() is first
    box.setCurrentNode(second)
    assert box.currentNodeID == second.GetID()
    box.setCurrentNode(slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLModelNode"))
    assert box.currentNode() is None


def test_a_selector_that_may_be_empty_stays_so_until_something_is_chosen(
    slicer_app: Harness,
) -> None:
    _volume()
    box = _selector(noneEnabled=True)
    assert box.currentNode() is None
    added = _volume("later")
    assert box.currentNode() is None
    box.setCurrentNode(added)
    assert box.currentNode() is added


def test_when_the_chosen_node_is_removed_another_follows_or_none(slicer_app: Harness) -> None:
    import slicer

    first, second = _volume("a"), _volume("b")
    box, may_be_empty = _selector(), _selector(noneEnabled=True)
    may_be_empty.setCurrentNode(first)
    slicer.mrmlScene.RemoveNode(first)
    assert box.currentNode() is second and may_be_empty.currentNode() is None
    slicer_app.close_scene()
    assert box.currentNode() is None


def test_attributes_filter_what_a_selector_offers(slicer_app: Harness) -> None:
    plain, marked = _volume("plain"), _volume("marked")
    marked.SetAttribute("Phase", "early")
    box = _selector()
    box.addAttribute(VOLUME, "Phase", "early")
    assert [box.nodeFromIndex(i) for i in range(box.nodeCount())] == [marked]
    box.removeAttribute(VOLUME, "Phase")
    assert box.nodeFromIndex(0) is plain


def test_a_selector_makes_a_node_with_its_base_name(slicer_app: Harness) -> None:
    box = _selector(baseName="Map")
    node = box.addNode()
    assert node.GetName() == "Map" and box.currentNode() is node


def test_several_nodes_can_be_checked(slicer_app: Harness) -> None:
    import slicer

    first, second = _volume("a"), _volume("b")
    box = slicer.qMRMLCheckableNodeComboBox()
    box.nodeTypes = [VOLUME]
    box.setMRMLScene(slicer.mrmlScene)
    assert box.noneChecked()
    box.check(second)
    assert box.checkedNodes() == (second,) and box.uncheckedNodes() == (first,)


def test_a_slider_keeps_to_its_limits_and_decimals(slicer_app: Harness) -> None:
    import ctk

    slider, seen = ctk.ctkSliderWidget(), []
    slider.connect("valueChanged(double)", seen.append)
    slider.value = 12.345
    slider.value = 500
    slider.maximum = 50
    slider.minimum = 60
    assert seen == [12.35, 100.0, 50.0, 60.0]
    assert (slider.minimum, slider.maximum) == (60.0, 60.0)


def test_a_range_keeps_its_values_in_order_within_its_bounds(slicer_app: Harness) -> None:
    import ctk

    widget, seen = ctk.ctkRangeWidget(), []
    widget.setRange(0, 10)
    widget.connect("valuesChanged(double,double)", lambda low, high: seen.append((low, high)))
    widget.setValues(8, 2)
    widget.minimumValue = 9
    widget.maximumValue = 20
    assert seen == [(2, 8), (9, 9), (9, 10)]


def test_the_inner_parts_of_a_slider_work_as_for_a_user(slicer_app: Harness) -> None:
    import ctk
    import qt

    slider = ctk.ctkSliderWidget()
    slider.findChild(qt.QDoubleSpinBox).value = 25
    assert slider.value == 25
    assert slider.findChild(qt.QSlider).value == 250
    slider.findChild(qt.QSlider).sliderMoved.emit(500)
    assert slider.value == 50


def test_a_path_is_typed_or_browsed(slicer_app: Harness, tmp_path: Path) -> None:
    import ctk
    import qt

    line, seen = ctk.ctkPathLineEdit(), []
    line.connect("currentPathChanged(QString)", seen.append)
    line.findChild(qt.QComboBox).setEditText("/typed")
    slicer_app.dialogs.answer("/found/file", str(tmp_path))
    line.browse()
    line.filters = ctk.ctkPathLineEdit.Dirs
    line.findChild(qt.QToolButton).click()
    assert seen == ["/typed", "/found/file", str(tmp_path)]
    assert [a.call for a in slicer_app.dialogs.asked] == [
        "QFileDialog.getOpenFileName()",
        "QFileDialog.getExistingDirectory()",
    ]
    button = ctk.ctkDirectoryButton()
    button.directory = str(tmp_path)
    assert button.directory == str(tmp_path)


def test_a_collapsed_button_hides_what_is_in_it_and_shows_it_as_it_was(
    slicer_app: Harness,
) -> None:
    import ctk
    import qt

    button, states = ctk.ctkCollapsibleButton(), []
    layout = qt.QVBoxLayout(button)
    shown, hidden = qt.QLabel("shown"), qt.QLabel("hidden")
    layout.addWidget(shown)
    layout.addWidget(hidden)
    hidden.hide()
    button.show()
    button.connect("contentsCollapsed(bool)", states.append)
    button.collapsed = True
    assert shown.isHidden()
    button.click()
    assert not shown.isHidden() and hidden.isHidden() and not button.collapsed
    assert states == [True, False]


def _segmentation(*names: str) -> Any:
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    for name in names:
        node.GetSegmentation().AddEmptySegment(name, name, (1.0, 0.0, 0.0))
    return node


def test_a_segment_selector_follows_its_segmentation(slicer_app: Harness) -> None:
    import slicer

    node = _segmentation("a", "b")
    selector, seen = slicer.qMRMLSegmentSelectorWidget(), []
    selector.setMRMLScene(slicer.mrmlScene)
    selector.connect("currentSegmentChanged(QString)", seen.append)
    selector.setCurrentNode(node)
    selector.setCurrentSegmentID("b")
    node.GetSegmentation().RemoveSegment("b")
    assert seen == ["a", "b", ""] and selector.segmentIDs() == ("a",)


@pytest.fixture
def editor(slicer_app: Harness) -> Any:
    """A Segment Editor with its node, a segmentation of two segments and a volume."""
    import slicer

    widget = slicer.qMRMLSegmentEditorWidget()
    widget.setMRMLScene(slicer.mrmlScene)
    widget.setMRMLSegmentEditorNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode"))
    return widget


def test_the_segment_editor_keeps_its_state_in_its_node(editor: Any) -> None:
    segmentation, volume, seen = _segmentation("a", "b"), _volume(), []
    editor.connect("currentSegmentIDChanged(QString)", seen.append)
    editor.connect("segmentationNodeChanged(vtkMRMLSegmentationNode*)", seen.append)
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(volume)
    editor.setCurrentSegmentID("b")
    node = editor.mrmlSegmentEditorNode()
    assert node.GetSegmentationNode() is segmentation and node.GetSourceVolumeNode() is volume
    assert node.GetSelectedSegmentID() == "b" and editor.currentSegmentID() == "b"
    assert seen == [segmentation, "a", "b"]
    node.SetSelectedSegmentID("a")  # from elsewhere
    assert editor.currentSegmentID() == "a" and seen[-1] == "a"
    assert segmentation.GetSegmentation().GetConversionParameter("Reference image geometry")


def test_segments_are_added_chosen_and_removed_in_the_editor(editor: Any) -> None:
    import qt
    import slicer

    segmentation = _segmentation("a")
    editor.setSegmentationNode(segmentation)
    editor.setSourceVolumeNode(_volume())
    buttons = {b.text: b for b in editor.findChildren(qt.QPushButton)}
    buttons["Add"].click()
    added = editor.currentSegmentID()
    assert segmentation.GetSegmentation().GetSegmentIDs() == ("a", added)
    editor.findChild(slicer.qMRMLSegmentsTableView).setSelectedSegmentIDs(["a"])
    assert editor.currentSegmentID() == "a"
    buttons["Remove"].click()
    assert segmentation.GetSegmentation().GetSegmentIDs() == (added,)
    assert editor.currentSegmentID() == added


def test_effects_are_activated_by_name(editor: Any) -> None:
    assert "Paint" in editor.availableEffectNames() and editor.activeEffect() is None
    editor.setActiveEffectByName("Paint")
    assert editor.activeEffect().name == "Paint"
    editor.activeEffect().setParameter("BrushRadius", 3)
    assert editor.effectByName("Paint").parameter("BrushRadius") == "3"
    with pytest.raises(ValueError, match="no effect named 'Pencil'"):
        editor.setActiveEffectByName("Pencil")
    editor.setActiveEffect(None)
    assert editor.activeEffect() is None


def test_the_editor_needs_its_node_first_and_follows_the_scene(
    slicer_app: Harness, editor: Any
) -> None:
    import slicer

    with pytest.raises(RuntimeError, match="no segment editor node"):
        slicer.qMRMLSegmentEditorWidget().setSegmentationNode(_segmentation())
    editor.setSegmentationNode(_segmentation("a"))
    slicer_app.close_scene()
    assert editor.segmentationNode() is None


def test_a_point_is_placed_by_clicking_while_placing(slicer_app: Harness) -> None:
    import slicer

    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    place, states = slicer.qSlicerMarkupsPlaceWidget(), []
    place.setMRMLScene(slicer.mrmlScene)
    place.connect("activeMarkupsPlaceModeChanged(bool)", states.append)
    place.setCurrentNode(points)
    slicer_app.click((9, 9, 9))
    assert points.GetNumberOfControlPoints() == 0
    place.placeButton().click()
    slicer_app.click((1, 2, 3))
    slicer_app.click((9, 9, 9))  # one click placed the point and ended the mode
    assert points.GetNumberOfControlPoints() == 1 and states == [True, False]
    assert points.GetNthControlPointPosition(0) == (1.0, 2.0, 3.0)
    place.placeModePersistency = True
    place.placeModeEnabled = True
    slicer_app.click((4, 5, 6))
    assert place.placeModeEnabled and points.GetNumberOfControlPoints() == 2
    place.deleteAllPoints()
    place.placeModeEnabled = False
    assert points.GetNumberOfControlPoints() == 0


def test_a_box_is_placed_by_two_clicks(slicer_app: Harness) -> None:
    import slicer

    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    place = slicer.qSlicerMarkupsPlaceWidget()
    place.setMRMLScene(slicer.mrmlScene)
    place.setCurrentNode(roi)
    place.placeModeEnabled = True
    slicer_app.click((0, 0, 0))
    slicer_app.click((10, 20, 30))
    assert not place.placeModeEnabled
    assert roi.GetCenter() == pytest.approx((5, 10, 15))
    assert roi.GetSize() == pytest.approx((10, 20, 30))


def test_an_item_is_chosen_in_the_subject_hierarchy(slicer_app: Harness) -> None:
    import slicer

    volume, seen = _volume("shown"), []
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    for kind in (slicer.qMRMLSubjectHierarchyComboBox, slicer.qMRMLSubjectHierarchyTreeView):
        chooser = kind()
        chooser.setMRMLScene(slicer.mrmlScene)
        chooser.connect("currentItemChanged(vtkIdType)", seen.append)
        chooser.setCurrentNode(volume)
        assert chooser.currentItem() == hierarchy.GetItemByDataNode(volume)
        chooser.clearSelection()
        assert chooser.currentItem() == 0 and seen[-1] == 0


def test_a_table_node_is_shown_row_by_row(slicer_app: Harness) -> None:
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    slicer.util.updateTableFromArray(node, [np.array([0.1, 0.7, 0.2])], ["probability"])
    view = slicer.qMRMLTableView()
    view.setMRMLScene(slicer.mrmlScene)
    view.setMRMLTableNode(node)
    model = view.model()
    assert model.rowCount() == 3 and model.index(1, 0).data() == "0.7"
    assert model.headerData(0, __import__("qt").Qt.Horizontal) == "probability"


def test_a_plot_draws_its_values(slicer_app: Harness) -> None:
    import slicer

    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode")
    slicer.util.updateTableFromArray(table, [np.array([0.1, 0.9])], ["p"])
    series = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode")
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetYColumnName("p")
    series.SetColor(0.0, 0.0, 1.0)
    chart = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode")
    chart.AddAndObservePlotSeriesNodeID(series.GetID())
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotViewNode")
    node.SetPlotChartNodeID(chart.GetID())
    widget = slicer.qMRMLPlotWidget()
    widget.setMRMLScene(slicer.mrmlScene)
    widget.setMRMLPlotViewNode(node)
    blue = (slicer_app.grab(widget.plotView()) == [0, 0, 255]).all(axis=2)
    low, high = blue[:, : blue.shape[1] // 2].sum(), blue[:, blue.shape[1] // 2 :].sum()
    assert low > 0 and high > 5 * low


def test_colour_tables_are_offered_with_the_built_in_ones(slicer_app: Harness) -> None:
    import slicer

    own = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", "own")
    box = slicer.qMRMLColorTableComboBox()
    box.setMRMLScene(slicer.mrmlScene)
    offered = [box.nodeFromIndex(i) for i in range(box.nodeCount())]
    assert own in offered and slicer.util.getNode("Grey") in offered
    box.setCurrentNode(own)
    assert box.currentNodeID == own.GetID()


PANEL = """<ui version="4.0"><widget class="qMRMLWidget" name="top"><layout class="QVBoxLayout">
<item><widget class="ctkCollapsibleButton" name="section"><layout class="QVBoxLayout">
{items}
</layout></widget></item></layout></widget>{connections}</ui>"""
IN_A_PANEL = """
ctkCollapsibleGroupBox ctkDICOMBrowser ctkPathLineEdit ctkSliderWidget qMRMLColorTableComboBox
qMRMLNodeComboBox qMRMLPlotWidget qMRMLSegmentEditorWidget qMRMLSegmentSelectorWidget
qMRMLSubjectHierarchyTreeView qMRMLTableView qSlicerMarkupsPlaceWidget QComboBox QDoubleSpinBox
QLabel QPlainTextEdit QProgressBar QPushButton QRadioButton QSpinBox QTableView QTableWidget
QTextBrowser QToolButton QTreeWidget
""".split()


def test_a_ui_file_may_hold_every_widget_a_panel_uses_and_gives_them_the_scene(
    slicer_app: Harness, tmp_path: Path
) -> None:
    import slicer

    items = "".join(f'<item><widget class="{kind}" name="a_{kind}"/></item>' for kind in IN_A_PANEL)
    with_scene = [kind for kind in IN_A_PANEL if kind.startswith(("qMRML", "qSlicer"))]
    connections = "".join(
        "<connection><sender>top</sender><signal>mrmlSceneChanged(vtkMRMLScene*)</signal>"
        f"<receiver>a_{kind}</receiver><slot>setMRMLScene(vtkMRMLScene*)</slot></connection>"
        for kind in with_scene
    )
    file = tmp_path / "panel.ui"
    file.write_text(
        PANEL.format(items=items, connections=f"<connections>{connections}</connections>")
    )
    panel = slicer.util.loadUI(str(file))
    ui = slicer.util.childWidgetVariables(panel)
    panel.setMRMLScene(slicer.mrmlScene)
    assert [getattr(ui, f"a_{kind}").className() for kind in IN_A_PANEL] == IN_A_PANEL
    assert ui.a_qMRMLNodeComboBox.mrmlScene() is slicer.mrmlScene
    assert ui.a_qMRMLSegmentEditorWidget.mrmlScene() is slicer.mrmlScene
    picture = slicer_app.grab(panel)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
    ui.section.collapsed = True
    assert slicer_app.grab(panel).shape[0] < picture.shape[0] / 4


def test_a_table_of_values_is_filled_edited_and_selected(slicer_app: Harness) -> None:
    import qt

    table, changed, selected = qt.QTableWidget(), [], []
    table.columnCount = 2
    table.rowCount = 2
    table.setHorizontalHeaderLabels(["Phase", "Role"])
    table.connect("itemChanged(QTableWidgetItem*)", lambda item: changed.append(item.text()))
    table.connect("itemSelectionChanged()", lambda: selected.append(table.currentRow()))
    table.setItem(0, 0, qt.QTableWidgetItem("1"))
    role = qt.QComboBox()
    role.addItems(["pre", "post"])
    table.setCellWidget(0, 1, role)
    item = table.item(0, 0)
    item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
    item.setData(qt.Qt.UserRole, "series")
    item.setToolTip("chosen")
    table.cellWidget(0, 1).setCurrentIndex(1)
    table.selectRow(0)
    assert changed[0] == "1" and selected == [0]
    assert item.data(qt.Qt.UserRole) == "series" and role.currentText == "post"
    assert table.rowCount == 2 and table.columnCount == 2


def test_a_widget_that_is_gone_does_not_break_the_node_it_has_followed(
    slicer_app: Harness,
) -> None:
    """Not even where nothing but its observer knows the node from Python."""
    import gc

    import slicer
    import vtk
    from harness.behaviours.registry import watch

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Followed")
    selector = slicer.qMRMLNodeComboBox()
    watch(selector, node, vtk.vtkCommand.ModifiedEvent, lambda _widget, _data, _kept=node: None)
    selector.deleteLater()
    del selector, node
    slicer_app.process_events()
    gc.collect()
    slicer.mrmlScene.GetFirstNodeByName("Followed").Modified()
