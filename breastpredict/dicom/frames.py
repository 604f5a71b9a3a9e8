"""One record a slice, from classic files and from the frames of Enhanced ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from breastpredict.dicom.headers import Header
from breastpredict.dicom.marks import component_of, marked, tissue_of, unfit, words_of
from breastpredict.errors import InputError
from breastpredict.imaging.geometry import SPACING_MM

TEMPORAL_KEYS = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "TemporalPositionTimeOffset",
    "PhilipsDynamicScanBegin",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "FrameReferenceDateTime",
    "TriggerTime",
    "ContentTime",
    "AcquisitionNumber",
)
"""What may tell the phases of one series apart, in the order of trust."""

CLOCKS = ("AcquisitionTime", "ContentTime")
"""Keys that are times of day and so start again at midnight."""

REMEDY = "Send the study again from the scanner or PACS"
_POST = (
    "POST_CONTRAST IMMEDIATE DYNAMIC STEADY_STATE DELAYED ARTERIAL CAPILLARY VENOUS PORTAL_VENOUS"
).split()


@dataclass(frozen=True, slots=True)
class Frame:
    """One slice at one time.

    Attributes:
        header: of its file.
        number: 1-based frame of an Enhanced file, None in a classic one.
        position: ImagePositionPatient, LPS mm.
        orientation: ImageOrientationPatient.
        spacing: (along a row = i, along a column = j), mm.
        matrix: (columns, rows).
        times: temporal key → number (seconds of day, ms, index), where present.
        duration_s: how long its acquisition took, None where unknown.
        marks: what tells it from other images at the same place and time (flip angle, echo time,
            tissue, label ...), name → value.
        sequence: RepetitionTime and EchoTime in ms, FlipAngle in degrees, where stated.
        contrast: "pre" or "post" where the header states it (0018,9344), else empty.
        rescale: (slope, intercept).
        stack: the StackID of an Enhanced file, else empty.
        unfit: why it cannot be of a phase (see `breastpredict.dicom.marks.unfit`), else empty.
    """

    header: Header
    number: int | None
    position: tuple[float, float, float]
    orientation: tuple[float, ...]
    spacing: tuple[float, float]
    matrix: tuple[int, int]
    times: Mapping[str, float]
    duration_s: float | None
    marks: Mapping[str, str]
    sequence: Mapping[str, float]
    contrast: str
    rescale: tuple[float, float]
    stack: str = ""
    unfit: str = ""

    @property
    def instance_number(self) -> float:
        """Order within the series."""
        return (self.header.number("InstanceNumber") or 0.0) * 1e6 + (self.number or 0)


def classic_frame(header: Header) -> Frame:
    """The slice of a classic MR file.

    Raises:
        InputError: a geometry tag is missing or no number; the message names the tag and the file.
    """
    position = geometry_numbers(header, "ImagePositionPatient", 3)
    orientation = geometry_numbers(header, "ImageOrientationPatient", 6)
    row_spacing, column_spacing = geometry_numbers(header, "PixelSpacing", 2)
    check_plane(header, orientation, row_spacing, column_spacing)
    check_pixels(header)
    kinds, _, tissue = _kind(header)
    return Frame(
        header,
        None,
        (position[0], position[1], position[2]),
        orientation,
        (column_spacing, row_spacing),
        matrix_of(header),
        _classic_times(header),
        header.number("AcquisitionDuration"),
        marked(
            tissue=tissue,
            label=header.text("PhilipsLabelType"),
            flip_angle=number_text(header.number("FlipAngle")),
            echo_time=number_text(header.number("EchoTime")),
            image_type=" ".join(filter(None, kinds)),
            side=header.text("ImageLaterality") or header.text("Laterality"),
        ),
        sequence_of(header),
        contrast_of(header.text("ContrastBolusAgentPhase")),
        rescale_of(header.text, header.path),
    )


def _kind(header: Header) -> tuple[tuple[str, ...], str, str]:
    """The words that a classic header has for the kind of its image; its component, its tissue."""
    words = words_of(header.text("ImageType"))[2:] + words_of(header.text("PhilipsImageTypeMR"))
    stated, of_ge = header.text("ComplexImageComponent"), header.number("GEImageComponent")
    return words, component_of(words, stated, of_ge), tissue_of(words)


def unfit_classic(header: Header) -> str:
    """Why a classic file cannot hold a slice of a phase, whatever its geometry; empty if it can."""
    words = words_of(header.text("ImageType"))
    if (header.number("SiemensImagesInMosaic") or 0) > 1:
        words = (*words, "MOSAIC")
    _, component, tissue = _kind(header)
    if reason := unfit(words, component, tissue, header.number("DiffusionBValue")):
        return reason
    if (header.number("SamplesPerPixel") or 1) != 1:
        return "colour images"
    if (header.number("NumberOfFrames") or 1) != 1:
        return "several frames in a file that says nothing of their places"
    return ""


def sequence_of(header: Header) -> dict[str, float]:
    """What the pulse sequence was, as a classic header states it (ms, degrees)."""
    found = {name: header.number(name) for name in ("RepetitionTime", "EchoTime", "FlipAngle")}
    return {name: value for name, value in found.items() if value is not None}


def rescale_of(text_of: Callable[[str], str], path: Path) -> tuple[float, float]:
    """Slope and intercept (PS3.3 C.11.1): 1 and 0 where they are absent.

    Raises:
        InputError: one of them is there and no number, or the slope is 0.
    """
    found = []
    for keyword, otherwise in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0)):
        text = text_of(keyword)
        try:
            value = float(text.partition("\\")[0]) if text else otherwise
        except ValueError:
            value = math.nan
        if not abs(value) < 1e12 or (value == 0 and keyword == "RescaleSlope"):
            raise InputError(f"The tag {keyword} holds no usable number", path=path, remedy=REMEDY)
        found.append(value)
    return found[0], found[1]


def _classic_times(header: Header) -> dict[str, float]:
    times: dict[str, float | None] = {}
    for key in TEMPORAL_KEYS:
        if key in CLOCKS:
            times[key] = seconds_of_day(header.text(key))
        elif key == "AcquisitionDateTime":
            times[key] = moment(header.text(key))
        else:
            times[key] = header.number(key)
    return {key: value for key, value in times.items() if value is not None}


def number_text(value: float | None) -> str:
    """A number as a mark."""
    return "" if value is None else f"{value:g}"


def contrast_of(phase: str, given: str = "") -> str:
    """What the header says of the contrast agent (PS3.3 C.7.6.16.2.12): "pre", "post" or empty.

    Args:
        phase: ContrastBolusAgentPhase (0018,9344).
        given: ContrastBolusAgentAdministered (0018,9342).
    """
    if phase.upper() == "PRE_CONTRAST" or given.upper() == "NO":
        return "pre"
    return "post" if phase.upper() in _POST else ""


def _decimal(text: str) -> bool:
    """Whether it is digits alone; `str.isdigit` takes a superscript for one."""
    return text.isascii() and text.isdigit()


@lru_cache(maxsize=1 << 15)
def seconds_of_day(text: str) -> float | None:
    """A DICOM TM (PS3.5 6.2: HHMMSS.FFFFFF, parts may be missing) in seconds, or None."""
    digits, _, fraction = text.strip().replace(":", "").partition(".")
    if len(digits) not in (2, 4, 6) or not _decimal(digits):
        return None
    hours, minutes, seconds = (int(digits[i : i + 2] or 0) for i in (0, 2, 4))
    if hours > 23 or minutes > 59 or seconds > 60 or (fraction and not _decimal(fraction)):
        return None
    return hours * 3600 + minutes * 60 + seconds + (float(f"0.{fraction}") if fraction else 0.0)


@lru_cache(maxsize=1 << 15)
def moment(text: str) -> float | None:
    """A DICOM DT as seconds since an arbitrary day; differences are what counts."""
    digits, _, fraction = text.partition(".")
    fraction = fraction.partition("+")[0].partition("-")[0]
    try:
        found = datetime.strptime(digits[:14], "%Y%m%d%H%M%S")
    except ValueError:
        return None
    seconds = (found - datetime(2000, 1, 1)).total_seconds()
    return seconds + (float(f"0.{fraction}") if _decimal(fraction) else 0.0)


def matrix_of(header: Header) -> tuple[int, int]:
    """(columns, rows)."""
    rows, columns = (geometry_numbers(header, name, 1)[0] for name in ("Rows", "Columns"))
    if not (1 <= rows <= 65535 and 1 <= columns <= 65535):
        raise InputError("Rows and Columns are no size of an image", path=header.path)
    return int(columns), int(rows)


def geometry_numbers(header: Header, keyword: str, count: int) -> tuple[float, ...]:
    """The values of a tag without which nothing has a place.

    Raises:
        InputError: missing or unusable.
    """
    values = header.numbers(keyword)
    if len(values) != count:
        what = "is missing" if not header.text(keyword) else "holds no usable numbers"
        raise InputError(f"The tag {keyword} {what}", path=header.path, remedy=REMEDY)
    return values


def check_plane(header: Header, orientation: tuple[float, ...], *spacing: float) -> None:
    """Raise InputError for axes that are not perpendicular and pixels without a size."""
    row, column = orientation[:3], orientation[3:]
    lengths = [sum(x * x for x in v) ** 0.5 for v in (row, column)]
    dot = sum(a * b for a, b in zip(row, column, strict=True))
    if any(abs(length - 1) > 1e-2 for length in lengths) or abs(dot) > 1e-2:
        raise InputError("ImageOrientationPatient holds no right angle", path=header.path)
    if min(spacing) <= 0:
        raise InputError("PixelSpacing is not above zero", path=header.path)
    if min(spacing) < SPACING_MM[0] or max(spacing) > SPACING_MM[1]:
        raise InputError("PixelSpacing is absurd", path=header.path)


def check_pixels(header: Header, frames: int = 1) -> None:
    """Raise InputError for a header that does not say how its pixels are stored, or that says it
    for another number of pixels than it states: what is read by it would be sheared.

    Of a single frame that lacks pixels this is found where it is read: it may not be needed.
    """
    bits = geometry_numbers(header, "BitsAllocated", 1)[0]
    geometry_numbers(header, "PixelRepresentation", 1)
    columns, rows = matrix_of(header)
    excess = header.pixel_length - frames * rows * columns * bits / 8
    # Less than a row is padding, as some writers fill up blocks.
    if header.pixel_offset >= 0 and excess >= min(rows, columns) * bits / 8:
        raise InputError(
            f"The pixel data hold {excess:.0f} bytes more than the header says", path=header.path
        )
    if header.pixel_offset >= 0 and frames > 1 and excess < 0:
        raise InputError(
            f"The pixel data hold {-excess:.0f} bytes less than the header says",
            path=header.path,
            remedy=REMEDY,
        )
