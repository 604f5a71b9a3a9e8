"""Kinds of slides that only OpenSlide reads, where the user has installed it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from breastpredict.errors import InputError
from breastpredict.pathology.scale import Scale, plausible
from breastpredict.pathology.slide import REMEDY, Slide

SUFFIXES = (".mrxs", ".vms", ".vmu", ".bif", ".czi", ".svslide")
"""What only OpenSlide reads, by name (its list of formats)."""

_REMEDY = 'Install OpenSlide: pip install "breastpredict[openslide]"'


class OpenSlideSlide(Slide):
    """A slide by OpenSlide."""

    def __init__(self, path: Path, mpp: float | None) -> None:
        try:
            from openslide import OpenSlide
        except (ImportError, OSError) as error:  # OSError: its library is not there
            raise InputError(
                "This kind of slide is read by OpenSlide only", path=path, remedy=_REMEDY
            ) from error
        try:
            self._slide = OpenSlide(path)
            sizes = [(int(w), int(h)) for w, h in self._slide.level_dimensions]
            properties = self._slide.properties
            x, y = (float(properties.get(f"openslide.mpp-{axis}", "nan")) for axis in "xy")
            kind = str(properties.get("openslide.vendor", "slide"))
        except Exception as error:  # it raises many kinds
            raise InputError(
                "The slide is damaged, or of a kind that is not known", path=path, remedy=REMEDY
            ) from error
        scale: Scale = plausible(x, y, "OpenSlide", "the file states no microns per pixel")
        super().__init__(path, kind, sizes, scale.or_given(mpp))

    def close(self) -> None:
        """See `Slide.close`."""
        self._slide.close()

    def read_level(self, level: int, box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
        """See `Slide.read_level`."""
        x0, y0, x1, y1 = box
        # The library takes the corner in pixels of level 0, and shifts by parts of a level's pixel.
        factor = self._slide.level_downsamples[level]
        corner = round(x0 * factor), round(y0 * factor)
        try:
            part = self._slide.read_region(corner, level, (x1 - x0, y1 - y0))
        except Exception as error:
            raise InputError("The slide is damaged", path=self.path, remedy=REMEDY) from error
        white = Image.new("RGBA", part.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, part).convert("RGB"))
