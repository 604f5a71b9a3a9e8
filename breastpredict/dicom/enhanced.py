"""The frames of an Enhanced MR file (PS3.3 A.36): one file, its frames in functional groups."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydicom.datadict import keyword_for_tag

from breastpredict.dicom.frames import (
    Frame,
    check_pixels,
    check_plane,
    classic_frame,
    contrast_of,
    matrix_of,
    moment,
    number_text,
    rescale_of,
    seconds_of_day,
)
from breastpredict.dicom.headers import MR_ENHANCED, Header, tag_of
from breastpredict.dicom.items import Item, private_block, private_value
from breastpredict.dicom.marks import component_of, marked, tissue_of, unfit, words_of
from breastpredict.dicom.scan import PRIVATE
from breastpredict.errors import InputError

_PHILIPS = ("Philips MR Imaging DD 001", "Philips MR Imaging DD 005")
_PHILIPS_BLOCK = {_PHILIPS[0]: 0x10, _PHILIPS[1]: 0x14}
_PHILIPS_FRAME = (0x2005, 0x0F)
"""Of the second creator: a sequence in each frame that holds what a classic file would."""

_OF_PRIVATE = {0x20051011: "PhilipsImageTypeMR", 0x20051429: "PhilipsLabelType"}

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

_GROUPS: dict[str, tuple[str, ...]] = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
    "FrameContentSequence": (
        "FrameAcquisitionDateTime",
        "FrameReferenceDateTime",
        "FrameAcquisitionDuration",
        "FrameAcquisitionNumber",
        "StackID",
        "InStackPositionNumber",
        "TemporalPositionIndex",
        "DimensionIndexValues",
    ),
    "TemporalPositionSequence": ("TemporalPositionTimeOffset",),
    "CardiacSynchronizationSequence": ("NominalCardiacTriggerDelayTime",),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
    "MRImageFrameTypeSequence": ("FrameType", "ComplexImageComponent"),
    "MRDiffusionSequence": ("DiffusionBValue",),
    "MRTimingAndRelatedParametersSequence": ("RepetitionTime", "FlipAngle"),
    "MREchoSequence": ("EffectiveEchoTime",),
    "MRArterialSpinLabelingSequence": ("ASLContext",),
    "FrameAnatomySequence": ("FrameLaterality",),
    "ContrastBolusUsageSequence": ("ContrastBolusAgentPhase", "ContrastBolusAgentAdministered"),
}
"""The functional groups that are read, and what of them."""

_TAGS = {
    tag_of(group): {tag_of(keyword): keyword for keyword in keywords}
    for group, keywords in _GROUPS.items()
}
_POINTER = tag_of("DimensionIndexPointer")
_PRIVATE_NAMES = ("PhilipsImageTypeMR", "PhilipsLabelType", "PhilipsDynamicScanBegin")


def frames_of(header: Header) -> list[Frame]:
    """The frames of one MR file, classic or Enhanced.

    Raises:
        InputError: a geometry tag is missing or no number; the message names the tag and the file.
    """
    if header.text("SOPClassUID") not in MR_ENHANCED:
        return [classic_frame(header)]
    try:
        return list(_enhanced(header))
    except InputError:
        raise
    except Exception as error:  # damaged values are of many kinds
        raise InputError(
            "The functional groups of the Enhanced MR file are damaged", path=header.path
        ) from error


class _Groups:
    """What a frame's functional groups say; what they do not, the shared ones do."""

    def __init__(self, values: dict[str, str], path: Path) -> None:
        self._values = values
        self._path = path

    def text(self, keyword: str) -> str:
        """The value, empty when absent."""
        return self._values.get(keyword, "")

    def number(self, keyword: str) -> float | None:
        """The first value as a finite number, None when absent.

        Raises:
            ValueError: it is no number.
        """
        text = self._values.get(keyword, "")
        value = float(text.partition("\\")[0]) if text else math.inf
        return value if abs(value) < 1e12 else None

    def numbers(self, keyword: str, count: int) -> tuple[float, ...]:
        """Values that give a frame its place.

        Raises:
            InputError: missing, or no numbers.
        """
        text = self._values.get(keyword, "")
        if not text:
            raise InputError(f"The tag {keyword} is missing", path=self._path)
        try:
            out = tuple([float(part) for part in text.split("\\")])
        except ValueError:
            out = ()
        if len(out) != count or not all([abs(x) < 1e12 for x in out]):
            raise InputError(f"The tag {keyword} holds no usable numbers", path=self._path)
        return out


def _values_of(groups: Item) -> dict[str, str]:
    """The wanted values of one item of functional groups, by keyword."""
    found: dict[str, str] = {}
    for tag, wanted in _TAGS.items():
        for item in groups.items(tag)[:1]:
            for inner, keyword in wanted.items():
                if text := item.text(inner):
                    found[keyword] = text
    group, low = _PHILIPS_FRAME
    block = private_block(groups, group, _PHILIPS[1])
    if block is not None:
        for item in groups.items((group, (block or _PHILIPS_BLOCK[_PHILIPS[1]]) << 8 | low))[:1]:
            for name in _PRIVATE_NAMES:
                usual = _PHILIPS_BLOCK[PRIVATE[name][3]]
                if text := private_value(item, name, usual_block=usual):
                    found[name] = text
    return found


def _enhanced(header: Header) -> Iterator[Frame]:
    own_groups = header.sequences.get("PerFrameFunctionalGroupsSequence")
    if not own_groups:
        raise InputError("The tag PerFrameFunctionalGroupsSequence is missing", path=header.path)
    if header.number("NumberOfFrames") is None:
        raise InputError("The tag NumberOfFrames is missing", path=header.path)
    if len(own_groups) != header.number("NumberOfFrames"):
        raise InputError(
            "NumberOfFrames and PerFrameFunctionalGroupsSequence disagree", path=header.path
        )
    matrix = matrix_of(header)
    check_pixels(header, len(own_groups))
    shared: dict[str, str] = {}
    for item in header.sequences.get("SharedFunctionalGroupsSequence", ())[:1]:
        shared = _values_of(item)
    every = [_Groups({**shared, **_values_of(own)}, header.path) for own in own_groups]
    of_file = _times_of_file(header)
    for number, (groups, places) in enumerate(
        zip(every, _dimensions(header, every), strict=True), start=1
    ):
        position = groups.numbers("ImagePositionPatient", 3)
        orientation = groups.numbers("ImageOrientationPatient", 6)
        row_spacing, column_spacing = groups.numbers("PixelSpacing", 2)
        check_plane(header, orientation, row_spacing, column_spacing)
        duration = groups.number("FrameAcquisitionDuration")
        marks, reason = _kind(header, groups, places)
        yield Frame(
            header,
            number,
            (position[0], position[1], position[2]),
            orientation,
            (column_spacing, row_spacing),
            matrix,
            {**of_file, **_times(groups, places)},
            None if not duration else duration / 1000.0,
            marks,
            _sequence(groups),
            contrast_of(
                groups.text("ContrastBolusAgentPhase"),
                groups.text("ContrastBolusAgentAdministered"),
            ),
            rescale_of(groups.text, header.path),
            groups.text("StackID"),
            reason,
        )


def _dimensions(header: Header, frames: Sequence[_Groups]) -> list[dict[str, int]]:
    """For each frame, what its dimension indices count: a keyword, or a private tag as text.

    Some writers list the indices in another order than the dimensions they name. The frames' own
    place in its stack and in time shows that; then no index is used.
    """
    names = []
    for item in header.sequences.get("DimensionIndexSequence", ()):
        group, _, element = item.text(_POINTER).partition(",")
        pointer = int(group, 16) << 16 | int(element, 16) if element else 0
        private = f"({group},{element})" if pointer else ""
        names.append(_OF_PRIVATE.get(pointer) or keyword_for_tag(pointer) or private)
    indices = [frame.text("DimensionIndexValues") for frame in frames]
    found = [
        dict(zip(names, map(int, text.split("\\") if text else ()), strict=False))
        for text in indices
    ]
    for keyword in ("InStackPositionNumber", "TemporalPositionIndex"):
        if keyword not in names:
            continue
        pairs = {
            (frame.text("StackID"), places.get(keyword), frame.text(keyword))
            for frame, places in zip(frames, found, strict=True)
            if frame.text(keyword)
        }
        # One index for each value, and one value for each index.
        if len({pair[:2] for pair in pairs}) < len(pairs) or len(
            {(stack, value) for stack, _, value in pairs}
        ) < len(pairs):
            return [{} for _ in frames]
    return found


def _times_of_file(header: Header) -> dict[str, float]:
    """What the file says of all its frames: with one file a phase it tells the phases apart."""
    found = {
        "AcquisitionDateTime": moment(header.text("AcquisitionDateTime")),
        "ContentTime": seconds_of_day(header.text("ContentTime")),
        "AcquisitionNumber": header.number("AcquisitionNumber"),
    }
    return {key: value for key, value in found.items() if value is not None}


def _times(groups: _Groups, places: dict[str, int]) -> dict[str, float]:
    index = groups.number("TemporalPositionIndex")
    if index is None and "TemporalPositionIndex" in places:
        index = float(places["TemporalPositionIndex"])
    found = {
        "TemporalPositionIndex": index,
        "TemporalPositionTimeOffset": groups.number("TemporalPositionTimeOffset"),
        "PhilipsDynamicScanBegin": groups.number("PhilipsDynamicScanBegin"),
        "AcquisitionTime": moment(groups.text("FrameAcquisitionDateTime")),
        "FrameReferenceDateTime": moment(groups.text("FrameReferenceDateTime")),
        "TriggerTime": groups.number("NominalCardiacTriggerDelayTime"),
        "AcquisitionNumber": groups.number("FrameAcquisitionNumber"),
    }
    # What a vendor's own dimension counts is not known; it may be time.
    found |= {f"dimension {name}": float(n) for name, n in places.items() if name.startswith("(")}
    return {key: value for key, value in found.items() if value is not None}


def _kind(header: Header, groups: _Groups, places: dict[str, int]) -> tuple[dict[str, str], str]:
    """A frame's marks, and why it cannot be of a phase."""
    words = words_of(groups.text("FrameType") or header.text("ImageType"))
    kinds = words[2:] + words_of(groups.text("PhilipsImageTypeMR"))
    stated = groups.text("ComplexImageComponent") or header.text("ComplexImageComponent")
    component, tissue = component_of(kinds, stated), tissue_of(kinds)
    b_value = groups.number("DiffusionBValue")
    label = groups.text("ASLContext") or groups.text("PhilipsLabelType")
    # A dimension that is neither place nor time separates images of another kind.
    others = {
        f"dimension {name}": str(place)
        for name, place in places.items()
        if name and name not in _PLACE and name not in _TIME and not name.startswith("(")
        if not (name == "PhilipsLabelType" and label)
    }
    known = marked(
        tissue=tissue,
        label=label,
        flip_angle=number_text(groups.number("FlipAngle")),
        echo_time=number_text(groups.number("EffectiveEchoTime")),
        image_type=" ".join(filter(None, kinds)),
        side=groups.text("FrameLaterality"),
    )
    return {**known, **others}, unfit(words, component, tissue, b_value)


def _sequence(groups: _Groups) -> dict[str, float]:
    found = {
        "RepetitionTime": groups.number("RepetitionTime"),
        "EchoTime": groups.number("EffectiveEchoTime"),
        "FlipAngle": groups.number("FlipAngle"),
    }
    return {key: value for key, value in found.items() if value is not None}
