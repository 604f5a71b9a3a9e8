"""Writing slides as tiled TIFF pyramids, and the levels of any pyramid.

- ``tiff``: levels as SubIFDs of the first page; resolution in pixels per centimetre.
- ``svs``: flat pages as Aperio scanners order them (level 0, thumbnail, lower levels), the scale in
  the first description.

Tiles are JPEG. tifffile and imagecodecs come with the extra ``pathology``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from breastpredict.errors import InputError
from breastpredict.files import write_atomic

Pixels = NDArray[np.uint8]

_SMALLEST = 200  # pixels of the longer side: below it there is no other level


def levels_of(pixels: Pixels) -> list[Pixels]:
    """A slide and its halvings, by the mean of 2 × 2 pixels, down to less than 200 pixels."""
    levels = [pixels]
    while max(levels[-1].shape[:2]) > _SMALLEST:
        levels.append(np.asarray(Image.fromarray(levels[-1]).reduce(2)))
    return levels


def tile_of(pixels: Pixels) -> int:
    """The side of a slide's tiles: small slides have small ones, so that there are several."""
    return 256 if max(pixels.shape[:2]) > 1500 else 128


def write_tiff(path: Path, pixels: Pixels, pixel_um: float, kind: str) -> None:
    """Write a pyramid; the same input gives the same bytes.

    Args:
        path: of the file.
        pixels: uint8 ``[row, column, RGB]`` of level 0.
        pixel_um: micrometres per pixel.
        kind: "tiff" or "svs".

    Raises:
        InputError: tifffile or imagecodecs is not installed.
    """
    try:
        import imagecodecs  # noqa: F401  (tifffile needs it for JPEG)
        import tifffile
    except ImportError as problem:
        raise InputError(
            "Slides cannot be written: tifffile or imagecodecs is missing",
            remedy='pip install "breastpredict[pathology]"',
        ) from problem
    levels, side = levels_of(pixels), tile_of(pixels)
    shared: dict[str, Any] = {
        "photometric": "rgb", "tile": (side, side), "compression": "jpeg",
        "compressionargs": {"level": 88}, "metadata": None, "software": False,
    }  # fmt: skip

    def options(level: int) -> dict[str, Any]:
        per_centimetre = 1e4 / (pixel_um * pixels.shape[1] / levels[level].shape[1])
        return {
            **shared,
            "resolution": (per_centimetre, per_centimetre),
            "resolutionunit": "CENTIMETER",
        }

    with write_atomic(path) as temporary, tifffile.TiffWriter(temporary) as file:
        if kind == "tiff":
            described = "BreastPredict phantom: not real tissue"
            file.write(pixels, subifds=len(levels) - 1, description=described, **options(0))
            for level in range(1, len(levels)):
                file.write(levels[level], subfiletype=1, **options(level))
            return
        rows, columns = pixels.shape[:2]
        text = (
            f"Aperio Image Library (BreastPredict phantom)\r\n{columns}x{rows} [0,0 "
            f"{columns}x{rows}] ({side}x{side}) JPEG/RGB Q=88|AppMag = {10 / pixel_um:g}|"
            f"MPP = {pixel_um:g}|ScanScope ID = PHANTOM"
        )
        file.write(pixels, description=text, **options(0))
        thumbnail = levels[-1]
        whole = {**shared, "tile": None, "rowsperstrip": thumbnail.shape[0]}
        file.write(
            thumbnail,
            description=f"Aperio Image Library (BreastPredict phantom)\r\n{columns}x{rows} -> "
            f"{thumbnail.shape[1]}x{thumbnail.shape[0]}",
            **whole,
        )
        for level in range(1, len(levels)):
            file.write(levels[level], **options(level))


def write_png(path: Path, pixels: Pixels) -> None:
    """Write a plain picture, whole or not at all; the same input gives the same bytes."""
    with write_atomic(path) as temporary:
        Image.fromarray(pixels).save(temporary, "PNG", optimize=False)
