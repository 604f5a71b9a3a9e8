"""Whether a region shows what the model was made for: H&E-stained tissue, in focus, unmarked.

The rules refuse what is plainly something else and let pass what may be H&E: laboratories and
scanners differ more than any threshold knows. Measured on the reference pictures (``shared/data``)
and on generated ones; numbers stand beside each threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from breastpredict.errors import GateRefusal
from breastpredict.pathology.tissue import FAINT, GATE, ink_mask, optical_density, tissue_mask

SMALLEST_TISSUE = 0.10
"""Share of the region that must be tissue. The paper's rectangles show invasive cancer; a thin core
lying across a rectangle fills a fifth of it."""

MOST_BROWN = 0.05
"""Share of the tissue that may be brown: denser in blue than in green light, as DAB is
(0.27, 0.57, 0.78 of Ruifrok and Johnston) and neither haematoxylin (0.65, 0.70, 0.29) nor eosin
(0.07, 0.99, 0.11). The immunostain has 0.73, the H&E pictures 0.000; haemosiderin, melanin and
stray pigment stay below a few per cent."""

LEAST_PURPLE = 0.35
"""Share of the tissue that must be densest in green light, as every mixture of the two stains is
(0.97 to 1.0 on the H&E pictures, 0.5 where the light is made as blue as no scanner's; the
immunostain has 0.05)."""

LEAST_DETAIL = 0.04
"""Of the tissue's contrast below about 20 µm, the share that is finer than about 4 µm. In
focus 0.13 to 0.53 on the reference pictures; out of focus by 3 µm (standard deviation) at most
0.02."""

_DETAIL_UM = 1.0  # microns per pixel that details are measured at
_DETAIL_SIDE = 512  # pixels, where no scale is known
_DETAIL_SIGMAS = 1.5, 8.0
_LOOK_SIDE = 384  # colours are measured on so small a picture, which noise and JPEG do not touch
_DARKEST_LIGHT = 110
_GREY_LEVELS = 6
_MOST_GLASS = 0.95
_SMALLEST_SIDE = 32


@dataclass(frozen=True, slots=True)
class TissueMeasures:
    """What the gate measures of a picture.

    Attributes:
        tissue: share of the picture that is stained tissue.
        glass: share of the picture that is as bright as bare glass.
        brown: share of the tissue that is brown, as DAB.
        purple: share of the tissue that is densest in green light, as H&E.
        ink: colours of pen strokes, in words; empty where none.
        colour: grey levels between the channels (99th percentile).
        light: brightness of the brightest pixels (99th percentile of the brightest channel).
        detail: share of the variance of grey in the tissue that is fine detail; NaN without tissue.
    """

    tissue: float
    glass: float
    brown: float
    purple: float
    ink: str
    colour: float
    light: float
    detail: float


def measure_tissue(rgb: NDArray[np.uint8], mpp: float | None = None) -> TissueMeasures:
    """Measure a picture; see `TissueMeasures`.

    Args:
        rgb: uint8 ``[row, column, RGB]``, not enlarged beyond what was scanned.
        mpp: its microns per pixel; without, focus is judged on the picture at 512 pixels.

    Raises:
        GateRefusal: it is smaller than 32 pixels.
    """
    if min(rgb.shape[:2]) < _SMALLEST_SIDE:
        raise GateRefusal(
            GATE,
            f"{rgb.shape[1]} × {rgb.shape[0]} pixels are too few to show tissue "
            f"(at least {_SMALLEST_SIDE} × {_SMALLEST_SIDE})",
        )
    small = _reduced(rgb, max(1.0, max(rgb.shape[:2]) / _LOOK_SIDE))
    density = optical_density(small)
    ink, colours = ink_mask(density)
    tissue = tissue_mask(density) & ~ink
    red, green, blue = np.moveaxis(density[tissue], -1, 0)
    brown = (blue > 1.1 * green) & (blue - green > 0.05) & (blue > red)
    purple = green >= 0.95 * np.maximum(red, blue)
    wide = small.max(axis=-1).astype(int) - small.min(axis=-1)
    return TissueMeasures(
        tissue=float(tissue.mean()),
        glass=float((density.sum(axis=-1) <= FAINT).mean()),
        brown=float(brown.mean()) if brown.size else 0.0,
        purple=float(purple.mean()) if purple.size else 0.0,
        ink=colours,
        colour=float(np.percentile(wide, 99)),
        light=float(np.percentile(small.max(axis=-1), 99)),
        detail=_detail(rgb, mpp),
    )


def check_tissue(rgb: NDArray[np.uint8], mpp: float | None = None) -> None:
    """Refuse a region that does not show H&E-stained tissue in focus.

    Args:
        rgb, mpp: as `measure_tissue` takes them.

    Raises:
        GateRefusal: grey, without light, blank, marked with a pen, immunostained, of other colours
            than H&E, or out of focus; the reason is said in words with the numbers.
    """
    reason = _reason(measure_tissue(rgb, mpp))
    if reason:
        raise GateRefusal(GATE, reason)


def _reason(found: TissueMeasures) -> str:
    if found.light < _DARKEST_LIGHT:
        return "the picture is dark, as of fluorescence: H&E is seen in bright light"
    if found.glass > _MOST_GLASS:
        return f"the region is blank: {found.glass:.0%} of it is bare glass"
    if found.colour < _GREY_LEVELS:
        return "the picture is grey: it holds no colours of stains"
    if found.ink:
        return f"the region is marked with a pen ({found.ink} ink)"
    if found.tissue < SMALLEST_TISSUE:
        return (
            f"the region is mostly blank: tissue covers {found.tissue:.0%} of it, at least "
            f"{SMALLEST_TISSUE:.0%} are needed"
        )
    if found.brown > MOST_BROWN:
        return (
            f"{found.brown:.0%} of the tissue is brown, as of an immunostain (DAB): this is no H&E"
        )
    if found.purple < LEAST_PURPLE:
        return (
            f"only {found.purple:.0%} of the tissue has the pink to purple of H&E, at least "
            f"{LEAST_PURPLE:.0%} are needed: another stain, or no tissue"
        )
    if found.detail < LEAST_DETAIL:
        return (
            f"the region is out of focus: {found.detail:.1%} of its contrast is in details, at "
            f"least {LEAST_DETAIL:.0%} are needed"
        )
    return ""


def _detail(rgb: NDArray[np.uint8], mpp: float | None) -> float:
    """Variance of grey in and about the tissue that a blur of 1.5 pixels takes away, as a share of
    what a blur of 8 pixels takes away, at 1 µm per pixel.

    A ratio, so that pale and strong stains are judged alike, and of small structures only, so that
    it is not less for a duct beside fat; at one scale, so that ×40 is not called blurred for
    showing each edge over more pixels.
    """
    factor = max(rgb.shape[:2]) / _DETAIL_SIDE if mpp is None else _DETAIL_UM / mpp
    picture = _reduced(rgb, max(1.0, factor))
    density = optical_density(picture)
    mask = ndimage.binary_dilation(density.sum(axis=-1) > FAINT, iterations=2)
    if mask.sum() < 100:
        return math.nan
    grey = picture.astype(np.float32).mean(axis=-1)
    fine, coarse = (
        float((grey - ndimage.gaussian_filter(grey, sigma))[mask].var()) for sigma in _DETAIL_SIGMAS
    )
    return fine / coarse if coarse > 1.0 else 0.0


def _reduced(rgb: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    if factor <= 1.0:
        return rgb
    rows, columns = (max(1, round(n / factor)) for n in rgb.shape[:2])
    image = Image.fromarray(np.ascontiguousarray(rgb))
    return np.asarray(image.resize((columns, rows), Image.Resampling.BOX))
