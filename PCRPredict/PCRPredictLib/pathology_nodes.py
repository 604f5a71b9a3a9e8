"""The biopsy in the scene: the whole slide, small, and the rectangle that the network sees."""

from __future__ import annotations

from typing import Any

import slicer

from BreastPredictLib.geometry import flipped, place
from BreastPredictLib.overlay import remember

SIZE, MPP = "BreastPredict.Size", "BreastPredict.MicronsPerPixel"


def add_overview(shown: dict[str, Any]) -> Any:
    """A new RGB volume of the overview that the backend has written.

    A pixel (column, row) of the largest image lies at LPS (column · mpp, row · mpp, 0) in mm, as in
    the maps that the backend writes; without a scale a pixel counts as 1 mm.
    """
    import SimpleITK as sitk

    from breastpredict.imaging import Geometry

    image = sitk.ReadImage(shown["file"])
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Biopsy (overview)")
    slicer.util.updateVolumeFromArray(node, sitk.GetArrayFromImage(image))
    place(node, Geometry.from_image(image))
    node.CreateDefaultDisplayNodes()
    mpp = shown["mpp"] or [1000.0, 1000.0]
    remember(
        node,
        {
            "Size": ",".join(map(str, shown["size"])),
            "MicronsPerPixel": ",".join(map(repr, mpp)),
            "Kind": shown["kind"],
            "Warnings": "; ".join(shown["warnings"]),
        },
    )
    return node


def rectangle_of(text: str) -> tuple[int, int, int, int] | None:
    """x, y, width, height; None where nothing, or nothing that can be understood, is typed."""
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        return None
    return x, y, width, height


def problem_of(text: str, overview: Any) -> str:
    """Why a region cannot be used, empty if it can."""
    from breastpredict.errors import InputError
    from breastpredict.pathology import SlideRegion

    if not text.strip():
        return ""
    found = rectangle_of(text)
    if found is None:
        return "The region of the biopsy is x,y,width,height in whole pixels."
    try:
        SlideRegion(*found).check_on(size_of(overview))
    except InputError as error:
        return str(error)
    return ""


def size_of(overview: Any) -> tuple[int, int]:
    """(columns, rows) of the largest image."""
    columns, rows = map(int, overview.GetAttribute(SIZE).split(","))
    return columns, rows


def middle_rectangle(overview: Any) -> str:
    """A square of half of the shorter side in the middle: to be moved."""
    columns, rows = size_of(overview)
    side = max(1, min(columns, rows) // 2)
    return f"{(columns - side) // 2},{(rows - side) // 2},{side},{side}"


def show_rectangle(node: Any, overview: Any, region: tuple[int, int, int, int], view: str) -> Any:
    """Put the markup on a region; it is made where there is none. Shown in one slice view only."""
    if node is None:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Region of the biopsy")
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetFillVisibility(False)
        display.SetPropertiesLabelVisibility(False)
        display.SetRotationHandleVisibility(False)
        for set_colour in (display.SetColor, display.SetSelectedColor):
            set_colour(0.1, 0.35, 0.9)
        display.AddViewNodeID(f"vtkMRMLSliceNode{view}")
    x, y, width, height = region
    across, down = _steps(overview)
    centre = ((x + width / 2 - 0.5) * across, (y + height / 2 - 0.5) * down, 0.0)
    node.SetCenter(*flipped(centre))
    node.SetSize(width * across, height * down, 1.0)
    return node


def text_of_rectangle(node: Any, overview: Any) -> str:
    """The region under a markup, in whole pixels, cut to the slide."""
    centre = [0.0] * 3
    node.GetCenterWorld(centre)
    size = node.GetSize()
    x, y, _ = flipped(centre)
    out = []
    for middle, side, step, whole in zip(
        (x, y), size[:2], _steps(overview), size_of(overview), strict=True
    ):
        first = max(0, round(middle / step - side / step / 2 + 0.5))
        last = min(whole, round(middle / step + side / step / 2 + 0.5))
        out.append((first, max(1, last - first)))
    (left, width), (top, height) = out
    return f"{left},{top},{width},{height}"


def corner_ras(overview: Any, pixel: tuple[float, float]) -> list[float]:
    """A point of the largest image in RAS."""
    across, down = _steps(overview)
    return flipped((pixel[0] * across, pixel[1] * down, 0.0))


def _steps(overview: Any) -> tuple[float, float]:
    """mm from pixel to pixel of the largest image."""
    across, down = (float(one) / 1000.0 for one in overview.GetAttribute(MPP).split(","))
    return across, down
