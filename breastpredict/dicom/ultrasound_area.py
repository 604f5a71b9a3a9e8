"""Where the scan is on a picture of an ultrasound screen, and what is drawn on it.

All by measured rules, nothing learnt. Speckle is blurred by the scanner's point spread over several
pixels and fills wide areas; what a scanner writes is thin, hard-edged and of one grey level or
colour; around both the screen is black.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels of the file, the last ones included (as RegionLocationMax)."""

_SIGNAL = 0.8  # mean grey level over a few pixels, of 255: below it there is no echo
_WIDE = 0.15  # a part of the scan is at least this share of the picture wide
_LEAST = 0.02  # and a scan at least this share of its area
_VIVID = 48  # between the strongest and the weakest colour: no grey map tints so much
_DOPPLER = 0.005  # share of the scan in vivid colours from which it is said
_HUES = np.deg2rad(30)  # a tinted grey map has one hue
_STROKE = 9  # pixels: strokes of letters, marks and lines are thinner
_CONTRAST = 80  # of a stroke against what lies around it, of 255
_FLAT = 0.35  # share of a mark's pixels that have its one grey level
_SHARP = 0.15  # share of them beside an edge; echoes are blurred across the beam
_SMALL = 0.08  # of the picture's sides: letters and callipers are smaller
_GAP = (2, 6)  # rows and columns between the letters of one line of writing, halved


@dataclass(frozen=True)
class Marks:
    """What seems to be drawn on a scan.

    Attributes:
        outside: mask ``[row, column]`` of writing that reaches in from outside of the scan.
        inside: boxes of marks (letters, callipers, arrows) that lie on the scan itself.
    """

    outside: NDArray[np.bool_]
    inside: tuple[Box, ...]


def vivid(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Pixels of ``[row, column, RGB]`` in colours that the picture's grey map does not have."""
    coloured = _coloured(rgb)
    tint = _tint(rgb, coloured)
    if tint is not None:
        coloured[coloured] = np.abs(np.angle(_hues(rgb[coloured]) / tint)) > 2 * _HUES
    return coloured


def colour_of(rgb: NDArray[np.uint8], scan: NDArray[np.bool_]) -> tuple[str, float]:
    """Whether a scan shows colours: "grey", "tinted" or "colour Doppler"; and their share of it.

    A tint goes with the brightness over all of the picture, in one hue; flow is coloured in places.
    """
    share = float((vivid(rgb) & scan).sum() / max(1, scan.sum()))
    if share >= _DOPPLER:
        return "colour Doppler", share
    return ("grey" if _tint(rgb, _coloured(rgb)) is None else "tinted"), share


def _coloured(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.asarray(rgb.max(axis=-1) - rgb.min(axis=-1) > _VIVID)


def _tint(rgb: NDArray[np.uint8], coloured: NDArray[np.bool_]) -> complex | None:
    """The hue of a grey map that is tinted, as a direction; None where it is grey."""
    middle = (rgb.max(axis=-1) > 96) & (rgb.min(axis=-1) < 200)
    if (coloured & middle).sum() <= 0.8 * middle.sum():
        return None
    hue = complex(_hues(rgb[coloured & middle]).mean())
    # The spread of directions about their mean (Mardia).
    return hue / abs(hue) if np.sqrt(-2 * np.log(max(abs(hue), 1e-9))) < _HUES else None


def _hues(pixels: NDArray[np.uint8]) -> NDArray[np.complex128]:
    r, g, b = np.moveaxis(pixels.astype(float), -1, 0)
    return np.asarray(np.exp(1j * np.arctan2(np.sqrt(3) * (g - b), 2 * r - g - b)))


def scan_area(grey: NDArray[np.uint8], not_scan: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The area of the scan: rectangle, trapezoid or fan, as a convex mask ``[row, column]``.

    Rule: where the mean over 5 × 5 pixels is above black, opened by 9 pixels (which takes away
    letters, ticks and lines) and by runs of 4 % of the width (logos), every connected part that is
    at least 15 % of the picture wide; the convex hull of all of them. Dark cysts, shadows and air
    in between belong to it.

    Args:
        grey: the picture, or a region of it.
        not_scan: pixels that are known to be none: colours of marks, colour scales.

    Returns:
        None where nothing is wide enough.
    """
    echo = np.where(not_scan, 0, grey).astype(np.float32)
    base = ndimage.grey_opening(echo, _STROKE)
    strokes = ndimage.binary_dilation(echo - base > _CONTRAST / 2)
    echo = np.where(strokes, base, echo)  # letters on black become black
    signal = ndimage.uniform_filter(ndimage.grey_closing(echo, 5), 5) > _SIGNAL
    # What is written over the scan does not divide it.
    signal |= ~_opened(~signal, (1, 13)) & ndimage.binary_dilation(strokes, iterations=3)
    opened = _opened(signal, (9, 9))
    long = _opened(opened, (1, max(9, round(0.04 * grey.shape[1]) | 1)))
    opened = ndimage.binary_dilation(long, iterations=3, mask=opened)
    labels, _ = ndimage.label(opened)
    parts = np.zeros(grey.shape, bool)
    for n, where in enumerate(ndimage.find_objects(labels), start=1):
        this = labels[where] == n
        wide = this.shape[1] >= _WIDE * grey.shape[1]
        if wide and np.ptp(echo[where][this]) > 0:  # of one level: a box that is drawn
            parts[where] |= this
    if parts.sum() < _LEAST * parts.size:
        return None
    # The tips of a fan are thinner than what the opening leaves.
    shown = (grey > 0) & ~not_scan
    parts = ndimage.binary_dilation(parts & shown, iterations=_STROKE // 2, mask=shown)
    for turned in (parts, parts[:, ::-1]):
        _without_mark_beside(turned)
    return convex(parts)


def _without_mark_beside(parts: NDArray[np.bool_]) -> None:
    """Take off a mark that touches the left side of the scan (Philips' probe mark), in place.

    A fan begins with a corner and grows steadily; a mark is low, and then the scan begins at once.
    """
    height = parts.sum(axis=0)
    start, cut = int(np.flatnonzero(height)[0]), 0
    for width in range(2, max(3, round(0.05 * parts.shape[1]))):
        before, after = height[start : start + width], height[start + width : start + width + 3]
        if before.max() > 0.06 * parts.shape[0]:
            break
        if after.size and after.max() > 4 * before.max() and after.max() > 0.2 * parts.shape[0]:
            cut = start + width
    parts[:, :cut] = False


def convex(mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The convex hull of a mask, as a mask; None where it has no area."""
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    points = np.concatenate([np.stack([first, rows], 1), np.stack([last, rows], 1)])
    try:
        hull = ConvexHull(points)
    except (QhullError, ValueError):
        return None
    y, x = np.indices(mask.shape, dtype=np.float32)
    inside = np.ones(mask.shape, bool)
    for a, b, c in hull.equations.astype(np.float32):
        inside &= a * x + b * y + c <= 1e-2
    return inside


def _opened(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Binary opening by a rectangle; by running extremes, which take the same time at any size."""
    lows = ndimage.minimum_filter(mask.view(np.uint8), size, mode="nearest")
    return _widened(lows.view(bool), size)


def _widened(mask: NDArray[np.bool_], size: Sequence[int]) -> NDArray[np.bool_]:
    """Binary dilation by a rectangle of odd sides."""
    out = ndimage.maximum_filter(mask.view(np.uint8), tuple(size), mode="constant", cval=0)
    return np.asarray(out.view(bool))


def box_of(mask: NDArray[np.bool_]) -> Box:
    """The smallest box that holds a mask, which must not be empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def marks_on(rgb: NDArray[np.uint8], grey: NDArray[np.uint8], scan: NDArray[np.bool_]) -> Marks:
    """What is drawn on a scan: strokes that are thin, hard-edged and of one level or colour.

    Letters that form a line with others outside of the scan are writing of the scanner and belong
    to what is blanked. What lies on the scan by itself may be writing, callipers or a bright echo:
    people must look.

    Args:
        rgb: the picture ``[row, column, RGB]``.
        grey: the same in grey.
        scan: as `scan_area` finds it.
    """
    strokes = ndimage.white_tophat(grey, size=_STROKE) > _CONTRAST
    across = np.abs(np.diff(grey.astype(np.int16), axis=1, append=grey[:, -1:])) > _CONTRAST
    across |= np.roll(across, 1, axis=1)
    drawn = strokes | vivid(rgb)
    labels, _ = ndimage.label(drawn, np.ones((3, 3), bool))
    found = ndimage.find_objects(labels)
    beyond = drawn & ~ndimage.binary_dilation(scan, iterations=2)
    rows, columns = (max(16, round(_SMALL * side)) for side in grey.shape)
    small = np.zeros(grey.shape, bool)
    outside = np.zeros(grey.shape, bool)
    flat = np.zeros(grey.shape, bool)
    for n, where in enumerate(found, start=1):
        this = labels[where] == n
        crossing = (this & beyond[where]).sum() > 0.1 * this.sum()
        if this.shape[0] <= rows and this.shape[1] <= columns:
            small[where] |= this
        elif crossing:
            outside[where] |= this
        sharp = across[where][this].mean() >= _SHARP
        if this.sum() >= 8 and sharp and _is_flat(rgb[where][this]):
            flat[where] |= this
    near = _widened(small, [2 * gap + 1 for gap in _GAP])
    lines, _ = ndimage.label(near)
    for n in np.unique(lines[beyond & small]):
        x0, y0, x1, y1 = box_of((lines == n) & small)
        outside[y0 : y1 + 1, x0 : x1 + 1] = True  # all of it: the shapes of letters can be read
    outside = ndimage.binary_dilation(outside, iterations=2)
    lines, _ = ndimage.label(_widened(flat & scan & ~outside, (5, 13)))
    inside = [
        (where[1].start, where[0].start, where[1].stop - 1, where[0].stop - 1)
        for where in ndimage.find_objects(lines)
    ]
    return Marks(outside, tuple(inside))


def _is_flat(pixels: NDArray[np.uint8]) -> bool:
    """Whether most of them have one grey level, or one vivid colour."""
    levels, counts = np.unique(pixels.reshape(-1, 3) // 4, axis=0, return_counts=True)
    level = levels[counts.argmax()]
    return bool(level.max() >= 40 and counts.max() >= _FLAT * len(pixels))
