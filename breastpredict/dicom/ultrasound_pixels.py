"""One frame of an ultrasound file, or a plain picture, as RGB of 8 bits."""

from __future__ import annotations

import os
import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID

from breastpredict.dicom.bounded import Bounded, read_dataset
from breastpredict.dicom.pixels import FrameSource, frame_by_gdcm
from breastpredict.dicom.scan import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT
from breastpredict.errors import InputError

ULTRASOUND = (
    "1.2.840.10008.5.1.4.1.1.6.1",  # image
    "1.2.840.10008.5.1.4.1.1.3.1",  # multi-frame
    "1.2.840.10008.5.1.4.1.1.6",  # image, retired
    "1.2.840.10008.5.1.4.1.1.3",  # multi-frame, retired
)
"""SOP classes of two-dimensional ultrasound."""

CAPTURES = (
    "1.2.840.10008.5.1.4.1.1.7",
    *(f"1.2.840.10008.5.1.4.1.1.7.{n}" for n in (2, 4)),
)
"""Secondary Capture: of a screen; ultrasound where the modality is US."""

_WHOLE = "Rows Columns SamplesPerPixel BitsAllocated BitsStored PixelRepresentation".split()
_USED = (
    *_WHOLE,
    *"PhotometricInterpretation NumberOfFrames RepresentativeFrameNumber PixelSpacing".split(),
    *"LossyImageCompression Manufacturer ManufacturerModelName TransducerType".split(),
    *"LossyImageCompressionRatio LossyImageCompressionMethod".split(),
    *(
        f"{name}PaletteColorLookupTable{what}"
        for name in ("Red", "Green", "Blue")
        for what in ("Descriptor", "Data")
    ),
)

PICTURES = ("PNG", "JPEG", "TIFF")
_REMEDY = "Send the image again from the scanner or PACS"
_MOST_PIXELS = 1 << 26


@dataclass(frozen=True)
class Picture:
    """What a file shows.

    Attributes:
        rgb: uint8 ``[row, column, RGB]``.
        lossy: whether it was compressed with losses, as far as the file tells.
        notes: what was done to it.
    """

    rgb: NDArray[np.uint8] = field(repr=False)
    lossy: bool = False
    notes: tuple[str, ...] = ()


def is_ultrasound(sop_class_uid: str, modality: str) -> bool:
    """Whether an image of this kind shows two-dimensional ultrasound."""
    return sop_class_uid in ULTRASOUND or (sop_class_uid in CAPTURES and modality == "US")


def read_header(path: Path) -> pydicom.Dataset | None:
    """The header of a DICOM file that shows ultrasound; None where it is no DICOM file.

    Raises:
        InputError: it cannot be read, is damaged, or is DICOM of something else.
    """
    try:
        with Bounded(path) as file:
            if file.read(132)[128:] != b"DICM":
                return None
        data = read_dataset(path, stop_before_pixels=True)
        kind, modality = str(data.get("SOPClassUID", "")), str(data.get("Modality", ""))
        for keyword in _USED:  # decoded now: later it would raise anywhere
            value = data.get(keyword)
            if keyword in _WHOLE and not isinstance(value, int | None):
                raise ValueError(keyword)
        str(data.get("SequenceOfUltrasoundRegions"))
    except OSError as error:
        raise InputError(
            f"The file cannot be read: {error.strerror or error}", path=path
        ) from error
    except Exception as error:  # pydicom raises many kinds on damage
        raise InputError("The header is damaged", path=path, remedy=_REMEDY) from error
    if not is_ultrasound(kind, modality):
        name = UID(kind).name if kind else "no SOP class"
        raise InputError(f"This is no two-dimensional ultrasound image ({name})", path=path)
    return data


def count_of_frames(data: pydicom.Dataset, path: Path) -> int:
    """How many frames a file states.

    Raises:
        InputError: it is no number above 0.
    """
    try:
        count = int(data.get("NumberOfFrames") or 1)
    except (TypeError, ValueError):
        count = 0
    if count < 1:
        raise InputError("The number of frames is not a number above 0", path=path, remedy=_REMEDY)
    return count


def decode(path: Path, data: pydicom.Dataset, frame: int) -> Picture:
    """A frame of a DICOM file.

    Colours of YBR and palettes become RGB. More than 8 bits are brought to 8 by their stated range,
    without any window: what is dark in one image stays dark beside another.

    Args:
        path: the file.
        data: its header.
        frame: from 1.

    Raises:
        InputError: the pixels are missing, truncated, of an unknown coding or cannot be decoded.
    """
    photometric = str(data.get("PhotometricInterpretation", ""))
    syntax = str(data.file_meta.get("TransferSyntaxUID", "")) if "file_meta" in dir(data) else ""
    try:
        rows, columns = int(data.Rows), int(data.Columns)
        samples, bits = int(data.SamplesPerPixel), int(data.BitsStored)
        allocated, signed = int(data.BitsAllocated), bool(data.get("PixelRepresentation"))
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(
            "The header does not describe the pixels", path=path, remedy=_REMEDY
        ) from (error)
    if signed or not 1 <= bits <= 16 or not 0 < rows * columns <= _MOST_PIXELS:
        raise InputError(
            f"Pixels of {bits} bits{', signed,' if signed else ''} in {columns} × {rows} are not "
            "those of an ultrasound image",
            path=path,
        )
    source = FrameSource(
        path, frame - 1, -1, 0, (columns, rows), allocated, signed, 1.0, 0.0, syntax
    )
    # Packed YBR stores two pixels in the room of one and a third (PS3.3 C.7.6.3.1.2).
    packed = 2 / 3 if photometric == "YBR_FULL_422" else 1.0
    _check_whole(source, count_of_frames(data, path), int(samples * packed * allocated // 8))
    array = _stored(source)
    if array.shape != ((rows, columns) if samples == 1 else (rows, columns, samples)):
        raise InputError(
            f"The decoded frame has shape {array.shape}, not {columns} × {rows}",
            path=path,
            remedy=_REMEDY,
        )
    lossy = str(data.get("LossyImageCompression", "")) == "01" or _is_lossy(syntax)
    notes = []
    if photometric == "PALETTE COLOR":
        try:
            array = apply_color_lut(array, data)[..., :3]
        except Exception as error:
            raise InputError("The colour palette is damaged", path=path, remedy=_REMEDY) from error
        # Entries of 16 bits hold 8 in their upper byte (PS3.3 C.7.6.3.1.6).
        array = array >> 8 if array.dtype == np.uint16 else array
    elif samples == 1:
        if photometric not in ("MONOCHROME1", "MONOCHROME2"):
            raise InputError(
                f"The colours cannot be understood ({photometric or 'not stated'})", path=path
            )
        if bits != 8:
            notes.append(f"{bits} bits were brought to 8 by their full range")
            array = np.round(array.astype(np.float64) * (255 / (2**bits - 1)))
        array = 255 - array if photometric == "MONOCHROME1" else array
    elif bits != 8:
        raise InputError(f"Colours of {bits} bits are not those of an ultrasound image", path=path)
    rgb = array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=-1)
    return Picture(np.ascontiguousarray(np.clip(rgb, 0, 255), dtype=np.uint8), lossy, tuple(notes))


def read_picture(path: Path) -> Picture:
    """A PNG, JPEG or TIFF, the first page where it has several.

    Raises:
        InputError: it is none of these, damaged, or larger than a screen can be.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=PICTURES) as image:
                lossy, pages = image.format == "JPEG", getattr(image, "n_frames", 1)
                if image.mode in ("I", "I;16", "I;16B", "F"):
                    return _deep(image, path)
                shown: Image.Image = image
                # What lies under a transparent pixel is not shown to the reader either.
                if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
                    shown = Image.alpha_composite(black, image.convert("RGBA"))
                rgb = np.asarray(shown.convert("RGB"))
    except (
        UnidentifiedImageError,
        Image.DecompressionBombWarning,
        Image.DecompressionBombError,
    ) as error:
        raise InputError(
            "This is neither an ultrasound image in DICOM nor a PNG, JPEG or TIFF picture",
            path=path,
        ) from error
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(
            "The picture cannot be read", path=path, remedy="Export it again"
        ) from error
    notes = (f"the first of {pages} pages",) if pages > 1 else ()
    return Picture(rgb, lossy, notes)


def _deep(image: Image.Image, path: Path) -> Picture:
    values = np.asarray(image, dtype=np.float64)
    top = 65535.0 if image.mode != "F" else max(1.0, float(values.max()))
    if values.min() < 0 or values.max() > top:
        raise InputError("The picture's grey levels are out of range", path=path)
    grey = np.round(values * (255 / top)).astype(np.uint8)
    return Picture(
        np.repeat(grey[..., None], 3, axis=-1), False, ("brought to 8 bits by their range",)
    )


def _check_whole(source: FrameSource, frames: int, bytes_a_pixel: int) -> None:
    """Raise InputError where the file does not hold all the frames that it states.

    A decoder notices this only where the very frame that it is asked for is not there; but a file
    that was cut may have been cut anywhere, and the middle of a sweep is then another frame.
    """
    if source.syntax == DEFLATED:
        return  # read as a whole; pydicom sees what is missing
    with Bounded(source.path) as file:
        try:
            pydicom.dcmread(file, stop_before_pixels=True)
            held = _held(file, source.syntax)
        except (struct.error, OSError):
            held = 0, 0
    columns, rows = source.matrix
    native = source.syntax in (EXPLICIT, IMPLICIT, BIG_ENDIAN)
    if held[0] < frames * rows * columns * bytes_a_pixel if native else held[1] < frames:
        what = "the frame" if frames == 1 else f"all {frames} frames"
        raise InputError(
            f"The pixel data are missing or truncated: the file does not hold {what} of "
            f"{columns} × {rows} pixels",
            path=source.path,
            remedy=_REMEDY,
        )


def _held(file: Bounded, syntax: str) -> tuple[int, int]:
    """Bytes of pixels, or encoded fragments, from where the file stands (PS3.5 7.1, A.4)."""
    end = ">" if syntax == BIG_ENDIAN else "<"
    head = file.read(8 if syntax == IMPLICIT else 12)
    (length,) = struct.unpack(f"{end}I", head[-4:])
    start = file.tell()
    if length != 0xFFFFFFFF:
        return min(length, file.seek(0, os.SEEK_END) - start), 0
    fragments = -1  # the first item is a table of offsets
    while True:
        item = file.read(8)
        if len(item) < 8 or item[:4] != b"\xfe\xff\x00\xe0":
            # What ends without a delimiter was cut within its last fragment.
            return 0, fragments - (item[:4] != b"\xfe\xff\xdd\xe0")
        fragments += 1
        file.seek(struct.unpack("<I", item[4:])[0], os.SEEK_CUR)


def _stored(source: FrameSource) -> NDArray[Any]:
    """By pydicom, else by SimpleITK (GDCM)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if source.syntax == DEFLATED:
                return np.asarray(pixel_array(read_dataset(source.path), index=source.frame))
            with Bounded(source.path) as file:
                return np.asarray(pixel_array(file, index=source.frame))
    except Exception as error:  # the decoders raise many kinds on damage
        return frame_by_gdcm(source, error)


def _is_lossy(syntax: str) -> bool:
    return syntax in {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 81, 91, 203)}
