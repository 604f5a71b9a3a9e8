"""Pictures of a pCR case: each image, the region, and the maps over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from breastpredict.pcr import PcrMap, PreparedPcr, UltrasoundRoi
from breastpredict.study.overlay import colour

Picture = NDArray[np.uint8]
SIDE = 420
"""Pixels of a region's picture, which is a square."""

TITLES = {"us0": "US-0", "us1": "US-1", "pathology": "Biopsy"}
_SQUARE = (255, 220, 0)
_GAP = 6


@dataclass(frozen=True)
class View:
    """One image of a case.

    Attributes:
        name: of the input.
        whole: where the region lies; None for the biopsy, whose slide is not loaded.
        region: what the network sees, in grey or in its own colours.
        overlays: method → the region with the map.
    """

    name: str
    whole: Picture | None
    region: Picture
    overlays: Mapping[str, Picture]

    @property
    def title(self) -> str:
        """As readers know it."""
        return TITLES[self.name]


def draw_pcr(prepared: PreparedPcr, maps: Sequence[PcrMap] = ()) -> list[View]:
    """The pictures of a case, in the order of time; no warning is in them yet (`burn_in`).

    What was blanked on an ultrasound image is black here too. A map's colours show what speaks for
    a complete response, from its largest value down to nothing; what speaks against it is not
    coloured.
    """
    views = []
    for name, roi in prepared.rois.items():
        grey = np.nan_to_num(roi.extract(SIDE), nan=0.0)
        region = np.repeat(np.clip(grey, 0, 255).round().astype(np.uint8)[..., None], 3, axis=2)
        views.append(View(name, _whole(roi), region, _over(region, name, maps)))
    if prepared.pathology is not None:
        picture = Image.fromarray(prepared.pathology.picture).resize((SIDE, SIDE))
        region = np.asarray(picture)
        stitched = [
            PcrMap(
                one.method,
                one.label,
                one.verified,
                {"pathology": prepared.pathology.stitch(one.values["pathology"])},
            )
            for one in maps
            if "pathology" in one.values
        ]
        views.append(View("pathology", None, region, _over(region, "pathology", stitched)))
    return views


def panel(views: Sequence[View], maps: Sequence[PcrMap]) -> Picture:
    """All pictures as a table: a row an image, with its region and a column a map."""
    titles = {str(one.method): one.name for one in maps}
    rows = []
    for view in views:
        cells = [_titled(view.region, f"{view.title}: region")]
        cells += [
            _titled(view.overlays[method], f"{view.title}: {title}")
            for method, title in titles.items()
            if method in view.overlays
        ]
        rows.append(cells)
    width = max(len(cells) for cells in rows)
    height, across = rows[0][0].shape[:2]
    out = np.zeros(
        (len(rows) * (height + _GAP) - _GAP, width * (across + _GAP) - _GAP, 3), np.uint8
    )
    for r, cells in enumerate(rows):
        for c, cell in enumerate(cells):
            top, left = r * (height + _GAP), c * (across + _GAP)
            out[top : top + height, left : left + across] = cell
    return out


def _whole(roi: UltrasoundRoi) -> Picture:
    """The B-mode region with the square, in square pixels where the spacing is known."""
    pixels = roi.image.pixels
    spacing = roi.image.spacing_mm or (1.0, 1.0)
    height, width = pixels.shape[0] * spacing[1], pixels.shape[1] * spacing[0]
    factor = SIDE / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    image = Image.fromarray(pixels).resize(size).convert("RGB")
    box = np.array(roi.box).reshape(2, 2) - np.array(roi.image.region.box[:2])
    # Edges of pixels lie half a pixel from their centres.
    ends = (box + 0.5) * np.array(spacing) * factor - 0.5
    ImageDraw.Draw(image).rectangle([float(v) for v in ends.ravel()], outline=_SQUARE, width=2)
    return np.asarray(image)


def _over(region: Picture, name: str, maps: Sequence[PcrMap]) -> dict[str, Picture]:
    out: dict[str, Picture] = {}
    for one in maps:
        if name not in one.values:
            continue
        values = Image.fromarray(one.values[name].astype(np.float32)).resize(
            (SIDE, SIDE), Image.Resampling.BILINEAR
        )
        array = np.clip(np.asarray(values, np.float64), 0, None)
        top = float(array.max())
        rgb, opacity = colour(array / top if top > 0 else array)
        alpha = opacity[..., np.newaxis]
        out[one.method] = (region * (1 - alpha) + rgb * alpha).round().astype(np.uint8)
    return out


def _titled(picture: Picture, text: str) -> Picture:
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(16)
    box = pen.textbbox((6, 4), text, font=font)
    pen.rectangle([box[0] - 4, box[1] - 3, box[2] + 4, box[3] + 3], fill=(0, 0, 0))
    pen.text((6, 4), text, fill=(255, 255, 255), font=font)
    return np.asarray(image)
