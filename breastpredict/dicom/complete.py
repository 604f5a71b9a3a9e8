"""Whether an image file holds, undamaged, all the voxels that its header states.

ITK reads a NIfTI file that is cut short, and compressed data whose checksum is wrong, without a
word: voxels are then 0, or others. Where a file holds more, its header states another shape than
the voxels have, and every row would begin at the wrong one.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from breastpredict.errors import InputError

_CHUNK = 1 << 20
_MAXIMUM = 2**34  # bytes; what states more is refused by its size anyhow
_META_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "FLOAT": 4, "DOUBLE": 8, "LONG_LONG": 8}
_NRRD_BYTES = {"char": 1, "int8": 1, "short": 2, "int16": 2, "int": 4, "int32": 4, "float": 4}
_NRRD_BYTES |= {"long long": 8, "int64": 8, "double": 8}


@dataclass(frozen=True)
class _Voxels:
    """Where voxels lie: so many bytes of a file (of what it unpacks to) from a place on."""

    path: Path
    start: int
    size: int
    packing: str = ""


def check_complete(path: Path, damaged: str) -> None:
    """Raise InputError, which says ``damaged``, for a NIfTI, NRRD or MetaImage that is not whole.

    Files of other formats are left to their readers.
    """
    name = path.name.lower()
    voxels: _Voxels | None
    try:
        if name.endswith((".nii", ".nii.gz")):
            voxels = _nifti(path)
        elif name.endswith((".nrrd", ".nhdr")):
            voxels = _nrrd(path)
        elif name.endswith((".mha", ".mhd")):
            voxels = _meta_image(path)
        else:
            return
        off = 0 if voxels is None or voxels.size > _MAXIMUM else _excess(voxels)
    except (OSError, EOFError, ValueError, KeyError, struct.error, zlib.error) as error:
        raise InputError(damaged, path=path) from error
    if off:
        what = "is cut short" if off < 0 else "holds more voxels than its header states"
        raise InputError(f"{damaged} (it {what})", path=path)


def _as_text(path: Path) -> InputError:
    """ITK ends the process where text is not what the header states: it is not asked."""
    return InputError("The file holds voxels as text", path=path, remedy="Save it as binary")


def _excess(voxels: _Voxels) -> int:
    """How many bytes there are too many (about), below 0 too few, or with a wrong checksum."""
    if not voxels.packing:
        return voxels.path.stat().st_size - voxels.start - voxels.size
    with open(voxels.path, "rb") as file:
        file.seek(voxels.start)
        left = voxels.size
        unpack = zlib.decompressobj(zlib.MAX_WBITS | (16 if voxels.packing == "gzip" else 0))
        while not unpack.eof and left > -_CHUNK:
            packed = unpack.unconsumed_tail or file.read(_CHUNK)
            if not packed:
                break
            left -= len(unpack.decompress(packed, _CHUNK))
        return -left if unpack.eof or left <= -_CHUNK else -1


def _nifti(path: Path) -> _Voxels:
    with open(path, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        header = gzip.GzipFile(fileobj=raw).read(540) if packed else raw.read(540)
    return _Voxels(path, 0, _nifti_bytes(header), "gzip" if packed else "")


def _nifti_bytes(header: bytes) -> int:
    """Bytes of header and voxels (nifti1.h, nifti2.h)."""
    for order in "<>":
        kind = struct.unpack_from(f"{order}i", header)[0]
        if kind == 348:
            sizes, bits, offset = ("8h", 40), ("h", 72), ("f", 108)
        elif kind == 540:
            sizes, bits, offset = ("8q", 16), ("h", 14), ("q", 168)
        else:
            continue
        shape, (each,), (start,) = (
            struct.unpack_from(order + code, header, at) for code, at in (sizes, bits, offset)
        )
        count = math.prod(shape[1 : shape[0] + 1])
        if not 1 <= shape[0] <= 7 or count < 1 or not 0 <= start < 2**31:
            raise ValueError("impossible shape")
        return int(start) + int(count) * int(each) // 8
    raise ValueError("no NIfTI header")


def _nrrd(path: Path) -> _Voxels | None:
    fields: dict[str, str] = {}
    with open(path, "rb") as file:
        if not file.readline(64).startswith(b"NRRD"):
            raise ValueError("no NRRD header")
        while line := file.readline(1 << 20).rstrip(b"\r\n"):
            name, found, value = line.decode("utf-8", "replace").partition(": ")
            if found and not name.startswith("#"):
                fields[name.strip().lower().replace(" ", "")] = value.strip()
        start = file.tell()
    detached = fields.get("datafile")
    if fields["encoding"].lower() in ("txt", "text", "ascii", "hex"):
        raise _as_text(path)
    packing = {"gzip": "gzip", "gz": "gzip", "raw": ""}.get(fields["encoding"].lower())
    if packing is None or "lineskip" in fields or "byteskip" in fields:
        return None
    if detached is not None:
        if detached.startswith("LIST") or " " in detached:
            return None
        path, start = path.parent / detached, 0
    each = _NRRD_BYTES.get(_plain_type(fields["type"]))
    sizes = [int(size) for size in fields["sizes"].split()]
    if each is None or min(sizes) < 1:
        return None
    return _Voxels(path, start, math.prod(sizes) * each, packing)


def _plain_type(name: str) -> str:
    """ "unsigned short int", "ushort" and "uint16_t" without what does not change their size."""
    words = [word for word in name.lower().split() if word not in ("signed", "unsigned")]
    if len(words) > 1 and words[-1] == "int":
        words.pop()
    plain = " ".join(words).removesuffix("_t")
    return plain if plain in _NRRD_BYTES else plain.removeprefix("u")


def _meta_image(path: Path) -> _Voxels | None:
    fields: dict[str, str] = {}
    with open(path, "rb") as file:
        while "ElementDataFile" not in fields:
            name, found, value = file.readline(4096).decode("latin-1").partition("=")
            if not found:
                raise ValueError("no MetaImage header")
            fields[name.strip()] = value.strip()
        here = file.tell()
    if fields.get("BinaryData", "True")[:1] not in ("T", "t", "1"):
        raise _as_text(path)
    sizes = [int(size) for size in fields["DimSize"].split()]
    if len(sizes) != int(fields["NDims"]) or min(sizes) < 1:
        raise ValueError("impossible shape")
    kind = fields["ElementType"].removeprefix("MET_").removesuffix("_ARRAY")
    each = _META_BYTES[kind if kind in _META_BYTES else kind.removeprefix("U")]
    size = math.prod(sizes) * int(fields.get("ElementNumberOfChannels", 1)) * each
    packing = "zlib" if fields.get("CompressedData", "").lower() in ("true", "1") else ""
    data, start = fields["ElementDataFile"], max(0, int(fields.get("HeaderSize", 0)))
    if data.startswith("LIST") or "%" in data:
        return None
    if data.upper() == "LOCAL":
        return _Voxels(path, here, size, packing)
    return _Voxels(path.parent / data, start, size, packing)
