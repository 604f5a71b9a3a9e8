"""What the network sees of an image, as a markup that the reader moves."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from .ultrasound_nodes import ras_of, source_pixel

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 of the outer edges, in pixels of the file."""

SHOWN = "BreastPredict.Shown"
"""Attribute of a markup: where it was last shown, so that what a reader drags is told apart."""
_TOLERANCE = 0.02  # pixels


def show_box(node: Any, image: Any, box: Box, name: str, colour: Any, view: str) -> Any:
    """Put a markup on a box of an image; it is made where there is none.

    Args:
        node: to use, or None.
        image: the volume that it lies on, see `ultrasound_nodes`.
        box: where, in pixels of the file.
        name: of a new node.
        colour: of a new node.
        view: name of the only slice view that shows it: both times lie at one place.
    """
    if node is None:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", name)
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetFillVisibility(False)
        display.SetPropertiesLabelVisibility(False)
        display.SetRotationHandleVisibility(False)
        display.SetColor(*colour)
        display.SetSelectedColor(*colour)
        display.AddViewNodeID(f"vtkMRMLSliceNode{view}")
    first, last = ras_of(image, box[:2]), ras_of(image, box[2:])
    node.SetCenter(*((one + other) / 2 for one, other in zip(first, last, strict=True)))
    across, down = (abs(last[axis] - first[axis]) for axis in (0, 1))
    node.SetSize(across, down, image.GetSpacing()[2])
    node.SetAttribute(SHOWN, ",".join(f"{value:.4f}" for value in box))
    return node


def point_for(name: str, view: str) -> Any:
    """A new node that takes one click of the reader in one slice view, and is in no list or file.

    Args:
        name: of the node.
        view: name of the slice view.
    """
    node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLMarkupsFiducialNode")
    node.UnRegister(None)
    node.SetName(name)
    node.SetHideFromEditors(True)
    node.SetSaveWithScene(False)
    node.SetMaximumNumberOfControlPoints(1)
    node = slicer.mrmlScene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetSaveWithScene(False)
    display.SetPointLabelsVisibility(False)
    display.AddViewNodeID(f"vtkMRMLSliceNode{view}")
    return node


def taken_point(node: Any) -> list[float] | None:
    """Where the reader has clicked, in RAS; the click is then used up. None where nobody did."""
    if node is None or node.GetNumberOfDefinedControlPoints() == 0:
        return None
    place = [0.0] * 3
    node.GetNthControlPointPositionWorld(node.GetNumberOfControlPoints() - 1, place)
    node.RemoveAllControlPoints()
    return place


def box_of(node: Any, image: Any) -> Box:
    """Where a markup lies on an image, in pixels of the file."""
    centre = [0.0] * 3
    node.GetCenterWorld(centre)
    size = node.GetSize()
    width, height, _ = image.GetSpacing()
    x, y = source_pixel(image, centre)
    return (
        x - size[0] / width / 2,
        y - size[1] / height / 2,
        x + size[0] / width / 2,
        y + size[1] / height / 2,
    )


def edited(node: Any, image: Any) -> bool:
    """Whether the reader has moved a markup since it was shown."""
    shown = node.GetAttribute(SHOWN)
    if not shown:
        return True
    before = [float(value) for value in shown.split(",")]
    return any(
        abs(now - then) > _TOLERANCE for now, then in zip(box_of(node, image), before, strict=True)
    )


def square_text(node: Any, image: Any) -> tuple[str, float]:
    """The square that a reader has made of a markup, as text, and its side in mm.

    In mm (pixels where there is no spacing) it is a square; of two sides the one that was changed
    is meant.
    """
    shown = [float(value) for value in (node.GetAttribute(SHOWN) or "0,0,0,0").split(",")]
    x0, y0, x1, y1 = box_of(node, image)
    width, height, _ = image.GetSpacing()
    sides = ((x1 - x0) * width, (y1 - y0) * height)
    before = ((shown[2] - shown[0]) * width, (shown[3] - shown[1]) * height)
    side = max(zip(sides, before, strict=True), key=lambda one: abs(one[0] - one[1]))[0]
    return point_text((x0 + x1) / 2, (y0 + y1) / 2, side / width), side


def point_text(x: float, y: float, side: float) -> str:
    """A square as a cohort table has it; a tenth of a pixel is more than a hand can do."""
    return f"point:{x:.1f},{y:.1f},{side:.1f}"


def drawn_of(text: str) -> tuple[float, float, float] | None:
    """x, y and side of the text of a drawn square; None of any other."""
    if not text.startswith("point:"):
        return None
    try:
        x, y, side = (float(part) for part in text.removeprefix("point:").split(","))
    except ValueError:
        return None
    return x, y, side


def default_square(image: Any, centre: tuple[float, float] | None = None) -> str:
    """A square of a third of an image's shorter side, to be moved.

    Args:
        image: the volume.
        centre: in pixels of the file; None for the middle of the image.
    """
    columns, rows, _ = image.GetImageData().GetDimensions()
    width, height, _ = image.GetSpacing()
    side = min(columns * width, rows * height) / 3
    if centre is not None:
        return point_text(*centre, side / width)
    ijk = ((columns - 1) / 2, (rows - 1) / 2)
    middle = [0.0, 0.0, 0.0, 0.0]
    matrix = vtk.vtkMatrix4x4()
    image.GetIJKToRASMatrix(matrix)
    matrix.MultiplyPoint([*ijk, 0.0, 1.0], middle)
    x, y = source_pixel(image, middle[:3])
    return point_text(x, y, side / width)
