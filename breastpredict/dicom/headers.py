"""Reading the headers of DICOM files without their pixels, fast.

Indexing a folder needs some thirty values a file. Files in explicit or implicit VR little endian
(PS3.5 A.1, A.2) with classic MR images are scanned here: elements are stepped over by their length
and only the wanted ones are decoded. Everything else (Enhanced multi-frame, big endian, deflated,
sequences of undefined length inside private data, damage) goes through pydicom, which is slower and
knows all of it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.errors import InvalidDicomError

from breastpredict.errors import InputError

KEYWORDS = (
    "TransferSyntaxUID ImageType SOPClassUID SOPInstanceUID StudyDate SeriesDate AcquisitionDate "
    "ContentDate AcquisitionDateTime StudyTime SeriesTime AcquisitionTime ContentTime Modality "
    "Manufacturer StudyDescription SeriesDescription PatientName PatientID BodyPartExamined "
    "ScanningSequence ContrastBolusAgent SliceThickness RepetitionTime EchoTime FlipAngle "
    "ContrastBolusStartTime TriggerTime AcquisitionDuration DiffusionBValue StudyInstanceUID "
    "SeriesInstanceUID SeriesNumber AcquisitionNumber InstanceNumber ImagePositionPatient "
    "ImageOrientationPatient FrameOfReferenceUID Laterality ImageLaterality "
    "TemporalPositionIdentifier NumberOfTemporalPositions TemporalPositionIndex SamplesPerPixel "
    "NumberOfFrames Rows Columns PixelSpacing BitsAllocated PixelRepresentation RescaleIntercept "
    "RescaleSlope"
).split()
"""What indexing asks of a header."""

PRIVATE: dict[str, tuple[int, int, str, str]] = {
    # name: group, element, VR, how the name of its creator starts
    "GEAcquisitionDuration": (0x0019, 0x105A, "FL", "GEMS_ACQU_01"),  # µs, of the whole series
    "PhilipsImageTypeMR": (0x2005, 0x1011, "CS", "Philips MR Imaging DD"),
    "PhilipsDynamicScanBegin": (0x2005, 0x10A0, "FL", "Philips MR Imaging DD"),  # s from the first
    "PhilipsLabelType": (0x2005, 0x1429, "CS", "Philips MR Imaging DD"),  # label or control
}
"""Private attributes that vendors tell phases by (dcm2niix and the vendors' conformance statements
agree on them). They count only where their creator stands in its place (PS3.5 7.8.1)."""

_PRIVATE = {(group, element): name for name, (group, element, _, _) in PRIVATE.items()}
_CREATORS = {
    (group, element >> 8): f"Creator{group:04X}{element >> 8:02X}" for group, element in _PRIVATE
}
_WANTED: dict[tuple[int, int], str] = {
    **{(tag >> 16, tag & 0xFFFF): k for k in KEYWORDS if (tag := tag_for_keyword(k)) is not None},
    **_PRIVATE,
    **_CREATORS,
}
_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_VRS = {
    **{pair: dictionary_VR(pair[0] << 16 | pair[1]) for pair in _WANTED if pair[0] % 2 == 0},
    **{(group, element): vr for group, element, vr, _ in PRIVATE.values()},
    **dict.fromkeys(_CREATORS, "LO"),
}
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_EXPLICIT, _IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
_HEAD = 16384
_DEFLATED = "1.2.840.10008.1.2.1.99"
_LAST = (0x7FE0, 0x0010)
MR_CLASSIC = "1.2.840.10008.5.1.4.1.1.4"
MR_ENHANCED = ("1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4")


@dataclass(frozen=True)
class Header:
    """What indexing needs of one file.

    Attributes:
        path: the file.
        values: keyword → text (several values joined by a backslash), stripped.
        pixel_offset: where uncompressed little-endian pixels start; -1 where they must be decoded.
        pixel_length: their length in bytes, as the file states it.
        dataset: the whole header where pydicom read it (Enhanced MR), else None.
    """

    path: Path
    values: dict[str, str]
    pixel_offset: int = -1
    pixel_length: int = 0
    dataset: pydicom.Dataset | None = field(default=None, compare=False, repr=False)

    def text(self, keyword: str) -> str:
        """The value, empty when absent."""
        return self.values.get(keyword, "")

    def private(self, name: str) -> str:
        """A private value (see `PRIVATE`), empty when absent or of another creator."""
        group, element, _, creator = PRIVATE[name]
        owner = self.text(f"Creator{group:04X}{element >> 8:02X}")
        return self.text(name) if owner.upper().startswith(creator.upper()) else ""

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """The values as finite numbers; empty when absent or not numbers."""
        text = self.values.get(keyword, "")
        if not text:
            return ()
        try:
            out = tuple(float(part) for part in text.split("\\"))
        except ValueError:
            return ()
        return out if all(abs(x) < 1e12 for x in out) else ()

    def number(self, keyword: str) -> float | None:
        """The first value as a number, None when absent."""
        values = self.numbers(keyword)
        return values[0] if values else None


class _Unusual(Exception):
    """The scanner leaves this file to pydicom."""


def read_header(path: Path) -> Header | None:
    """The header of one file; None when it is no DICOM file.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        header = _scan(path)
        if header is None or header.text("SOPClassUID") == MR_CLASSIC:
            return header
        if header.text("SOPClassUID") not in MR_ENHANCED:
            return header
    except (_Unusual, struct.error, UnicodeDecodeError):
        pass
    return _by_pydicom(path)


def read_headers(paths: Sequence[Path], workers: int = 4) -> list[Header | None]:
    """The headers of many files, in their order. Threads: most of the time is spent waiting.

    Raises:
        InputError: a file cannot be read. It may be a phase: passing over it would be a guess.
    """

    def one(path: Path) -> Header | None:
        try:
            return read_header(path)
        except OSError as error:
            raise unreadable(error, path) from error

    if len(paths) < 64:
        return [one(path) for path in paths]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(one, paths, chunksize=32))


def unreadable(error: OSError, path: Path) -> InputError:
    """What is said of a file or folder that the system does not let us read."""
    return InputError(f"It cannot be read ({error.strerror or type(error).__name__})", path=path)


def _scan(path: Path) -> Header | None:
    """The wanted elements of a little-endian file.

    Raises:
        _Unusual: the file is DICOM, perhaps, but not of the kind that is scanned here.
    """
    with open(path, "rb", buffering=0) as file:
        data = file.read(_HEAD)
        if data[128:132] != b"DICM":
            # Files without preamble exist; only what looks like a data set goes to pydicom.
            if len(data) > 8 and data[:2] in (b"\x02\x00", b"\x08\x00") and data[3] == 0:
                raise _Unusual
            return None
        values: dict[str, str] = {}
        base, position, explicit, meta = 0, 132, True, True
        while True:
            if position + 12 > base + len(data):
                file.seek(position)
                base, data = position, file.read(_HEAD)
                if len(data) < 8:
                    return Header(path, values)
            at = position - base
            group, element = struct.unpack_from("<HH", data, at)
            if meta and group != 2:
                meta = False
                syntax = values.get("TransferSyntaxUID", "")
                if syntax == _DEFLATED or syntax == "1.2.840.10008.1.2.2":
                    raise _Unusual
                explicit = syntax != _IMPLICIT
            vr = b""
            if explicit:
                vr = data[at + 4 : at + 6]
                if vr in _LONG:
                    if at + 12 > len(data):
                        raise _Unusual
                    length, start = struct.unpack_from("<I", data, at + 8)[0], position + 12
                elif vr.isalpha() and vr.isupper():
                    length, start = struct.unpack_from("<H", data, at + 6)[0], position + 8
                else:
                    raise _Unusual
            else:
                length, start = struct.unpack_from("<I", data, at + 4)[0], position + 8
            pair = (group, element)
            if pair >= _LAST:
                plain = values.get("TransferSyntaxUID") in (_EXPLICIT, _IMPLICIT)
                if pair == _LAST and plain and length != 0xFFFFFFFF:
                    return Header(path, values, start, length)
                return Header(path, values)
            if length == 0xFFFFFFFF:
                start, length = _sequence_end(file, start, explicit), 0
                base, data = start, b""  # the file pointer moved: read on from there
            keyword = _WANTED.get(pair)
            if keyword is not None and length:
                if length > 4096:
                    raise _Unusual
                raw = data[start - base : start - base + length]
                if len(raw) < length:
                    file.seek(start)
                    raw = file.read(length)
                stated = vr.decode() if explicit else "UN"
                values[keyword] = _decode(raw, _VRS[pair] if stated == "UN" else stated)
            position = start + length


def _sequence_end(file: Any, start: int, explicit: bool) -> int:
    """The first byte after a sequence of undefined length that begins at ``start`` (PS3.5 7.5)."""
    file.seek(start)
    data = file.read(1 << 20)
    position, depth = 0, 1
    # One entry a level: whether it is a sequence (its parts are items) or an item.
    inside = ["sequence"]
    while depth:
        if position + 12 > len(data):
            raise _Unusual
        group, element, length = struct.unpack_from("<HHI", data, position)
        if group == 0xFFFE:
            position += 8
            if element in (0xE0DD, 0xE00D):
                inside.pop()
                depth -= 1
            elif element == 0xE000:
                if length == 0xFFFFFFFF:
                    inside.append("item")
                    depth += 1
                else:
                    position += length
            continue
        if inside[-1] != "item":
            raise _Unusual
        if explicit:
            vr = data[position + 4 : position + 6]
            if vr in _LONG:
                length = struct.unpack_from("<I", data, position + 8)[0]
                position += 12
            else:
                length = struct.unpack_from("<H", data, position + 6)[0]
                position += 8
        else:
            position += 8
        if length == 0xFFFFFFFF:
            inside.append("sequence")
            depth += 1
        else:
            position += length
    return start + position


def _decode(raw: bytes, vr: str) -> str:
    if vr in _NUMBERS:
        code = _NUMBERS[vr]
        count = len(raw) // struct.calcsize(code)
        return "\\".join(
            str(x) for x in struct.unpack(f"<{count}{code}", raw[: count * struct.calcsize(code)])
        )
    return "\\".join(part.strip(" \0\r\n\t") for part in raw.decode("latin-1").split("\\"))


def _by_pydicom(path: Path) -> Header | None:
    """The same through pydicom."""
    try:
        data = pydicom.dcmread(path, stop_before_pixels=True, force=False)
    except InvalidDicomError:
        return None
    except Exception:  # pydicom raises many kinds on damage; the file is then no DICOM to us
        return None
    values: dict[str, str] = {}
    try:
        for pair in _WANTED:
            source = data.file_meta if pair[0] == 2 else data
            if pair not in source:
                continue
            value = source[pair].value
            if value is None:
                continue
            if isinstance(value, bytes):  # written as UN
                values[_WANTED[pair]] = _decode(value, _VRS[pair])
                continue
            parts = value if isinstance(value, (list, pydicom.multival.MultiValue)) else [value]
            values[_WANTED[pair]] = "\\".join(str(part).strip(" \0\r\n\t") for part in parts)
        if start := _injection_of_enhanced(data):
            values.setdefault("ContrastBolusStartTime", start)
    except Exception:  # a damaged value found while converting
        return None
    return Header(path, values, dataset=data)


def _injection_of_enhanced(data: pydicom.Dataset) -> str:
    """When the first agent was given: Enhanced files nest it (PS3.3 C.7.6.4b)."""
    starts = [
        str(profile.get("ContrastBolusStartTime", "") or "")
        for agent in data.get("ContrastBolusAgentSequence", None) or ()
        for profile in agent.get("ContrastAdministrationProfileSequence", None) or ()
    ]
    return min((start for start in starts if start), default="")
