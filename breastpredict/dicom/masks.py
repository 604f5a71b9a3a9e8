"""Tumour masks in: DICOM SEG, RTSTRUCT, NRRD, NIfTI and arrays, on a phase's grid."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.errors import InvalidDicomError
from pydicom.uid import RTStructureSetStorage

from breastpredict.dicom.contours import described_structures, referenced_studies, structure_mask
from breastpredict.dicom.headers import unreadable
from breastpredict.dicom.mask_files import mask_from_file
from breastpredict.dicom.seg_object import SEGMENTATION_CLASSES, described_segments, segment_mask
from breastpredict.dicom.segments import choose_segment
from breastpredict.dicom.study import Study
from breastpredict.errors import GateRefusal, InputError
from breastpredict.imaging import BoxedMask, Geometry, resample_to

_REMEDY = "Give the tumour's mask of this study"


@dataclass(frozen=True)
class Mask:
    """A tumour mask.

    Attributes:
        mask: on the grid asked for.
        label: the segment's name, empty where it has none.
        source: "DICOM SEG", "RTSTRUCT", "NRRD" ...
    """

    mask: BoxedMask = field(repr=False)
    label: str
    source: str


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
    if not path.is_file():
        raise InputError("There is no such segmentation", path=path)
    data = _dicom(path)
    if data is None:
        found, label, kind = mask_from_file(path, segment, onto, array_order)
    elif array_order is not None:
        raise InputError(
            "A DICOM mask has its place in space", path=path, remedy="Leave out --mask-order"
        )
    else:
        found, label, kind = _from_dicom(data, path, segment, study, onto)
    if found.empty:
        # Not the file's name: the reason is written into results, and names hold identifiers.
        named = f" ({label})" if label else ""
        raise GateRefusal("no-tumour", f"The tumour mask is empty{named}.")
    placed = _pasted(found, onto)
    if placed is None:
        placed = _resampled(found, onto)
    if placed.empty:
        raise InputError("The mask lies outside of the images", path=path, remedy=_REMEDY)
    return Mask(placed, label, kind)


def _dicom(path: Path) -> pydicom.Dataset | None:
    """The file as DICOM; None where it is something else."""
    try:
        return pydicom.dcmread(path)
    except InvalidDicomError:
        return None
    except OSError as error:
        raise unreadable(error, path) from error
    except Exception as error:  # pydicom raises many kinds on damage
        raise InputError("The segmentation is damaged", path=path) from error


def _from_dicom(
    data: pydicom.Dataset, path: Path, wanted: str | None, study: Study | None, onto: Geometry
) -> tuple[BoxedMask, str, str]:
    try:
        kind = data.get("SOPClassUID")
        if kind not in (*SEGMENTATION_CLASSES, RTStructureSetStorage):
            raise InputError(
                "The DICOM file is no segmentation (SEG or RTSTRUCT)", path=path, remedy=_REMEDY
            )
        if study is not None:
            _check_belongs(data, path, study)
        if kind == RTStructureSetStorage:
            structure = choose_segment(described_structures(data), wanted, path)
            image = structure_mask(data, structure.number, onto, path)
            return BoxedMask.of(image), structure.name, "RTSTRUCT"
        chosen = choose_segment(described_segments(data), wanted, path)
        return segment_mask(data, chosen.number, path), chosen.name, "DICOM SEG"
    except (AttributeError, KeyError, IndexError, ValueError, TypeError, OverflowError) as error:
        raise InputError(
            "The segmentation is damaged or incomplete", path=path, remedy=_REMEDY
        ) from error


def _check_belongs(data: pydicom.Dataset, path: Path, study: Study) -> None:
    if not study.study_uid:  # loaded volumes: there is nothing to compare
        return
    if data.get("PatientID", "") != study.patient_id:
        raise InputError("The mask is of another patient", path=path, remedy=_REMEDY)
    if study.study_uid not in referenced_studies(data):
        raise InputError("The mask is of another study", path=path, remedy=_REMEDY)


def _pasted(found: BoxedMask, onto: Geometry) -> BoxedMask | None:
    """Voxels of the grid itself put in their place; None where they do not coincide."""
    first = onto.find_slab(found.geometry)
    if first is None:
        return None
    k, j, i = found.start
    return BoxedMask(onto, (first + k, j, i), found.inside)


def _resampled(found: BoxedMask, onto: Geometry) -> BoxedMask:
    """By position, in that part of the grid where the mask's box lies."""
    k, j, i = found.start
    depth, height, width = found.inside.shape
    box = found.geometry.region((i, j, k), (i + width, j + height, k + depth))
    ends = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in box.size], indexing="ij"))
    index = onto.physical_to_index(box.index_to_physical(ends.reshape(3, 8).T))
    low = np.clip(np.floor(index.min(axis=0)), 0, np.array(onto.size) - 1)
    high = np.clip(np.ceil(index.max(axis=0)) + 1, low + 1, onto.size)
    x, y, z = (int(n) for n in low)
    part = onto.region((x, y, z), (int(high[0]), int(high[1]), int(high[2])))
    moved = resample_to(box.to_image(found.inside), part, "nearest", 0.0)
    return BoxedMask.of_array(sitk.GetArrayViewFromImage(moved), onto, (z, y, x))
