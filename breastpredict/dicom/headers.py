"""The headers of DICOM files without their pixels, whoever wrote them."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import pydicom
from pydicom.datadict import tag_for_keyword

from breastpredict.dicom.bounded import read_dataset, read_meta
from breastpredict.dicom.items import DatasetItem, Item, private_value, scanned_items
from breastpredict.dicom.scan import (
    ENHANCED_MR,
    KEYWORDS,
    META_CLASS,
    PRIVATE,
    SEQUENCES,
    WANTED,
    Unusual,
    scan,
    start_of,
)
from breastpredict.errors import InputError

__all__ = [
    "KEYWORDS",
    "MR_CLASSIC",
    "MR_ENHANCED",
    "WHOLE_SLIDE",
    "Header",
    "read_headers",
    "tag_of",
]

MR_CLASSIC = "1.2.840.10008.5.1.4.1.1.4"
MR_ENHANCED = ENHANCED_MR
WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"  # VL Whole Slide Microscopy Image Storage

REQUIRED = "SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID".split()
"""Without these a file belongs nowhere, and nothing can refer to it."""

_CHUNK = 32  # files a thread takes at once


@dataclass(frozen=True, slots=True)
class Header:
    """What indexing needs of one file.

    Attributes:
        path: the file.
        values: keyword → text (several values joined by a backslash), stripped.
        pixel_offset: where uncompressed little-endian pixels start; -1 where they must be decoded.
        pixel_length: their length in bytes, as the file states it.
        problem: why the file, an image by its first bytes, cannot be used; empty where it can.
        sequences: of Enhanced MR, the items of what holds its frames (see `SEQUENCES`).
    """

    path: Path
    values: dict[str, str]
    pixel_offset: int = -1
    pixel_length: int = 0
    problem: str = ""
    sequences: Mapping[str, Sequence[Item]] = field(default_factory=dict, compare=False, repr=False)

    def text(self, keyword: str) -> str:
        """The value, empty when absent; of a private one (see `PRIVATE`) by its name."""
        return self.values.get(keyword, "")

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """The values as finite numbers; empty when absent or not numbers."""
        text = self.values.get(keyword)
        if not text:
            return ()
        return _numbers(text) if len(text) < 200 else _numbers.__wrapped__(text)

    def number(self, keyword: str) -> float | None:
        """The first value as a number, None when absent."""
        values = self.numbers(keyword)
        return values[0] if values else None


@lru_cache(maxsize=1 << 15)
def _numbers(text: str) -> tuple[float, ...]:
    """Slices share most of their values."""
    try:
        out = tuple([float(part) for part in text.split("\\")])
    except ValueError:
        return ()
    return out if all([abs(x) < 1e12 for x in out]) else ()


def read_header(path: Path) -> Header | None:
    """The header of one file; None when it is no DICOM file.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        scanned = scan(path)
        if scanned is None:
            return None
        sequences = {
            name: scanned_items(raw, 0, len(raw), scanned.explicit)
            for name, raw in scanned.sequences.items()
        }
        values = _with_injection(scanned.values, sequences)
    except (Unusual, struct.error, UnicodeDecodeError):
        return _checked(_by_pydicom(path))
    header = Header(
        path,
        values,
        scanned.pixel_offset,
        scanned.pixel_length,
        sequences=sequences,
    )
    if scanned.end in ("file", "cut") and _class_of(header) in ("", MR_CLASSIC, *MR_ENHANCED):
        cut = scanned.end == "cut"
        header = _with_problem(
            header, "The file is cut within its header" if cut else "The tag PixelData is missing"
        )
    return _checked(header)


def read_headers(paths: Sequence[Path], workers: int = 4) -> list[Header | None]:
    """The headers of many files, in their order. Threads: most of the time is spent waiting.

    Raises:
        InputError: a file cannot be read. It may be a phase: passing over it would be a guess.
    """

    def some(part: Sequence[Path]) -> list[Header | None]:
        out = []
        for path in part:
            try:
                out.append(read_header(path))
            except OSError as error:
                raise unreadable(error, path) from error
        return out

    if len(paths) <= _CHUNK:
        return some(paths)
    parts = [paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK)]
    with ThreadPoolExecutor(workers) as pool:
        return [header for part in pool.map(some, parts) for header in part]


def unreadable(error: OSError, path: Path) -> InputError:
    """What is said of a file or folder that the system does not let us read."""
    return InputError(f"It cannot be read ({error.strerror or type(error).__name__})", path=path)


def _checked(header: Header | None) -> Header | None:
    """The header of an MR image with the name of what it must have and does not."""
    if header is None or header.problem or _class_of(header) not in (MR_CLASSIC, *MR_ENHANCED):
        return header
    missing = [keyword for keyword in REQUIRED if not header.text(keyword)]
    return _with_problem(header, f"The tag {missing[0]} is missing") if missing else header


def _class_of(header: Header) -> str:
    """The SOP class; where the file lost it, its meta information still says it."""
    return header.text("SOPClassUID") or header.text(META_CLASS)


def _with_problem(header: Header, problem: str) -> Header:
    return Header(header.path, header.values, problem=problem)


def _by_pydicom(path: Path) -> Header | None:
    """The same through pydicom."""
    with open(path, "rb") as file:
        start = start_of(file.read(256))
    if start is None:
        return None
    try:
        data = read_dataset(path, stop_before_pixels=True, force=start == 0)
        values = _values(data)
        sequences = {
            name: DatasetItem(data).items(tag_of(name)) for name in SEQUENCES if name in data
        }
        return Header(path, _with_injection(values, sequences), sequences=sequences)
    except Exception:  # pydicom raises many kinds on damage
        return _damaged(path)


def _values(data: pydicom.Dataset) -> dict[str, str]:
    """What the scanner would find, from the same bytes, so that both read the same text."""
    values: dict[str, str] = {}
    meta = DatasetItem(data.file_meta if hasattr(data, "file_meta") else pydicom.Dataset())
    main = DatasetItem(data)
    for pair, keyword in WANTED.items():
        if text := (meta if pair[0] == 2 else main).text(pair):
            values[keyword] = text
    for name in PRIVATE:
        if text := private_value(main, name):
            values[name] = text
    return values


def _damaged(path: Path) -> Header | None:
    """A file that pydicom cannot read: reported where it begins as DICOM, unless of another kind.

    It may be a phase, and passing over it would be a guess.
    """
    with open(path, "rb") as file:
        if start_of(file.read(256)) != 132:
            return None
    kind = ""
    with contextlib.suppress(Exception):  # the meta information may be damaged as well
        kind = str(read_meta(path).get(META_CLASS, ""))
    if kind not in ("", MR_CLASSIC, *MR_ENHANCED):
        return None
    return Header(path, {META_CLASS: kind}, problem="The header is damaged")


def tag_of(keyword: str) -> tuple[int, int]:
    """Group and element of a keyword."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return tag >> 16, tag & 0xFFFF


_PROFILES = tag_of("ContrastAdministrationProfileSequence")
_BOLUS_START = tag_of("ContrastBolusStartTime")


def _with_injection(
    values: dict[str, str], sequences: Mapping[str, Sequence[Item]]
) -> dict[str, str]:
    """The values, with the time when the first agent was given: Enhanced files nest it.

    Source: PS3.3 C.7.6.4b.
    """
    starts = [
        profile.text(_BOLUS_START)
        for agent in sequences.get("ContrastBolusAgentSequence", ())
        for profile in agent.items(_PROFILES)
    ]
    first = min(filter(None, starts), default="")
    return {"ContrastBolusStartTime": first, **values} if first else values
