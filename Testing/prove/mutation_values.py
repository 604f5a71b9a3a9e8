"""Absurd values: of DICOM elements, and of the fields of NRRD, NIfTI, MetaImage, NumPy and CSV."""

from __future__ import annotations

import io
import random
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

Write = Callable[[Path, bytes], None]

READ = (
    "TransferSyntaxUID SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID ImageType "
    "FrameOfReferenceUID PatientID Modality Rows Columns BitsAllocated BitsStored HighBit "
    "PixelRepresentation SamplesPerPixel PixelData PixelSpacing ImageOrientationPatient "
    "ImagePositionPatient SliceThickness SpacingBetweenSlices RescaleSlope RescaleIntercept "
    "NumberOfFrames InstanceNumber AcquisitionTime ContentTime SeriesTime AcquisitionDateTime "
    "TriggerTime TemporalPositionIdentifier NumberOfTemporalPositions TemporalPositionIndex "
    "TemporalPositionTimeOffset FrameAcquisitionDateTime FrameReferenceDateTime EchoTime FlipAngle "
    "RepetitionTime DimensionIndexValues DimensionIndexPointer StackID InStackPositionNumber "
    "SpecificCharacterSet ContrastBolusStartTime AcquisitionDuration FrameAcquisitionDuration "
    "ImageLaterality SegmentNumber ReferencedSegmentNumber SegmentationType SegmentLabel "
    "MaximumFractionalValue ContourData NumberOfContourPoints ContourGeometricType ROINumber "
    "ReferencedROINumber ROIName DiffusionBValue PhotometricInterpretation"
).split()
"""What the reading looks at; these are damaged oftener than the rest."""

_NUMBERS = (
    "NaN inf -inf -1 0 1e300 -1e300 1e-300 abc 1,5 -0 1e38 65536 1000000 -32769 99999999999999 "
    "1_000 0x10 ١٢ 1e 2 0.5 12.0001 --1"
).split()
_TIMES = "999999 120000 000000.000001 240000 -1 NaN 1e9 12 12:00:00 20200230 20200102250000".split()
_WORDS = "X MR\\CT ISO_2022_IR_87 ISO_IR_192 DERIVED\\SECONDARY\\SUB ORIGINAL\\PRIMARY\\P R".split()
_UIDS = (
    "1.2.3 1.2.840.10008.1.2 1.2.840.10008.1.2.1 1.2.840.10008.1.2.2 1.2.840.10008.1.2.1.99 "
    "1.2.840.10008.1.2.4.70 1.2.840.10008.1.2.4.90 1.2.840.10008.1.2.5 1.2.840.10008.1.2.4.201 "
    "1.2.840.10008.5.1.4.1.1.2 1.2.840.10008.5.1.4.1.1.4 1.2.840.10008.5.1.4.1.1.4.1 abc "
    "1.2.840.10008.5.1.4.1.1.66.4 1.2.840.10008.5.1.4.1.1.481.3 1.2.840.10008.1.3.10"
).split()
_STRUCTS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_INTEGERS = (0, 1, 2, 7, 8, 12, 23, 25, 255, 4096, 32767, 65535, 2**31 - 1, 2**32 - 1)
_REALS = (float("nan"), float("inf"), -1.0, 0.0, 1e308, 5e-324, 1e12, 0.001, 3.5)


# --- DICOM ---


def damaged_element(
    path: Path, rng: random.Random, write: Write, *, at_top: bool = False
) -> tuple[str, str]:
    """Give an element of a DICOM file another value, or take it out.

    Returns:
        What was done, and the keyword of the element, or of the one at the top that holds it.
    """
    while True:
        try:
            return _damaged_element(path, rng, write, at_top)
        except Exception:  # pydicom writes no compressed pixels that are no fragments
            continue


def _damaged_element(path: Path, rng: random.Random, write: Write, at_top: bool) -> tuple[str, str]:
    data = pydicom.dcmread(path)
    found = list(_all(data, None, 0 if at_top else 6))
    liked = [one for one in found if keyword_for_tag(one[1]) in READ]
    holder, tag, top = rng.choice(liked if liked and rng.random() < 0.8 else found)
    keyword = keyword_for_tag(tag) or str(tag)
    if rng.random() < 0.1:
        del holder[tag]
        what = f"no {keyword}"
    else:
        vr, old = _as_bytes(holder, tag)
        new = _absurd(vr, old, rng)
        if rng.random() < 0.1:
            vr = rng.choice("DS IS US UI SQ UN LO FD OB".split())
            vr = "OB" if vr == "SQ" else vr
        implicit, little = _encoding(data)
        holder[tag] = RawDataElement(tag, vr, len(new), new, 0, implicit, little)
        what = f"{keyword} as {vr} {new[:40]!r}"
    out = io.BytesIO()
    implicit, little = _encoding(data)
    pydicom.dcmwrite(out, data, implicit_vr=implicit, little_endian=little, force_encoding=True)
    write(path, out.getvalue())
    return what, keyword_for_tag(top) or keyword


def _encoding(data: Dataset) -> tuple[bool, bool]:
    implicit, little = data.original_encoding
    return bool(implicit), bool(little)


def _all(data: Dataset, top: BaseTag | None, depth: int) -> Iterator[tuple[Dataset, BaseTag, int]]:
    """Every element, what holds it, and the element at the top."""
    metas = [data.file_meta] if top is None else []
    for holder in (*metas, data):
        for tag in list(holder.keys()):
            if tag.element == 0 or tag == 0x00020010:
                continue
            yield holder, tag, int(top or tag)
            if depth and _vr(holder, tag) == "SQ":
                for item in holder[tag].value:
                    yield from _all(item, top or tag, depth - 1)


def _vr(holder: Dataset, tag: BaseTag) -> str:
    vr = holder.get_item(tag).VR
    if vr is None:
        try:
            vr = dictionary_VR(tag)
        except KeyError:
            vr = "UN"
    return str(vr)


def _as_bytes(holder: Dataset, tag: BaseTag) -> tuple[str, bytes]:
    element, vr = holder.get_item(tag), _vr(holder, tag)
    if isinstance(element.value, bytes):
        return vr, element.value
    if vr == "SQ":
        return "SQ", b""
    value = element.value
    values = value if isinstance(value, list | pydicom.multival.MultiValue) else [value]
    if vr in _STRUCTS:
        return vr, b"".join(struct.pack(f"<{_STRUCTS[vr]}", v) for v in values)
    return vr, "\\".join(map(str, values)).encode("utf-8", "replace")


def _absurd(vr: str, old: bytes, rng: random.Random) -> bytes:
    general: tuple[bytes, ...] = (b"", b" ", b"\\\\", b"\xff\xfe", b"9" * 200, rng.randbytes(7))
    if vr in _STRUCTS and rng.random() < 0.8:
        code = f"<{_STRUCTS[vr]}"
        choices = _REALS if vr in ("FL", "FD") else _INTEGERS
        value = rng.choice(choices)
        try:
            one = struct.pack(code, value)
        except (struct.error, OverflowError):
            one = b"\xff" * struct.calcsize(code)
        at = rng.randrange(max(1, len(old) // len(one))) * len(one)
        return old[:at] + one + old[at + len(one) :] if rng.random() < 0.7 else one
    if vr in ("DS", "IS") and rng.random() < 0.8:
        parts = old.split(b"\\")
        parts[rng.randrange(len(parts))] = rng.choice(_NUMBERS).encode()
        if rng.random() < 0.3:
            parts = [parts[rng.randrange(len(parts))] for _ in range(rng.choice((1, 2, 3, 6, 9)))]
        return b"\\".join(parts)
    if vr in ("TM", "DT", "DA") and rng.random() < 0.8:
        return rng.choice(_TIMES).encode()
    if vr == "UI" and rng.random() < 0.8:
        return rng.choice(_UIDS).encode()
    if vr in ("OB", "OW") and rng.random() < 0.8:
        return rng.choice((b"", old + old, old[: len(old) // 2], old[:-1], old + bytes(64)))
    if vr == "SQ":
        return rng.choice((b"", b"\xfe\xff\x00\xe0\0\0\0\0", b"\xfe\xff\x00\xe0\xff\xff\xff\x7f"))
    if rng.random() < 0.5:
        return rng.choice(_WORDS).encode()
    return rng.choice(general)


def nested(content: bytes, depth: int, undefined: bool) -> bytes:
    """A DICOM file with sequences within sequences, in front of its pixels or at its end."""
    head = b"\x08\x00\x40\x11SQ\0\0"
    if undefined:
        inner = (head + b"\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff") * depth
        inner += b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0" * depth
    else:
        parts = []
        for level in range(depth, 0, -1):
            size = 20 * (level - 1)
            parts.append(head + struct.pack("<I", size + 8))
            parts.append(b"\xfe\xff\x00\xe0" + struct.pack("<I", size))
        inner = b"".join(parts)
    at = content.find(b"\x08\x00\x18\x00UI")  # in front of the SOPInstanceUID
    at = len(content) if at < 0 else at
    return content[:at] + inner + content[at:]


# --- Other files ---

_TEXTS = (
    "|0|-1|1000000000 1000000000 1000000000|NaN|nan nan nan|1e300|(1,0,0) (1,0,0) (0,0,1)|"
    "(0,0,0) (0,0,0) (0,0,0)|(nan,0,0) (0,1,0) (0,0,1)|none none none|()|24 24|24 24 6 1|"
    "24 24 6|24 24 5|24 25 6|20|1|2|gzip|bzip2|hex|ascii|txt|raw|zip|unsigned char|short|"
    "uint64|block|double|MET_FLOAT|MET_UCHAR|True|big|little|left-posterior-superior|"
    "right-anterior-superior|scanner-xyz|3D-right-handed|0 0 0|1e-30 1 1|-1 1 1|../../etc/passwd|"
    "/dev/zero|LIST|LIST 3|%03d.raw 1 9 1|\x00|" + "9" * 400
).split("|")


def damaged_field(path: Path, content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Another value of a header field; what was done, and the new content."""
    if path.suffix in (".nrrd", ".mha"):
        return _line(content, b": " if path.suffix == ".nrrd" else b" = ", rng)
    if path.suffix in (".nii", ".gz"):
        return _nifti(content, rng)
    if path.suffix == ".npy":
        return _npy(content, rng)
    return _cell(content, rng)


def _line(content: bytes, between: bytes, rng: random.Random) -> tuple[str, bytes]:
    end = content.index(b"\n\n") if between == b": " else content.index(b"LOCAL\n") + 5
    lines = content[:end].split(b"\n")
    at = rng.randrange(len(lines))
    name, _, _ = lines[at].partition(between)
    how = rng.random()
    if how < 0.1:
        what, new = f"no {name!r}", []
    elif how < 0.2:
        what, new = f"{name!r} twice", [lines[at], lines[at]]
    elif how < 0.3:
        extra = rng.choice(
            (
                b"byte skip: -1",
                b"line skip: 1000000",
                b"data file: /dev/zero",
                b"data file: x.raw",
                b"byte skip: 1000000000",
                b"measurement frame: (0,0,0) (0,0,0) (0,0,0)",
                b"ObjectType = Mesh",
                b"CompressedData = True",
                b"HeaderSize = -1",
                b"HeaderSize = 99999999",
                b"ElementNumberOfChannels = 1000000",
            )
        )
        what, new = f"also {extra!r}", [lines[at], extra]
    else:
        value = rng.choice(_TEXTS)
        what, new = f"{name.decode('latin-1')}: {value[:30]!r}", [name + between + value.encode()]
    lines[at : at + 1] = new
    return what, b"\n".join(lines) + content[end:]


_NIFTI = {
    "sizeof_hdr": (0, "i"), "dim": (40, "8h"), "intent_code": (68, "h"), "datatype": (70, "h"),
    "bitpix": (72, "h"), "pixdim": (76, "8f"), "vox_offset": (108, "f"), "scl_slope": (112, "f"),
    "scl_inter": (116, "f"), "xyzt_units": (123, "b"), "qform_code": (252, "h"),
    "sform_code": (254, "h"), "quatern": (256, "6f"), "srow": (280, "12f"), "magic": (344, "4s"),
}  # fmt: skip


def _nifti(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    name = rng.choice(list(_NIFTI))
    at, code = _NIFTI[name]
    values = list(struct.unpack_from(f"<{code}", content, at))
    which = rng.randrange(len(values))
    if code == "4s":
        values[0] = rng.choice((b"ni1\0", b"n+2\0", b"abcd", bytes(4)))
    elif code.endswith("f"):
        values[which] = rng.choice(
            (float("nan"), float("inf"), -1.0, 0.0, 1e30, 1e-30, -0.5, 2.0, 352.5, 1e9)
        )
    elif code == "i":
        values[0] = rng.choice((0, 540, -1, 348 << 16))
    else:
        top = 127 if code == "b" else 32767
        values[which] = rng.choice((0, -1, 1, 2, 3, 5, 7, 8, 16, 20, 64, 127, top, 23, 25))
    out = bytearray(content)
    struct.pack_into(f"<{code}", out, at, *values)
    return f"{name}[{which}] = {values[which]!r}", bytes(out)


def _npy(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    old, new = rng.choice(
        (
            (rb"\(6, 24, 24\)", b"(1000000000, 24, 24)"),
            (rb"\(6, 24, 24\)", b"(-1, 24, 24)"),
            (rb"\(6, 24, 24\)", b"(6, 24, 25)"),
            (rb"\(6, 24, 24\)", b"(24, 24, 6)"),
            (rb"\(6, 24, 24\)", b"()"),
            (rb"\(6, 24, 24\)", b"(5, 24, 24)"),
            (rb"\(6, 24, 24\)", b"(" * 300),
            (rb"\|u1", b"|O"),
            (rb"\|u1", b"<f8"),
            (rb"\|u1", b"<U99999999"),
            (rb"\|u1", b"|b1"),
            (rb"\|u1", b"<M8[ns]"),
            (rb"False", b"True "),
            (rb"False", b"__import__('os')"),
            (rb"^\x93NUMPY\x01", b"\x93NUMPY\x09"),
            (rb"'shape'", b"'shade'"),
        )
    )
    return f"{new[:30]!r} for {old!r}", re.sub(old, lambda _: new, content, count=1)


def _cell(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    rows = [row.split(b",") for row in content.split(b"\n")[:-1]]
    row = rng.randrange(len(rows))
    column = rng.randrange(len(rows[row]))
    new = rng.choice(
        (b"", b"nan", b"1e300", b"-1", b"abc", b"../../x", b"/dev/zero", b"\xff", b'"', b"99999999",
         b"pre", b"post", b"\0", b"a" * 200000, b"phases.csv", b".", b"1,2,3", b"frame")
    )  # fmt: skip
    rows[row][column] = new
    what = f"{new[:20]!r} in row {row + 1}, column {column + 1}"
    return what, b"\n".join(b",".join(r) for r in rows) + b"\n"
