"""The largest lesion of a mask and its largest cross-section in the acquisition plane."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from breastpredict.errors import GateRefusal, InputError
from breastpredict.imaging.geometry import Geometry

FRAGMENT_GAP_MM = 2.5
"""Pieces of a mask this near to the largest one (voxel centres) belong to the same lesion.

Masks made by a threshold, such as I-SPY2's, leave crumbs of a lesion a voxel or two off its main
body; foci that are lesions of their own lie further apart.
"""


class LargestSlice(NamedTuple):
    """A slice (0-based, along k) and the lesion's area on it in mm²."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    area_mm2: float


def largest_lesion(mask: sitk.Image) -> sitk.Image:
    """The largest lesion of a mask.

    Voxels that are not zero are lesion. The lesion is the 26-connected component of the largest
    volume, with the fragments that lie within `FRAGMENT_GAP_MM` of it. All voxels have one volume,
    so the largest component in mm³ is the one of most voxels; of equal ones the one whose first
    voxel comes first in the order of slices, then rows, then columns is taken.

    Returns:
        uint8 image of 0 and 1 on the mask's grid.

    Raises:
        GateRefusal: "no-tumour", the mask is empty.
        InputError: the mask is not a 3-D image of finite numbers.
    """
    geometry = Geometry.from_image(mask)
    array = sitk.GetArrayViewFromImage(mask)
    lesion, box = _find_lesion(array, geometry.spacing)
    whole = np.zeros(array.shape, np.uint8)
    whole[box] = lesion
    return geometry.to_image(whole)


def largest_slice(
    mask: sitk.Image | NDArray[Any], spacing: tuple[float, float, float] | None = None
) -> LargestSlice:
    """The largest cross-section of the largest lesion (see `largest_lesion`) among slices k.

    k is the acquisition's own slice axis, so for a mask on the acquired grid this is the largest
    section in the acquisition plane. Of slices with equal area the one nearest to the lesion's
    centroid is taken, of two equally near ones the lower.

    Args:
        mask: image, or array ``[k, j, i]``; voxels that are not zero are lesion.
        spacing: (i, j, k) in mm, for an array only; 1 mm when left out.

    Raises:
        GateRefusal: "no-tumour", the mask is empty.
        InputError: the mask is not three-dimensional and finite.
    """
    if isinstance(mask, sitk.Image):
        if spacing is not None:
            raise ValueError("an image has its own spacing")
        spacing = Geometry.from_image(mask).spacing
        array = sitk.GetArrayViewFromImage(mask)
    else:
        array = np.asarray(mask)
        spacing = spacing or (1.0, 1.0, 1.0)
    lesion, box = _find_lesion(array, spacing)
    areas = np.count_nonzero(lesion, axis=(1, 2))
    centroid = float(np.average(np.arange(len(areas)), weights=areas))
    tied = np.flatnonzero(areas == areas.max())
    # Rounded, so that slices equally far from the centroid stay equal in floating point.
    best = int(tied[np.argmin(np.round(np.abs(tied - centroid), 9))])
    area = float(areas[best]) * float(spacing[0]) * float(spacing[1])
    return LargestSlice(index=box[0].start + best, area_mm2=area)


def _find_lesion(
    array: NDArray[Any], spacing: tuple[float, float, float]
) -> tuple[NDArray[np.bool_], tuple[slice, ...]]:
    """The largest lesion and the box of ``array`` it is cut from.

    Works on bounding boxes: a lesion is a small part of a volume.
    """
    if array.ndim != 3:
        raise InputError(f"A tumour mask has three dimensions, this one has {array.ndim}")
    if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        raise InputError("The tumour mask holds values that are not finite numbers")
    box = _bounding_box(array)
    if box is None:
        raise GateRefusal("no-tumour", "The tumour mask is empty.")
    inside: NDArray[np.bool_] = array[box] != 0
    labels, count = ndimage.label(inside, structure=np.ones((3, 3, 3), bool))
    if count == 1:
        return inside, box
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    of_largest_size = np.isin(labels, np.flatnonzero(sizes == sizes.max()))
    body = labels.ravel()[np.argmax(of_largest_size)]
    return np.isin(labels, [body, *_fragments(labels, body, spacing[::-1])]), box


def _fragments(labels: NDArray[Any], body: int, spacing_kji: tuple[float, ...]) -> NDArray[Any]:
    """The labels of the components within `FRAGMENT_GAP_MM` of the component ``body``."""
    around = _bounding_box(labels == body)
    assert around is not None
    near = tuple(
        slice(max(0, part.start - reach), part.stop + reach)
        for part, reach in zip(
            around, (int(FRAGMENT_GAP_MM / step) + 1 for step in spacing_kji), strict=True
        )
    )
    nearby = labels[near]
    distance = ndimage.distance_transform_edt(nearby != body, sampling=spacing_kji)
    found: NDArray[Any] = np.unique(nearby[(distance <= FRAGMENT_GAP_MM) & (nearby > 0)])
    return found


def _bounding_box(array: NDArray[Any]) -> tuple[slice, ...] | None:
    box = []
    for others in ((1, 2), (0, 2), (0, 1)):
        used = np.flatnonzero(np.any(array, axis=others))
        if len(used) == 0:
            return None
        box.append(slice(int(used[0]), int(used[-1]) + 1))
    return tuple(box)
