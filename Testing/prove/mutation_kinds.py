"""Damage to a base's files: of bytes, of whole files, of values, of archives and indices.

Each is a function of base, kind and seed alone. What it may rightly change in the result is said
with it: pixels whose bytes were overwritten are other pixels, and nobody could know.
"""

from __future__ import annotations

import gzip
import random
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pydicom
from mutation_archives import damaged_database, damaged_medium, damaged_zip
from mutation_damage import ALL, MASK, NOTHING, PIXELS, VALUES, Case, Damage, is_dicom, write
from mutation_values import READ, damaged_element, damaged_field, nested
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import RawDataElement

from breastpredict.dicom.scan import LONG_VRS

_MATRIX = "Rows Columns BitsAllocated NumberOfFrames SamplesPerPixel TransferSyntaxUID".split()
"""What must fit the bytes of the pixels: another value of these is never another sound file."""


def damage(folder: Path, mask: Path, base: str, kind: str, seed: int) -> Damage:
    """Damage the copy of a base in a folder; the same base, kind and seed do the same."""
    if kind == "none":
        return Damage("nothing", NOTHING)
    return KINDS[kind](Case(folder, mask, base, random.Random(f"{base}/{kind}/{seed}")))


def kinds_for(base: str) -> list[str]:
    """The kinds of damage that a base can suffer."""
    first = base.split("-")[0]
    loaded = first in ("nrrd", "nifti", "4d", "mha")
    only = {"zip": "zip", "database": "slicer", "medium": "dicomdir"}
    return [
        kind
        for kind in KINDS
        if only.get(kind, first) == first
        and not (kind == "field" and not loaded and not base.endswith(("nrrd", "nifti", "npy")))
        and not (kind == "every element" and (loaded or first == "zip"))
        and not (
            kind in ("element", "nested", "length")
            and (loaded or (first == "zip" and base.endswith("npy")))
        )
    ]


# --- What bytes mean ---


def _elements(path: Path) -> list[tuple[int, str]]:
    """Where the elements of a DICOM file begin, and their keywords (or tags)."""
    data = pydicom.dcmread(path)
    if data.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1.99":
        return []
    out = []
    for tag in data.keys():  # noqa: SIM118  (a Dataset's items are decoded)
        element = data.get_item(tag)
        raw = isinstance(element, RawDataElement)
        at = element.value_tell if raw else element.file_tell
        out.append(((at or 0) - 12, keyword_for_tag(tag) or str(tag)))
    return sorted(out)


def meaning(case: Case, path: Path, start: int, stop: int) -> tuple[str, frozenset[str]]:
    """What the bytes ``[start, stop)`` of a sound file hold, and what may rightly change."""
    name = path.name.lower()
    if name.endswith((".zip", ".sql")) or name == "dicomdir" or name.endswith(".nii.gz"):
        return "", NOTHING  # checksums, or only names
    if name.endswith(".csv"):
        return "", VALUES
    content = path.read_bytes()
    if name.endswith(".nrrd"):
        at = content.index(b"\n\n") + 2
        packed = b"encoding: gzip" in content[:at]
        changed = MASK if path == case.mask else PIXELS
        return ("header" if start < at else "values"), _either(
            start < at, stop > at and not packed, MASK if path == case.mask else NOTHING, changed
        )
    if name.endswith(".nii") and any(start < b and stop > a for a, b in ((40, 56), (70, 74))):
        return "shape or type", NOTHING  # which the size of the file must fit
    if path == case.mask:
        what = ", ".join(_names(path, start, stop)) if is_dicom(path) else ""
        return what, MASK
    if name.endswith((".nii", ".mha")):
        at = 352 if name.endswith(".nii") else content.index(b"LOCAL\n") + 6
        # The header of one file of several must fit the others'; of a single one it is the truth.
        return ("header" if start < at else "values"), _either(
            start < at, stop > at, ALL if name.endswith(".nii") else NOTHING, VALUES
        )
    return _of_study(path, start, stop)


def _either(
    first: bool, second: bool, of_first: frozenset[str], of_second: frozenset[str]
) -> frozenset[str]:
    return (of_first if first else NOTHING) | (of_second if second else NOTHING)


def _names(path: Path, start: int, stop: int) -> list[str]:
    found, last = [], "meta information"
    for at, name in _elements(path):
        if at >= stop:
            break
        if at > start:
            found.append(last)
        last = name
    return [*found, last][:4]


def _of_study(path: Path, start: int, stop: int) -> tuple[str, frozenset[str]]:
    names = _names(path, start, stop)
    if not _elements(path):  # deflated: everything after the meta information may change
        return "deflated", PIXELS
    changed = NOTHING
    for name in names:
        changed |= of_element(path, name)
        if name == "PixelData":
            changed |= PIXELS if stop - start == 1 else VALUES
    return ", ".join(names), changed


def of_element(path: Path, name: str) -> frozenset[str]:
    """What another value of an element may change, in one file of a study.

    Of one slice among many nothing; in one file of all phases what is said once holds for all.
    """
    with open(path, "rb") as file:
        alone = b"1.2.840.10008.5.1.4.1.1.4.1" in file.read(1024)
    alone = alone and len([p for p in path.parent.rglob("*") if p.is_file()]) == 1
    if alone and name not in _MATRIX and name != "PerFrameFunctionalGroupsSequence":
        return ALL
    return NOTHING


# --- Bytes ---


def _overwritten(case: Case, path: Path, at: int, new: bytes, how: str) -> Damage:
    content = bytearray(path.read_bytes())
    what, changed = meaning(case, path, at, at + len(new))
    content[at : at + len(new)] = new[: len(content) - at]
    write(path, bytes(content))
    where = f" ({what})" if what else ""
    return Damage(f"{how} at {at} of {path.relative_to(case.folder)}{where}", changed)


def _flip(case: Case) -> Damage:
    path = case.pick(lambda p: p.stat().st_size > 0)
    at, bit = case.random.randrange(path.stat().st_size), case.random.randrange(8)
    new = bytes([path.read_bytes()[at] ^ 1 << bit])
    return _overwritten(case, path, at, new, f"bit {bit} flipped")


def _header_flip(case: Case) -> Damage:
    path = case.pick(lambda p: p.stat().st_size > 0)
    most = path.stat().st_size
    if is_dicom(path) and path.name.lower() != "dicomdir":
        elements = _elements(path)
        pixels = [at for at, name in elements if name == "PixelData"]
        at = case.random.randrange(132, pixels[0] if pixels else most)
        spans = [
            (start + 12, stop + 4)  # a short element begins 4 bytes later than a long one
            for (start, name), (stop, _) in pairwise(elements)
            if name in READ and name != "PixelData" and stop + 4 > start + 12
        ]
        if spans and case.random.random() < 0.6:
            at = case.random.randrange(*case.random.choice(spans))
    else:
        at = case.random.randrange(min(most, 352))
    bit = case.random.randrange(8)
    new = bytes([path.read_bytes()[at] ^ 1 << bit])
    return _overwritten(case, path, at, new, f"bit {bit} flipped")


def _run(case: Case, fill: Callable[[int], bytes], how: str) -> Damage:
    path = case.pick(lambda p: p.stat().st_size > 0)
    size = case.size(4096)
    at = case.random.randrange(path.stat().st_size)
    size = min(size, path.stat().st_size - at)
    return _overwritten(case, path, at, fill(size), f"{size} bytes {how}")


def _zeros(case: Case) -> Damage:
    return _run(case, bytes, "of 0")


def _ones(case: Case) -> Damage:
    return _run(case, lambda size: b"\xff" * size, "of 255")


def _noise(case: Case) -> Damage:
    return _run(case, case.random.randbytes, "of noise")


# --- Files ---


def _truncate(case: Case) -> Damage:
    path = case.pick(lambda p: p.stat().st_size > 1)
    content = path.read_bytes()
    left = case.random.choice(
        (case.random.randrange(len(content)), len(content) - case.size(len(content)))
    )
    write(path, content[:left])
    changed = VALUES if path.suffix == ".csv" else NOTHING
    return Damage(f"{path.relative_to(case.folder)} cut to {left} of {len(content)}", changed)


def _append(case: Case) -> Damage:
    path = case.pick()
    size = case.size(8192)
    tail = case.random.choice((case.random.randbytes(size), bytes(size)))
    write(path, path.read_bytes() + tail)
    return Damage(f"{size} bytes after {path.relative_to(case.folder)}", NOTHING)


def _delete(case: Case) -> Damage:
    path = case.pick()
    path.unlink()
    # Of phases in files of their own nobody can know that there was another.
    one = path != case.mask and "per-phase" in case.base
    return Damage(f"{path.relative_to(case.folder)} deleted", VALUES if one else NOTHING)


def _swap(case: Case) -> Damage:
    one, other = case.pick(), case.pick()
    a, b = one.read_bytes(), other.read_bytes()
    write(one, b)
    write(other, a)
    named = any((path.parent / "phases.csv").exists() for path in (one, other))
    names = f"{one.relative_to(case.folder)} and {other.relative_to(case.folder)}"
    return Damage(f"{names} swapped", VALUES if named else NOTHING)


def _duplicate(case: Case) -> Damage:
    path = case.pick()
    shutil.copy(path, path.with_name(f"copy of {path.name}"))
    return Damage(f"{path.relative_to(case.folder)} twice", NOTHING)


# --- Values ---


def _element(case: Case) -> Damage:
    path = case.pick(lambda p: is_dicom(p) and p.name.lower() != "dicomdir")
    what, name = damaged_element(path, case.random, write)
    changed = MASK if path == case.mask else of_element(path, name)
    return Damage(f"{what} in {path.relative_to(case.folder)}", changed)


def _every_element(case: Case) -> Damage:
    """The same absurd value in every file of the study."""
    paths = [p for p in case.files() if p != case.mask and is_dicom(p) and p.stem != "DICOMDIR"]
    seed = case.random.random()
    done = {damaged_element(p, random.Random(seed), write, at_top=True) for p in paths}
    what, name = min(done)
    changed = NOTHING if name in _MATRIX and name != "TransferSyntaxUID" else ALL
    return Damage(f"{what} in every file", changed)


def _nested(case: Case) -> Damage:
    path = case.pick(lambda p: is_dicom(p) and p.name.lower() != "dicomdir")
    depth = case.random.choice((10, 500, 5000, 50000))
    write(path, nested(path.read_bytes(), depth, case.random.random() < 0.5))
    changed = MASK if path == case.mask else NOTHING
    return Damage(f"{depth} sequences within sequences in {path.relative_to(case.folder)}", changed)


def _length(case: Case) -> Damage:
    """Another VR or length of an element."""
    path = case.pick(lambda p: is_dicom(p) and p.name.lower() != "dicomdir" and bool(_elements(p)))
    at, name = case.random.choice(_elements(path))
    content = path.read_bytes()
    new = case.random.choice(
        (b"\xff\xff", b"\0\0", b"\x01\0", b"\xff\x7f", b"SQ", b"UN", b"OB", b"DS", b"US", b"zz")
    )
    # `at` lies 12 bytes before the value: what has a short length begins 4 bytes later (PS3.5 7.1).
    if content[at + 4 : at + 6] in LONG_VRS:
        new, place = (new, at + 4) if new.isalpha() else (new * 2, at + 8)
    elif content[at + 8 : at + 10].isalpha():
        place = at + 8 if new.isalpha() else at + 10
    else:
        new, place = new * 2, at + 8
    return _overwritten(case, path, max(132, place), new, f"{new!r} as VR or length of {name}")


def _field(case: Case) -> Damage:
    path = case.pick(lambda p: p.suffix in (".nrrd", ".nii", ".gz", ".mha", ".npy", ".csv"))
    content = path.read_bytes()
    packed = path.suffix == ".gz"
    what, new = damaged_field(path, gzip.decompress(content) if packed else content, case.random)
    write(path, gzip.compress(new, mtime=0) if packed else new)
    changed = MASK
    if path != case.mask:
        # A scale or type of one volume makes other values of its bytes; a table says the phases.
        changed = ALL if path.name == "all.nii" else VALUES
    return Damage(f"{what} in {path.relative_to(case.folder)}", changed)


KINDS: dict[str, Callable[[Case], Damage]] = {
    "flip": _flip,
    "header flip": _header_flip,
    "zeros": _zeros,
    "ones": _ones,
    "noise": _noise,
    "truncate": _truncate,
    "append": _append,
    "delete": _delete,
    "swap": _swap,
    "duplicate": _duplicate,
    "element": _element,
    "every element": _every_element,
    "nested": _nested,
    "length": _length,
    "field": _field,
    "zip": damaged_zip,
    "database": damaged_database,
    "medium": damaged_medium,
}
