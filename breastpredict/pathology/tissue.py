"""Where tissue is in a picture of a slide, and where pen ink is.

Optical density is -log10(I / I0) of each channel (Beer–Lambert; Ruifrok and Johnston, Anal Quant
Cytol Histol 23:291, 2001), I0 the light through bare glass.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from breastpredict.errors import GateRefusal
from breastpredict.pathology.region import SlideRegion

GATE = "pathology"

_NEUTRAL = 25  # grey levels between the channels of bare glass, at most
_BRIGHT = 200
_DEFAULT_WHITE = 245.0  # of scanners whose picture shows no glass
_GLASS_SHARE = 0.002

FAINT = 0.12
"""Sum of the three optical densities that is tissue; the palest collagen of the reference pictures
has about 0.2, noise and dust on glass below 0.06."""

_COLOURED = 0.03  # between the channels' densities; dust, shadows and black margins have less

_INK_BLOB = 0.005
"""A stroke is one piece of at least this share of the picture: 60 µm across on 768 µm, more than
the largest nucleus or vessel's pigment, less than the finest pen."""


def white_of(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The light through bare glass, a value for each channel.

    Bright and nearly colourless pixels are glass; where a picture shows none, 245 is taken: the
    brightest tissue would lend it its hue.
    """
    values = rgb.reshape(-1, 3)
    low, high = values.min(axis=1), values.max(axis=1)
    glass = values[(low >= _BRIGHT) & (high - low <= _NEUTRAL)]
    if len(glass) < _GLASS_SHARE * len(values):
        return np.full(3, _DEFAULT_WHITE)
    light: NDArray[np.float64] = np.maximum(np.percentile(glass, 90, axis=0), _BRIGHT)
    return light


def optical_density(
    rgb: NDArray[np.uint8], white: NDArray[np.float64] | None = None
) -> NDArray[np.float32]:
    """-log10(I / I0) ``[…, RGB]``, not below 0; ``white`` (I0) is measured where not given."""
    light = (white_of(rgb) if white is None else white).astype(np.float32)
    out: NDArray[np.float32] = np.log10((light + 1) / (rgb.astype(np.float32) + 1))
    return np.maximum(out, 0, out=out)


def tissue_mask(density: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels of stained tissue, from optical densities: not glass, not black, not grey."""
    total = density.sum(axis=-1)
    coloured = density.max(axis=-1) - density.min(axis=-1) > _COLOURED
    out: NDArray[np.bool_] = (total > FAINT) & coloured & ~_black(density)
    return out


def ink_mask(density: NDArray[np.float32]) -> tuple[NDArray[np.bool_], str]:
    """Strokes of a marker pen and their colour in words (empty where there are none).

    By what no stain of H&E does: green ink lets green through best; blue ink absorbs red far more
    than green, and hardly any blue; black ink absorbs all three alike, to the full. Red ink is told
    from red cells by its depth. Only large pieces count.
    """
    red, green, blue = np.moveaxis(density, -1, 0)
    colours = {
        "green": (green + 0.15 < red) & (green + 0.05 < blue) & (red > 0.3),
        "blue": (red > 0.45) & (red > 1.35 * green) & (blue < 0.6 * green),
        "black": _black(density),
        "red": (green > 0.8) & (blue > 0.8 * green) & (red < 0.15),
    }
    whole = np.zeros(red.shape, bool)
    found = []
    for name, mask in colours.items():
        labels, _ = ndimage.label(mask)
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        large = sizes >= max(9, _INK_BLOB * mask.size)
        if large.any():
            whole |= large[labels]
            found.append(name)
    return whole, " and ".join(found)


def _black(density: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Ink, or the margin that a scanner fills with black."""
    spread = density.max(axis=-1) - density.min(axis=-1)
    out: NDArray[np.bool_] = (density.min(axis=-1) > 0.75) & (spread < 0.25)
    return out


def middle_of_tissue(
    thumbnail: NDArray[np.uint8], size: tuple[int, int], side: tuple[float, float]
) -> SlideRegion:
    """The rectangle of ``side`` that holds the most tissue; pen ink is no tissue.

    Of those within 2 % of the best, the one whose centre is nearest to the tissue's middle. The
    middle itself lies between the cores of a biopsy, on glass.

    Args:
        thumbnail: of the whole slide, uint8 ``[row, column, RGB]``.
        size: (columns, rows) of level 0.
        side: (columns, rows) wanted in pixels of level 0; less where the slide is smaller.

    Raises:
        GateRefusal: no tissue was found.
    """
    density = optical_density(thumbnail)
    ink, _ = ink_mask(density)
    mask = tissue_mask(density) & ~ink
    mask = ndimage.binary_opening(mask) if min(mask.shape) > 64 else mask
    if not mask.any():
        raise GateRefusal(GATE, "no tissue was found on the slide")
    rows, columns = mask.shape
    scale = columns / size[0], rows / size[1]
    wide = min(columns, max(1, round(side[0] * scale[0])))
    high = min(rows, max(1, round(side[1] * scale[1])))
    held = ndimage.uniform_filter(mask.astype(np.float32), (high, wide), mode="constant")
    # Half a millionth of the window is the filter's rounding, not tissue.
    best = np.argwhere(held >= 0.98 * held.max() - 1e-6)
    middle = np.argwhere(mask).mean(axis=0)
    row, column = best[np.argmin(((best - middle) ** 2).sum(axis=1))]
    centre = (column + 0.5) / scale[0] - 0.5, (row + 0.5) / scale[1] - 0.5
    return SlideRegion.around(centre, side, size)
