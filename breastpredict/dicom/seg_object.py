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
from pydicom.pixels.utils import iter_pixels

from breastpredict.dicom.segments import Segment
from breastpredict.errors import GateRefusal, InputError
from breastpredict.imaging import BoxedMask, Geometry

LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"
SEGMENTATION_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", LABELMAP)

_MAXIMUM_SLICES = 4096
_MAXIMUM_VOXELS = 2**31
_ON_SLOT = 0.1  # of the slice distance


def described_segments(data: pydicom.Dataset) -> list[Segment]:
    """The segments of an object; of a label map the background is none."""
    out = []
    for item in data.SegmentSequence:
        kind = item.SegmentedPropertyTypeCodeSequence[0]
        number = int(item.SegmentNumber)
        if number == 0 and data.SOPClassUID == LABELMAP:
            continue
        code = (str(kind.CodingSchemeDesignator), str(kind.get("CodeValue", "")))
        out.append(Segment(number, str(item.get("SegmentLabel", "")), code))
    return out


def segment_mask(data: pydicom.Dataset, number: int, path: Path) -> BoxedMask:
    """One segment on its own grid. Of fractional values those of at least half count.

    Raises:
        GateRefusal: "no-tumour", the segment has no frames.
        InputError: no place in the patient, frames that are not parallel, or damage.
    """
    groups = data.get("PerFrameFunctionalGroupsSequence", None)
    shared = (data.get("SharedFunctionalGroupsSequence", None) or [pydicom.Dataset()])[0]
    slide = "a segmentation of a microscope slide, not of a volume in the patient"
    if "TotalPixelMatrixColumns" in data:
        raise InputError(f"This is {slide}", path=path)
    if not groups:
        raise InputError("The segmentation has no functional groups of its frames", path=path)

    def item(index: int, name: str) -> Any:
        found = groups[index].get(name) or shared.get(name)
        if not found:
            raise InputError(f"The segmentation does not state its {name}", path=path)
        return found[0]

    mine = list(range(len(groups)))
    if data.SOPClassUID != LABELMAP:
        mine = [
            index
            for index in mine
            if int(item(index, "SegmentIdentificationSequence").ReferencedSegmentNumber) == number
        ]
    if not mine:
        raise GateRefusal("no-tumour", "The tumour's segment has no frames.")
    orientation = np.array(
        [item(i, "PlaneOrientationSequence").ImageOrientationPatient for i in mine], dtype=float
    )
    if np.abs(orientation - orientation[0]).max() > 1e-3:
        raise InputError("The frames of the segmentation are not parallel", path=path)
    positions = np.array(
        [item(i, "PlanePositionSequence").ImagePositionPatient for i in mine], dtype=float
    )
    measures = item(mine[0], "PixelMeasuresSequence")
    spacing = (float(measures.PixelSpacing[1]), float(measures.PixelSpacing[0]))
    row, column = orientation[0, :3], orientation[0, 3:]
    normal = np.cross(row, column)
    along = positions @ normal
    step = float(measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 0)
    step, slots = _slots(along - along.min(), step, path)
    rows, columns, slices = int(data.Rows), int(data.Columns), int(slots.max()) + 1
    if slices > _MAXIMUM_SLICES or rows * columns * slices > _MAXIMUM_VOXELS:
        raise InputError("The segmentation states an absurd size", path=path)
    x, y, z = positions[int(np.argmin(along))].tolist()
    axes = np.stack([row, column, normal], axis=1)
    grid = Geometry(
        (columns, rows, slices), (*spacing, step), (x, y, z), tuple(axes.ravel().tolist())
    )
    volume = np.zeros((slices, rows, columns), np.bool_)
    for slot, frame in zip(slots, _frames(data, mine, path), strict=True):
        volume[slot] |= _inside(data, frame, number)
    return BoxedMask.of_array(volume, grid)


def _slots(along: NDArray[np.float64], step: float, path: Path) -> tuple[float, NDArray[np.int64]]:
    """The slice distance and each frame's place in multiples of it.

    The distance stated may be wrong or absent (writers often give the thickness instead); then the
    frames' own distances tell it.
    """
    gaps = np.diff(np.unique(np.round(along, 3)))
    span = float(along.max())
    for candidate in (step, float(gaps.min()) if len(gaps) else 0.0):
        if candidate <= 0:
            continue
        count = max(1, round(span / candidate))
        exact = span / count if span > 0 else candidate  # positions are written with few digits
        places = along / exact
        if np.abs(places - np.round(places)).max() <= _ON_SLOT:
            return exact, np.round(places).astype(np.int64)
    if len(gaps):
        raise InputError("The frames of the segmentation are not evenly spaced", path=path)
    raise InputError("The segmentation states no slice distance", path=path)


def _inside(data: pydicom.Dataset, frame: NDArray[Any], number: int) -> NDArray[np.bool_]:
    if data.SOPClassUID == LABELMAP:
        return np.asarray(frame == number)
    if data.get("SegmentationType") == "FRACTIONAL":
        return np.asarray(frame >= float(data.MaximumFractionalValue) / 2)
    return np.asarray(frame > 0)


def _frames(data: pydicom.Dataset, wanted: Sequence[int], path: Path) -> list[NDArray[Any]]:
    """The frames asked for, [rows, columns] each.

    Raises:
        InputError: they are truncated or cannot be decoded.
    """
    rows, columns = int(data.Rows), int(data.Columns)
    syntax = data.file_meta.TransferSyntaxUID
    try:
        if int(data.BitsAllocated) == 1 and not syntax.is_compressed:
            return [_unpacked(data.PixelData, n, rows, columns) for n in wanted]
        found = [np.asarray(frame) for frame in iter_pixels(data, indices=list(wanted))]
    except Exception as error:  # the decoders raise many kinds on damage
        raise InputError(
            f"The pixels of the segmentation are truncated or cannot be decoded ({syntax.name})",
            path=path,
        ) from error
    if any(frame.shape != (rows, columns) for frame in found) or len(found) != len(wanted):
        raise InputError("The frames of the segmentation are damaged", path=path)
    return found


def _unpacked(pixels: bytes, frame: int, rows: int, columns: int) -> NDArray[np.uint8]:
    """A frame of bits: frames follow each other without padding to bytes (PS3.5 8.1.1, D)."""
    count = rows * columns
    first, offset = divmod(frame * count, 8)
    raw = np.frombuffer(pixels, np.uint8)[first : first + (offset + count + 7) // 8]
    bits = np.unpackbits(raw, bitorder="little")[offset : offset + count]
    if bits.size != count:
        raise ValueError("truncated")
    return bits.reshape(rows, columns)
