"""Tumour masks in: DICOM SEG, NRRD (Slicer's .seg.nrrd too) and NIfTI, on a phase's grid."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError

from breastpredict.dicom.study import Study
from breastpredict.errors import GateRefusal, InputError
from breastpredict.imaging import Geometry, resample_to

TUMOUR_CODES = {
    ("SCT", "108369006"),  # Neoplasm
    ("SCT", "4147007"),  # Mass
    ("SCT", "86049000"),  # Neoplasm, primary
    ("SCT", "14799000"),  # Neoplasm, secondary
    ("SCT", "367651003"),  # Malignant neoplasm
    ("SCT", "254837009"),  # Malignant neoplasm of breast
    ("SCT", "52988006"),  # Lesion
    ("SRT", "M-80003"),
    ("SRT", "M-03000"),
    ("SRT", "M-80000"),
    ("SRT", "M-8FFFF"),
}
"""Coded types that mean the tumour (CID 7159 and its older SRT codes)."""

_SEG = "1.2.840.10008.5.1.4.1.1.66.4"
_REMEDY = "Give the tumour's mask of this study"


@dataclass(frozen=True)
class Mask:
    """A tumour mask.

    Attributes:
        image: uint8 of 0 and 1 on the grid asked for.
        label: the segment's name, empty where it has none.
        source: "DICOM SEG", "NRRD" ...
    """

    image: sitk.Image = field(repr=False)
    label: str
    source: str


@dataclass(frozen=True)
class _Segment:
    number: int
    name: str
    code: tuple[str, str]


def read_mask(
    path: str | os.PathLike[str],
    onto: Geometry,
    *,
    segment: str | None = None,
    study: Study | None = None,
) -> Mask:
    """Read a mask and bring it to a grid by physical position (nearest voxel).

    The tumour's segment is the only one, the one coded as a tumour, or the one named.

    Args:
        path: DICOM SEG, NRRD or NIfTI.
        onto: the grid.
        segment: its name or number.
        study: the study it must belong to (DICOM only).

    Raises:
        InputError: unreadable, of another study or patient, ambiguous, or elsewhere in space.
        GateRefusal: "no-tumour", the mask is empty.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("There is no such segmentation", path=path)
    try:
        data: pydicom.Dataset | None = pydicom.dcmread(path)
    except InvalidDicomError:
        data = None
    except Exception as error:  # pydicom raises many kinds on damage
        raise InputError("The segmentation is damaged", path=path) from error
    if data is not None:
        found, label, kind = *_from_seg(data, path, segment, study), "DICOM SEG"
    else:
        found, label, kind = _from_file(path, segment)
    array = sitk.GetArrayViewFromImage(found)
    if not array.any():
        raise GateRefusal("no-tumour", f"The tumour mask is empty ({label or path.name}).")
    image = _pasted(found, onto)
    if image is None:
        image = resample_to(found, onto, "nearest", 0.0)
        image = onto.to_image((sitk.GetArrayFromImage(image) != 0).astype(np.uint8))
        if not sitk.GetArrayViewFromImage(image).any():
            raise InputError("The mask lies outside of the images", path=path, remedy=_REMEDY)
    return Mask(image, label, kind)


def _pasted(found: sitk.Image, onto: Geometry) -> sitk.Image | None:
    """Slices of the grid itself put in their place; None where voxels do not coincide.

    A SEG holds only the slices with tumour: resampling the whole grid for them is slow.
    """
    given = Geometry.from_image(found)
    first = round(float(onto.physical_to_index(np.array(given.origin))[2]))
    stop = first + given.size[2]
    if not 0 <= first < stop <= onto.size[2]:
        return None
    if not onto.slab(first, stop).same_grid(given, 0.01):
        return None
    whole = np.zeros(onto.size[::-1], np.uint8)
    np.not_equal(sitk.GetArrayViewFromImage(found), 0, out=whole[first:stop].view(np.bool_))
    return onto.to_image(whole)


def _choose(segments: list[_Segment], wanted: str | None, path: Path) -> _Segment:
    names = ", ".join(f"{s.number}: {s.name or 'no name'}" for s in segments)
    if wanted is not None:
        hits = [s for s in segments if wanted in (s.name, str(s.number))]
        if len(hits) != 1:
            raise InputError(
                f"There is {'no' if not hits else 'more than one'} segment '{wanted}'; "
                f"the file has {names}",
                path=path,
            )
        return hits[0]
    if len(segments) == 1:
        return segments[0]
    hits = [s for s in segments if s.code in TUMOUR_CODES]
    if len(hits) == 1:
        return hits[0]
    raise InputError(
        f"It is unclear which segment is the tumour: {names}",
        path=path,
        remedy="Say which with --segment",
    )


def _from_seg(
    data: pydicom.Dataset, path: Path, wanted: str | None, study: Study | None
) -> tuple[sitk.Image, str]:
    if data.get("SOPClassUID") != _SEG:
        raise InputError("The DICOM file is no segmentation (SEG)", path=path, remedy=_REMEDY)
    if study is not None:
        if data.get("PatientID", "") != study.patient_id:
            raise InputError("The mask is of another patient", path=path, remedy=_REMEDY)
        if data.get("StudyInstanceUID") != study.study_uid:
            raise InputError("The mask is of another study", path=path, remedy=_REMEDY)
    try:
        segments = [_described(item) for item in data.SegmentSequence]
        chosen = _choose(segments, wanted, path)
        return _seg_volume(data, chosen.number, path), chosen.name
    except (AttributeError, KeyError, IndexError, ValueError, TypeError) as error:
        raise InputError(
            "The segmentation is damaged or incomplete", path=path, remedy=_REMEDY
        ) from error


def _described(item: pydicom.Dataset) -> _Segment:
    kind = item.SegmentedPropertyTypeCodeSequence[0]
    return _Segment(
        int(item.SegmentNumber),
        str(item.get("SegmentLabel", "")),
        (str(kind.CodingSchemeDesignator), str(kind.get("CodeValue", ""))),
    )


def _seg_volume(data: pydicom.Dataset, number: int, path: Path) -> sitk.Image:
    """One segment's frames as a volume on its own grid, empty slices filled in."""
    shared = data.SharedFunctionalGroupsSequence[0]
    groups = list(data.PerFrameFunctionalGroupsSequence)

    def item(group: pydicom.Dataset, name: str) -> Any:
        return (group.get(name) or shared.get(name))[0]

    mine = [
        index
        for index, group in enumerate(groups)
        if int(item(group, "SegmentIdentificationSequence").ReferencedSegmentNumber) == number
    ]
    if not mine:
        raise GateRefusal("no-tumour", "The tumour's segment has no frames.")
    measures = item(groups[mine[0]], "PixelMeasuresSequence")
    orientation = np.array(
        [item(groups[i], "PlaneOrientationSequence").ImageOrientationPatient for i in mine],
        dtype=float,
    )
    if np.abs(orientation - orientation[0]).max() > 1e-3:
        raise InputError("The frames of the segmentation are not parallel", path=path)
    row, column = orientation[0, :3], orientation[0, 3:]
    normal = np.cross(row, column)
    positions = np.array(
        [item(groups[i], "PlanePositionSequence").ImagePositionPatient for i in mine], dtype=float
    )
    along = positions @ normal
    step = float(measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 0)
    gaps = np.diff(np.unique(np.round(along, 3)))
    if len(gaps) and (step <= 0 or np.abs(gaps / step - np.round(gaps / step)).max() > 0.05):
        step = float(gaps.min())
    if step <= 0:
        raise InputError("The segmentation states no slice distance", path=path)
    slots = np.round((along - along.min()) / step).astype(int)
    frames = _frames(data, path)
    rows, columns = int(data.Rows), int(data.Columns)
    if slots.max() > 4096 or rows * columns * (slots.max() + 1) > 2**31:
        raise InputError("The segmentation states an absurd size", path=path)
    volume = np.zeros((int(slots.max()) + 1, rows, columns), np.uint8)
    limit = 0.0
    if data.get("SegmentationType") == "FRACTIONAL":
        limit = float(data.MaximumFractionalValue) / 2
    for index, slot in zip(mine, slots, strict=True):
        volume[slot] |= frames[index] > limit
    image: sitk.Image = sitk.GetImageFromArray(volume)
    image.SetOrigin(positions[int(np.argmin(along))].tolist())
    image.SetSpacing([float(measures.PixelSpacing[1]), float(measures.PixelSpacing[0]), step])
    image.SetDirection(np.stack([row, column, normal], axis=1).ravel().tolist())
    return image


def _frames(data: pydicom.Dataset, path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.asarray(data.pixel_array)
    except Exception as error:  # the decoders raise many kinds on damage
        raise InputError(
            "The pixels of the segmentation are truncated or cannot be decoded", path=path
        ) from error
    return array[np.newaxis] if array.ndim == 2 else array


def _from_file(path: Path, wanted: str | None) -> tuple[sitk.Image, str, str]:
    kind = "NIfTI" if ".nii" in path.name.lower() else "NRRD"
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(
            "The segmentation is damaged or of an unknown kind",
            path=path,
            remedy="Give DICOM SEG, NRRD or NIfTI",
        ) from error
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    if image.GetDimension() != 3:
        raise InputError("The mask is not three-dimensional", path=path)
    segments = _slicer_segments(image)
    if segments:
        chosen = _choose([s for s, _, _ in segments], wanted, path)
        layer, value = next((lay, val) for s, lay, val in segments if s == chosen)
        if image.GetNumberOfComponentsPerPixel() > 1:
            image = sitk.VectorIndexSelectionCast(image, layer)
        return sitk.Cast(image == value, sitk.sitkUInt8), chosen.name, "Slicer segmentation"
    if image.GetNumberOfComponentsPerPixel() > 1:
        raise InputError("The mask has several values a voxel", path=path)
    values = [v for v in np.unique(sitk.GetArrayViewFromImage(image)).tolist() if v != 0]
    if any(v != round(v) for v in values) or len(values) > 255:
        raise InputError("The file holds an image, not a mask", path=path, remedy=_REMEDY)
    if not values:
        return sitk.Cast(image != 0, sitk.sitkUInt8), "", kind
    labels = [_Segment(int(v), "", ("", "")) for v in values]
    chosen = _choose(labels, wanted, path)
    return sitk.Cast(image == chosen.number, sitk.sitkUInt8), wanted or "", kind


def _slicer_segments(image: sitk.Image) -> list[tuple[_Segment, int, int]]:
    """Segments, their layer and label value, from the header of a .seg.nrrd."""
    keys = set(image.GetMetaDataKeys())
    out = []
    number = 0
    while f"Segment{number}_ID" in keys:

        def field_of(name: str, default: str = "", number: int = number) -> str:
            key = f"Segment{number}_{name}"
            return str(image.GetMetaData(key)).strip() if key in keys else default

        code = ("", "")
        for tag in field_of("Tags").split("|"):
            if tag.strip().startswith("TerminologyEntry:"):
                parts = tag.split(":", 1)[1].split("~")
                if len(parts) > 2:
                    scheme, value, *_ = [*parts[2].split("^"), "", ""]
                    code = (scheme, value)
        out.append(
            (
                _Segment(number + 1, field_of("Name"), code),
                int(field_of("Layer", "0")),
                int(field_of("LabelValue", "1")),
            )
        )
        number += 1
    return out
