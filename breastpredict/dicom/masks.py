"""Tumour masks in: DICOM SEG, RTSTRUCT, NRRD, NIfTI and arrays, on a phase's grid."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.errors import InvalidDicomError
from pydicom.uid import RTStructureSetStorage

from breastpredict.dicom.bounded import read_dataset
from breastpredict.dicom.contours import described_structures, structure_mask
from breastpredict.dicom.headers import unreadable
from breastpredict.dicom.mask_files import mask_from_file
from breastpredict.dicom.seg_object import SEGMENTATION_CLASSES, described_segments, segment_mask
from breastpredict.dicom.segments import choose_segment
from breastpredict.dicom.study import Study
from breastpredict.errors import BreastPredictError, GateRefusal, InputError
from breastpredict.imaging import BoxedMask, Geometry, resample_to

_REMEDY = "Give the tumour's mask of this study"


@dataclass(frozen=True)
class Mask:
    """A tumour mask.

    Attributes:
        mask: on the grid asked for.
        label: the segment's name, empty where it has none.
        source: "DICOM SEG", "RTSTRUCT", "NRRD" ...
        warnings: what the reader should check.
        resampled: the file has another grid than the one asked for.
    """

    mask: BoxedMask = field(repr=False)
    label: str
    source: str
    warnings: tuple[str, ...] = ()
    resampled: bool = False


def read_mask(
    path: str | os.PathLike[str],
    onto: Geometry,
    *,
    segment: str | None = None,
    study: Study | None = None,
    array_order: str | None = None,
) -> Mask:
    """Read a mask and bring it to a grid by physical position (nearest voxel).

    The tumour's segment is the only one, the one coded as a tumour, or the one named.

    Args:
        path: DICOM SEG (also label map), RTSTRUCT, NRRD, NIfTI or .npy.
        onto: the grid.
        segment: its name or number.
        study: the study it must belong to (DICOM only).
        array_order: the axes of an array without a place in space, such as "zyx"; see
            `breastpredict.dicom.mask_files.mask_from_file`.

    Raises:
        InputError: unreadable, of another study or patient, ambiguous, or elsewhere in space.
        GateRefusal: "no-tumour", the mask is empty.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise InputError("There is no such segmentation", path=path)
    except OSError as error:
        raise unreadable(error, path) from error
    warnings: list[str] = []
    data = _dicom(path)
    if data is None:
        file = mask_from_file(path, segment, onto, array_order)
        found, label, kind = file.mask, file.label, file.kind
        warnings.extend(file.warnings)
    elif array_order is not None:
        raise InputError(
            "A DICOM mask has its place in space", path=path, remedy="Leave out --mask-order"
        )
    else:
        found, label, kind, notes = _from_dicom(data, path, segment, study, onto)
        warnings.extend(notes)
    if found.empty:
        # Not the file's name: the reason is written into results, and names hold identifiers.
        named = f" ({label})" if label else ""
        raise GateRefusal("no-tumour", f"The tumour mask is empty{named}.")
    placed = _pasted(found, onto)
    resampled = placed is None
    if placed is None:
        placed = _resampled(found, onto)
        if _reaches_out(found, onto):
            warnings.append("A part of the tumour mask lies outside of the images")
    if placed.empty:
        raise InputError("The mask lies outside of the images", path=path, remedy=_REMEDY)
    return Mask(placed, label, kind, tuple(warnings), resampled)


def _dicom(path: Path) -> pydicom.Dataset | None:
    """The file as DICOM; None where it is something else."""
    try:
        return read_dataset(path)
    except InvalidDicomError:
        return None
    except OSError as error:
        raise unreadable(error, path) from error
    except Exception as error:  # pydicom raises many kinds on damage
        raise InputError("The segmentation is damaged", path=path) from error


def _from_dicom(
    data: pydicom.Dataset, path: Path, wanted: str | None, study: Study | None, onto: Geometry
) -> tuple[BoxedMask, str, str, list[str]]:
    """The mask, its segment's name, the kind of object, and warnings."""
    try:
        kind = data.get("SOPClassUID")
        if kind not in (*SEGMENTATION_CLASSES, RTStructureSetStorage):
            raise InputError(
                "The DICOM file is no segmentation (SEG or RTSTRUCT)", path=path, remedy=_REMEDY
            )
        if study is not None:
            _check_belongs(data, path, study)
        notes = _another_frame(data, study, onto)
        if kind == RTStructureSetStorage:
            chosen = choose_segment(described_structures(data), wanted, path)
            return structure_mask(data, chosen.number, onto, path), chosen.name, "RTSTRUCT", notes
        chosen = choose_segment(described_segments(data), wanted, path)
        return segment_mask(data, chosen.number, onto, path), chosen.name, "DICOM SEG", notes
    except InputError as error:  # a geometry does not know its file
        where = path if error.path is None else error.path
        raise InputError(error.problem, path=where, remedy=error.remedy) from error
    except BreastPredictError:
        raise
    except Exception as error:  # values are converted when they are asked for: any kind on damage
        raise InputError(
            "The segmentation is damaged or incomplete", path=path, remedy=_REMEDY
        ) from error


def _check_belongs(data: pydicom.Dataset, path: Path, study: Study) -> None:
    images = _image_header(study)
    if images is None:  # loaded volumes: nothing to compare
        return
    if not _patient_ids(data) & _patient_ids(images):
        raise InputError("The mask is of another patient", path=path, remedy=_REMEDY)
    if study.study_uid and study.study_uid not in _studies(data):
        raise InputError("The mask is of another study", path=path, remedy=_REMEDY)


def _image_header(study: Study, onto: Geometry | None = None) -> pydicom.Dataset | None:
    """The header of an image of the study (of the acquisition on a grid); None where there is none.

    Names are read by pydicom, which knows their alphabets.
    """
    for acquisition in study.dce:
        for phase in acquisition.phases:
            if phase.is_dicom and (onto is None or phase.geometry == onto):
                tags = ["SpecificCharacterSet", "PatientID", "FrameOfReferenceUID"]
                path = phase.instances[0].path
                try:
                    return read_dataset(path, stop_before_pixels=True, specific_tags=tags)
                except OSError as error:
                    raise unreadable(error, path) from error
    return None


def _patient_ids(data: pydicom.Dataset) -> set[str]:
    """The patient's ID, and its bytes: writers forget to say the alphabet."""
    raw = data.get_item("PatientID")  # asked first: `get` puts text in its place
    found = [str(data.get("PatientID") or "")]
    if raw is not None and isinstance(raw.value, bytes):
        found.append(raw.value.decode("latin-1"))
    return {value.strip(" \0\r\n\t") for value in found}


def _studies(data: pydicom.Dataset) -> set[str]:
    """UIDs of the studies that a mask belongs to: its own, and those whose images it was made of
    (PS3.3 C.12.1.1.8.2, C.8.8.5)."""
    found = {str(data.get("StudyInstanceUID") or "")}
    for other in data.get("StudiesContainingOtherReferencedInstancesSequence", None) or ():
        found.add(str(other.get("StudyInstanceUID") or ""))
    for frame in data.get("ReferencedFrameOfReferenceSequence", None) or ():
        for study in frame.get("RTReferencedStudySequence", None) or ():
            found.add(str(study.get("ReferencedSOPInstanceUID") or ""))
    return found - {""}


def _another_frame(data: pydicom.Dataset, study: Study | None, onto: Geometry) -> list[str]:
    """A warning where the mask states positions in another frame of reference than the images."""
    frames = {str(data.get("FrameOfReferenceUID") or "")}
    for structure in data.get("StructureSetROISequence", None) or ():
        frames.add(str(structure.get("ReferencedFrameOfReferenceUID") or ""))
    frames -= {""}
    images = None if study is None else _image_header(study, onto)
    if images is None or not frames:
        return []
    of_images = str(images.get("FrameOfReferenceUID") or "")
    if not of_images or of_images in frames:
        return []
    return ["The tumour mask is in another frame of reference than the images: check its place"]


def _pasted(found: BoxedMask, onto: Geometry) -> BoxedMask | None:
    """Voxels of the grid itself put in their place; None where they do not coincide."""
    first = onto.find_slab(found.geometry)
    if first is None:
        return None
    k, j, i = found.start
    return BoxedMask(onto, (first + k, j, i), found.inside)


def _corners(found: BoxedMask, onto: Geometry) -> NDArray[np.float64]:
    """The outer corners of the mask's box as (continuous) indices of ``onto``, ``[8, 3]``."""
    box = _box(found)
    ends = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in box.size], indexing="ij"))
    return onto.physical_to_index(box.index_to_physical(ends.reshape(3, 8).T))


def _box(found: BoxedMask) -> Geometry:
    k, j, i = found.start
    depth, height, width = found.inside.shape
    return found.geometry.region((i, j, k), (i + width, j + height, k + depth))


def _reaches_out(found: BoxedMask, onto: Geometry) -> bool:
    """Whether the mask's box ends more than a voxel outside of the grid."""
    index = _corners(found, onto)
    return bool(np.any(index < -1.5) or np.any(index > np.array(onto.size) + 0.5))


def _resampled(found: BoxedMask, onto: Geometry) -> BoxedMask:
    """By position, in that part of the grid where the mask's box lies."""
    index = _corners(found, onto)
    low = np.clip(np.floor(index.min(axis=0)), 0, np.array(onto.size) - 1)
    high = np.clip(np.ceil(index.max(axis=0)) + 1, low + 1, onto.size)
    x, y, z = (int(n) for n in low)
    part = onto.region((x, y, z), (int(high[0]), int(high[1]), int(high[2])))
    moved = resample_to(_box(found).to_image(found.inside), part, "nearest", 0.0)
    return BoxedMask.of_array(sitk.GetArrayViewFromImage(moved), onto, (z, y, x))
