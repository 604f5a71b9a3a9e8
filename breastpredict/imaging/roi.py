"""The square region of interest around a lesion, to the network's input and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from breastpredict.errors import InputError
from breastpredict.imaging.geometry import Geometry, resample_to
from breastpredict.imaging.mask import BoxedMask
from breastpredict.imaging.slices import largest_lesion

DEFAULT_MARGIN = 0.2
"""Added on each side of the lesion's bounding box, as a fraction of its longer side."""

LARGEST_MARGIN = 5.0

DEFAULT_MINIMUM_MM = 20.0
"""A region is never smaller: around a lesion of few voxels there would be nothing to see."""

_MAXIMUM_KERNEL = 512  # pixels; far more than a breast on an 8-pixel input needs

_FWHM_TO_SIGMA = 1.0 / (2.0 * math.sqrt(2.0 * math.log(2.0)))


def check_margin(margin: float) -> None:
    """Raise InputError where a margin is no number from 0 to ``LARGEST_MARGIN``."""
    number = isinstance(margin, int | float) and not isinstance(margin, bool)
    if not number or not 0 <= margin <= LARGEST_MARGIN:
        raise InputError(f"The margin is {margin!r}; it must be 0 to {LARGEST_MARGIN:g}")


@dataclass(frozen=True)
class SquareROI:
    """A square, in mm, in the plane of one slice of a volume.

    Its sides are parallel to the volume's i and j axes, also where pixels are not square or the
    volume is oblique. It may reach past the edge of the image.

    Attributes:
        geometry: the volume's grid.
        slice_index: the slice, 0-based along k.
        center_ij: its centre as continuous index.
        side_mm: its side, margin included.
    """

    geometry: Geometry
    slice_index: int
    center_ij: tuple[float, float]
    side_mm: float

    def __post_init__(self) -> None:
        if not 0 <= self.slice_index < self.geometry.size[2]:
            raise InputError(
                f"Slice {self.slice_index} is not in a volume of {self.geometry.size[2]} slices"
            )
        if not (math.isfinite(self.side_mm) and self.side_mm > 0):
            raise InputError(f"The side of a region must be more than 0 mm, not {self.side_mm}")

    @classmethod
    def around(
        cls,
        mask: sitk.Image | BoxedMask,
        slice_index: int,
        margin: float = DEFAULT_MARGIN,
        minimum_mm: float = DEFAULT_MINIMUM_MM,
    ) -> SquareROI:
        """The square around the largest lesion's bounding box on one slice.

        The side is the longer side of the box (outer edges of its voxels) times
        ``1 + 2 * margin``, at least ``minimum_mm``; the centre is the box's centre.

        Args:
            mask: lesion mask on the volume's grid, what is not zero is lesion.
            slice_index: 0-based along k.
            margin: on each side, as a fraction of the longer side.
            minimum_mm: smallest side.

        Raises:
            GateRefusal: "no-tumour", the mask is empty.
            InputError: the largest lesion is not on this slice.
        """
        if margin < 0 or minimum_mm < 0:
            raise InputError("The margin and the smallest side of a region must not be negative")
        lesion = largest_lesion(mask)
        geometry = lesion.geometry
        rows, columns = np.nonzero(lesion.on_slice(slice_index))
        if len(rows) == 0:
            raise InputError(f"The largest lesion is not on slice {slice_index}")
        width = float(np.ptp(columns) + 1) * geometry.spacing[0]
        height = float(np.ptp(rows) + 1) * geometry.spacing[1]
        center = (
            float(columns.min() + columns.max()) / 2.0,
            float(rows.min() + rows.max()) / 2.0,
        )
        side = max(max(width, height) * (1.0 + 2.0 * margin), minimum_mm)
        return cls(geometry, slice_index, center, side)

    def grid(self, size: int) -> Geometry:
        """The network's ``size`` × ``size`` × 1 input as a grid in space.

        Its pixels tile the square: the first pixel's centre is half a pixel inside the corner.
        """
        if size < 1:
            raise ValueError(f"size must be at least 1, not {size}")
        step = self.side_mm / size
        spacing = self.geometry.spacing
        half = (size - 1) / 2.0 * step
        corner = np.array(
            [
                self.center_ij[0] - half / spacing[0],
                self.center_ij[1] - half / spacing[1],
                self.slice_index,
            ]
        )
        x, y, z = self.geometry.index_to_physical(corner).tolist()
        return Geometry(
            (size, size, 1), (step, step, spacing[2]), (x, y, z), self.geometry.direction
        )

    def extract(self, image: sitk.Image, size: int, outside: float = 0.0) -> NDArray[np.float32]:
        """The region's pixels on the network's grid, ``[size, size]`` = [row, column], float32.

        Linear interpolation by physical position. Along an axis that shrinks, the slice is first
        smoothed by the Gaussian that takes the pixel's point spread to the network's (widths at
        half maximum equal to the spacings; Cardoso et al., Scale factor point spread function
        matching, MICCAI 2015), so that nothing aliases. Where the region reaches past the edge
        of the image the value is ``outside``: 0 is what air shows in MR.

        Args:
            image: the volume, or any slab of it that holds the slice.
            size: side of the network's input in pixels.
            outside: value past the edge of the image.

        Raises:
            InputError: the image does not hold the region's slice on the same grid.
        """
        grid = self.grid(size)
        # Only what the smoothing can reach is touched: four sigmas and the interpolation's pixel.
        sigma = [
            _matching_sigma(new, old)
            for new, old in zip(grid.spacing, self.geometry.spacing, strict=True)
        ]
        plane = self._slice_of(image)
        start, stop = [], []
        for axis in (0, 1):
            spacing = self.geometry.spacing[axis]
            reach = (self.side_mm / 2.0 + 4.0 * sigma[axis]) / spacing + 2.0
            last = plane.GetSize()[axis]
            start.append(min(max(0, math.floor(self.center_ij[axis] - reach)), last - 1))
            stop.append(max(min(last, math.ceil(self.center_ij[axis] + reach) + 1), start[-1] + 1))
        crop = plane[start[0] : stop[0], start[1] : stop[1], :]
        crop = sitk.Cast(crop, sitk.sitkFloat32)
        if max(sigma) > 0:
            gaussian = sitk.DiscreteGaussianImageFilter()
            gaussian.SetVariance([value**2 for value in sigma])
            gaussian.SetMaximumKernelWidth(_MAXIMUM_KERNEL)
            crop = gaussian.Execute(crop)
        out: NDArray[np.float32] = sitk.GetArrayFromImage(
            resample_to(crop, grid, "linear", outside)
        )[0]
        return out

    def place(self, values: NDArray[Any], onto: Geometry | None = None) -> sitk.Image:
        """Put a network-sized map back where its pixels came from: the inverse of `extract`.

        Args:
            values: ``[size, size]`` on `grid` (any size: the square is what counts).
            onto: the grid to fill, the region's own slice when left out; give
                ``roi.geometry`` for the whole volume.

        Returns:
            float32 image on ``onto``: linear interpolation at every voxel centre inside of the
            square (and within the slice's thickness), 0 outside.
        """
        array = np.asarray(values, dtype=np.float32)
        if array.ndim != 2 or array.shape[0] != array.shape[1]:
            raise ValueError(f"a square map is needed, not one of shape {array.shape}")
        source = self.grid(array.shape[0]).to_image(array[np.newaxis])
        target = onto or self.geometry.slab(self.slice_index, self.slice_index + 1)
        return resample_to(source, target, "linear", 0.0)

    def _slice_of(self, image: sitk.Image) -> sitk.Image:
        """The region's slice as an image of one slice, or an error: geometry is never guessed."""
        given = Geometry.from_image(image)
        wanted = self.geometry.slab(self.slice_index, self.slice_index + 1)
        k = given.find_slab(wanted)
        if k is None:
            raise InputError(
                f"The image does not hold slice {self.slice_index} of the region's volume",
                remedy="Extract from the volume the region was defined on, or a slab of it",
            )
        plane: sitk.Image = image[:, :, k : k + 1]
        plane.SetOrigin(wanted.origin)
        return plane


def _matching_sigma(new: float, old: float) -> float:
    """Gaussian sigma in mm that widens a point spread of FWHM ``old`` to FWHM ``new``."""
    return math.sqrt(new**2 - old**2) * _FWHM_TO_SIGMA if new > old * (1 + 1e-6) else 0.0
