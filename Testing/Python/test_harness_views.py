"""Slice views of the harness, rendered by Slicer's own classes and checked by numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import Harness
from PIL import Image

SIZE = (240, 160)  # width, height


def _table(name: str = "Evidence") -> Any:
    """A colour table from transparent over red to yellow."""
    import slicer

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", name)
    node.SetTypeToUser()
    node.SetNumberOfColors(256)
    for index in range(256):
        part = index / 255
        node.SetColor(index, str(index), 1.0, part, 0.0, float(index >= 26))
    return node


def _volume(array: np.ndarray, name: str, low: float, high: float, table: Any = None) -> Any:
    """A volume with 2 mm voxels, its first voxel at (10, 20, 30) mm RAS."""
    import slicer

    matrix = np.diag([2.0, 2.0, 2.0, 1.0])
    matrix[:3, 3] = 10, 20, 30
    node = slicer.util.addVolumeFromArray(array, matrix, name)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(low, high)
    if table is not None:
        display.SetAndObserveColorNodeID(table.GetID())
    return node


@pytest.fixture
def view(slicer_app: Harness) -> Any:
    """The red view, with a grey volume of value 100 (display 0 to 200) behind and an evidence
    volume that is 0.5 in one block, 0 elsewhere, in front."""
    grey = np.full((10, 40, 50), 100, np.int16)
    evidence = np.zeros((10, 40, 50), np.float32)
    evidence[4:7, 10:20, 15:30] = 0.5
    evidence[5, 12, 17] = 0.75
    view = slicer_app.view("Red", SIZE)
    background = _volume(grey, "grey", 0, 200)
    foreground = _volume(evidence, "evidence", 0, 1, _table())
    view.composite.SetBackgroundVolumeID(background.GetID())
    view.composite.SetForegroundVolumeID(foreground.GetID())
    view.fit()
    view.jump_to(_ras(0, 0, 5))
    return view


def _ras(i: float, j: float, k: float) -> tuple[float, float, float]:
    return 10 + 2 * i, 20 + 2 * j, 30 + 2 * k


def test_the_background_is_drawn_with_its_window_and_level(view: Any) -> None:
    view.composite.SetForegroundOpacity(0)
    picture = view.image()
    assert picture.shape == (SIZE[1], SIZE[0], 3) and picture.dtype == np.uint8
    assert picture[view.pixel_of(_ras(25, 20, 5))].tolist() == [127, 127, 127]
    assert picture[0, 0].tolist() == [0, 0, 0]  # outside of the volume


def test_an_overlay_is_drawn_in_its_colour_and_blends_linearly_in_opacity(view: Any) -> None:
    inside, outside = view.pixel_of(_ras(22, 15, 5)), view.pixel_of(_ras(40, 30, 5))
    view.composite.SetForegroundOpacity(1.0)
    opaque = view.image()[inside].astype(float)
    assert opaque.tolist() == pytest.approx([255, 128, 0], abs=2)
    for opacity in (0.0, 0.25, 0.5, 0.75):
        view.composite.SetForegroundOpacity(opacity)
        picture = view.image()
        expected = (1 - opacity) * 127.5 + opacity * opaque
        assert picture[inside].tolist() == pytest.approx(expected.tolist(), abs=2), opacity
        assert picture[outside].tolist() == [127, 127, 127]  # the low end is transparent


def test_the_value_under_the_cursor_is_the_voxels_own(view: Any) -> None:
    assert view.probe(_ras(17, 12, 5)) == {"background": 100, "foreground": 0.75, "label": None}
    assert view.probe(_ras(18, 12, 5))["foreground"] == 0.5
    assert view.probe(_ras(14, 12, 5))["foreground"] == 0.0
    assert view.probe(_ras(-2, 12, 5))["background"] is None
    view.logic.SetSliceOffset(30.0)  # the cursor reads in the slice that is shown
    assert view.probe(_ras(17, 12, 5))["foreground"] == 0.0


def test_right_is_left_and_anterior_is_up_in_the_axial_view(view: Any) -> None:
    row, column = view.pixel_of(_ras(25, 20, 5))
    right_row, right_column = view.pixel_of(_ras(35, 20, 5))
    front_row, front_column = view.pixel_of(_ras(25, 30, 5))
    assert right_row == row and right_column < column
    assert front_column == column and front_row < row


def test_a_segmentation_and_a_control_point_are_drawn_where_they_are(view: Any) -> None:
    import slicer

    view.composite.SetForegroundOpacity(0)
    plain = view.image().astype(int)
    background = slicer.util.getNode("grey")
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(background)
    segment = segmentation.GetSegmentation().AddEmptySegment("", "tumour", (0.0, 1.0, 0.0))
    mask = np.zeros((10, 40, 50), np.uint8)
    mask[5, 10:20, 15:30] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, segment, background)
    changed = view.image().astype(int) - plain
    inside, outside = view.pixel_of(_ras(22, 15, 5)), view.pixel_of(_ras(40, 30, 5))
    assert changed[inside][1] > 20 > changed[inside][0] and not changed[outside].any()
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    points.CreateDefaultDisplayNodes()
    points.AddControlPoint(_ras(40, 30, 5), "")
    row, column = outside
    drawn = (view.image().astype(int) - plain)[row - 3 : row + 4, column - 3 : column + 4]
    assert np.abs(drawn).max() > 50


def test_a_picture_is_written_as_png(view: Any, tmp_path: Path) -> None:
    drawn = view.save(tmp_path / "view.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "view.png")), drawn)


def test_the_layout_manager_shows_the_views(slicer_app: Harness, view: Any) -> None:
    import slicer

    layout = slicer.app.layoutManager()
    assert layout.sliceViewNames() == ("Red", "Green", "Yellow")
    widget = layout.sliceWidget("Red")
    assert widget.mrmlSliceNode() is view.node and widget.sliceOrientation == "Axial"
    assert widget.mrmlSliceCompositeNode() is view.composite
    slicer.util.setSliceViewerLayers(foreground=None, fit=True)
    assert view.composite.GetForegroundVolumeID() is None
    ras = list(_ras(20, 20, 5))
    slice_view = widget.sliceView()
    there = slice_view.convertXYZToRAS(slice_view.convertRASToXYZ(ras))
    assert list(there) == pytest.approx(ras)


def test_views_survive_closing_the_scene(slicer_app: Harness, view: Any) -> None:
    slicer_app.close_scene()
    assert view.image().max() == 0
    volume = _volume(np.full((4, 30, 30), 50, np.int16), "new", 0, 100)
    view.composite.SetBackgroundVolumeID(volume.GetID())
    view.fit()
    assert view.image()[SIZE[1] // 2, SIZE[0] // 2].tolist() == [127, 127, 127]
