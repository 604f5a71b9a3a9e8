"""Screens as ultrasound scanners show them: a scan with what is written and drawn around it.

Three layouts in the manner of three makers, with logos of makers that do not exist. The patient's
name and ID (of a patient who does not exist) are written outside of the scan in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from breastpredict.phantom.pcr_ultrasound import DEPTH_MM

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, the last ones included."""


@dataclass(frozen=True)
class Region:
    """A part of the screen: "b-mode" or "grey bar"."""

    box: Box
    kind: str


@dataclass(frozen=True)
class Screen:
    """A screen without its scan.

    Attributes:
        furniture: uint8 ``[row, column, RGB]``: everything but the scan.
        origin: (column, row) of the scan's first pixel.
        regions: what the file states.
        manufacturer, model: what the file says of the scanner.
    """

    furniture: NDArray[np.uint8]
    origin: tuple[int, int]
    regions: tuple[Region, ...]
    manufacturer: str
    model: str

    def show(self, scan: NDArray[np.uint8], colour: bool) -> NDArray[np.uint8]:
        """The screen with a scan, ``[row, column]`` or ``[row, column, RGB]``."""
        screen = self.furniture.copy()
        x, y = self.origin
        screen[y : y + scan.shape[0], x : x + scan.shape[1]] = scan[..., None]
        return screen if colour else np.asarray(Image.fromarray(screen).convert("L"))


@dataclass(frozen=True)
class _Layout:
    """A maker's way, in pixels of a screen that shows a scan of 368 × 304.

    Attributes:
        size: columns and rows of the screen.
        origin: of the scan.
        bar: grey bar; ruler: column of the depth ruler; beside: place of the settings.
        logo, colour, place: what is written as a logo, how and where.
        band: grey level of the strip behind the patient's name.
        wider: how far the stated region reaches beyond the scan at each side.
    """

    manufacturer: str
    model: str
    size: tuple[int, int]
    origin: tuple[int, int]
    bar: Box
    ruler: int
    beside: tuple[int, int]
    settings: tuple[str, ...]
    logo: str
    colour: tuple[int, int, int]
    place: tuple[int, int]
    band: int
    wider: int


_LAYOUTS = {
    "philips": _Layout(
        "Philips Medical Systems", "PHANTOM P5", (560, 400), (92, 46), (494, 60, 503, 150), 466,
        (6, 50), ("L12-5", "36Hz", "RS", "", "2D", "60%", "Dyn R 58", "P Med", "Res"),
        "PHANTASONIC", (120, 170, 255), (452, 382), 52, 0,
    ),
    "siemens": _Layout(
        "SIEMENS", "PHANTOM S2000", (576, 408), (60, 52), (12, 70, 21, 160), 48,
        (452, 92), ("9L4", "Breast", "General", "", "TIS: 0.1", "MI: 1.1", "31fps", "THI",
                    "H8.00 MHz", "0dB/DR60", "MapE/ST2"),
        "SIMUSONO", (60, 190, 185), (452, 58), 0, 2,
    ),
    "mindray": _Layout(
        "Mindray", "PHANTOM R7", (528, 416), (40, 50), (508, 60, 517, 140), 420,
        (440, 60), ("L14-5W", "F H12.0", "D 3.8", "G 52", "FR 41", "DR 120", "iClear 4"),
        "mockray", (230, 70, 60), (432, 386), 30, 8,
    ),
}  # fmt: skip


def make_screen(
    layout: str, scan_shape: tuple[int, int], patient: Sequence[str], when: str
) -> Screen:
    """The screen of one scanner.

    Args:
        layout: "philips", "siemens" or "mindray".
        scan_shape: rows and columns of the scan.
        patient: lines that identify the patient, written in the header.
        when: date and time as the scanner writes them.
    """
    made = _LAYOUTS[layout]
    rows, columns = scan_shape
    scale = columns / 368
    image = Image.new("RGB", _point(made.size, scale))
    draw = ImageDraw.Draw(image)
    font, small = (ImageFont.load_default(size * scale) for size in (11, 9))
    x, y = _point(made.origin, scale)

    if made.band:
        draw.rectangle((0, 0, image.width, round(16 * scale)), fill=(made.band,) * 3)
    for line, text in enumerate(patient):
        draw.text((4 * scale, (1 + 16 * line) * scale), text, fill=(255,) * 3, font=font)
    draw.text((image.width - 4 * scale, scale), when, fill=(235,) * 3, font=font, anchor="ra")
    draw.text(_point(made.place, scale), made.logo, fill=made.colour, font=font)
    left, top = _point(made.beside, scale)
    for line, text in enumerate(made.settings):
        draw.text((left, top + 13 * scale * line), text, fill=(190,) * 3, font=small)

    bar = (*_point(made.bar[:2], scale), *_point(made.bar[2:], scale))
    ramp = np.linspace(255, 0, bar[3] - bar[1] + 1).astype(np.uint8)
    shades = np.repeat(ramp[:, None, None], bar[2] - bar[0] + 1, axis=1)
    image.paste(Image.fromarray(np.repeat(shades, 3, axis=2)), bar[:2])
    ruler = round(made.ruler * scale)
    for millimetre in range(0, int(DEPTH_MM) + 1, 5):
        at = y + round(millimetre / DEPTH_MM * (rows - 1))
        length = round((5 if millimetre % 10 == 0 else 2) * scale)
        draw.line((ruler, at, ruler + length, at), fill=(220,) * 3)
    wide = round(made.wider * scale)
    region = (x - wide, y - wide, x + columns - 1 + wide, y + rows - 1 + wide)
    return Screen(
        np.asarray(image),
        (x, y),
        (Region(region, "b-mode"), Region(bar, "grey bar"))
        if made.manufacturer != "Mindray"
        else (Region(region, "b-mode"),),
        made.manufacturer,
        made.model,
    )


def _point(place: tuple[int, int], scale: float) -> tuple[int, int]:
    return round(place[0] * scale), round(place[1] * scale)
