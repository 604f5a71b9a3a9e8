"""What the slice views show."""

from __future__ import annotations

from typing import Any

import slicer


def show_layers(background: Any, foreground: Any, opacity: float) -> bool:
    """An image in all slice views, a map over it; the views turn to an image that is new.

    Returns:
        whether the image is another than before.
    """
    if background is None or slicer.app.layoutManager() is None:
        return False
    is_new = _shown() is not background
    slicer.util.setSliceViewerLayers(
        background=background,
        foreground=foreground,
        foregroundOpacity=opacity if foreground is not None else 0.0,
        fit=is_new,
        rotateToVolumePlane=is_new,
    )
    return is_new


def show_in_view(name: str, background: Any, foreground: Any, opacity: float) -> None:
    """An image of one slice in one slice view, a map over it; a new image is shown whole.

    Args:
        name: of the view.
        background: the image; None for nothing.
        foreground: the map, or None.
        opacity: of the map.
    """
    manager = slicer.app.layoutManager()
    widget = manager.sliceWidget(name) if manager is not None else None
    if widget is None:  # the layout has no such view
        return
    logic = widget.sliceLogic()
    composite, node = logic.GetSliceCompositeNode(), logic.GetSliceNode()
    is_new = composite.GetBackgroundVolumeID() != (background.GetID() if background else None)
    composite.SetLinkedControl(False)
    composite.SetBackgroundVolumeID(background.GetID() if background else None)
    composite.SetForegroundVolumeID(foreground.GetID() if foreground else None)
    composite.SetForegroundOpacity(opacity if foreground is not None else 0.0)
    if background is not None and is_new:
        node.SetOrientation("Axial")
        logic.FitSliceToBackground()
        node.SetSliceOffset(background.GetOrigin()[2])


def side_by_side(number: int, views: dict[str, str]) -> None:
    """Turn to a layout of slice views beside each other.

    Args:
        number: of the layout, not one of Slicer's own.
        views: name of a slice view → what stands in its corner; from left to right.
    """
    manager = slicer.app.layoutManager()
    if manager is None:
        return
    layout = manager.layoutLogic().GetLayoutNode()
    if not layout.IsLayoutDescription(number):
        items = "".join(
            f'<item><view class="vtkMRMLSliceNode" singletontag="{name}">'
            '<property name="orientation" action="default">Axial</property>'
            f'<property name="viewlabel" action="default">{label}</property></view></item>'
            for name, label in views.items()
        )
        xml = f'<layout type="horizontal" split="true">{items}</layout>'
        layout.AddLayoutDescription(number, xml)
    manager.setLayout(number)


def _shown() -> Any:
    for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        return slicer.mrmlScene.GetNodeByID(node.GetBackgroundVolumeID() or "")
    return None
