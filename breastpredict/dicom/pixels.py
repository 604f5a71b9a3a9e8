"""Decoding single frames, and only those that are asked for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.utils import pixel_array
from pydicom.uid import MRImageStorage

from breastpredict.dicom.bounded import Bounded, read_dataset
from breastpredict.dicom.frames import Frame
from breastpredict.dicom.itk import quietly
from breastpredict.dicom.scan import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT
from breastpredict.errors import InputError

_REMEDY = "Send the study again from the scanner or PACS"

_OF_GDCM = (
    *(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81, 90, 91)),
    "1.2.840.10008.1.2.5",
)
"""JPEG (baseline, extended, lossless), JPEG-LS, JPEG 2000, RLE: what the GDCM in SimpleITK decodes,
whichever plugins pydicom has."""

_PIXEL_MODULE = (
    "SamplesPerPixel PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit "
    "PixelRepresentation PlanarConfiguration"
).split()


@dataclass(frozen=True, slots=True)
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


def source_of(frame: Frame) -> FrameSource:
    """Where the pixels of a frame lie."""
    header = frame.header
    return FrameSource(
        header.path,
        (frame.number or 1) - 1,
        header.pixel_offset,
        header.pixel_length,
        frame.matrix,
        int(header.number("BitsAllocated") or 16),
        header.number("PixelRepresentation") == 1,
        *frame.rescale,
        header.text("TransferSyntaxUID"),
    )


def read_frames(sources: Sequence[FrameSource]) -> NDArray[np.float32]:
    """The frames as ``[k, j, i]`` float32, rescale applied.

    Raises:
        InputError: pixels are missing, truncated or cannot be decoded; names the file.
    """
    out: NDArray[np.float32] | None = None
    for k, source in enumerate(sources):
        stored = _stored(source)
        if out is None:  # not before a slice of this size was there: headers may state any
            out = np.empty((len(sources), *stored.shape), np.float32)
        out[k] = stored
        if source.slope != 1.0 or source.intercept != 0.0:
            # In double precision: a slope in single precision would shift large values.
            out[k] = stored.astype(np.float64) * source.slope + source.intercept
    assert out is not None
    return out


def _stored(source: FrameSource) -> NDArray[Any]:
    columns, rows = source.matrix
    if source.offset < 0 or source.bits not in (8, 16):
        return _decoded(source)
    kind = f"<{'i' if source.signed else 'u'}{source.bits // 8}"
    size = rows * columns * source.bits // 8
    start = source.frame * size
    truncated = InputError("The pixel data are truncated", path=source.path, remedy=_REMEDY)
    if start + size > source.length:
        raise truncated
    with open(source.path, "rb") as file:
        # Asked before anything is made room for: headers may state any size.
        if file.seek(0, os.SEEK_END) < source.offset + start + size:
            raise truncated
        file.seek(source.offset + start)
        raw = file.read(size)
    return np.frombuffer(raw, kind).reshape(rows, columns)


def _decoded(source: FrameSource) -> NDArray[Any]:
    """Compressed, big-endian or otherwise unusual pixels, by pydicom, else by SimpleITK (GDCM)."""
    try:
        if source.syntax == DEFLATED:
            # pydicom seeks the pixels in the file, which it cannot where all of it is deflated.
            array = np.asarray(_pixels_of(read_dataset(source.path), source))
        else:
            with Bounded(source.path) as file:
                array = np.asarray(_pixels_of(file, source))
    except Exception as error:  # the decoders raise many kinds on damage
        array = frame_by_gdcm(source, error)
    if array.shape != source.matrix[::-1]:
        raise InputError(
            f"The decoded slice has shape {array.shape}, not {source.matrix[::-1]}",
            path=source.path,
            remedy=_REMEDY,
        )
    return array


def _pixels_of(whole: pydicom.Dataset | BinaryIO, source: FrameSource) -> NDArray[Any]:
    return pixel_array(whole, index=source.frame, raw=True)


def frame_by_gdcm(source: FrameSource, first: Exception) -> NDArray[Any]:
    """One frame, put into a file of its own: GDCM would decode all of them.

    Args:
        source: the frame.
        first: why pydicom could not decode it.

    Raises:
        InputError: nothing can, or the pixels are missing.
    """
    name = pydicom.uid.UID(source.syntax).name or "no transfer syntax"
    failure = InputError(
        f"The pixel data cannot be decoded ({name})",
        path=source.path,
        remedy="The file is damaged, or convert it to an uncompressed transfer syntax",
    )
    try:
        with Bounded(source.path) as file:
            alone = _frame_alone(file, source)
    except Exception as error:
        raise failure from error
    if alone is None:
        raise InputError("The tag PixelData is missing", path=source.path, remedy=_REMEDY)
    if source.syntax in (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED):
        raise failure from first
    if source.syntax not in _OF_GDCM:
        raise InputError(
            f"There is no decoder for the transfer syntax {name} ({source.syntax})",
            path=source.path,
            remedy="Send it uncompressed from the PACS, or convert it",
        )
    with tempfile.TemporaryDirectory(prefix="breastpredict-") as folder:
        path = Path(folder) / "frame.dcm"
        try:
            alone.save_as(path, enforce_file_format=True)
            with quietly():
                image = sitk.ReadImage(str(path))
        except Exception as error:
            raise failure from error
    return np.asarray(sitk.GetArrayFromImage(image).squeeze())


def _frame_alone(file: BinaryIO, source: FrameSource) -> pydicom.Dataset | None:
    """A single-frame object that holds the encoded frame, without rescale; None without pixels."""
    data = pydicom.dcmread(file, stop_before_pixels=True)
    if source.syntax not in _OF_GDCM:
        return data if "PixelData" in read_dataset(source.path) else None
    # The file stands at the pixels now: tag, VR, two bytes, and the undefined length.
    if file.read(12) != b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff":
        return None
    count = int(data.get("NumberOfFrames", 1) or 1)
    encoded = get_frame(file, source.frame, number_of_frames=count)
    alone = pydicom.Dataset()
    for keyword in _PIXEL_MODULE:
        if keyword in data:
            alone[keyword] = data[keyword]
    if alone.get("PhotometricInterpretation") == "PALETTE COLOR":
        alone.PhotometricInterpretation = "MONOCHROME2"  # the stored numbers, as pydicom gives them
    alone.SOPClassUID, alone.SOPInstanceUID = MRImageStorage, "2.25.1"
    alone.file_meta = FileMetaDataset()
    alone.file_meta.TransferSyntaxUID = pydicom.uid.UID(source.syntax)
    alone.PixelData = encapsulate([encoded])
    return alone
