"""Operations on voxel masks ``[k, j, i]`` in mm, as the delineation needs them."""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from breastpredict.imaging.geometry import Geometry

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Voxel = tuple[int, int, int]  # (k, j, i)

ALL_NEIGHBOURS = np.ones((3, 3, 3), bool)
"""26-connectivity."""


def morphology(mask: Bools, geometry: Geometry, radius_mm: float, operation: Any) -> Bools:
    """A SimpleITK morphological operation with a ball in mm (zero across thick slices)."""
    radius = [int(radius_mm / spacing + 0.5) for spacing in geometry.spacing]
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    result: Bools = sitk.GetArrayFromImage(operation(image, radius, sitk.sitkBall)) != 0
    return result


def fill_slices(mask: Bools) -> Bools:
    """Fill the holes of every slice; what is closed in 3-D is closed in each slice as well."""
    in_plane = np.zeros((3, 3, 3), bool)
    in_plane[1] = ndimage.generate_binary_structure(2, 1)
    filled: Bools = ndimage.binary_fill_holes(mask, structure=in_plane)
    return filled


def component_at(mask: Bools, voxel: Voxel) -> Bools:
    """The 26-connected component that holds a voxel of the mask."""
    labels, _ = ndimage.label(mask, ALL_NEIGHBOURS)
    component: Bools = labels == labels[voxel]
    return component


def nearest_voxel(mask: Bools, distance: Floats) -> Voxel:
    """The voxel of a mask, which is not empty, of the least distance (of equal ones the first)."""
    k, j, i = np.unravel_index(int(np.argmin(np.where(mask, distance, np.inf))), mask.shape)
    return int(k), int(j), int(i)


def with_line(mask: Bools, start: Voxel, end: Voxel) -> Bools:
    """The mask and the 26-connected line of voxels between two voxels."""
    steps = max(abs(a - b) for a, b in zip(start, end, strict=True)) + 1
    line = np.round(np.linspace(start, end, steps)).astype(int)
    joined = mask.copy()
    joined[tuple(line.T)] = True
    return joined


def distance_mm(geometry: Geometry, index: NDArray[Any]) -> Floats:
    """Distance of every voxel [k, j, i] from a continuous index in mm."""
    squared = [
        ((np.arange(n) - c) * s) ** 2
        for n, c, s in zip(geometry.size, index, geometry.spacing, strict=True)
    ]
    i, j, k = squared
    distance: Floats = np.sqrt(k[:, None, None] + j[:, None] + i).astype(np.float32)
    return distance


def inside_box(geometry: Geometry, lower: NDArray[Any], upper: NDArray[Any]) -> Bools:
    """Voxels that a box along the patient's axes touches."""
    k, j, i = np.indices(geometry.size[::-1])
    points = geometry.index_to_physical(np.stack([i, j, k], axis=-1))
    axes = np.array(geometry.direction).reshape(3, 3)
    half_voxel = np.abs(axes) @ np.array(geometry.spacing) / 2.0
    inside: Bools = np.all((points >= lower - half_voxel) & (points <= upper + half_voxel), axis=-1)
    return inside
