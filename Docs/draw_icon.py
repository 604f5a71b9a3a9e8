"""Draws the icons: a lesion, and the map that found it, on what the module looks at.

python Docs/draw_icon.py FILE.png...        an axial slice of both breasts
python Docs/draw_icon.py --pcr FILE.png...  a sector of ultrasound
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE, FINER = 128, 4
"""Pixels a side, and how many times finer it is drawn before it is made smaller."""

BACKGROUND = (22, 27, 45)
LESION = (0.31, 0.46)
"""Across and down, in parts of the side."""
ECHO = (0.54, 0.5)
"""The same on ultrasound."""


def draw_icon() -> Image.Image:
    """That of the extension and of HER2 Predict, RGBA, with transparent corners."""
    x, y = _places()
    tissue = np.maximum.reduce([_breast(x, y, 0.275), _breast(x, y, 0.725), _chest(x, y)])
    # Brighter towards the skin, and a vague pattern of glands, as a T1 slice has.
    glands = 0.5 + 0.5 * np.sin(19 * x + 5 * np.sin(13 * y)) * np.sin(17 * y + 4 * np.sin(11 * x))
    return _icon(x, y, tissue, 80 + 105 * (0.85 - y).clip(0) + 38 * glands, LESION)


def draw_pcr_icon() -> Image.Image:
    """That of PCR Predict, RGBA, with transparent corners."""
    x, y = _places()
    depth, angle = np.hypot(x - 0.5, y + 0.16), np.arctan2(x - 0.5, y + 0.16)
    sector = _inside(depth - 0.33) * _inside(1.0 - depth) * _inside(0.52 - np.abs(angle))
    # Layers under the transducer, paler with depth, and a dark lesion with a shadow below it.
    layers = 0.5 + 0.5 * np.sin(46 * depth + 2 * np.sin(9 * angle)) * np.sin(31 * angle + 8 * depth)
    dark = _inside(0.12 - np.hypot((x - ECHO[0]) * 0.8, y - ECHO[1]))
    shadow = _inside(0.1 - np.abs(x - ECHO[0])) * (y > ECHO[1]) * (1 - dark)
    grey = (95 + 100 * (1 - depth) + 60 * layers) * (1 - 0.75 * dark) * (1 - 0.35 * shadow)
    return _icon(x, y, sector, grey, ECHO)


def _places() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Across and down, in parts of the side, of every pixel of the finer picture."""
    side = SIZE * FINER
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    return x, y


def _icon(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    tissue: NDArray[np.float64],
    grey: NDArray[np.float64],
    lesion: tuple[float, float],
) -> Image.Image:
    """Tissue in grey on the background, a map over the lesion, round corners."""
    shown = tissue * grey
    picture = np.stack([c * (1 - tissue) + shown for c in BACKGROUND], axis=-1)
    distance = np.hypot(x - lesion[0], (y - lesion[1]) * 1.15)
    heat = np.exp(-((distance / 0.115) ** 2)) * np.minimum(1, 1.2 * tissue)
    stops = (
        [0, 0.35, 0.6, 0.8, 1],
        ([200, 30, 0], [230, 60, 10], [250, 130, 20], [255, 210, 70], [255, 250, 210]),
    )
    colour = np.stack(
        [np.interp(heat, stops[0], [stop[c] for stop in stops[1]]) for c in range(3)], axis=-1
    )
    opacity = np.interp(heat, [0.08, 0.45], [0, 1])[..., None]
    picture = picture * (1 - opacity) + colour * opacity

    corner = _rounded(x, y, 0.16)[..., None] * 255
    rgba = np.concatenate([picture, corner], axis=-1).clip(0, 255).round().astype(np.uint8)
    return Image.fromarray(rgba).resize((SIZE, SIZE), Image.Resampling.BOX)


def _breast(x: NDArray[np.float64], y: NDArray[np.float64], middle: float) -> NDArray[np.float64]:
    """Hangs up from the chest wall, as the patient lies prone: wide there, narrow at the nipple."""
    up = ((0.72 - y) / 0.56).clip(0, 1)
    width = 0.225 * np.sqrt(1 - up**2.6)
    breast = _inside((width - np.abs(x - middle)) * (y <= 0.8) * (up < 1))
    nipple = _inside(0.03 - np.hypot(x - middle, (y - 0.165) * 0.9))
    return np.maximum(breast, nipple)


def _chest(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """The wall of the chest that both hang from, and the dark lungs below it."""
    return _inside(0.12 - np.abs(y - 0.72 - 1.1 * (x - 0.5) ** 2)) * _inside(0.45 - np.abs(x - 0.5))


def _rounded(x: NDArray[np.float64], y: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """A square with round corners, as large as the icon."""
    across, down = (np.maximum(np.abs(v - 0.5) - (0.5 - radius), 0) for v in (x, y))
    return (np.hypot(across, down) <= radius).astype(np.float64)


def _inside(signed: NDArray[np.float64]) -> NDArray[np.float64]:
    return (signed / 0.012).clip(0, 1)


if __name__ == "__main__":
    names = sys.argv[1:]
    draw = draw_icon
    if names[:1] == ["--pcr"]:
        names, draw = names[1:], draw_pcr_icon
    for name in names:
        draw().save(Path(name), optimize=True)
