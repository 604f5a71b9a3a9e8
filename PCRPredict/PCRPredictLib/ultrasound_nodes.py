"""An ultrasound examination in the scene: its B-mode region as an image of one slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk

from BreastPredictLib.geometry import place
from BreastPredictLib.overlay import remember

if TYPE_CHECKING:
    from breastpredict.dicom import UltrasoundImage

REGION, FRAME = "BreastPredict.Region", "BreastPredict.Frame"
REGION_NUMBER = "BreastPredict.RegionNumber"
INSTANCES = "DICOM.instanceUIDs"


def add_image(image: UltrasoundImage, name: str) -> Any:
    """A new scalar volume node of the B-mode region, grey of 8 bits, as the backend reads it.

    A pixel (column, row) of the file's frame lies at LPS (column · width, row · height, 0), in mm
    where the file gives a spacing and in pixels where it gives none; which of them is in the node's
    attributes. Slicer's own plugin places a frame in the same way.

    Args:
        image: what is shown.
        name: of the node.
    """
    from breastpredict.imaging import Geometry

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, np.ascontiguousarray(image.pixels[np.newaxis]))
    rows, columns = image.pixels.shape
    width, height = image.spacing_mm or (1.0, 1.0)
    x0, y0, x1, y1 = image.region.box
    direction = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    origin = (x0 * width, y0 * height, 0.0)
    place(node, Geometry((columns, rows, 1), (width, height, 1.0), origin, direction))
    node.CreateDefaultDisplayNodes()
    if image.header is not None:
        node.SetAttribute(INSTANCES, str(image.header.get("SOPInstanceUID", "")))
    remember(
        node,
        {
            "Region": f"{x0},{y0},{x1},{y1}",
            "RegionNumber": str(image.region_number),
            "RegionBy": image.region.by,
            "Frame": str(image.frame),
            "FrameReason": image.frame_reason,
            "Spacing": image.spacing_text,
            "Laterality": image.laterality or "",
            "Warnings": "; ".join(image.warnings),
        },
    )
    return node


def source_pixel(node: Any, ras: Any) -> tuple[float, float]:
    """(column, row) in the file's frame of a point in RAS on an ultrasound image.

    Of a region that `add_image` has made, and of a whole frame that Slicer has loaded.
    """
    matrix = vtk.vtkMatrix4x4()
    node.GetRASToIJKMatrix(matrix)
    i, j, _k, _one = matrix.MultiplyPoint([*map(float, ras), 1.0])
    column, row = _corner(node)
    return i + column, j + row


def ras_of(node: Any, pixel: Any) -> list[float]:
    """The inverse of `source_pixel`."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    column, row = _corner(node)
    return list(matrix.MultiplyPoint([pixel[0] - column, pixel[1] - row, 0.0, 1.0]))[:3]


def _corner(node: Any) -> tuple[int, int]:
    """Of a region, its first column and row in the frame; (0, 0) of a whole frame."""
    region = node.GetAttribute(REGION)
    if not region:
        return 0, 0
    column, row = map(int, region.split(",")[:2])
    return column, row
