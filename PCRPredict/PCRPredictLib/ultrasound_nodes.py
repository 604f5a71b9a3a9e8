"""An ultrasound examination in the scene: its B-mode region as an image of one slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import vtk

from BreastPredictLib.geometry import add_volume
from BreastPredictLib.overlay import remember

if TYPE_CHECKING:
    from breastpredict.dicom import UltrasoundImage

REGION, FRAME = "BreastPredict.Region", "BreastPredict.Frame"
REGION_NUMBER = "BreastPredict.RegionNumber"
INSTANCES = "DICOM.instanceUIDs"


def add_image(image: UltrasoundImage, name: str) -> Any:
    """A new scalar volume node of the B-mode region, grey of 8 bits, as the backend reads it.

    It lies where `breastpredict.dicom.UltrasoundImage.geometry` says, in mm or in pixels; which of
    them is in the node's attributes. Slicer's own plugin places a frame in the same way.

    Args:
        image: what is shown.
        name: of the node.
    """
    node = add_volume(name, np.ascontiguousarray(image.pixels[np.newaxis]), image.geometry)
    uid = "" if image.header is None else str(image.header.get("SOPInstanceUID", ""))
    describe_region(node, image.facts, uid)
    return node


def describe_region(node: Any, facts: dict[str, Any], instance_uid: str) -> None:
    """Keep on a volume node which region of which file it shows.

    Args:
        node: the volume.
        facts: as the backend says of the image.
        instance_uid: of the file; empty where it is not DICOM.
    """
    if instance_uid:
        node.SetAttribute(INSTANCES, instance_uid)
    remember(
        node,
        {
            "Region": ",".join(map(str, facts["box"])),
            "RegionNumber": str(facts["region"]),
            "RegionBy": facts["region_by"],
            "Frame": str(facts["frame"]),
            "FrameReason": facts["frame_reason"],
            "Spacing": facts["spacing_text"],
            "Laterality": facts["laterality"],
            "Warnings": "; ".join(facts["warnings"]),
        },
    )


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
