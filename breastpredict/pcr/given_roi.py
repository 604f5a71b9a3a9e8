"""Where a user says the tumour is on an ultrasound image."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, field
from pathlib import Path

from breastpredict.errors import InputError

LEAST_SIDE = 8
"""Columns: on fewer there is nothing to see."""

_REMEDY = (
    "Give the path of a mask (several with ; between), box:x0,y0,x1,y1, point:x,y,side, or us0 for "
    "US-1"
)


@dataclass(frozen=True)
class MaskRoi:
    """Masks on the whole frame; those of one image are joined."""

    paths: tuple[Path, ...] = field(repr=False)


@dataclass(frozen=True)
class BoxRoi:
    """A box around the tumour in pixels of the source frame, the last ones included."""

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        if not (self.x0 <= self.x1 and self.y0 <= self.y1):
            raise InputError(
                "The box's corners are the wrong way round",
                remedy="Give x0,y0 of the upper left and x1,y1 of the lower right corner",
            )


@dataclass(frozen=True)
class PointRoi:
    """The middle of the region in pixels of the source frame, and its side in columns."""

    x: float
    y: float
    side: float

    def __post_init__(self) -> None:
        if not self.side >= LEAST_SIDE:
            raise InputError(
                f"The side of a region is {self.side:g} columns",
                remedy=f"Give {LEAST_SIDE} or more",
            )


@dataclass(frozen=True)
class FromUs0:
    """On US-1: the tumour is no longer visible, the position at US-0 is taken."""


GivenRoi = MaskRoi | BoxRoi | PointRoi | FromUs0


def parse_roi(text: str, folder: Path | None = None) -> GivenRoi:
    """What a cell of a cohort table, or an option of a command, says.

    ``box:x0,y0,x1,y1``, ``point:x,y,side`` (x = column, y = row, 0-based, in pixels of the source
    frame), ``us0``, or paths of masks with ``;`` between, relative to ``folder``.

    Raises:
        InputError: empty, or other numbers than these; whether masks exist is not looked at.
    """
    text = text.strip()
    kind, colon, rest = text.partition(":")
    kind = kind.strip().casefold()
    if colon and kind in ("box", "point"):
        numbers = _numbers(rest)
        if kind == "box" and len(numbers) == 4:
            return BoxRoi(*numbers)
        if kind == "point" and len(numbers) == 3:
            return PointRoi(*numbers)
        raise InputError(f"The region is {text!r}", remedy=_REMEDY)
    if text.casefold() == "us0":
        return FromUs0()
    names = [name.strip() for name in text.split(";") if name.strip()]
    if not names:
        raise InputError("The region of interest is not given", remedy=_REMEDY)
    return MaskRoi(tuple((folder or Path()) / name for name in names))


def format_roi(roi: GivenRoi) -> str:
    """The text that `parse_roi` reads as this."""
    if isinstance(roi, FromUs0):
        return "us0"
    if isinstance(roi, MaskRoi):
        return ";".join(map(str, roi.paths))
    kind = "box" if isinstance(roi, BoxRoi) else "point"
    return f"{kind}:{','.join(map(repr, astuple(roi)))}"


def _numbers(text: str) -> tuple[float, ...]:
    """Finite numbers between commas; none where one of them is none."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        return ()
    return numbers if all(map(math.isfinite, numbers)) else ()
