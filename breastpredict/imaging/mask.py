"""A binary mask on a volume's grid, kept as the box it fills."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from breastpredict.errors import InputError
from breastpredict.imaging.geometry import Geometry


@dataclass(frozen=True)
class BoxedMask:
    """A mask that is empty outside of a box: a lesion is a small part of a breast.

    Attributes:
        geometry: the volume's grid.
        start: index (k, j, i) of the box's first voxel.
        inside: the mask within the box, ``[k, j, i]``; the box may be empty.
    """

    geometry: Geometry
    start: tuple[int, int, int]
    inside: NDArray[np.bool_] = field(repr=False)

    @classmethod
    def of(cls, mask: sitk.Image | BoxedMask) -> BoxedMask:
        """A mask image, what is not zero being inside; a boxed mask is given back as it is.

        Raises:
            InputError: the image is not three-dimensional.
        """
        if isinstance(mask, BoxedMask):
            return mask
        geometry = Geometry.from_image(mask)
        # `mask` holds the pixels that the view shows.
        return cls.of_array(sitk.GetArrayViewFromImage(mask), geometry)

    @classmethod
    def of_array(
        cls, array: NDArray[Any], geometry: Geometry, offset: tuple[int, int, int] = (0, 0, 0)
    ) -> BoxedMask:
        """A mask from an array ``[k, j, i]`` that starts at an index (k, j, i) of the grid."""
        box = _bounding_box(array)
        if box is None:
            return cls(geometry, (0, 0, 0), np.zeros((0, 0, 0), np.bool_))
        k, j, i = (part.start + first for part, first in zip(box, offset, strict=True))
        return cls(geometry, (k, j, i), np.asarray(array[box] != 0))

    @classmethod
    def of_planes(cls, geometry: Geometry, planes: Iterable[tuple[int, NDArray[Any]]]) -> BoxedMask:
        """A mask from (slice k, plane ``[j, i]``); what is in any plane of a slice is inside.

        Planes are looked at one after the other: no volume is made of them.
        """
        parts: list[tuple[int, int, int, NDArray[np.bool_]]] = []
        for k, plane in planes:
            box = _bounding_box(plane[np.newaxis])
            if box is not None:
                _, rows, columns = box
                part = np.asarray(plane[rows, columns] != 0)
                parts.append((k, rows.start, columns.start, part.copy()))
        if not parts:
            return cls(geometry, (0, 0, 0), np.zeros((0, 0, 0), np.bool_))
        start = (min(p[0] for p in parts), min(p[1] for p in parts), min(p[2] for p in parts))
        stop = (
            max(k for k, *_ in parts) + 1,
            max(j + part.shape[0] for _, j, _, part in parts),
            max(i + part.shape[1] for _, _, i, part in parts),
        )
        inside = np.zeros([b - a for a, b in zip(start, stop, strict=True)], np.bool_)
        for k, j, i, part in parts:
            j, i = j - start[1], i - start[2]
            inside[k - start[0], j : j + part.shape[0], i : i + part.shape[1]] |= part
        return cls(geometry, start, inside)

    @property
    def empty(self) -> bool:
        return self.inside.size == 0

    @property
    def slices(self) -> range:
        """The slices k of the box."""
        return range(self.start[0], self.start[0] + self.inside.shape[0])

    @property
    def volume_mm3(self) -> float:
        return float(np.count_nonzero(self.inside)) * self.geometry.voxel_volume_mm3

    def on_slice(self, k: int) -> NDArray[np.bool_]:
        """The mask on slice ``k`` of the grid, ``[j, i]``.

        Raises:
            InputError: there is no such slice.
        """
        columns, rows, count = self.geometry.size
        if not 0 <= k < count:
            raise InputError(f"Slice {k} is not in a volume of {count} slices")
        plane = np.zeros((rows, columns), np.bool_)
        if k in self.slices:
            _, j, i = self.start
            _, height, width = self.inside.shape
            plane[j : j + height, i : i + width] = self.inside[k - self.start[0]]
        return plane

    def to_image(self, first: int = 0, stop: int | None = None) -> sitk.Image:
        """uint8 image of 0 and 1, on slices ``[first, stop)`` of the grid; all by default."""
        stop = self.geometry.size[2] if stop is None else stop
        planes = [self.on_slice(k) for k in range(first, stop)]
        return self.geometry.slab(first, stop).to_image(np.stack(planes))


def _bounding_box(array: NDArray[Any]) -> tuple[slice, slice, slice] | None:
    """The box of what is not zero; axis after axis, each within the ones before."""
    box: list[slice] = []
    for others in ((1, 2), (0, 2), (0, 1)):
        used = np.flatnonzero(np.any(array[tuple(box)], axis=others))
        if len(used) == 0:
            return None
        box.append(slice(int(used[0]), int(used[-1]) + 1))
    return box[0], box[1], box[2]
