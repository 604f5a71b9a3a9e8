"""Opening a slide of any kind."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from breastpredict.errors import InputError
from breastpredict.pathology.dicom_slide import open_dicom
from breastpredict.pathology.openslide_file import SUFFIXES, OpenSlideSlide
from breastpredict.pathology.picture import PictureSlide
from breastpredict.pathology.slide import Slide, need
from breastpredict.pathology.tiff import TiffSlide, UnsupportedTiff

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


def open_slide(path: str | os.PathLike[str], *, mpp: float | None = None) -> Slide:
    """Open a slide or a picture cut from one; nothing is decoded of a pyramid yet.

    By content: DICOM (a folder or one file of the pyramid) by wsidicom; SVS, OME and other TIFF by
    tifffile; PNG and JPEG by Pillow; what is left by OpenSlide where it is installed. Label, macro
    and overview images are never opened.

    Args:
        path: the file, or the folder of a DICOM slide.
        mpp: microns per pixel of the largest image, where the file tells none or a wrong one.

    Raises:
        InputError: no such file, damaged, of an unknown kind, no bright-field image in one plane
            (several channels, focal planes, fluorescence), or ``mpp`` out of range.
    """
    where = Path(path)
    if where.is_dir():
        return open_dicom(where, mpp)
    kind = kind_of(where)
    if where.suffix.lower() in SUFFIXES:
        return OpenSlideSlide(where, mpp)
    if kind == "DICOM":
        return open_dicom(where, mpp)
    if kind == "TIFF":
        need("tifffile", where)
        try:
            return TiffSlide(where, mpp)
        except UnsupportedTiff:
            if importlib.util.find_spec("openslide") is None:
                raise
            return OpenSlideSlide(where, mpp)
    if kind == "picture":
        return PictureSlide(where, mpp)
    raise InputError(
        "This is neither a slide (DICOM, SVS or another TIFF pyramid) nor a PNG or JPEG picture",
        path=where,
    )


def kind_of(path: Path) -> str:
    """ "DICOM", "TIFF", "picture" or empty, by the first bytes.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(132)
    except OSError as error:
        raise InputError(
            "There is no such file"
            if isinstance(error, FileNotFoundError)
            else f"The file cannot be read: {error.strerror}",
            path=path,
        ) from error
    if head[128:] == b"DICM":
        return "DICOM"
    if head[:4] in _TIFF:
        return "TIFF"
    return "picture" if head.startswith((_PNG, _JPEG)) else ""
