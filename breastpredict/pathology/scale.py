"""Microns per pixel: where files tell them, and what is believed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from breastpredict.errors import InputError

PLAUSIBLE_MPP = (0.1, 10.0)
"""Resolutions of pictures are believed in this range only: 72 or 96 dpi (350 or 260 µm) is what
programs write that know nothing, and a microscope reaches from ×100 (0.1 µm) down to ×1 (10 µm)."""

_GIVEN = (0.05, 50.0)
_DIFFERENT = 0.05

_UNITS = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "micron": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}


@dataclass(frozen=True, slots=True)
class Scale:
    """Microns per pixel (column, row), or why there are none; by what they are known."""

    mpp: tuple[float, float] | None
    by: str
    warnings: tuple[str, ...] = ()

    def or_given(self, mpp: float | None) -> Scale:
        """With what the user gives: it wins, and a contradiction is said.

        Raises:
            InputError: it is no scale of a microscope.
        """
        if mpp is None:
            return self
        if not (math.isfinite(mpp) and _GIVEN[0] <= mpp <= _GIVEN[1]):
            raise InputError(
                f"A scale of {mpp:g} microns per pixel is not a microscope's",
                remedy="Give microns per pixel: about 0.5 at ×20, 0.25 at ×40",
            )
        warnings: tuple[str, ...] = ()
        if self.mpp and any(abs(one / mpp - 1) > _DIFFERENT for one in self.mpp):
            warnings = (
                f"The given scale of {mpp:g} µm per pixel was taken; the file says {self.words}",
            )
        return Scale((mpp, mpp), "given", warnings)

    @property
    def words(self) -> str:
        """As people read it."""
        if self.mpp is None:
            return "no scale"
        return " × ".join(f"{one:.4g}" for one in self.mpp) + " µm per pixel"


def plausible(x: float, y: float, by: str, otherwise: str) -> Scale:
    """A scale from numbers that may be a program's habit; none where they are out of range."""
    low, high = PLAUSIBLE_MPP
    if all(math.isfinite(one) and low <= one <= high for one in (x, y)):
        return Scale((x, y), by)
    return Scale(None, otherwise)


def from_aperio(description: str) -> Scale:
    """Aperio's ``MPP = 0.4990`` in the image description; the magnification alone is no scale."""
    found = re.search(r"\|\s*MPP\s*=\s*([0-9.eE+-]+)", description)
    power = re.search(r"\|\s*AppMag\s*=\s*([0-9.]+)", description)
    try:
        value = float(found[1]) if found else math.nan
    except ValueError:
        value = math.nan
    why = "the file states no microns per pixel"
    if power:
        why += f", only a magnification of ×{power[1][:6]}"
    return plausible(value, value, "MPP of the file", why)


def from_ome(pixels: dict[str, Any]) -> Scale:
    """OME's PhysicalSizeX and Y with their units (micrometres where not stated)."""

    def microns(axis: str) -> float:
        try:
            unit = _UNITS.get(str(pixels.get(f"PhysicalSize{axis}Unit", "µm")), math.nan)
            return float(pixels.get(f"PhysicalSize{axis}", math.nan)) * unit
        except (TypeError, ValueError):
            return math.nan

    return plausible(
        microns("X"),
        microns("Y"),
        "OME PhysicalSize",
        "the file states no physical size of a pixel",
    )


def from_resolution(x: float, y: float, unit_um: float, by: str) -> Scale:
    """Pixels per unit of ``unit_um`` microns; believed within `PLAUSIBLE_MPP` only."""
    if not (x > 0 and y > 0 and unit_um > 0):
        return Scale(None, "the file states no resolution")
    mpp = unit_um / x, unit_um / y
    return plausible(
        *mpp, by, f"the file's resolution ({mpp[0]:.4g} µm per pixel) is not a microscope's"
    )


def micron_unit(name: str) -> float:
    """Microns in a unit by its name; NaN where unknown."""
    return _UNITS.get(name.replace("\\u00B5", "µ").strip().rstrip("s"), math.nan)
