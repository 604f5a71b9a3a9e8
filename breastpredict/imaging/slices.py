"""The largest lesion of a mask and its largest cross-section in the acquisition plane."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from breastpredict.errors import GateRefusal, InputError
from breastpredict.imaging.geometry import Geometry
from breastpredict.imaging.mask import BoxedMask

FRAGMENT_GAP_MM = 2.5
"""Pieces of a mask this near to the largest one (voxel centres) belong to the same lesion.

Masks made by a threshold, such as I-SPY2's, leave crumbs of a lesion a voxel or two off its main
body; foci that are lesions of their own lie further apart.
"""


class LargestSlice(NamedTuple):
    """A slice (0-based, along k) and the lesion's area on it in mm²."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    area_mm2: float


def largest_lesion(mask: sitk.Image | BoxedMask) -> BoxedMask:
    """The largest lesion of a mask.

    Voxels that are not zero are lesion. The lesion is the 26-connected component of the largest
    volume, with the fragments that lie within `FRAGMENT_GAP_MM` of it. All voxels have one volume,
    so the largest component in mm³ is the one of most voxels; of equal ones the one whose first
    voxel comes first in the order of slices, then rows, then columns is taken.

    Raises:
        GateRefusal: "no-tumour", the mask is empty.
        InputError: the mask is not a 3-D image of finite numbers.
    """
    if isinstance(mask, sitk.Image):
        _check_finite(sitk.GetArrayViewFromImage(mask))
        mask = BoxedMask.of(mask)
    return _lesion_of(mask)


def largest_slice(
    mask: sitk.Image | BoxedMask | NDArray[Any],
    spacing: tuple[float, float, float] | None = None,
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
    if isinstance(mask, (sitk.Image, BoxedMask)):
        if spacing is not None:
            raise ValueError("an image has its own spacing")
        lesion = largest_lesion(mask)
    else:
        array = np.asarray(mask)
        if array.ndim != 3:
            raise InputError(f"A tumour mask has three dimensions, this one has {array.ndim}")
        _check_finite(array)
        k, j, i = array.shape
        grid = Geometry((i, j, k), spacing or (1.0, 1.0, 1.0), (0, 0, 0), tuple(np.eye(3).ravel()))
        lesion = _lesion_of(BoxedMask.of_array(array, grid))
    areas = np.count_nonzero(lesion.inside, axis=(1, 2))
    centroid = float(np.average(np.arange(len(areas)), weights=areas))
    tied = np.flatnonzero(areas == areas.max())
    # Rounded, so that slices equally far from the centroid stay equal in floating point.
    best = int(tied[np.argmin(np.round(np.abs(tied - centroid), 9))])
    return section(lesion, lesion.slices[best])


def section(lesion: BoxedMask, index: int) -> LargestSlice:
    """A lesion's cross-section on a slice that was chosen otherwise.

    Args:
        lesion: as `largest_lesion` gives it.
        index: the slice, 0-based along k.

    Raises:
        InputError: the lesion is not on this slice.
    """
    voxels = int(np.count_nonzero(lesion.on_slice(index))) if index in lesion.slices else 0
    if voxels == 0:
        raise InputError(
            f"The largest lesion is not on slice {index}",
            remedy=f"It reaches from slice {lesion.slices[0]} to {lesion.slices[-1]}",
        )
    width, height, _ = lesion.geometry.spacing
    return LargestSlice(index, float(voxels) * width * height)


def _check_finite(array: NDArray[Any]) -> None:
    if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        raise InputError("The tumour mask holds values that are not finite numbers")


def _lesion_of(mask: BoxedMask) -> BoxedMask:
    if mask.empty:
        raise GateRefusal("no-tumour", "The tumour mask is empty.")
    labels, count = ndimage.label(mask.inside, structure=np.ones((3, 3, 3), bool))
    if count == 1:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    of_largest_size = np.isin(labels, np.flatnonzero(sizes == sizes.max()))
    body = labels.ravel()[np.argmax(of_largest_size)]
    kept = np.isin(labels, [body, *_fragments(labels, body, mask.geometry.spacing[::-1])])
    return BoxedMask.of_array(kept, mask.geometry, mask.start)


def _fragments(labels: NDArray[Any], body: int, spacing_kji: tuple[float, ...]) -> NDArray[Any]:
    """The labels of the components within `FRAGMENT_GAP_MM` of the component ``body``."""
    around = ndimage.find_objects((labels == body).astype(np.uint8))[0]
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
