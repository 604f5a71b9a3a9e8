"""Pyramids in TIFF: Aperio SVS, OME-TIFF, and any tiled TIFF. Tiles are decoded one by one."""

from __future__ import annotations

import logging
import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from breastpredict.errors import InputError
from breastpredict.pathology.scale import (
    Scale,
    from_aperio,
    from_ome,
    from_resolution,
    micron_unit,
)
from breastpredict.pathology.slide import PLAIN_PIXELS, REMEDY, Slide

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage, TiffPageSeries

_NO_TISSUE = ("label", "macro", "thumbnail", "overview")
_MOST_SEGMENT = 1 << 28  # bytes decoded at once
_GREY = "The slide is grey: it holds no colours of stains"
_APERIO_YCBCR = 33003
_UNSPECIFIED, _PREMULTIPLIED = 0, 1  # ExtraSamples (TIFF 6.0, section 18)


class UnsupportedTiff(InputError):
    """A TIFF that is whole, but of a kind that only OpenSlide reads."""


class TiffSlide(Slide):
    """A slide in a TIFF file, by tifffile."""

    def __init__(self, path: Path, mpp: float | None) -> None:
        from tifffile import TiffFile

        # It warns of file names and descriptions, which may hold a patient's.
        logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)
        try:
            self._file = TiffFile(path)
        except OSError as error:
            raise InputError(f"The file cannot be read: {error.strerror}", path=path) from error
        except Exception as error:  # tifffile raises many kinds on damage
            raise _damaged(path) from error
        try:
            _check_chain(self._file, path)
            pages, kind = _pages(self._file, path)
            notes = _check(pages, path)
            scale = _scale(self._file, pages[0]).or_given(mpp)
        except InputError:
            self._file.close()
            raise
        except Exception as error:
            self._file.close()
            raise _damaged(path) from error
        self._pages = pages
        sizes = [(page.imagewidth, page.imagelength) for page in pages]
        plain = kind.endswith("TIFF") and len(pages) == 1 and math.prod(sizes[0]) <= PLAIN_PIXELS
        super().__init__(path, kind, sizes, scale, plain=plain, warnings=notes)

    def close(self) -> None:
        """See `Slide.close`."""
        self._file.close()

    def read_level(self, level: int, box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
        """See `Slide.read_level`."""
        x0, y0, x1, y1 = box
        page = self._pages[level]
        high, wide = _segment_size(page)
        across = -(-page.imagewidth // wide)
        down = -(-page.imagelength // high)
        planes = page.samplesperpixel if int(page.planarconfig) == 2 else 1
        samples = page.samplesperpixel
        # What the file holds no tile for was not scanned: glass.
        white = 255 if page.dtype == np.uint8 else 65535
        out = np.full((y1 - y0, x1 - x0, samples), white, page.dtype)
        for row in range(y0 // high, -(-y1 // high)):
            for column in range(x0 // wide, -(-x1 // wide)):
                for plane in range(planes):
                    tile = self._segment(page, (plane * down + row) * across + column)
                    if tile is None:
                        continue
                    top, left = row * high, column * wide
                    a, b = max(y0, top), min(y1, top + tile.shape[0])
                    c, d = max(x0, left), min(x1, left + tile.shape[1])
                    part = tile[a - top : b - top, c - left : d - left]
                    if planes > 1:
                        out[a - y0 : b - y0, c - x0 : d - x0, plane] = part[..., 0]
                    else:
                        out[a - y0 : b - y0, c - x0 : d - x0] = part
        return _to_rgb(out, page)

    def _segment(self, page: TiffPage, index: int) -> NDArray[Any] | None:
        """A decoded tile or strip ``[row, column, sample]``; None where the file holds none."""
        length = page.databytecounts[index]
        if not length:
            return None
        options: dict[str, Any] = {}
        if int(page.compression) in (6, 7, 34892, 33007):  # JPEG, its tables held apart
            options = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        handle = self._file.filehandle
        try:
            with handle.lock:
                handle.seek(page.dataoffsets[index])
                data = handle.read(length)
            tile = page.decode(data, index, _fullsize=False, **options)[0]
        except Exception as error:  # decoders raise many kinds on damage
            raise _damaged(self.path) from error
        if tile is None:
            return None
        tile = tile[0]
        return _ycbcr_to_rgb(tile) if int(page.compression) == _APERIO_YCBCR else tile


def _pages(file: TiffFile, path: Path) -> tuple[list[TiffPage], str]:
    """The images of the tissue, the largest first, and the kind of file."""
    if file.is_bif:
        raise UnsupportedTiff(
            "Ventana's overlapping tiles are joined by OpenSlide only",
            path=path,
            remedy='Install it: pip install "breastpredict[openslide]"',
        )
    kind = "SVS" if file.is_svs else "OME-TIFF" if file.is_ome else ""
    series = [s for s in file.series if not any(n in s.name.lower() for n in _NO_TISSUE)]
    if not series:
        raise InputError("The file holds no image of tissue", path=path)
    main = max(series, key=lambda s: s.keyframe.imagewidth * s.keyframe.imagelength)
    levels = [level.keyframe for level in main.levels]
    if any(_depth(level) > 1 for level in main.levels):
        raise InputError(
            "The file holds several channels or focal planes; an H&E slide has one image in colour",
            path=path,
            remedy="Export one plane as RGB",
        )
    if len(levels) == 1 and not kind:
        levels = _reductions(file, levels[0])
    levels.sort(key=lambda page: -page.imagewidth)
    alone = "tiled TIFF" if levels[0].is_tiled else "TIFF"
    return levels, kind or ("TIFF pyramid" if len(levels) > 1 else alone)


def _check_chain(file: TiffFile, path: Path) -> None:
    """Raise InputError where an image, or the chain of them, leads past the end: it was cut."""
    form, handle = file.tiff, file.filehandle
    for page in file.pages:
        places = zip(page.dataoffsets, page.databytecounts, strict=True)
        if max((offset + length for offset, length in places), default=0) > handle.size:
            raise _damaged(path)
    if file.is_ndpi:
        return  # its offsets are of another form
    handle.seek(file.pages[-1].offset)
    count = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))[0]
    handle.seek(count * form.tagsize, 1)
    follows = struct.unpack(form.offsetformat, handle.read(form.offsetsize))[0]
    if follows:
        raise _damaged(path)


def _depth(series: TiffPageSeries) -> int:
    """How many images a level is made of."""
    return max(1, len([page for page in series.pages if page is not None]))


def _reductions(file: TiffFile, first: TiffPage) -> list[TiffPage]:
    """Pages and sub-images that show the same at a lower resolution.

    Of an ordinary pyramid no page says so but by its size: the same proportions to a pixel's
    rounding, of the same kind. A label or a macro image has others.
    """
    found = [first]
    sizes = {(first.imagewidth, first.imagelength)}
    for page in _every_page(file):
        size = page.imagewidth, page.imagelength
        ratio = first.imagewidth / size[0], first.imagelength / size[1]
        # Each halving may drop a row.
        same = abs(ratio[0] - ratio[1]) <= 1.5 * max(ratio) * (1 / size[0] + 1 / size[1])
        alike = page.samplesperpixel == first.samplesperpixel and page.dtype == first.dtype
        tiled = page.is_tiled or page.is_reduced or not first.is_tiled
        named = any(name in str(page.description).lower() for name in _NO_TISSUE)
        if same and alike and tiled and not named and ratio[0] > 1.01 and size not in sizes:
            found.append(page)
            sizes.add(size)
    return found


def _every_page(file: TiffFile) -> list[TiffPage]:
    found: list[TiffPage] = []
    for page in file.pages:
        whole = page.aspage()
        found.append(whole)
        found.extend(cast("Sequence[TiffPage]", whole.pages or ()))
    return found


def _check(pages: list[TiffPage], path: Path) -> tuple[str, ...]:
    """Raise InputError for what is no picture of stained tissue; else what has to be said."""
    first = pages[0]
    photometric = _photometric(first)
    if photometric in ("SEPARATED", "CIELAB", "CFA"):
        raise InputError(
            "The picture is made for print (CMYK) or in raw colours: they are not the scanner's",
            path=path,
            remedy="Export it as RGB",
        )
    if first.dtype is None or first.dtype.kind != "u" or first.dtype.itemsize > 2:
        raise InputError(
            "The pixels are not whole numbers of 8 or 16 bits", path=path, remedy="Export it as RGB"
        )
    if first.samplesperpixel not in (1, 3, 4) or (
        first.samplesperpixel == 4 and not first.extrasamples
    ):
        raise InputError(
            f"The image has {first.samplesperpixel} channels; an H&E slide has red, green and blue",
            path=path,
            remedy="Export it as RGB",
        )
    for page in pages:
        high, wide = _segment_size(page)
        if high * wide * page.samplesperpixel * first.dtype.itemsize > _MOST_SEGMENT:
            raise InputError(
                f"The image of {page.imagewidth} × {page.imagelength} pixels is stored in one "
                "piece, too large to be read",
                path=path,
                remedy="Save it as a tiled TIFF",
            )
        wanted = -(-page.imagelength // high) * -(-page.imagewidth // wide)
        planes = page.samplesperpixel if int(page.planarconfig) == 2 else 1
        if len(page.dataoffsets) < wanted * planes:
            raise _damaged(path)
    notes = []
    if first.samplesperpixel == 1 and photometric != "PALETTE":
        notes.append(_GREY)
    if first.dtype.itemsize == 2 and photometric != "PALETTE":
        notes.append(f"{_bits(first)} bits were brought to 8 by their full range")
    return tuple(notes)


def _segment_size(page: TiffPage) -> tuple[int, int]:
    """(rows, columns) of a tile or strip."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(int(page.rowsperstrip or page.imagelength), page.imagelength), page.imagewidth


def _photometric(page: TiffPage) -> str:
    """Its name; empty where the number has none."""
    return str(getattr(page.photometric, "name", ""))


def _bits(page: TiffPage) -> int:
    bits = page.bitspersample
    return int(bits if isinstance(bits, int) else bits[0])


def _to_rgb(values: NDArray[Any], page: TiffPage) -> NDArray[np.uint8]:
    if _photometric(page) == "PALETTE" and page.colormap is not None:
        # Its entries are of 16 bits (TIFF 6.0, section 5); some write 256, some 257 times 8 bits.
        palette = (np.asarray(page.colormap).T >> 8).astype(np.uint8)
        return np.ascontiguousarray(palette[values[..., 0]])
    if values.dtype != np.uint8 or _bits(page) != 8:
        values = np.round(values.astype(np.float32) * (255 / (2 ** _bits(page) - 1)))
        values = np.clip(values, 0, 255).astype(np.uint8)
    if _photometric(page) == "MINISWHITE":
        values = 255 - values
    if values.shape[-1] == 4:
        colour, alpha = values[..., :3], values[..., 3:].astype(np.float32) / 255
        if int(page.extrasamples[0]) == _UNSPECIFIED:
            return np.ascontiguousarray(colour)
        # On white, as on the glass that lies under it.
        seen = colour if int(page.extrasamples[0]) == _PREMULTIPLIED else colour * alpha
        return np.clip(np.round(seen + 255 * (1 - alpha)), 0, 255).astype(np.uint8)
    if values.shape[-1] == 1:
        values = np.repeat(values, 3, axis=-1)
    return np.ascontiguousarray(values)


def _ycbcr_to_rgb(tile: NDArray[Any]) -> NDArray[np.uint8]:
    """Aperio's JPEG 2000 of YCbCr (ITU-R BT.601, full range), which no decoder turns into RGB."""
    y, cb, cr = np.moveaxis(tile[..., :3].astype(np.float32), -1, 0)
    cb, cr = cb - 128, cr - 128
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    return np.clip(np.round(rgb), 0, 255).astype(np.uint8)


def _scale(file: TiffFile, page: TiffPage) -> Scale:
    """By the maker's description, else OME, else the resolution where it is a microscope's."""
    if file.is_svs:
        return from_aperio(str(page.description))
    if file.is_ome:
        from tifffile import xml2dict

        images = xml2dict(file.ome_metadata or "").get("OME", {}).get("Image", {})
        # The first image is the slide; label and macro come after it.
        image = images[0] if isinstance(images, list) else images
        found = from_ome(image.get("Pixels", {}))
        if found.mpp:
            return found
    unit = {2: 25400.0, 3: 10000.0}.get(int(page.resolutionunit or 0), 0.0)
    imagej = file.imagej_metadata or {}
    if isinstance(imagej.get("unit"), str):
        unit = micron_unit(imagej["unit"])
    try:
        x, y = page.get_resolution()
    except Exception:  # a damaged or empty tag
        x, y = 0.0, 0.0
    return from_resolution(float(x), float(y), unit, "the resolution of the TIFF")


def _damaged(path: Path) -> InputError:
    return InputError("The slide is damaged or truncated", path=path, remedy=REMEDY)
