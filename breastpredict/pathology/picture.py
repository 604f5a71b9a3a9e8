"""A plain PNG or JPEG: a region that somebody cut from a slide before."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from breastpredict.errors import InputError
from breastpredict.pathology.scale import Scale, from_resolution
from breastpredict.pathology.slide import PLAIN_PIXELS, REMEDY, Slide

_KINDS = ("PNG", "JPEG")
_GREY = "The picture is grey: it holds no colours of stains"


class PictureSlide(Slide):
    """A decoded picture; one level."""

    def __init__(self, path: Path, mpp: float | None) -> None:
        self._rgb, scale, notes = _decode(path)
        rows, columns = self._rgb.shape[:2]
        super().__init__(
            path,
            "picture",
            [(columns, rows)],
            scale.or_given(mpp),
            plain=True,
            warnings=notes,
        )

    def read_level(self, level: int, box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
        """See `Slide.read_level`."""
        x0, y0, x1, y1 = box
        return np.ascontiguousarray(self._rgb[y0:y1, x0:x1])

    def close(self) -> None:
        """See `Slide.close`."""


def _decode(path: Path) -> tuple[NDArray[np.uint8], Scale, tuple[str, ...]]:
    notes: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_KINDS) as image:
                columns, rows = image.size
                if columns * rows > PLAIN_PIXELS:
                    raise InputError(
                        f"A picture of {columns} × {rows} pixels is too large to be read whole",
                        path=path,
                        remedy="Save it as a tiled TIFF",
                    )
                if image.mode == "CMYK":
                    raise InputError(
                        "The picture is made for print (CMYK): its colours are not the scanner's",
                        path=path,
                        remedy="Export it as RGB",
                    )
                dpi = image.info.get("dpi") or (0.0, 0.0)
                scale = from_resolution(float(dpi[0]), float(dpi[1]), 25400.0, "the resolution")
                if image.mode in ("I", "I;16", "I;16B"):
                    grey = np.asarray(image, np.float64) * (255 / 65535)
                    notes += [_GREY, "16 bits were brought to 8 by their full range"]
                    whole = np.clip(np.round(grey), 0, 255).astype(np.uint8)
                    return np.repeat(whole[..., None], 3, axis=-1), scale, tuple(notes)
                if image.mode in ("1", "L", "LA"):
                    notes.append(_GREY)
                shown: Image.Image = image
                if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
                    shown = Image.alpha_composite(white, image.convert("RGBA"))
                rgb = np.asarray(shown.convert("RGB"))
    except InputError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(
            "The picture is too large to be read whole", path=path, remedy="Save it as a tiled TIFF"
        ) from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise InputError(
            "The picture is damaged and cannot be read", path=path, remedy=REMEDY
        ) from error
    return np.ascontiguousarray(rgb), scale, tuple(notes)
