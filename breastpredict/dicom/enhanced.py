"""The frames of an Enhanced MR file (PS3.3 A.36): one file, its frames in functional groups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
from pydicom.datadict import keyword_for_tag

from breastpredict.dicom.frames import (
    Frame,
    check_plane,
    classic_frame,
    component_of,
    marked,
    matrix_of,
    moment,
)
from breastpredict.dicom.headers import MR_ENHANCED, Header
from breastpredict.errors import InputError

_PRIVATE_GROUP = (0x2005, 0x140F)
"""Philips: a sequence in each frame that holds what a classic file would."""

_KNOWN = {0x20051011: "PhilipsImageTypeMR", 0x20051429: "PhilipsLabelType"}

_PLACE = (
    "StackID InStackPositionNumber ImagePositionPatient ImageOrientationPatient "
    "PlanePositionSequence SliceLocation"
).split()
_TIME = (
    "TemporalPositionIndex TemporalPositionTimeOffset FrameAcquisitionDateTime "
    "FrameReferenceDateTime FrameAcquisitionNumber NominalCardiacTriggerDelayTime "
    "TriggerDelayTime TriggerTime AcquisitionTime ContentTime AcquisitionDateTime "
    "TemporalPositionIdentifier CardiacCyclePosition"
).split()
_POST = (
    "POST_CONTRAST IMMEDIATE DYNAMIC STEADY_STATE DELAYED ARTERIAL CAPILLARY VENOUS PORTAL_VENOUS"
).split()


def frames_of(header: Header) -> list[Frame]:
    """The frames of one MR file, classic or Enhanced.

    Raises:
        InputError: a geometry tag is missing or no number; the message names the tag and the file.
    """
    if header.text("SOPClassUID") not in MR_ENHANCED:
        return [classic_frame(header)]
    data = header.dataset
    if data is None:
        raise InputError("The file's header is damaged", path=header.path)
    try:
        return list(_enhanced(header, data))
    except InputError:
        raise
    except Exception as error:  # pydicom decodes late, and raises many kinds on damaged values
        raise InputError(
            "The functional groups of the Enhanced MR file are damaged", path=header.path
        ) from error


class _Groups:
    """A frame's functional groups; what it does not say, the shared ones do."""

    def __init__(self, own: pydicom.Dataset, shared: pydicom.Dataset, path: Path) -> None:
        self._sources = (own, shared)
        self._path = path

    def value(self, sequence: str, keyword: str) -> Any:
        for source in self._sources:
            items = source.get(sequence)
            if items and keyword in items[0] and items[0][keyword].value is not None:
                return items[0][keyword].value
        return None

    def number(self, sequence: str, keyword: str) -> float | None:
        value = self.value(sequence, keyword)
        return None if value is None or value == "" else float(value)

    def numbers(self, sequence: str, keyword: str, count: int) -> tuple[float, ...]:
        """Values that give a frame its place.

        Raises:
            InputError: missing.
        """
        value = self.value(sequence, keyword)
        if value is None or isinstance(value, str) or len(value) != count:
            raise InputError(f"The tag {keyword} is missing", path=self._path)
        out = tuple(float(x) for x in value)
        if not all(abs(x) < 1e12 for x in out):
            raise InputError(f"The tag {keyword} holds no usable numbers", path=self._path)
        return out

    def private(self, group: int, element: int) -> str:
        """A value of the vendor's own sequence, as text."""
        for source in self._sources:
            items = source[_PRIVATE_GROUP].value if _PRIVATE_GROUP in source else None
            if items and (group, element) in items[0]:
                value = items[0][group, element].value
                return value.decode("latin-1") if isinstance(value, bytes) else str(value)
        return ""


def _enhanced(header: Header, data: pydicom.Dataset) -> Iterator[Frame]:
    shared_groups = data.get("SharedFunctionalGroupsSequence", None) or [pydicom.Dataset()]
    own_groups = data.get("PerFrameFunctionalGroupsSequence", None)
    if not own_groups:
        raise InputError(
            "The functional groups of the Enhanced MR file are missing", path=header.path
        )
    if len(own_groups) != (header.number("NumberOfFrames") or 0):
        raise InputError(
            "NumberOfFrames and PerFrameFunctionalGroupsSequence disagree", path=header.path
        )
    matrix = matrix_of(header)
    dimensions = _dimensions(data)
    for number, own in enumerate(own_groups, start=1):
        groups = _Groups(own, shared_groups[0], header.path)
        position = groups.numbers("PlanePositionSequence", "ImagePositionPatient", 3)
        orientation = groups.numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6)
        row_spacing, column_spacing = groups.numbers("PixelMeasuresSequence", "PixelSpacing", 2)
        check_plane(header, orientation, row_spacing, column_spacing)
        index = groups.value("FrameContentSequence", "DimensionIndexValues")
        places = dict(zip(dimensions, _list(index), strict=False))
        duration = groups.number("FrameContentSequence", "FrameAcquisitionDuration")
        slope = groups.number("PixelValueTransformationSequence", "RescaleSlope")
        intercept = groups.number("PixelValueTransformationSequence", "RescaleIntercept")
        yield Frame(
            header,
            number,
            (position[0], position[1], position[2]),
            orientation,
            (column_spacing, row_spacing),
            matrix,
            _times(groups, places),
            None if not duration else duration / 1000.0,
            _marks(groups, places),
            _sequence(groups),
            _contrast(groups),
            (1.0 if slope is None else slope, intercept or 0.0),
        )


def _list(value: Any) -> list[int]:
    if value is None:
        return []
    return [int(value)] if isinstance(value, int) else [int(x) for x in value]


def _dimensions(data: pydicom.Dataset) -> list[str]:
    """What each of a frame's dimension indices counts: a keyword, or a private tag as text."""
    out = []
    for item in data.get("DimensionIndexSequence", None) or ():
        pointer = item.get("DimensionIndexPointer")
        known = "" if pointer is None else _KNOWN.get(pointer) or keyword_for_tag(pointer)
        out.append(known or ("" if pointer is None else str(pointer)))
    return out


def _times(groups: _Groups, places: dict[str, int]) -> dict[str, float]:
    index = groups.number("FrameContentSequence", "TemporalPositionIndex")
    if index is None and "TemporalPositionIndex" in places:
        index = float(places["TemporalPositionIndex"])
    found = {
        "TemporalPositionIndex": index,
        "TemporalPositionTimeOffset": groups.number(
            "TemporalPositionSequence", "TemporalPositionTimeOffset"
        ),
        "AcquisitionTime": moment(groups.value("FrameContentSequence", "FrameAcquisitionDateTime")),
        "TriggerTime": groups.number(
            "CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"
        ),
        "AcquisitionNumber": groups.number("FrameContentSequence", "FrameAcquisitionNumber"),
    }
    # What a vendor's own dimension counts is not known; it may be time.
    found |= {f"dimension {name}": float(n) for name, n in places.items() if name.startswith("(")}
    return {key: value for key, value in found.items() if value is not None}


def _marks(groups: _Groups, places: dict[str, int]) -> dict[str, str]:
    kinds = [
        str(part).upper()
        for part in groups.value("MRImageFrameTypeSequence", "FrameType") or ()
        if part
    ][2:]
    component = str(groups.value("MRImageFrameTypeSequence", "ComplexImageComponent") or "")
    if component in ("", "MIXED"):
        component = component_of(kinds)
    b_value = groups.number("MRDiffusionSequence", "DiffusionBValue")
    # A dimension that is neither place nor time separates images of another kind.
    others = {
        f"dimension {name}": str(place)
        for name, place in places.items()
        if name and name not in _PLACE and name not in _TIME and not name.startswith("(")
    }
    known = marked(
        component=component[:1],
        image_type=" ".join([*kinds, groups.private(0x2005, 0x1011)]).strip(),
        flip_angle=_text(groups.number("MRTimingAndRelatedParametersSequence", "FlipAngle")),
        echo_time=_text(groups.number("MREchoSequence", "EffectiveEchoTime")),
        b_value=_text(b_value),
        label=str(groups.value("MRArterialSpinLabelingSequence", "ASLContext") or "")
        or groups.private(0x2005, 0x1429),
        side=str(groups.value("FrameAnatomySequence", "FrameLaterality") or ""),
    )
    return {**known, **others}


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _sequence(groups: _Groups) -> dict[str, float]:
    timing = "MRTimingAndRelatedParametersSequence"
    found = {
        "RepetitionTime": groups.number(timing, "RepetitionTime"),
        "EchoTime": groups.number("MREchoSequence", "EffectiveEchoTime"),
        "FlipAngle": groups.number(timing, "FlipAngle"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _contrast(groups: _Groups) -> str:
    """What the header says of the contrast agent (PS3.3 C.7.6.16.2.12)."""
    phase = str(groups.value("ContrastBolusUsageSequence", "ContrastBolusAgentPhase") or "")
    given = str(groups.value("ContrastBolusUsageSequence", "ContrastBolusAgentAdministered") or "")
    if phase == "PRE_CONTRAST" or given == "NO":
        return "pre"
    return "post" if phase in _POST else ""
