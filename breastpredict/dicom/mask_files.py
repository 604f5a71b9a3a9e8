"""Masks that are no DICOM: NRRD (Slicer's .seg.nrrd too), NIfTI, NumPy arrays."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from breastpredict.dicom.itk import quietly
from breastpredict.dicom.segments import Segment, choose_segment
from breastpredict.errors import InputError
from breastpredict.imaging import BoxedMask, Geometry

_ORDER = re.compile(r"(-?[xyz]),?(-?[xyz]),?(-?[xyz])")
_KINDS = "Give DICOM SEG, RTSTRUCT, NRRD, NIfTI or a NumPy array (.npy)"
_MAXIMUM_LABELS = 255


def mask_from_file(
    path: Path, wanted: str | None, onto: Geometry, array_order: str | None
) -> tuple[BoxedMask, str, str]:
    """The mask on its own grid, its label, and what kind of file it was.

    Args:
        path: the file.
        wanted: name or number of the segment.
        onto: the grid the mask belongs to.
        array_order: the axes of an array without a place in space, in the order of the file: a
            permutation of x (columns), y (rows) and z (slices) of ``onto``, "-" before those that
            run backwards, such as "zyx" or "x,-y,z". With it the file's own geometry is ignored.

    Raises:
        InputError: damaged, no mask, ambiguous, or without a place and an order.
    """
    if path.suffix.lower() == ".npy":
        if array_order is None:
            raise InputError(
                "A NumPy array has no place in space",
                path=path,
                remedy="State the order of its axes with --mask-order, for example zyx",
            )
        array = _by_number(_numpy(path), wanted, path)
        return _ordered(array, array_order, onto, path), wanted or "", "NumPy array"
    image = _read(path)
    kind = "NIfTI" if ".nii" in path.name.lower() else "NRRD"
    segments = _slicer_segments(image)
    if segments:
        chosen = choose_segment([s for s, _, _ in segments], wanted, path)
        layer, value = next((lay, val) for s, lay, val in segments if s == chosen)
        if image.GetNumberOfComponentsPerPixel() > 1:
            image = sitk.VectorIndexSelectionCast(image, layer)
        array = sitk.GetArrayViewFromImage(image) == value
        label, kind = chosen.name, "Slicer segmentation"
    else:
        if image.GetNumberOfComponentsPerPixel() > 1:
            raise InputError("The mask has several values a voxel", path=path)
        array = _by_number(sitk.GetArrayViewFromImage(image), wanted, path)
        label = wanted or ""
    if array_order is not None:
        # SimpleITK's array is [k, j, i]; a file's first axis is its fastest, i.
        return _ordered(array.transpose(2, 1, 0), array_order, onto, path), label, kind
    geometry = Geometry.from_image(image)
    if _placeless(geometry) and not geometry.same_grid(onto):
        raise InputError(
            "The mask has no place in space (its origin is 0 and its axes are those of the file)",
            path=path,
            remedy="State the order of its axes with --mask-order, for example zyx",
        )
    return BoxedMask.of_array(array, geometry), label, kind


def _read(path: Path) -> sitk.Image:
    try:
        with quietly():
            image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(
            "The segmentation is damaged or of an unknown kind", path=path, remedy=_KINDS
        ) from error
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    if image.GetDimension() != 3:
        raise InputError("The mask is not three-dimensional", path=path)
    return image


def _numpy(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError("The array is damaged or no NumPy array", path=path) from error
    if array.ndim != 3 or array.dtype.kind not in "biuf":
        raise InputError("The array is no three-dimensional mask", path=path)
    return array


def _by_number(array: NDArray[Any], wanted: str | None, path: Path) -> NDArray[np.bool_]:
    """Where a label image has the value asked for, or its only one."""
    values = [v for v in np.unique(array).tolist() if v != 0]
    if len(values) > _MAXIMUM_LABELS or any(v != v or v != round(v) for v in values):
        raise InputError(
            "The file holds an image, not a mask", path=path, remedy="Give the tumour's mask"
        )
    if not values:
        return np.zeros(array.shape, np.bool_)
    chosen = choose_segment([Segment(int(v)) for v in values], wanted, path)
    return np.asarray(array == chosen.number)


def _ordered(array: NDArray[np.bool_], order: str, onto: Geometry, path: Path) -> BoxedMask:
    """An array whose axes are stated, on the grid it belongs to."""
    found = _ORDER.fullmatch(order.strip().lower())
    axes = list(found.groups()) if found else []
    if sorted(axis[-1] for axis in axes) != ["x", "y", "z"]:
        raise InputError(
            f"The order of the mask's axes is {order!r}",
            remedy="Give each of x, y, z once, '-' before those that run backwards, such as zyx",
        )
    backwards = tuple(n for n, axis in enumerate(axes) if axis.startswith("-"))
    array = np.flip(array, backwards)
    names = [axis[-1] for axis in axes]
    array = array.transpose([names.index(axis) for axis in "zyx"])
    if array.shape != onto.size[::-1]:
        stated = " × ".join(str(n) for n in array.shape[::-1])
        wanted = " × ".join(str(n) for n in onto.size)
        raise InputError(
            f"In the order {order} the mask has {stated} voxels, the images have {wanted}",
            path=path,
        )
    return BoxedMask.of_array(array, onto)


def _placeless(geometry: Geometry) -> bool:
    """A file that states no place is read as lying at the origin along the axes."""
    axes = np.abs(np.array(geometry.direction)).reshape(3, 3)
    return not np.any(geometry.origin) and bool(np.array_equal(axes, np.eye(3)))


def _slicer_segments(image: sitk.Image) -> list[tuple[Segment, int, int]]:
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
                Segment(number + 1, field_of("Name"), code),
                int(field_of("Layer", "0")),
                int(field_of("LabelValue", "1")),
            )
        )
        number += 1
    return out
