"""The grid of a volume in space, and resampling from one grid to another by physical position.

Coordinates are LPS millimetres (DICOM PS3.3 C.7.6.2.1.1), indices are ``(i, j, k)`` = (column,
row, slice) with whole numbers at voxel centres, arrays are ``[k, j, i]``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import SimpleITK as sitk
from numpy.typing import DTypeLike, NDArray

from breastpredict.errors import InputError

PLANE_TOLERANCE_DEGREES = 20.0
"""A slice normal tilted more than this away from every patient axis is called oblique."""

SPACING_MM = (1e-4, 1e3)
"""No voxel of a patient's image is smaller or larger; far beyond, grids cannot be inverted."""

_INTERPOLATORS = {"nearest": sitk.sitkNearestNeighbor, "linear": sitk.sitkLinear}


@dataclass(frozen=True)
class Geometry:
    """Where a volume's voxels lie in the patient.

    Attributes:
        size: number of voxels along i, j, k.
        spacing: distance between voxel centres along i, j, k in mm.
        origin: centre of voxel (0, 0, 0) in LPS mm.
        direction: 3×3 matrix, row-major as in SimpleITK: its columns are the unit vectors of
            i, j and k in LPS.

    Raises:
        InputError: sizes or spacings that are not positive, or axes that are not orthonormal.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    def __post_init__(self) -> None:
        numbers = np.array([*self.spacing, *self.origin, *self.direction], dtype=float)
        if len(self.direction) != 9 or not np.all(np.isfinite(numbers)):
            raise InputError("The volume's geometry is incomplete or not finite")
        if min(self.size) < 1 or min(self.spacing) <= 0:
            raise InputError(
                f"The volume has size {self.size} and spacing {self.spacing} mm; all must be > 0"
            )
        if min(self.spacing) < SPACING_MM[0] or max(self.spacing) > SPACING_MM[1]:
            raise InputError(f"The volume's spacing of {self.spacing} mm is absurd")
        axes = self._axes
        if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-3):
            raise InputError("The volume's axes are not perpendicular unit vectors (sheared grid)")

    @classmethod
    def from_image(cls, image: sitk.Image) -> Geometry:
        """The geometry of a 3-D image.

        Raises:
            InputError: the image is not three-dimensional.
        """
        if image.GetDimension() != 3:
            raise InputError(f"Expected a 3-D volume, got {image.GetDimension()} dimensions")
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @property
    def _axes(self) -> NDArray[np.float64]:
        return np.array(self.direction, dtype=float).reshape(3, 3)

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector of increasing slice number in LPS."""
        return self._axes[:, 2].copy()

    @property
    def voxel_volume_mm3(self) -> float:
        return float(np.prod(self.spacing))

    def index_to_physical(self, ijk: NDArray[Any]) -> NDArray[np.float64]:
        """LPS mm of (continuous) indices, shape (..., 3) to (..., 3)."""
        scaled = np.asarray(ijk, dtype=float) * np.array(self.spacing)
        physical: NDArray[np.float64] = scaled @ self._axes.T + np.array(self.origin)
        return physical

    def physical_to_index(self, xyz: NDArray[Any]) -> NDArray[np.float64]:
        """Continuous index (i, j, k) of LPS points, shape (..., 3) to (..., 3)."""
        shifted = np.asarray(xyz, dtype=float) - np.array(self.origin)
        # solve() rather than the transpose: header cosines are orthonormal only to a few digits.
        index = np.linalg.solve(self._axes, shifted.reshape(-1, 3).T).T / np.array(self.spacing)
        reshaped: NDArray[np.float64] = index.reshape(shifted.shape)
        return reshaped

    def contains(self, xyz: NDArray[Any]) -> bool:
        """Whether an LPS point lies in the volume (voxels reach half a voxel past their centre)."""
        index = self.physical_to_index(xyz)
        return bool(np.all(index >= -0.5) and np.all(index <= np.array(self.size) - 0.5))

    def corners(self) -> NDArray[np.float64]:
        """LPS mm of the centres of the eight corner voxels, shape (8, 3)."""
        ends = np.array(np.meshgrid(*[(0, n - 1) for n in self.size], indexing="ij"))
        return self.index_to_physical(ends.reshape(3, 8).T)

    def same_grid(self, other: Geometry, tolerance_mm: float = 1e-3) -> bool:
        """Whether every voxel of ``other`` lies within ``tolerance_mm`` of the same voxel here."""
        if self.size != other.size:
            return False
        # An axis of one voxel adds nothing to the corners, so its direction is compared as well.
        if not np.allclose(self._axes, other._axes, atol=1e-3):
            return False
        apart = np.linalg.norm(self.corners() - other.corners(), axis=1)
        return bool(np.max(apart) <= tolerance_mm)

    def find_slab(self, part: Geometry, tolerance_mm: float = 1e-2) -> int | None:
        """The slice of this grid at which ``part``, some of its slices, starts; None if it is none.

        ``part`` has the whole slices of this grid, one or more in a row.
        """
        start = round(float(self.physical_to_index(np.array(part.origin))[2]))
        stop = start + part.size[2]
        if not 0 <= start < stop <= self.size[2]:
            return None
        return start if self.slab(start, stop).same_grid(part, tolerance_mm) else None

    def slab(self, start: int, stop: int) -> Geometry:
        """The geometry of slices ``start`` to ``stop - 1``.

        Raises:
            IndexError: the range is empty or leaves the volume.
        """
        if not 0 <= start < stop <= self.size[2]:
            raise IndexError(f"slices [{start}, {stop}) of a volume with {self.size[2]}")
        return self.region((0, 0, start), (self.size[0], self.size[1], stop))

    def region(self, start: tuple[int, int, int], stop: tuple[int, int, int]) -> Geometry:
        """The geometry of the block of voxels from ``start`` up to, without, ``stop``."""
        x, y, z = self.index_to_physical(np.array(start)).tolist()
        size = (stop[0] - start[0], stop[1] - start[1], stop[2] - start[2])
        return replace(self, size=size, origin=(x, y, z))

    def to_image(
        self, array: NDArray[Any] | None = None, dtype: DTypeLike | None = None
    ) -> sitk.Image:
        """An image with this geometry.

        Args:
            array: voxel values ``[k, j, i]``; zeros when left out.
            dtype: NumPy type of the voxels; the array's own (float32 for zeros) when left out.

        Raises:
            ValueError: the array does not have the shape of this geometry.
        """
        shape = self.size[::-1]
        values = np.zeros(shape, dtype or np.float32) if array is None else np.asarray(array)
        if values.shape != shape:
            raise ValueError(f"array of shape {values.shape} for a volume of shape {shape}")
        if dtype is not None:
            values = values.astype(dtype, copy=False)
        if values.dtype == np.bool_:
            values = values.astype(np.uint8)
        image = sitk.GetImageFromArray(values)
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        image.SetDirection(self.direction)
        return image

    @property
    def plane(self) -> str:
        """The anatomical plane of the slices: "axial", "sagittal", "coronal" or "oblique".

        It is the plane nearest to the slices' own, and "oblique" when the slice normal is more
        than `PLANE_TOLERANCE_DEGREES` away from every patient axis.
        """
        along = np.abs(self.normal)
        nearest = int(np.argmax(along))
        if np.degrees(np.arccos(min(1.0, float(along[nearest])))) > PLANE_TOLERANCE_DEGREES:
            return "oblique"
        return ("sagittal", "coronal", "axial")[nearest]


def resample_to(
    image: sitk.Image,
    geometry: Geometry,
    interpolation: Literal["nearest", "linear"] = "linear",
    outside: float = 0.0,
) -> sitk.Image:
    """Bring a volume onto another grid by physical position.

    Args:
        image: 3-D volume.
        geometry: the grid wanted.
        interpolation: "nearest" for masks (keeps the pixel type), "linear" for intensities
            (float32).
        outside: value of voxels more than half a voxel outside of ``image``.

    Returns:
        The volume on ``geometry``. A volume that is on it already keeps its values bit for bit.
    """
    if interpolation not in _INTERPOLATORS:
        raise ValueError(f"interpolation is 'nearest' or 'linear', not {interpolation!r}")
    pixel_type = image.GetPixelID() if interpolation == "nearest" else sitk.sitkFloat32
    if Geometry.from_image(image).same_grid(geometry):
        same: sitk.Image = sitk.Cast(image, pixel_type)
        # The tolerance may hide a last digit: what is returned is on exactly the grid asked for.
        same.SetOrigin(geometry.origin)
        same.SetSpacing(geometry.spacing)
        same.SetDirection(geometry.direction)
        return same
    resampled: sitk.Image = sitk.Resample(
        image,
        geometry.size,
        sitk.Transform(3, sitk.sitkIdentity),
        _INTERPOLATORS[interpolation],
        geometry.origin,
        geometry.spacing,
        geometry.direction,
        outside,
        pixel_type,
    )
    return resampled
