"""The tumour as a segment, and as the mask that the backend takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer

from BreastPredictLib.geometry import flipped, geometry_of
from BreastPredictLib.hierarchy import put_under_study

if TYPE_CHECKING:
    from breastpredict.imaging import BoxedMask

SEGMENT_ID = "Tumour"
_TERMS = Path(__file__).resolve().parents[1] / "Resources" / "Terminology"
_COLOUR = (0.95, 0.35, 0.2)
_SIDES = {"R": "SCT^24028007^Right", "L": "SCT^7771000^Left"}
_CONTEXT, _ANATOMY = "BreastPredict", "BreastPredict breast"
# As the backend's DICOM SEG has it (breastpredict.dicom.codes).
_TERMINOLOGY = (
    f"{_CONTEXT}~SCT^49755003^Morphologically Abnormal Structure~SCT^108369006^Neoplasm~^^"
    f"~{_ANATOMY}~SCT^76752008^Breast~{{side}}"
)


def load_terminology() -> None:
    """Make Slicer's terminology selector know the tumour's codes, once a session."""
    if not hasattr(slicer.modules, "terminologies"):
        return  # slicer-core without the application
    logic = slicer.modules.terminologies.logic()
    if not logic.IsTerminologyContextLoaded(_CONTEXT):
        logic.LoadTerminologyFromFile(str(_TERMS / "BreastPredict.term.json"))
        logic.LoadRegionContextFromFile(str(_TERMS / "BreastPredict.anatomy.json"))


def tumour_segmentation(
    segmentation: Any, volume: Any, opened: dict[str, Any] | None, laterality: str | None
) -> tuple[Any, str]:
    """The segmentation node and the tumour's segment; made where there is none.

    Args:
        segmentation: to use, or None.
        volume: the phase that it is drawn on.
        opened: the open study, under which a new node is put; None for no place.
        laterality: "R", "L" or None.
    """
    load_terminology()
    if segmentation is None:
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Tumour")
        segmentation.CreateDefaultDisplayNodes()
        if opened is not None:
            put_under_study(segmentation, opened)
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segments = segmentation.GetSegmentation()
    if segments.GetNumberOfSegments():
        return segmentation, segments.GetNthSegmentID(0)
    segment_id = segments.AddEmptySegment(SEGMENT_ID, "Tumour", _COLOUR)
    segment = segments.GetSegment(segment_id)
    segment.SetTerminology(_TERMINOLOGY.format(side=_SIDES.get(laterality or "", "^^")))
    return segmentation, segment_id


def seed_of(points: Any) -> list[float]:
    """The last point of a fiducial list, LPS.

    Raises:
        ValueError: there is none.
    """
    if points is None or points.GetNumberOfDefinedControlPoints() == 0:
        raise ValueError("Place a point in the tumour first.")
    place = [0.0, 0.0, 0.0]
    points.GetNthControlPointPositionWorld(points.GetNumberOfControlPoints() - 1, place)
    return flipped(place)


def corners_of(box: Any) -> list[list[float]]:
    """Two opposite corners of a markup's bounds, LPS.

    Raises:
        ValueError: there is none.
    """
    if box is None or box.GetNumberOfDefinedControlPoints() == 0:
        raise ValueError("Draw a box around the tumour first.")
    bounds = [0.0] * 6
    box.GetRASBounds(bounds)
    return [flipped(bounds[0::2]), flipped(bounds[1::2])]


def set_mask(segmentation: Any, segment_id: str, volume: Any, file: str) -> None:
    """Make the segment what a mask file on the volume's grid holds."""
    import SimpleITK as sitk

    array = sitk.GetArrayFromImage(sitk.ReadImage(file)).astype(np.uint8)
    slicer.util.updateSegmentBinaryLabelmapFromArray(array, segmentation, segment_id, volume)


def mask_of(segmentation: Any, segment_id: str, volume: Any) -> BoxedMask | None:
    """The segment on the volume's grid; None where there is nothing in it."""
    from breastpredict.imaging import BoxedMask

    if segmentation is None or volume is None:
        return None
    segments = segmentation.GetSegmentation()
    segment_id = chosen_segment(segmentation, segment_id)
    if not segment_id or segments.GetSegment(segment_id) is None:
        return None
    labelmap = slicer.vtkOrientedImageData()
    if not segmentation.GetBinaryLabelmapRepresentation(segment_id, labelmap):
        return None
    extent = labelmap.GetExtent()
    if extent[0] > extent[1]:
        return None
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, volume)
    mask = BoxedMask.of_array(array, geometry_of(volume))
    return None if mask.empty else mask


def chosen_segment(segmentation: Any, segment_id: str) -> str:
    """The segment asked for if it is there, else the first; empty where there is none."""
    segments = segmentation.GetSegmentation()
    if segment_id and segments.GetSegment(segment_id) is not None:
        return segment_id
    return segments.GetNthSegmentID(0) if segments.GetNumberOfSegments() else ""


def write_mask(mask: BoxedMask, file: Path) -> Path:
    """Write a mask for the backend."""
    import SimpleITK as sitk

    sitk.WriteImage(mask.to_image(), str(file), True)
    return file
