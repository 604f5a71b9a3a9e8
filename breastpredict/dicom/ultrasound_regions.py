"""The Sequence of Ultrasound Regions: which parts of the screen are B-mode, and their scale.

Source: PS3.3 C.8.5.5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from breastpredict.dicom.ultrasound_area import Box
from breastpredict.errors import InputError

_TWO_DIMENSIONS, _TISSUE, _COLOUR_FLOW = 1, 1, 2
_CENTIMETRES = 3
_SPATIAL = {2: "M-mode", 3: "spectral", 4: "waveform", 5: "graphics"}
_TYPES = {
    0x1: "tissue",
    0x2: "colour flow",
    0x3: "pulsed-wave Doppler",
    0x4: "continuous-wave Doppler",
    0x5: "Doppler mean trace",
    0x6: "Doppler mode trace",
    0x7: "Doppler maximum trace",
    0x8: "volume trace",
    0x9: "derivative of the volume trace",
    0xA: "ECG",
    0xB: "pulse",
    0xC: "phonocardiogram",
    0xD: "grey bar",
    0xE: "colour bar",
    0xF: "integrated backscatter",
    0x10: "area trace",
    0x11: "derivative of the area trace",
    0x12: "other physiological signal",
}
_REMEDY = "Send the image again from the scanner, or export it as a picture: it then has no spacing"


@dataclass(frozen=True)
class Region:
    """A part of the screen.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the file, from 0, the last ones included.
        kind: "B-mode", or what else it shows.
        spacing_mm: (column, row) distance of pixels in mm; None where the file gives no length.
        why_no_spacing: in words, where there is none.
        by: what told where it is.
    """

    box: Box
    kind: str = "B-mode"
    spacing_mm: tuple[float, float] | None = None
    why_no_spacing: str = ""
    by: str = "SequenceOfUltrasoundRegions"

    @property
    def slices(self) -> tuple[slice, slice]:
        """Of an array ``[row, column]``."""
        x0, y0, x1, y1 = self.box
        return slice(y0, y1 + 1), slice(x0, x1 + 1)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        x0, y0, x1, y1 = self.box
        return x1 - x0 + 1, y1 - y0 + 1

    @property
    def words(self) -> str:
        """Where it is, as people read it."""
        x0, y0, x1, y1 = self.box
        return f"X {x0}–{x1}, Y {y0}–{y1}"


def regions_of(data: Dataset, path: Path) -> tuple[Region, ...]:
    """The regions that a file states, each once, in its order; none where it states none.

    Raises:
        InputError: a region lies off the image, or states centimetres and a pixel size of zero.
    """
    columns, rows = int(data.get("Columns") or 0), int(data.get("Rows") or 0)
    items: Sequence[Dataset] = data.get("SequenceOfUltrasoundRegions") or ()
    found: dict[tuple[Box, str], Region] = {}
    for number, item in enumerate(items, start=1):
        box = _box(item, number, columns, rows, path)
        spatial, kind = _number(item, "RegionSpatialFormat"), _number(item, "RegionDataType")
        if spatial == _TWO_DIMENSIONS and kind == _TISSUE:
            spacing, why = _spacing(item, number, path)
            region = Region(box, "B-mode", spacing, why)
        else:
            name = _TYPES.get(int(kind or 0), "unknown") if kind else "of no stated kind"
            way = _SPATIAL.get(int(spatial or 0), "")
            region = Region(box, f"{way} {name}".strip() if way else name)
        found.setdefault((box, region.kind), region)
    return tuple(found.values())


def b_mode(regions: Sequence[Region]) -> tuple[Region, ...]:
    """Those that show tissue in two dimensions."""
    return tuple(region for region in regions if region.kind == "B-mode")


def is_colour_flow(region: Region) -> bool:
    """Whether flow is drawn in colours there."""
    return region.kind == _TYPES[_COLOUR_FLOW]


def overlap(one: Box, other: Box) -> Box | None:
    """What two boxes share."""
    x0, y0 = max(one[0], other[0]), max(one[1], other[1])
    x1, y1 = min(one[2], other[2]), min(one[3], other[3])
    return (x0, y0, x1, y1) if x0 <= x1 and y0 <= y1 else None


def _box(item: Dataset, number: int, columns: int, rows: int, path: Path) -> Box:
    names = (
        "RegionLocationMinX0 RegionLocationMinY0 RegionLocationMaxX1 RegionLocationMaxY1".split()
    )
    values = [_number(item, name) for name in names]
    if any(value is None for value in values):
        raise InputError(
            f"Ultrasound region {number} does not state where it is", path=path, remedy=_REMEDY
        )
    x0, y0, x1, y1 = (int(value or 0) for value in values)
    # Some scanners (Philips CX50) state the first pixel that does not belong to it any more.
    x1, y1 = x1 - (x1 == columns), y1 - (y1 == rows)
    if not (0 <= x0 < x1 < columns and 0 <= y0 < y1 < rows):
        # Its place or the image's size was changed: neither it nor its scale can be relied on.
        raise InputError(
            f"Ultrasound region {number} (X {x0}–{x1}, Y {y0}–{y1}) lies off the image of "
            f"{columns} × {rows} pixels",
            path=path,
            remedy=_REMEDY,
        )
    return x0, y0, x1, y1


def _spacing(item: Dataset, number: int, path: Path) -> tuple[tuple[float, float] | None, str]:
    units = [_number(item, f"PhysicalUnits{axis}Direction") for axis in "XY"]
    if units != [_CENTIMETRES, _CENTIMETRES]:
        return None, "the region's units are not centimetres"
    deltas = [_number(item, f"PhysicalDelta{axis}") for axis in "XY"]
    if None in deltas:
        return None, "the region states no pixel size"
    x, y = (10 * abs(float(delta or 0)) for delta in deltas)  # negative: the axis runs backwards
    if x == 0 or y == 0 or not (math.isfinite(x) and math.isfinite(y)):
        raise InputError(
            f"Ultrasound region {number} states a pixel size of {x / 10:g} × {y / 10:g} cm",
            path=path,
            remedy=_REMEDY,
        )
    return (x, y), ""


def _number(item: Dataset, keyword: str) -> float | None:
    value: Any = item.get(keyword)
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None
