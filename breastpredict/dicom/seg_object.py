"""Segments of a DICOM Segmentation or Label Map Segmentation (PS3.3 A.51, C.8.20) as masks.

Frames may be bits or bytes, compressed, in any order, overlapping, not aligned to bytes; only the
frames of the segment asked for are decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from breastpredict.dicom.planes import even_slots
from breastpredict.dicom.seg_pixels import decoded_frames
from breastpredict.dicom.segments import Segment
from breastpredict.errors import GateRefusal, InputError
from breastpredict.imaging import BoxedMask, Geometry

LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"
SEGMENTATION_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", LABELMAP)

_MAXIMUM_PIXELS = 2**24  # of a frame: four times the largest matrix of any MR scanner
_ON_VOXEL = 0.2  # of the finest spacing: how far a frame may lie off a slice and still be it
_ASIDE_MM = 1.0  # within the plane, from frame to frame: positions are written with few digits


def described_segments(data: pydicom.Dataset) -> list[Segment]:
    """The segments of an object; of a label map the background is none."""
    out = []
    for item in data.SegmentSequence:
        number = int(item.SegmentNumber)
        if number == 0 and data.SOPClassUID == LABELMAP:
            continue
        kind = (item.get("SegmentedPropertyTypeCodeSequence") or [pydicom.Dataset()])[0]
        code = (str(kind.get("CodingSchemeDesignator") or ""), str(kind.get("CodeValue") or ""))
        out.append(Segment(number, str(item.get("SegmentLabel") or ""), code))
    return out


def segment_mask(data: pydicom.Dataset, number: int, onto: Geometry, path: Path) -> BoxedMask:
    """One segment. Of fractional values those of at least half count.

    Frames that lie in slices of ``onto`` are put there, whatever slice distance the object states.
    Others make a grid of their own; the caller brings it over by position.

    Raises:
        GateRefusal: "no-tumour", the segment has no frames.
        InputError: no place in the patient, frames that make no stack, or damage.
    """
    if "TotalPixelMatrixColumns" in data:
        raise InputError(
            "This is a segmentation of a microscope slide, not of a volume in the patient",
            path=path,
        )
    groups = _Groups(data, path)
    mine = groups.of_segment(number)
    if not mine:
        raise GateRefusal("no-tumour", "The tumour's segment has no frames.")
    if int(data.Rows) * int(data.Columns) > _MAXIMUM_PIXELS:
        raise InputError("The segmentation states an absurd size", path=path)
    frames = _Placed.of(groups, mine)
    grid, slots = frames.on(onto) or frames.stacked(path)
    inside = (_inside(data, frame, number, path) for frame in decoded_frames(data, mine, path))
    return BoxedMask.of_planes(grid, zip(slots, inside, strict=True))


class _Groups:
    """The functional groups of the frames (PS3.3 C.7.6.16): an item is shared, or each frame's."""

    def __init__(self, data: pydicom.Dataset, path: Path) -> None:
        self.data, self.path = data, path
        self._frames = data.get("PerFrameFunctionalGroupsSequence", None) or ()
        shared = data.get("SharedFunctionalGroupsSequence", None)
        self._shared = shared[0] if shared else pydicom.Dataset()
        if not self._frames:
            raise InputError("The segmentation has no functional groups of its frames", path=path)
        if len(self._frames) != int(data.get("NumberOfFrames") or 1):
            raise InputError("The segmentation does not describe all its frames", path=path)

    def item(self, index: int, name: str) -> Any:
        """The item of a frame; its own stands above the shared one."""
        found = self._frames[index].get(name) or self._shared.get(name)
        if not found:
            placeless = " has no place in the patient: it" if name.startswith("Plane") else ""
            raise InputError(f"The segmentation{placeless} does not state {name}", path=self.path)
        return found[0]

    def of_segment(self, number: int) -> list[int]:
        """The frames of a segment, 0-based; in a label map any frame may hold any."""
        every = range(len(self._frames))
        if self.data.SOPClassUID == LABELMAP:
            return list(every)
        name = "SegmentIdentificationSequence"
        return [i for i in every if int(self.item(i, name).ReferencedSegmentNumber) == number]


class _Placed:
    """Parallel frames of one size in space."""

    def __init__(
        self,
        matrix: tuple[int, int],
        spacing: tuple[float, float],
        stated: Sequence[float],
        orientation: NDArray[np.float64],
        positions: NDArray[np.float64],
    ) -> None:
        self.matrix, self.spacing, self.stated = matrix, spacing, stated
        row, column = orientation[:3], orientation[3:]
        self.axes = np.stack([row, column, np.cross(row, column)], axis=1)
        self.positions = positions

    @classmethod
    def of(cls, groups: _Groups, frames: Sequence[int]) -> _Placed:
        """Where the frames lie.

        Raises:
            InputError: it is not stated, or the frames are not parallel or not of one size.
        """

        def values(sequence: str, name: str) -> NDArray[np.float64]:
            found = [getattr(groups.item(i, sequence), name) for i in frames]
            return np.array(found, dtype=np.float64)

        data, path = groups.data, groups.path
        orientation = values("PlaneOrientationSequence", "ImageOrientationPatient")
        spacing = values("PixelMeasuresSequence", "PixelSpacing")
        positions = values("PlanePositionSequence", "ImagePositionPatient")
        sizes = (orientation.shape[1], spacing.shape[1], positions.shape[1])
        finite = np.isfinite(np.concatenate([orientation, spacing, positions], axis=1)).all()
        if sizes != (6, 2, 3) or not finite:
            raise InputError("The segmentation states no sound geometry", path=path)
        if np.abs(orientation - orientation[0]).max() > 1e-3:
            raise InputError("The frames of the segmentation are not parallel", path=path)
        if np.abs(spacing - spacing[0]).max() > 1e-3 * spacing[0].min():
            raise InputError("The frames of the segmentation differ in pixel spacing", path=path)
        measures = groups.item(frames[0], "PixelMeasuresSequence")
        stated = [measures.get(name) for name in ("SpacingBetweenSlices", "SliceThickness")]
        return cls(
            (int(data.Columns), int(data.Rows)),
            (float(spacing[0][1]), float(spacing[0][0])),
            [abs(float(value)) for value in stated if value],
            orientation[0],
            positions,
        )

    def on(self, grid: Geometry) -> tuple[Geometry, list[int]] | None:
        """Each frame's slice of a grid; None where one is none of its slices."""
        near = _ON_VOXEL * min(grid.spacing)
        slots = []
        for position in self.positions:
            slot = grid.find_slab(self._grid(1, grid.spacing[2], position), near)
            if slot is None:
                return None
            slots.append(slot)
        return grid, slots

    def stacked(self, path: Path) -> tuple[Geometry, list[int]]:
        """A grid of their own, and each frame's slice of it.

        The distance stated may be wrong or absent (writers often give the thickness instead); then
        the frames' own distances tell it.

        Raises:
            InputError: the frames are not evenly spaced, or not above one another.
        """
        along = self.positions @ self.axes[:, 2]
        beside = (self.positions - self.positions[0]) @ self.axes[:, :2]
        if np.abs(beside).max() > _ASIDE_MM:
            raise InputError("The frames of the segmentation are not above one another", path=path)
        found = even_slots(along, self.stated)
        if found is None:
            what = "are not evenly spaced" if np.ptp(along) > 0 else "state no slice distance"
            raise InputError(f"The frames of the segmentation {what}", path=path)
        step, slots = found
        lowest = self.positions[int(np.argmin(along))]
        return self._grid(int(slots.max()) + 1, step, lowest), slots.tolist()

    def _grid(self, count: int, step: float, position: NDArray[np.float64]) -> Geometry:
        x, y, z = position.tolist()
        return Geometry(
            (*self.matrix, count),
            (*self.spacing, step),
            (x, y, z),
            tuple(self.axes.ravel().tolist()),
        )


def _inside(
    data: pydicom.Dataset, frame: NDArray[Any], number: int, path: Path
) -> NDArray[np.bool_]:
    if data.SOPClassUID == LABELMAP:
        return np.asarray(frame == number)
    if data.get("SegmentationType") == "FRACTIONAL":
        full = float(data.MaximumFractionalValue)
        if not full > 0:
            raise InputError("The segmentation's MaximumFractionalValue is not above 0", path=path)
        return np.asarray(frame >= full / 2)
    return np.asarray(frame > 0)
