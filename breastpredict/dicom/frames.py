"""One record a slice, from classic files and from the frames of Enhanced ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from breastpredict.dicom.headers import Header
from breastpredict.errors import InputError

TEMPORAL_KEYS = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "TemporalPositionTimeOffset",
    "PhilipsDynamicScanBegin",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "TriggerTime",
    "ContentTime",
    "AcquisitionNumber",
)
"""What may tell the phases of one series apart, in the order of trust."""

CLOCKS = ("AcquisitionTime", "ContentTime")
"""Keys that are times of day and so start again at midnight."""

REMEDY = "Send the study again from the scanner or PACS"
_COMPONENTS = ("M", "P", "R", "I")


@dataclass(frozen=True)
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
            component, label ...), name → value.
        sequence: RepetitionTime and EchoTime in ms, FlipAngle in degrees, where stated.
        contrast: "pre" or "post" where the header states it (0018,9344), else empty.
        rescale: (slope, intercept).
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
    return Frame(
        header,
        None,
        (position[0], position[1], position[2]),
        orientation,
        (column_spacing, row_spacing),
        matrix_of(header),
        _classic_times(header),
        header.number("AcquisitionDuration"),
        _classic_marks(header),
        sequence_of(header),
        "",
        (_or(header.number("RescaleSlope"), 1.0), _or(header.number("RescaleIntercept"), 0.0)),
    )


def sequence_of(header: Header) -> dict[str, float]:
    """What the pulse sequence was, as a classic header states it (ms, degrees)."""
    found = {name: header.number(name) for name in ("RepetitionTime", "EchoTime", "FlipAngle")}
    return {name: value for name, value in found.items() if value is not None}


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _classic_times(header: Header) -> dict[str, float]:
    times: dict[str, float | None] = {}
    for key in TEMPORAL_KEYS:
        if key in CLOCKS:
            times[key] = seconds_of_day(header.text(key))
        elif key == "AcquisitionDateTime":
            times[key] = moment(header.text(key))
        elif key == "PhilipsDynamicScanBegin":
            times[key] = header.number(key) if header.private(key) else None
        else:
            times[key] = header.number(key)
    return {key: value for key, value in times.items() if value is not None}


def _classic_marks(header: Header) -> dict[str, str]:
    kinds = [part for part in header.text("ImageType").upper().split("\\")[2:] if part]
    private = (header.private("PhilipsImageTypeMR"),)
    return marked(
        component=component_of(kinds),
        image_type=" ".join([*kinds, *filter(None, private)]),
        flip_angle=_number_text(header.number("FlipAngle")),
        echo_time=_number_text(header.number("EchoTime")),
        b_value=_number_text(header.number("DiffusionBValue")),
        label=header.private("PhilipsLabelType"),
        side=header.text("ImageLaterality") or header.text("Laterality"),
    )


def _number_text(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def marked(**marks: str) -> dict[str, str]:
    """Marks by name, empty ones left out."""
    return {name.replace("_", " "): value for name, value in marks.items() if value}


def component_of(kinds: list[str]) -> str:
    """Magnitude, phase, real or imaginary, from ImageType (PS3.3 C.8.3.1.1.1 and its habits)."""
    for part in kinds:
        for mark in _COMPONENTS:
            if part in (mark, f"{mark}_FFE", f"{mark}_SE", f"{mark}_IR", f"{mark}_PCA"):
                return mark
    return ""


def seconds_of_day(text: str) -> float | None:
    """A DICOM TM (PS3.5 6.2: HHMMSS.FFFFFF, parts may be missing) in seconds, or None."""
    digits, _, fraction = text.strip().replace(":", "").partition(".")
    if len(digits) not in (2, 4, 6) or not digits.isdigit():
        return None
    hours, minutes, seconds = (int(digits[i : i + 2] or 0) for i in (0, 2, 4))
    if hours > 23 or minutes > 59 or seconds > 60 or (fraction and not fraction.isdigit()):
        return None
    return hours * 3600 + minutes * 60 + seconds + (float(f"0.{fraction}") if fraction else 0.0)


def moment(value: object) -> float | None:
    """A DICOM DT as seconds since an arbitrary day; differences are what counts."""
    digits, _, fraction = str(value or "").partition(".")
    fraction = fraction.partition("+")[0].partition("-")[0]
    try:
        found = datetime.strptime(digits[:14], "%Y%m%d%H%M%S")
    except ValueError:
        return None
    seconds = (found - datetime(2000, 1, 1)).total_seconds()
    return seconds + (float(f"0.{fraction}") if fraction.isdigit() else 0.0)


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
