"""One record a slice, from classic files and from the frames of Enhanced ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from breastpredict.dicom.headers import MR_ENHANCED, Header
from breastpredict.errors import InputError

TEMPORAL_KEYS = (
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "TemporalPositionTimeOffset",
    "AcquisitionTime",
    "TriggerTime",
    "ContentTime",
    "AcquisitionNumber",
)
"""What may tell the phases of one series apart, in the order of trust."""


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
        component: M, P, R, I (magnitude, phase, ...) or empty.
        rescale: (slope, intercept).
    """

    header: Header
    number: int | None
    position: tuple[float, float, float]
    orientation: tuple[float, ...]
    spacing: tuple[float, float]
    matrix: tuple[int, int]
    times: dict[str, float]
    duration_s: float | None
    component: str
    rescale: tuple[float, float]

    @property
    def instance_number(self) -> float:
        """Order within the series."""
        return (self.header.number("InstanceNumber") or 0.0) * 1e6 + (self.number or 0)


def frames_of(header: Header) -> list[Frame]:
    """The frames of one MR file.

    Raises:
        InputError: a geometry tag is missing or no number; the message names the tag and the file.
    """
    if header.text("SOPClassUID") in MR_ENHANCED:
        return list(_enhanced(header))
    position = _numbers(header, "ImagePositionPatient", 3)
    orientation = _numbers(header, "ImageOrientationPatient", 6)
    row_spacing, column_spacing = _numbers(header, "PixelSpacing", 2)
    rows, columns = _numbers(header, "Rows", 1)[0], _numbers(header, "Columns", 1)[0]
    _check_geometry(header, orientation, row_spacing, column_spacing)
    times = {}
    for key in TEMPORAL_KEYS:
        clock = key in ("AcquisitionTime", "ContentTime")
        value = seconds_of_day(header.text(key)) if clock else header.number(key)
        if value is not None:
            times[key] = value
    return [
        Frame(
            header,
            None,
            (position[0], position[1], position[2]),
            orientation,
            (column_spacing, row_spacing),
            (int(columns), int(rows)),
            times,
            header.number("AcquisitionDuration"),
            _component(header),
            (header.number("RescaleSlope") or 1.0, header.number("RescaleIntercept") or 0.0),
        )
    ]


def seconds_of_day(text: str) -> float | None:
    """A DICOM TM (PS3.5 6.2: HHMMSS.FFFFFF, parts may be missing) in seconds, or None."""
    digits, _, fraction = text.strip().replace(":", "").partition(".")
    if len(digits) not in (2, 4, 6) or not digits.isdigit():
        return None
    hours, minutes, seconds = (int(digits[i : i + 2] or 0) for i in (0, 2, 4))
    if hours > 23 or minutes > 59 or seconds > 60 or (fraction and not fraction.isdigit()):
        return None
    return hours * 3600 + minutes * 60 + seconds + (float(f"0.{fraction}") if fraction else 0.0)


def _component(header: Header) -> str:
    """Magnitude, phase, real or imaginary, from ImageType (PS3.3 C.8.3.1.1.1 and its habits)."""
    parts = header.text("ImageType").upper().split("\\")[2:]
    for part in parts:
        for mark in ("M", "P", "R", "I"):
            if part in (mark, f"{mark}_FFE", f"{mark}_SE", f"{mark}_IR"):
                return mark
    return ""


def _numbers(header: Header, keyword: str, count: int) -> tuple[float, ...]:
    values = header.numbers(keyword)
    if len(values) != count:
        what = "is missing" if not header.text(keyword) else "holds no usable numbers"
        raise InputError(
            f"The tag {keyword} {what}",
            path=header.path,
            remedy="Send the study again from the scanner or PACS",
        )
    return values


def _check_geometry(header: Header, orientation: tuple[float, ...], *spacing: float) -> None:
    row, column = orientation[:3], orientation[3:]
    lengths = [sum(x * x for x in v) ** 0.5 for v in (row, column)]
    dot = sum(a * b for a, b in zip(row, column, strict=True))
    if any(abs(length - 1) > 1e-2 for length in lengths) or abs(dot) > 1e-2:
        raise InputError("ImageOrientationPatient holds no right angle", path=header.path)
    if min(spacing) <= 0:
        raise InputError("PixelSpacing is not above zero", path=header.path)


def _enhanced(header: Header) -> Iterator[Frame]:
    data = header.dataset
    if data is None:
        raise InputError("The file's header is damaged", path=header.path)
    try:
        shared = data.SharedFunctionalGroupsSequence[0]
        groups = list(data.PerFrameFunctionalGroupsSequence)
    except (AttributeError, IndexError) as error:
        raise InputError(
            "The functional groups of the Enhanced MR file are missing", path=header.path
        ) from error
    if len(groups) != (header.number("NumberOfFrames") or 0):
        raise InputError(
            "NumberOfFrames and PerFrameFunctionalGroupsSequence disagree", path=header.path
        )
    rows, columns = _numbers(header, "Rows", 1)[0], _numbers(header, "Columns", 1)[0]
    for number, group in enumerate(groups, start=1):

        def find(sequence: str, keyword: str, group: Any = group) -> Any:
            for source in (group, shared):
                items = source.get(sequence)
                if items and keyword in items[0] and items[0][keyword].value is not None:
                    return items[0][keyword].value
            return None

        def numbers(sequence: str, keyword: str, count: int, find: Any = find) -> tuple[float, ...]:
            value = find(sequence, keyword)
            if value is None or len(value) != count:
                raise InputError(f"The tag {keyword} is missing", path=header.path)
            return tuple(float(x) for x in value)

        position = numbers("PlanePositionSequence", "ImagePositionPatient", 3)
        orientation = numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6)
        row_spacing, column_spacing = numbers("PixelMeasuresSequence", "PixelSpacing", 2)
        _check_geometry(header, orientation, row_spacing, column_spacing)
        times: dict[str, float] = {}
        index = find("FrameContentSequence", "TemporalPositionIndex")
        if index is not None:
            times["TemporalPositionIndex"] = float(index)
        offset = find("TemporalPositionSequence", "TemporalPositionTimeOffset")
        if offset is not None:
            times["TemporalPositionTimeOffset"] = float(offset)
        start = _moment(find("FrameContentSequence", "FrameAcquisitionDateTime"))
        if start is not None:
            times["AcquisitionTime"] = start
        trigger = find("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime")
        if trigger is not None:
            times["TriggerTime"] = float(trigger)
        duration = find("FrameContentSequence", "FrameAcquisitionDuration")
        component = find("MRImageFrameTypeSequence", "ComplexImageComponent") or ""
        slope = find("PixelValueTransformationSequence", "RescaleSlope")
        intercept = find("PixelValueTransformationSequence", "RescaleIntercept")
        yield Frame(
            header,
            number,
            (position[0], position[1], position[2]),
            orientation,
            (column_spacing, row_spacing),
            (int(columns), int(rows)),
            times,
            None if not duration else float(duration) / 1000.0,
            "" if component == "MIXED" else str(component)[:1],
            (float(slope if slope is not None else 1), float(intercept or 0)),
        )


def _moment(value: Any) -> float | None:
    """A DICOM DT as seconds since an arbitrary day; differences are what counts."""
    digits, _, fraction = str(value or "").partition(".")
    fraction = fraction.partition("+")[0].partition("-")[0]
    try:
        moment = datetime.strptime(digits[:14], "%Y%m%d%H%M%S")
    except ValueError:
        return None
    seconds = (moment - datetime(2000, 1, 1)).total_seconds()
    return seconds + (float(f"0.{fraction}") if fraction.isdigit() else 0.0)
