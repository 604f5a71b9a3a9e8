"""Items of sequences, from bytes or from pydicom: what is in them, as text.

An Enhanced MR file holds thousands of small sequences (PS3.3 C.7.6.16). Data sets of them take
seconds; here their elements are stepped through by length, and decoded where they are asked for.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Protocol

import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.multival import MultiValue

from breastpredict.dicom.scan import (
    LONG_VRS,
    PRIVATE,
    UNDEFINED,
    Unusual,
    decode,
    sequence_end,
)

Tag = tuple[int, int]
_ITEM, _ITEM_END, _SEQUENCE_END = 0xE000, 0xE00D, 0xE0DD


class Item(Protocol):
    """A data set, or an item of a sequence."""

    def text(self, tag: Tag, vr: str = "") -> str:
        """A value as `breastpredict.dicom.scan.decode` gives it, empty when absent.

        Args:
            tag: group and element.
            vr: what it is where the file does not say it.
        """

    def items(self, tag: Tag) -> Sequence[Item]:
        """The items of a sequence; none when absent."""


class ScannedItem:
    """An item in the bytes of a little-endian file.

    Args:
        data: the bytes.
        start, stop: where the item's elements lie in them.
        explicit: elements name their VR.

    Raises:
        Unusual, struct.error: they are no elements.
    """

    def __init__(self, data: bytes, start: int, stop: int, explicit: bool) -> None:
        self._data = data
        self._explicit = explicit
        self._elements: dict[Tag, tuple[bytes, int, int]] = {}
        position = start
        while position < stop:
            group, element, length = struct.unpack_from("<HHI", data, position)
            if group == 0xFFFE:  # the end of an item of undefined length
                return
            vr, at = b"UN", position + 8
            if explicit:
                vr = data[position + 4 : position + 6]
                if vr in LONG_VRS:
                    length, at = struct.unpack_from("<I", data, position + 8)[0], position + 12
                else:
                    length = struct.unpack_from("<H", data, position + 6)[0]
            end = at + length
            if length == UNDEFINED:
                end = sequence_end(data, at, explicit)
                vr = b"SQ"
            if end > stop:
                raise Unusual
            self._elements[group, element] = (vr, at, end)
            position = end

    def text(self, tag: Tag, vr: str = "") -> str:
        found = self._elements.get(tag)
        if found is None:
            return ""
        stated, start, stop = found
        if stated == b"UN":
            stated = (vr or dictionary_VR(tag[0] << 16 | tag[1])).encode()
        return decode(self._data[start:stop], stated.decode("latin-1"))

    def items(self, tag: Tag) -> Sequence[Item]:
        found = self._elements.get(tag)
        if found is None:
            return ()
        return scanned_items(self._data, found[1], found[2], self._explicit)


def scanned_items(data: bytes, start: int, stop: int, explicit: bool) -> list[Item]:
    """The items of a sequence in the bytes of a little-endian file.

    Raises:
        Unusual, struct.error: it is no sequence.
    """
    out: list[Item] = []
    position = start
    while position + 8 <= stop:
        group, element, length = struct.unpack_from("<HHI", data, position)
        if (group, element) == (0xFFFE, _SEQUENCE_END):
            break
        if (group, element) != (0xFFFE, _ITEM):
            raise Unusual
        at = position + 8
        if length == UNDEFINED:
            end = sequence_end(data, at, explicit, inside="item")
            out.append(ScannedItem(data, at, end - 8, explicit))
        else:
            end = at + length
            if end > stop:
                raise Unusual
            out.append(ScannedItem(data, at, end, explicit))
        position = end
    return out


class DatasetItem:
    """An item that pydicom read."""

    def __init__(self, data: pydicom.Dataset) -> None:
        self._data = data

    def text(self, tag: Tag, vr: str = "") -> str:
        found = self._data.get_item(tag)
        return "" if found is None else text_of(found, vr)

    def items(self, tag: Tag) -> Sequence[Item]:
        found = self._data.get(tag)
        if found is None or found.VR != "SQ":
            return ()
        return [DatasetItem(item) for item in found.value or ()]


def text_of(element: DataElement | RawDataElement, vr: str = "") -> str:
    """An element's value from its bytes, where pydicom has not converted them yet."""
    if isinstance(element, RawDataElement):
        known = element.VR if element.VR not in (None, "UN") else vr
        if not known:
            known = dictionary_VR(element.tag)
        return decode(element.value or b"", str(known), element.is_little_endian)
    value = element.value
    if value is None:
        return ""
    parts = value if isinstance(value, (list, MultiValue)) else [value]
    if element.VR == "AT":
        parts = [f"{int(part) >> 16:04X},{int(part) & 0xFFFF:04X}" for part in parts]
    return "\\".join(str(part).strip(" \0\r\n\t") for part in parts)


def private_value(item: Item, name: str, *, usual_block: int | None = None) -> str:
    """A private value (see `PRIVATE`), empty when absent or of another creator.

    Args:
        item: the data set, or an item.
        name: its name in `PRIVATE`.
        usual_block: where to look when no creator claims a block of the group. For items of a
            vendor's own sequence, in which some writers leave the creators out.
    """
    group, element, vr, creator = PRIVATE[name]
    block = private_block(item, group, creator)
    if block == 0:
        block = usual_block
    return item.text((group, block << 8 | element), vr) if block else ""


def private_block(item: Item, group: int, creator: str) -> int | None:
    """The block of a creator; None when others claim the group, 0 when no one does."""
    others = None
    for block in range(0x10, 0x20):
        owner = item.text((group, block), "LO")
        if owner.upper() == creator.upper():
            return block
        others = others or owner or None
    return 0 if others is None else None
