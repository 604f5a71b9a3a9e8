"""The frames of a segmentation, one at a time, and only those that are asked for.

pydicom decodes most; what it leaves to others, or decodes as bytes only, is decoded here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import get_frame
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import RLELossless

from breastpredict.errors import InputError

_DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"  # PS3.5 8.2.16


def decoded_frames(
    data: pydicom.Dataset, wanted: Sequence[int], path: Path
) -> Iterator[NDArray[Any]]:
    """The frames asked for, [rows, columns] each.

    Raises:
        InputError: they are truncated or cannot be decoded.
    """
    rows, columns = int(data.Rows), int(data.Columns)
    syntax = data.file_meta.TransferSyntaxUID
    try:
        one_bit = int(data.BitsAllocated) == 1
        if syntax == _DEFLATED_FRAMES:
            yield from (_inflated(data, n, rows, columns) for n in wanted)
            return
        if one_bit and syntax == RLELossless:
            yield from (_run_lengths(data, n, rows, columns) for n in wanted)
            return
        if one_bit and not syntax.is_encapsulated:
            pixels = data.PixelData
            if not syntax.is_little_endian and data["PixelData"].VR == "OW":
                pixels = np.frombuffer(pixels, np.uint16).byteswap().tobytes()
            yield from (_unpacked(pixels, n, rows, columns) for n in wanted)
            return
        for frame in iter_pixels(data, indices=list(wanted), raw=True):
            if frame.shape != (rows, columns):
                raise ValueError("more than one value a pixel")
            yield np.asarray(frame)
    except Exception as error:  # the decoders raise many kinds on damage
        raise InputError(
            f"The pixels of the segmentation are truncated or cannot be decoded ({syntax.name})",
            path=path,
        ) from error


def _inflated(data: pydicom.Dataset, frame: int, rows: int, columns: int) -> NDArray[Any]:
    """A frame deflated by itself, which pydicom leaves to others."""
    bits = int(data.BitsAllocated)
    size = (rows * columns * bits + 7) // 8
    packed = get_frame(data.PixelData, frame, number_of_frames=int(data.NumberOfFrames))
    pixels = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size)
    if bits == 1:
        return _unpacked(pixels, 0, rows, columns)
    return np.frombuffer(pixels, f"<u{bits // 8}").reshape(rows, columns)


def _run_lengths(data: pydicom.Dataset, frame: int, rows: int, columns: int) -> NDArray[np.uint8]:
    """A frame of bits, eight to a byte, in run lengths (PS3.5 G); pydicom decodes bytes only."""
    packed = get_frame(data.PixelData, frame, number_of_frames=int(data.NumberOfFrames))
    segments, at = struct.unpack_from("<II", packed)
    if segments != 1:
        raise ValueError("more than one segment")
    size = (rows * columns + 7) // 8
    out = bytearray()
    while len(out) < size:
        count = packed[at]
        if count < 128:
            out += packed[at + 1 : at + 2 + count]
            at += 2 + count
        else:
            out += packed[at + 1 : at + 2] * ((257 - count) % 129)  # 128 says nothing
            at += 2 if count > 128 else 1
    return _unpacked(bytes(out), 0, rows, columns)


def _unpacked(pixels: bytes, frame: int, rows: int, columns: int) -> NDArray[np.uint8]:
    """A frame of bits: frames follow each other without padding to bytes (PS3.5 8.1.1, D)."""
    count = rows * columns
    first, offset = divmod(frame * count, 8)
    raw = np.frombuffer(pixels, np.uint8)[first : first + (offset + count + 7) // 8]
    bits = np.unpackbits(raw, bitorder="little")[offset : offset + count]
    if bits.size != count:
        raise ValueError("truncated")
    return bits.reshape(rows, columns)
