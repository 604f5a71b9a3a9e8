"""What a saved scene shows when it is opened; needs no window."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

_ROOM = 1.1  # of the field of view, around the image


def show_when_opened(
    name: str,
    background: Any,
    foreground: Any,
    opacity: float,
    at: Sequence[float] | None = None,
    orientation: str = "",
) -> None:
    """Let a slice view show an image, and a map over it.

    Args:
        name: of the view: Red, Green or Yellow.
        background: the image.
        foreground: the map, or None.
        opacity: of the map.
        at: a point in RAS that the view goes through; None for the middle of the image.
        orientation: of the view, such as "Axial"; empty for the plane of the image next to its own.
    """
    node = _view("vtkMRMLSliceNode", name)
    composite = _view("vtkMRMLSliceCompositeNode", name)
    composite.SetBackgroundVolumeID(background.GetID())
    composite.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
    composite.SetForegroundOpacity(opacity if foreground is not None else 0.0)
    bounds = [0.0] * 6
    background.GetSliceBounds(bounds, None)
    middle = [(low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True)]
    if orientation:
        node.SetOrientation(orientation)
    else:
        node.RotateToVolumePlane(background)
    node.JumpSliceByCentering(*(middle if at is None else at))
    sides = zip(background.GetImageData().GetDimensions(), background.GetSpacing(), strict=True)
    side = _ROOM * max(count * step for count, step in sides)
    node.SetFieldOfView(side, side, node.GetFieldOfView()[2])


def _view(kind: str, name: str) -> Any:
    """The node of the view; made where there is no window that has one."""
    scene = slicer.mrmlScene
    node = scene.GetSingletonNode(name, kind)
    if node is None:
        node = scene.CreateNodeByClass(kind)  # with the orientations that the scene knows
        node.UnRegister(None)
        node.SetName(name)
        node.SetLayoutName(name)
        node.SetSingletonTag(name)
        node = scene.AddNode(node)
    return node
