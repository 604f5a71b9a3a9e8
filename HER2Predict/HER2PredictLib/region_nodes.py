"""The slice and the square that the network sees, and the markup that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk

from BreastPredictLib.geometry import FLIP, flipped

from .parameters import LARGEST

if TYPE_CHECKING:
    from breastpredict.her2.roi_policy import RoiPolicy
    from breastpredict.imaging import BoxedMask, SquareROI


@dataclass(frozen=True)
class Region:
    """What the network will see.

    Attributes:
        roi: the square, as the backend crops it.
        area_mm2: of the lesion on the slice.
        volume_mm3: of the lesion.
        first, last: slices of the lesion, from 0.
    """

    roi: SquareROI
    area_mm2: float
    volume_mm3: float
    first: int
    last: int

    @property
    def center_ras(self) -> list[float]:
        """The square's centre."""
        index = np.array([*self.roi.center_ij, self.roi.slice_index], dtype=float)
        return flipped(self.roi.geometry.index_to_physical(index).tolist())


def region_of(
    mask: BoxedMask,
    policy: RoiPolicy,
    slice_index: int = LARGEST,
    laterality: str | None = None,
) -> Region:
    """The network's square for the largest lesion on its largest, or on the chosen, cross-section.

    Args:
        mask: the tumour.
        policy: what of the slice the networks were trained on, with the reader's margin.
        slice_index: from 0 along k, or `LARGEST`.
        laterality: of the acquisition.

    Raises:
        InputError: the lesion is not on the chosen slice.
    """
    from breastpredict.imaging import largest_lesion, largest_slice, section

    lesion = largest_lesion(mask)
    found = largest_slice(lesion) if slice_index == LARGEST else section(lesion, slice_index)
    roi = policy.region(lesion, found.index, laterality)
    slices = lesion.slices
    return Region(roi, found.area_mm2, lesion.volume_mm3, slices[0], slices[-1])


def show_region(node: Any, region: Region) -> Any:
    """Put the markup on the region; it is made where there is none.

    It is locked: margin and slice are the ways to change what the network sees, so that a
    prediction can be repeated from numbers.
    """
    if node is None:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Region of the network")
        node.CreateDefaultDisplayNodes()
        display = node.GetDisplayNode()
        display.SetFillVisibility(False)
        display.SetHandlesInteractive(False)
        display.SetPropertiesLabelVisibility(False)
        display.SetSelectedColor(1.0, 1.0, 1.0)
        node.SetLocked(True)
    geometry = region.roi.geometry
    axes = FLIP @ np.array(geometry.direction).reshape(3, 3)
    matrix = vtk.vtkMatrix4x4()
    for row in range(3):
        for column in range(3):
            matrix.SetElement(row, column, axes[row, column])
        matrix.SetElement(row, 3, region.center_ras[row])
    node.SetAndObserveObjectToNodeMatrix(matrix)
    node.SetSize(region.roi.side_mm, region.roi.side_mm, geometry.spacing[2])
    return node
