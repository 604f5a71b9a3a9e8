"""The values that indexing needs of a DICOM file, read without a data set, fast.

Files in explicit or implicit VR little endian (PS3.5 A.1, A.2) are stepped through by the lengths
of their elements, and only the wanted ones are decoded. What is built otherwise (big endian,
deflated, damaged) is left to pydicom, which is slower and knows all of it.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern
from typing import BinaryIO

from pydicom.datadict import dictionary_VR, tag_for_keyword

KEYWORDS = (
    "TransferSyntaxUID ImageType SOPClassUID SOPInstanceUID StudyDate SeriesDate AcquisitionDate "
    "ContentDate AcquisitionDateTime StudyTime SeriesTime AcquisitionTime ContentTime Modality "
    "Manufacturer StudyDescription SeriesDescription ComplexImageComponent PatientName PatientID "
    "BodyPartExamined ScanningSequence ContrastBolusAgent SliceThickness RepetitionTime EchoTime "
    "FlipAngle ContrastBolusStartTime TriggerTime AcquisitionDuration DiffusionBValue "
    "ContrastBolusAgentPhase StudyInstanceUID SeriesInstanceUID SeriesNumber AcquisitionNumber "
    "InstanceNumber ImagePositionPatient ImageOrientationPatient FrameOfReferenceUID Laterality "
    "ImageLaterality TemporalPositionIdentifier NumberOfTemporalPositions TemporalPositionIndex "
    "TemporalPositionTimeOffset SamplesPerPixel NumberOfFrames Rows Columns PixelSpacing "
    "BitsAllocated PixelRepresentation RescaleIntercept RescaleSlope"
).split()
"""What indexing asks of a header."""

PRIVATE: dict[str, tuple[int, int, str, str]] = {
    # name: group, element within its block, VR, creator
    "SiemensImagesInMosaic": (0x0019, 0x0A, "US", "SIEMENS MR HEADER"),
    "GEAcquisitionDuration": (0x0019, 0x5A, "FL", "GEMS_ACQU_01"),  # µs, of the whole series
    "GEImageComponent": (0x0043, 0x2F, "SS", "GEMS_PARM_01"),  # magnitude, phase, real, imaginary
    "PhilipsImageTypeMR": (0x2005, 0x11, "CS", "Philips MR Imaging DD 001"),
    "PhilipsDynamicScanBegin": (0x2005, 0xA0, "FL", "Philips MR Imaging DD 001"),  # s from first
    "PhilipsLabelType": (0x2005, 0x29, "CS", "Philips MR Imaging DD 005"),  # label or control
}
"""Private attributes that vendors tell images apart by (dcm2niix and the vendors' conformance
statements agree on them). Their block may stand anywhere in its group: its creator says where, and
without it they mean nothing (PS3.5 7.8.1)."""

META_CLASS = "MediaStorageSOPClassUID"
ENHANCED_MR = ("1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4")

SEQUENCES = (
    "ContrastBolusAgentSequence DimensionIndexSequence SharedFunctionalGroupsSequence "
    "PerFrameFunctionalGroupsSequence"
).split()
"""What indexing asks of an Enhanced header besides."""

WANTED: dict[tuple[int, int], str] = {
    (tag >> 16, tag & 0xFFFF): keyword
    for keyword in (META_CLASS, *KEYWORDS)
    if (tag := tag_for_keyword(keyword)) is not None
}
_SEQUENCES: dict[tuple[int, int], str] = {
    (tag >> 16, tag & 0xFFFF): keyword
    for keyword in SEQUENCES
    if (tag := tag_for_keyword(keyword)) is not None
}
_VRS = {pair: dictionary_VR(pair[0] << 16 | pair[1]) for pair in WANTED}
_PRIVATE = {(g, e, creator.upper()): (name, vr) for name, (g, e, vr, creator) in PRIVATE.items()}
PRIVATE_GROUPS = frozenset(group for group, _, _, _ in PRIVATE.values())

_NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
LONG_VRS = {
    b"OB",
    b"OD",
    b"OF",
    b"OL",
    b"OV",
    b"OW",
    b"SQ",
    b"SV",
    b"UC",
    b"UN",
    b"UR",
    b"UT",
    b"UV",
}
EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
_FIRST_GROUPS = (b"\x02\x00", b"\x08\x00")
_HEAD = 16384
_CHUNK = 1 << 20
_SEQUENCE = 1 << 26  # bytes; a longer one is left to pydicom
_PIXELS = (0x7FE0, 0x0010)
UNDEFINED = 0xFFFFFFFF
_TRIMMED = " \0\r\n\t"


class Unusual(Exception):
    """The file is DICOM, perhaps, but not of the kind that is scanned here."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """What was found.

    Attributes:
        values: keyword → text (several values joined by a backslash), stripped.
        pixel_offset: where uncompressed little-endian pixels start; -1 where they must be decoded.
        pixel_length: their length in bytes, as the file states it.
        end: where the elements end: "pixels", "file" (there are none) or "cut" (the file ends
            within an element).
        sequences: of Enhanced MR, what holds its frames: keyword → bytes.
        explicit: elements name their VR.
    """

    values: dict[str, str]
    pixel_offset: int = -1
    pixel_length: int = 0
    end: str = "pixels"
    sequences: dict[str, bytes] = field(default_factory=dict)
    explicit: bool = True


def scan(path: Path) -> Scanned | None:
    """The wanted values of a little-endian file; None when it is no DICOM file.

    Raises:
        Unusual, struct.error, UnicodeDecodeError: the file is not of the kind that is scanned here.
        OSError: it cannot be read.
    """
    with open(path, "rb", buffering=0) as file:
        data = file.read(_HEAD)
        start = start_of(data)
        if start is None:
            return None
        found = _scan(file, data, start)
    # Without preamble, whatever holds no SOP class only looked like DICOM.
    named = "SOPClassUID" in found.values or META_CLASS in found.values
    return found if start or named else None


def start_of(data: bytes) -> int | None:
    """Where the elements of a file begin, from its first bytes; None when it is no DICOM file.

    Files without preamble exist: they begin with a group of the file meta information or with the
    identifying group, and a short element.
    """
    if data[128:132] == b"DICM":
        return 132 if len(data) < 134 or data[132:134] in _FIRST_GROUPS else None
    if len(data) > 132 and data[:2] in _FIRST_GROUPS and data[3] == 0:
        return 0
    return None


def _scan(file: BinaryIO, data: bytes, position: int) -> Scanned:
    values: dict[str, str] = {}
    sequences: dict[str, bytes] = {}
    creators: dict[tuple[int, int], str] = {}
    base, explicit, meta = 0, True, True
    while True:
        if position + 12 > base + len(data):
            file.seek(position)
            base, data = position, file.read(_HEAD)
            if len(data) < 8:
                size = file.seek(0, os.SEEK_END)
                return Scanned(values, end="file" if position == size else "cut")
        at = position - base
        group, element = struct.unpack_from("<HH", data, at)
        if meta and group != 2:
            meta = False
            explicit = _is_explicit(values, data[at + 4 : at + 6])
        if explicit:
            vr = data[at + 4 : at + 6]
            if vr in LONG_VRS:
                if at + 12 > len(data):
                    raise Unusual
                length, start = struct.unpack_from("<I", data, at + 8)[0], position + 12
            elif vr.isalpha() and vr.isupper():
                length, start = struct.unpack_from("<H", data, at + 6)[0], position + 8
            else:
                raise Unusual
        else:
            vr = b"UN"
            length, start = struct.unpack_from("<I", data, at + 4)[0], position + 8
        pair = (group, element)
        if pair >= _PIXELS:
            plain = values.get("TransferSyntaxUID") in (EXPLICIT, IMPLICIT)
            if pair == _PIXELS and plain and length != UNDEFINED:
                return Scanned(values, start, length, sequences=sequences, explicit=explicit)
            return Scanned(values, sequences=sequences, explicit=explicit)
        if pair in _SEQUENCES and values.get("SOPClassUID") in ENHANCED_MR:
            if length == UNDEFINED:
                end, raw = _sequence_end(file, start, explicit)
            elif length > _SEQUENCE:
                raise Unusual
            else:
                file.seek(start)
                end, raw = start + length, file.read(length)
                if len(raw) < length:
                    return Scanned(values, end="cut")
            sequences[_SEQUENCES[pair]] = raw
            start, length, base, data = end, 0, end, b""
        elif length == UNDEFINED:
            start, length = _sequence_end(file, start, explicit)[0], 0
            base, data = start, b""  # the file pointer moved: read on from there
        name, stated = WANTED.get(pair), ""
        if name is not None:
            stated = _VRS[pair]
        elif group in PRIVATE_GROUPS:
            if 0x10 <= element <= 0xFF:
                name, stated = "creator", "LO"
            elif owner := creators.get((group, element >> 8)):
                name, stated = _PRIVATE.get((group, element & 0xFF, owner), (None, ""))
        if name is not None and length:
            if length > 4096:
                raise Unusual
            raw = data[start - base : start - base + length]
            if len(raw) < length:
                file.seek(start)
                raw = file.read(length)
                if len(raw) < length:
                    return Scanned(values, end="cut")
            text = decode(raw, stated if vr == b"UN" else vr.decode())
            if name == "creator":
                creators[pair] = text.upper()
            else:
                values[name] = intern(text)  # slices share most of their values
        position = start + length


def _is_explicit(values: dict[str, str], vr: bytes) -> bool:
    """Whether elements after the meta information name their VR; notes the syntax if it is absent.

    Raises:
        Unusual: the transfer syntax is not little endian.
    """
    syntax = values.get("TransferSyntaxUID", "")
    if syntax in (DEFLATED, BIG_ENDIAN):
        raise Unusual
    if not syntax:  # without meta information the first element shows it
        syntax = EXPLICIT if vr.isalpha() and vr.isupper() else IMPLICIT
        values["TransferSyntaxUID"] = syntax
    return syntax != IMPLICIT


def _sequence_end(file: BinaryIO, start: int, explicit: bool) -> tuple[int, bytes]:
    """The first byte after a sequence of undefined length that begins at ``start``; its bytes."""
    file.seek(start)
    data = b""
    while True:
        more = file.read(max(_CHUNK, len(data)))
        data += more
        try:
            end = sequence_end(data, 0, explicit)
        except struct.error:
            if not more or len(data) > _SEQUENCE:
                raise
            continue
        return start + end, data[:end]


def sequence_end(data: bytes, position: int, explicit: bool, inside: str = "sequence") -> int:
    """The first byte after what begins at ``position`` and has no stated length (PS3.5 7.5).

    Args:
        data: bytes of a little-endian file.
        position: of the first item of a sequence, or of the first element of an item.
        explicit: elements name their VR.
        inside: which of both, "sequence" or "item".

    Raises:
        Unusual: these are no items and elements.
        struct.error: it does not end in these bytes.
    """
    # One entry a level: whether it is a sequence (its parts are items) or an item.
    levels = [inside]
    while levels:
        group, element, length = struct.unpack_from("<HHI", data, position)
        position += 8
        if group == 0xFFFE:
            if element in (0xE0DD, 0xE00D):
                levels.pop()
            elif element == 0xE000:
                if length == UNDEFINED:
                    levels.append("item")
                else:
                    position += length
            else:
                raise Unusual
            continue
        if levels[-1] != "item":
            raise Unusual
        if explicit:
            if data[position - 4 : position - 2] in LONG_VRS:
                length = struct.unpack_from("<I", data, position)[0]
                position += 4
            else:
                length = struct.unpack_from("<H", data, position - 2)[0]
        if length == UNDEFINED:
            levels.append("sequence")
        else:
            position += length
    return position


def decode(raw: bytes, vr: str, little_endian: bool = True) -> str:
    """The text of an element's bytes: numbers as decimals, text as Latin-1, values stripped.

    Tags (AT) are written as GGGG,EEEE.
    """
    code = _NUMBERS.get(vr)
    if code is not None:
        count = len(raw) // struct.calcsize(code)
        order = "<" if little_endian else ">"
        whole = raw[: count * struct.calcsize(code)]
        return "\\".join(map(str, struct.unpack(f"{order}{count}{code}", whole)))
    if vr == "AT":
        pairs = decode(raw, "US", little_endian).split("\\")
        tags = [f"{int(p):04X}" for p in pairs if p]
        return "\\".join(",".join(tags[n : n + 2]) for n in range(0, len(tags), 2))
    text = raw.decode("latin-1")
    if "\\" in text:
        return "\\".join([part.strip(_TRIMMED) for part in text.split("\\")])
    return text.strip(_TRIMMED)
