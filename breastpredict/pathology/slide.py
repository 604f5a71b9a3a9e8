"""What every kind of slide can do: its levels, its scale, and reading a rectangle of it."""

from __future__ import annotations

import importlib.util
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from breastpredict.errors import InputError
from breastpredict.pathology.region import SlideRegion
from breastpredict.pathology.scale import Scale

REMEDY = "Export the slide again from the scanner or archive"

PLAIN_PIXELS = 8192 * 8192
"""A picture of one level up to this size is taken for a region that somebody cut already."""

_BAND_PIXELS = 1 << 24
"""A rectangle is read and made smaller in bands of so many pixels of the slide."""

_MOST_READ = 1 << 29
"""Pixels of the slide; what shows so much of it at once has to come from a smaller level."""


@dataclass(frozen=True, slots=True)
class Level:
    """One image of the pyramid.

    Attributes:
        size: (columns, rows).
        downsample: (x, y) pixels of level 0 for each pixel of this one.
    """

    size: tuple[int, int]
    downsample: tuple[float, float]


@dataclass(frozen=True, slots=True)
class DicomOrigin:
    """What objects that refer to a slide need. ``patient_id`` is for checks, never shown.

    Attributes:
        study_uid, series_uid, frame_of_reference_uid, sop_class_uid: of the slide.
        sop_instance_uids: of the files of its pyramid, the largest image first.
        files: the same files.
    """

    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    sop_class_uid: str
    sop_instance_uids: tuple[str, ...]
    files: tuple[Path, ...]
    patient_id: str = field(repr=False, default="")
    study_date: str = field(repr=False, default="")


class Slide(ABC):
    """An opened slide; a context manager. Only the tissue is reached: no label, no overview.

    Attributes:
        path: the file or folder.
        kind: "DICOM", "SVS", "OME-TIFF", "TIFF pyramid", "TIFF", "picture", or as OpenSlide says.
        size: (columns, rows) of the largest image.
        scale: microns per pixel, or why none.
        levels: the largest image first.
        plain: a picture of one level that was cut from a slide before, whose whole is the region.
        origin: what DICOM objects refer to; None for other files.
        warnings: what the reader must know.
    """

    def __init__(
        self,
        path: Path,
        kind: str,
        sizes: list[tuple[int, int]],
        scale: Scale,
        *,
        plain: bool = False,
        origin: DicomOrigin | None = None,
        warnings: tuple[str, ...] = (),
    ) -> None:
        columns, rows = sizes[0]
        self.path = path
        self.kind = kind
        self.size = sizes[0]
        self.scale = scale
        self.levels = tuple(Level(size, (columns / size[0], rows / size[1])) for size in sizes)
        self.plain = plain
        self.origin = origin
        self.warnings = (*warnings, *scale.warnings)

    @property
    def mpp(self) -> tuple[float, float] | None:
        """Microns per pixel (column, row) of level 0; None where the file tells none."""
        return self.scale.mpp

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Give the file back."""

    @abstractmethod
    def read_level(self, level: int, box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
        """Pixels ``[row, column, RGB]`` of ``box`` x0, y0, x1, y1 (last ones left out) in a level's
        own pixels; no tile outside of the box is decoded.

        Raises:
            InputError: the pixels are damaged or of an unknown coding.
        """

    def level_for(self, width: int, height: int, out: tuple[int, int]) -> int:
        """The smallest level that still has ``out`` (columns, rows) pixels on a rectangle."""
        fitting = [
            number
            for number, level in enumerate(self.levels)
            if level.downsample[0] <= width / out[0] * 1.001
            and level.downsample[1] <= height / out[1] * 1.001
        ]
        return max(fitting, key=lambda n: self.levels[n].downsample[0], default=0)

    def read(
        self, x: int, y: int, width: int, height: int, out: tuple[int, int] | None = None
    ) -> NDArray[np.uint8]:
        """A rectangle of the slide, uint8 ``[row, column, RGB]``.

        Read from the smallest level that has enough pixels, and brought to ``out`` by linear
        interpolation (averaged over what each pixel covers where it shrinks). Only a band of it is
        in memory at the level's size, and nothing outside of it is looked at.

        Args:
            x, y, width, height: in pixels of level 0.
            out: (columns, rows) wanted; None: as many as the rectangle has.

        Raises:
            InputError: it lies off the slide, or its pixels are damaged.
        """
        SlideRegion(x, y, width, height).check_on(self.size)
        columns, rows = out or (width, height)
        number = self.level_for(width, height, (columns, rows))
        level = self.levels[number]
        left, top = x / level.downsample[0], y / level.downsample[1]
        wide, high = width / level.downsample[0], height / level.downsample[1]
        if wide * high > _MOST_READ:
            raise InputError(
                "The slide has no smaller level, and too much of it would have to be read at once",
                path=self.path,
                remedy="Name a smaller region, or save the slide as a pyramid",
            )
        step = high / rows
        # Nothing outside of the rectangle is looked at, so that no pixel of it comes in.
        x0, x1 = _span(left, wide, level.size[0])
        upper, lower = _span(top, high, level.size[1])
        # What a pixel averages over reaches beyond it by its own height, into the next band.
        pad = math.ceil(max(1.0, step)) + 1
        band = max(1, int(_BAND_PIXELS / (x1 - x0) / step))
        picture = np.empty((rows, columns, 3), np.uint8)
        for start in range(0, rows, band):
            stop = min(rows, start + band)
            y0, y1 = _span(top + start * step, (stop - start) * step, level.size[1])
            y0, y1 = max(upper, y0 - pad), min(lower, y1 + pad)
            pixels = self.read_level(number, (x0, y0, x1, y1))
            box = (
                left - x0,
                top + start * step - y0,
                min(left - x0 + wide, float(x1 - x0)),
                min(top + stop * step - y0, float(y1 - y0)),
            )
            if _whole(box, (columns, stop - start)):
                a, b = int(box[0]), int(box[1])
                picture[start:stop] = pixels[b : b + stop - start, a : a + columns]
            else:
                resized = Image.fromarray(pixels).resize(
                    (columns, stop - start), Image.Resampling.BILINEAR, box=box
                )
                picture[start:stop] = np.asarray(resized)
        return picture

    def thumbnail(self, side: int = 1024) -> NDArray[np.uint8]:
        """The whole slide, uint8 ``[row, column, RGB]``, its longer side at most ``side`` pixels.

        From the tissue's own levels: never the stored overview, which may show the label.

        Raises:
            InputError: as `read` does.
        """
        factor = min(1.0, side / max(self.size))
        out = tuple(max(1, round(n * factor)) for n in self.size)
        return self.read(0, 0, *self.size, out=(out[0], out[1]))


def _span(start: float, length: float, size: int) -> tuple[int, int]:
    """First pixel and the one after the last that a length touches; at least one."""
    first = min(max(0, math.floor(start + 1e-6)), size - 1)
    return first, max(first + 1, min(size, math.ceil(start + length - 1e-6)))


def _whole(box: tuple[float, float, float, float], out: tuple[int, int]) -> bool:
    """Whether the box is of whole pixels, as many as wanted: then nothing is interpolated."""
    sides = box[2] - box[0], box[3] - box[1]
    return all(abs(v - round(v)) < 1e-6 for v in box[:2]) and all(
        abs(side - wanted) < 1e-6 for side, wanted in zip(sides, out, strict=True)
    )


def need(package: str, path: Path) -> None:
    """Raise InputError that says how to install a package where it is missing."""
    if importlib.util.find_spec(package) is None:
        raise InputError(
            f"Reading this slide needs the package {package}",
            path=path,
            remedy='Install it: pip install "breastpredict[pathology]"',
        )
