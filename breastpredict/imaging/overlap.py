"""How far two masks of the same lesion agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from breastpredict.errors import InputError
from breastpredict.imaging.mask import BoxedMask

Bools = NDArray[np.bool_]

_FACES = ndimage.generate_binary_structure(3, 1)


@dataclass(frozen=True)
class Overlap:
    """Agreement of two masks; NaN where a measure is not defined.

    Attributes:
        dice: 2 |A ∩ B| / (|A| + |B|) in voxels; 0 when one is empty, not defined when both are.
        surface_dice: share of both masks' surface voxels that lie within the tolerance of the
            other's surface (Nikolov et al., J Med Internet Res 2021;23:e26151); as Dice for empty
            masks. A surface voxel is one of the mask with a face to the outside; all count alike.
        hausdorff95_mm: the larger of the two 95th percentiles of the distances from one surface to
            the other, between voxel centres; not defined when a mask is empty.
    """

    dice: float
    surface_dice: float
    hausdorff95_mm: float


def overlap(first: BoxedMask, second: BoxedMask, tolerance_mm: float) -> Overlap:
    """Compare two masks on one grid.

    Args:
        first, second: the masks.
        tolerance_mm: of the surface Dice.

    Raises:
        InputError: the masks are on different grids, or the tolerance is negative.
    """
    if not first.geometry.same_grid(second.geometry, 0.01):
        raise InputError("The masks are on different grids", remedy="Resample one to the other")
    if not tolerance_mm >= 0:
        raise InputError(f"The tolerance must not be negative, as {tolerance_mm} mm is")
    if first.empty or second.empty:
        nothing = float("nan") if first.empty and second.empty else 0.0
        return Overlap(nothing, nothing, float("nan"))
    a, b = _in_one_box(first, second)
    together = int(np.count_nonzero(a & b))
    dice = 2 * together / (int(np.count_nonzero(a)) + int(np.count_nonzero(b)))
    there, back = _distances(a, b, first.geometry.spacing[::-1])
    near = int((there <= tolerance_mm).sum()) + int((back <= tolerance_mm).sum())
    furthest = max(float(np.percentile(there, 95)), float(np.percentile(back, 95)))
    return Overlap(dice, near / (there.size + back.size), furthest)


def _in_one_box(first: BoxedMask, second: BoxedMask) -> tuple[Bools, Bools]:
    """Both masks in the box that holds them, with a layer of nothing around it."""
    start = np.minimum(first.start, second.start) - 1
    stop = 1 + np.maximum(
        np.add(first.start, first.inside.shape), np.add(second.start, second.inside.shape)
    )
    out = []
    for mask in (first, second):
        box = np.zeros(stop - start, bool)
        low = np.subtract(mask.start, start)
        box[tuple(slice(a, a + n) for a, n in zip(low, mask.inside.shape, strict=True))] = (
            mask.inside
        )
        out.append(box)
    return out[0], out[1]


def _distances(
    a: Bools, b: Bools, spacing_kji: tuple[float, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance in mm of each surface voxel of a from the surface of b, and of b from a's."""
    of_a, of_b = (mask & ~ndimage.binary_erosion(mask, _FACES) for mask in (a, b))
    return (
        ndimage.distance_transform_edt(~of_b, sampling=spacing_kji)[of_a],
        ndimage.distance_transform_edt(~of_a, sampling=spacing_kji)[of_b],
    )
