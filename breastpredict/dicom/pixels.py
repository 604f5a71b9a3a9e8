"""Decoding single frames, and only those that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.pixels.utils import pixel_array

from breastpredict.dicom.itk import quietly
from breastpredict.errors import InputError

_DEFLATED = "1.2.840.10008.1.2.1.99"
_REMEDY = "Send the study again from the scanner or PACS"


@dataclass(frozen=True)
class FrameSource:
    """Where the pixels of one frame lie.

    Attributes:
        path: the file.
        frame: 0-based frame.
        offset: of the file's first pixel where uncompressed little endian, else -1.
        length: of all pixels as the file states it, bytes.
        matrix: (columns, rows).
        bits: allocated a pixel: 8 or 16.
        signed: two's complement.
        slope, intercept: value = stored · slope + intercept (PS3.3 C.11.1).
        syntax: transfer syntax UID.
    """

    path: Path
    frame: int
    offset: int
    length: int
    matrix: tuple[int, int]
    bits: int
    signed: bool
    slope: float
    intercept: float
    syntax: str


def read_frames(sources: Sequence[FrameSource]) -> NDArray[np.float32]:
    """The frames as ``[k, j, i]`` float32, rescale applied.

    Raises:
        InputError: pixels are missing, truncated or cannot be decoded; names the file.
    """
    out = np.empty((len(sources), *sources[0].matrix[::-1]), np.float32)
    for k, source in enumerate(sources):
        stored = _stored(source)
        out[k] = stored
        if source.slope != 1.0 or source.intercept != 0.0:
            # In double precision: a slope in single precision would shift large values.
            out[k] = stored.astype(np.float64) * source.slope + source.intercept
    return out


def _stored(source: FrameSource) -> NDArray[Any]:
    columns, rows = source.matrix
    if source.offset < 0 or source.bits not in (8, 16):
        return _decoded(source)
    kind = f"<{'i' if source.signed else 'u'}{source.bits // 8}"
    size = rows * columns * source.bits // 8
    start = source.frame * size
    if start + size > source.length:
        raise InputError("The pixel data are truncated", path=source.path, remedy=_REMEDY)
    with open(source.path, "rb") as file:
        file.seek(source.offset + start)
        raw = file.read(size)
    if len(raw) < size:
        raise InputError("The pixel data are truncated", path=source.path, remedy=_REMEDY)
    return np.frombuffer(raw, kind).reshape(rows, columns)


def _decoded(source: FrameSource) -> NDArray[Any]:
    """Compressed, big-endian or otherwise unusual pixels, by pydicom, else by SimpleITK (GDCM)."""
    try:
        # Given a path, pydicom seeks in the file, which it cannot where all of it is deflated.
        whole = pydicom.dcmread(source.path) if source.syntax == _DEFLATED else source.path
        array = np.asarray(pixel_array(whole, index=source.frame, raw=True))
    except Exception as error:  # the decoders raise many kinds on damage
        array = _by_gdcm(source, error)
    if array.shape != source.matrix[::-1]:
        raise InputError(
            f"The decoded slice has shape {array.shape}, not {source.matrix[::-1]}",
            path=source.path,
            remedy=_REMEDY,
        )
    return array


def _by_gdcm(source: FrameSource, first: Exception) -> NDArray[Any]:
    name = pydicom.uid.UID(source.syntax).name
    failure = InputError(
        f"The pixel data cannot be decoded ({name})",
        path=source.path,
        remedy="The file is damaged, or convert it to an uncompressed transfer syntax",
    )
    if not pydicom.uid.UID(source.syntax).is_compressed:
        raise failure from first
    try:
        with quietly():
            image = sitk.ReadImage(str(source.path))
    except RuntimeError as error:
        raise failure from error
    values = sitk.GetArrayFromImage(image)[source.frame].astype(np.float64)
    return np.asarray(np.round((values - source.intercept) / source.slope))  # GDCM rescales
