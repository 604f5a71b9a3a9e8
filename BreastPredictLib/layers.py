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


def _shown() -> Any:
    for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        return slicer.mrmlScene.GetNodeByID(node.GetBackgroundVolumeID() or "")
    return None
