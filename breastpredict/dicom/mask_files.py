"""Masks that are no DICOM: NRRD (Slicer's .seg.nrrd too), NIfTI, MetaImage, NumPy arrays."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from breastpredict.dicom.itk import open_image, read_image
from breastpredict.dicom.segments import Segment, choose_segment
from breastpredict.errors import InputError
from breastpredict.imaging import BoxedMask, Geometry

_ORDER = re.compile(r"(-?[xyz]),?(-?[xyz]),?(-?[xyz])")
_STATE_ORDER = "State the order of its axes with --mask-order, for example zyx"
_KINDS = "Give DICOM SEG, RTSTRUCT, NRRD, NIfTI or a NumPy array (.npy)"
_DAMAGED = "The segmentation is damaged or of an unknown kind"
_MAXIMUM_LABELS = 255
_IGNORED = "The mask's file states a place in space, which --mask-order overrides: check it"


@dataclass(frozen=True)
class FileMask:
    """A mask as its file holds it.

    Attributes:
        mask: on its own grid, or on the images' where its axes were stated.
        label: the segment's name, empty where it has none.
        kind: "NRRD", "NIfTI" ...
        warnings: what the reader should check.
    """

    mask: BoxedMask = field(repr=False)
    label: str
    kind: str
    warnings: tuple[str, ...] = ()


def mask_from_file(
    path: Path, wanted: str | None, onto: Geometry, array_order: str | None
) -> FileMask:
    """Read a mask that is no DICOM.

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
            raise InputError("A NumPy array has no place in space", path=path, remedy=_STATE_ORDER)
        array = _by_number(_numpy(path), wanted, path)
        return FileMask(_ordered(array, array_order, onto, path), wanted or "", "NumPy array")
    image = _read(path)
    geometry = _geometry_of(image, path)
    array, label, kind = _segment_of(image, wanted, path)
    if array_order is not None:
        # SimpleITK's array is [k, j, i]; a file's first axis is its fastest, i.
        mask = _ordered(array.transpose(2, 1, 0), array_order, onto, path)
        warnings = () if _placeless(geometry) else (_IGNORED,)
        return FileMask(mask, label, kind, warnings)
    if _placeless(geometry) and not geometry.same_grid(onto):
        raise InputError(
            "The mask has no place in space (its origin is 0 and its axes are those of the file)",
            path=path,
            remedy=_STATE_ORDER,
        )
    return FileMask(BoxedMask.of_array(array, geometry), label, kind)


def _read(path: Path) -> sitk.Image:
    image = read_image(open_image(path, _DAMAGED, _KINDS), path, _DAMAGED)
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    if image.GetDimension() != 3:
        raise InputError("The mask is not three-dimensional", path=path)
    return image


def _geometry_of(image: sitk.Image, path: Path) -> Geometry:
    try:
        return Geometry.from_image(image)
    except InputError as error:
        raise InputError(error.problem, path=path) from error


def _segment_of(
    image: sitk.Image, wanted: str | None, path: Path
) -> tuple[NDArray[np.bool_], str, str]:
    """The voxels ``[k, j, i]`` of the segment asked for, its label, and the kind of the file."""
    layers = image.GetNumberOfComponentsPerPixel()
    segments = _slicer_segments(image, path)
    if segments:
        chosen = choose_segment([s for s, _, _ in segments], wanted, path)
        layer, value = next((lay, val) for s, lay, val in segments if s == chosen)
        if not 0 <= layer < layers:
            raise InputError(f"The segmentation has no layer {layer}", path=path)
        if layers > 1:
            image = sitk.VectorIndexSelectionCast(image, layer)
        array = sitk.GetArrayViewFromImage(image) == value
        return array, chosen.name, "Slicer segmentation"
    if layers > 1:
        raise InputError("The mask has several values a voxel", path=path)
    kinds = {".nii": "NIfTI", ".nrrd": "NRRD", ".nhdr": "NRRD", ".mha": "MetaImage"}
    kind = next((kinds[s] for s in map(str.lower, path.suffixes) if s in kinds), "image file")
    return _by_number(sitk.GetArrayViewFromImage(image), wanted, path), wanted or "", kind


def _numpy(path: Path) -> NDArray[Any]:
    try:
        # Mapped, not read: a header that states more than the file holds costs no memory.
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy parses the header as Python: many kinds on damage
        raise InputError("The array is damaged or no NumPy array", path=path) from error
    if not isinstance(array, np.ndarray) or array.ndim != 3 or array.dtype.kind not in "biuf":
        raise InputError("The array is no three-dimensional mask", path=path)
    return array


def _by_number(array: NDArray[Any], wanted: str | None, path: Path) -> NDArray[np.bool_]:
    """Where a label image has the value asked for, or its only one."""
    values: set[float] = set()
    for part in array:  # an image has too many values in its first parts already
        values.update(np.unique(part).tolist())
        if len(values) > _MAXIMUM_LABELS + 1 or any(
            not math.isfinite(v) or v != round(v) for v in values
        ):
            raise InputError(
                "The file holds an image, not a mask", path=path, remedy="Give the tumour's mask"
            )
    values.discard(0)
    if not values:
        return np.zeros(array.shape, np.bool_)
    chosen = choose_segment([Segment(int(v)) for v in sorted(values)], wanted, path)
    return np.asarray(array == chosen.number)


def _ordered(array: NDArray[np.bool_], order: str, onto: Geometry, path: Path) -> BoxedMask:
    """An array whose axes are stated, on the grid it belongs to."""
    found = _ORDER.fullmatch(order.strip().lower())
    axes = list(found.groups()) if found else []
    names = [axis[-1] for axis in axes]
    if sorted(names) != ["x", "y", "z"]:
        raise InputError(
            f"The order of the mask's axes is {order!r}",
            remedy="Give each of x, y, z once, '-' before those that run backwards, such as zyx",
        )
    backwards = tuple(n for n, axis in enumerate(axes) if axis.startswith("-"))
    array = np.flip(array, backwards)
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


def _slicer_segments(image: sitk.Image, path: Path) -> list[tuple[Segment, int, int]]:
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
        try:
            layer, value_in = int(field_of("Layer", "0")), int(field_of("LabelValue", "1"))
        except ValueError as error:
            raise InputError("A segment's layer or label is no number", path=path) from error
        out.append((Segment(number + 1, field_of("Name"), code), layer, value_in))
        number += 1
    return out
