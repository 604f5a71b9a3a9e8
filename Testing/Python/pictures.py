"""Pictures in Docs/ that tests make, so that they cannot go stale.

A test hands over what it sees now. With BREASTPREDICT_WRITE_PICTURES=1 that becomes the picture in
Docs/; else it is compared with the one there. Fonts differ a little from machine to machine, so
both are looked at from afar: small, grey, and with room for a line that breaks elsewhere.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

DOCS = Path(__file__).resolve().parents[2] / "Docs"
_SMALL = (24, 24)
_GREY_LEVELS = 14.0
_SIZE = 0.12


def check_picture(name: str, pixels: np.ndarray) -> None:
    """Compare what is seen, uint8 ``[row, column, RGB]``, with Docs/<name>, or write it there."""
    path = DOCS / name
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if os.environ.get("BREASTPREDICT_WRITE_PICTURES") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        image.convert("P", palette=Image.Palette.ADAPTIVE, colors=256).save(path, optimize=True)
        return
    assert path.is_file(), f"{path} is missing: run with BREASTPREDICT_WRITE_PICTURES=1"
    kept = Image.open(path).convert("RGB")
    for now, then in zip(image.size, kept.size, strict=True):
        assert abs(now - then) <= _SIZE * then, f"{name} has another size: {image.size}"
    difference = np.abs(_from_afar(image) - _from_afar(kept))
    assert difference.mean() < _GREY_LEVELS, f"{name} shows something else: look, and write it anew"


def _from_afar(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L").resize(_SMALL, Image.Resampling.BOX), float)


def beside(*pictures: np.ndarray, gap: int = 6) -> np.ndarray:
    """Pictures side by side on black, the tops level."""
    height = max(picture.shape[0] for picture in pictures)
    parts = []
    for picture in pictures:
        tall = np.zeros((height, picture.shape[1] + gap, 3), np.uint8)
        tall[: picture.shape[0], : picture.shape[1]] = picture[..., :3]
        parts.append(tall)
    return np.concatenate(parts, axis=1)[:, :-gap]
