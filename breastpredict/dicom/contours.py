"""Contours of an RT Structure Set (PS3.3 A.19, C.8.8.6) as a mask.

A structure is a stack of closed planar contours in patient coordinates. A voxel belongs to it when
its centre lies inside an odd number of the contours of its plane (even-odd rule): so a contour
within another is a hole, whether a keyhole, CLOSEDPLANAR_XOR or two plain contours say it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray

from breastpredict.dicom.segments import Segment
from breastpredict.errors import GateRefusal, InputError
from breastpredict.imaging import Geometry

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_PLANE_MM = 0.1  # contours nearer than this along the normal lie in one plane
_ON_SLICE = 0.1  # of the slice distance: how far a contour may lie off a slice and still be on it
_PARALLEL = 0.999  # cosine
_MAXIMUM_VOXELS = 2**31
Contour = NDArray[np.float64]
"""Points ``[n, 3]``, LPS mm."""


def described_structures(data: pydicom.Dataset) -> list[Segment]:
    """The structures of a set; a gross tumour volume (GTV) is the tumour by its type."""
    kinds: dict[int, tuple[str, tuple[str, str]]] = {}
    for observation in data.get("RTROIObservationsSequence", None) or ():
        codes = observation.get("RTROIIdentificationCodeSequence", None) or ()
        code = ("", "")
        if codes:
            code = (str(codes[0].CodingSchemeDesignator), str(codes[0].get("CodeValue", "")))
        kinds[int(observation.ReferencedROINumber)] = (
            str(observation.get("RTROIInterpretedType") or "").upper(),
            code,
        )
    out = []
    for item in data.StructureSetROISequence:
        number = int(item.ROINumber)
        kind, code = kinds.get(number, ("", ("", "")))
        out.append(Segment(number, str(item.get("ROIName", "")), code, declared=kind == "GTV"))
    return out


def structure_mask(data: pydicom.Dataset, number: int, onto: Geometry, path: Path) -> sitk.Image:
    """One structure as a mask, uint8 of 0 and 1.

    Contours in the slices of ``onto`` are filled there. Contours in other planes are filled on a
    grid of their own, as far apart as they are, which is returned instead; the caller brings it
    over by position.

    Raises:
        GateRefusal: "no-tumour", the structure has no closed contour.
        InputError: contours that are damaged, not planar or not parallel.
    """
    contours = _contours(data, number, path)
    if not contours:
        raise GateRefusal("no-tumour", "The tumour's structure has no closed contour.")
    normal = _common_normal(contours, path)
    if abs(normal @ onto.normal) >= _PARALLEL:
        k = np.array([float(onto.physical_to_index(c.mean(axis=0))[2]) for c in contours])
        if np.all(np.abs(k - np.round(k)) <= _ON_SLICE):
            return _fill(contours, onto)
        return _fill(contours, _grid_along(contours, onto, path))
    return _fill(contours, _own_grid(contours, normal, onto, path))


def _contours(data: pydicom.Dataset, number: int, path: Path) -> list[Contour]:
    out: list[Contour] = []
    for structure in data.get("ROIContourSequence", None) or ():
        if int(structure.ReferencedROINumber) != number:
            continue
        for contour in structure.get("ContourSequence", None) or ():
            if str(contour.get("ContourGeometricType", "")) not in _CLOSED:
                continue  # points and open lines enclose nothing
            values = np.array(contour.ContourData, dtype=np.float64)
            if values.size % 3 or values.size < 9 or not np.isfinite(values).all():
                raise InputError("A contour of the structure set is damaged", path=path)
            out.append(values.reshape(-1, 3))
    return out


def _common_normal(contours: Sequence[Contour], path: Path) -> NDArray[np.float64]:
    """The normal of all contours.

    Raises:
        InputError: a contour is not planar, or they are not parallel.
    """
    normals = []
    for contour in contours:
        centred = contour - contour.mean(axis=0)
        _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
        if sizes[1] < 1e-6:
            continue  # all points on a line: no area
        if np.abs(centred @ axes[2]).max() > 1.0:
            raise InputError("A contour of the structure set is not planar", path=path)
        normals.append(axes[2])
    if not normals:
        raise GateRefusal("no-tumour", "The contours of the tumour's structure enclose nothing.")
    first = normals[0]
    if any(abs(first @ other) < _PARALLEL for other in normals):
        raise InputError("The contours of the structure set are not parallel", path=path)
    return np.asarray(first)


def _levels(contours: Sequence[Contour], normal: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([float(np.mean(contour @ normal)) for contour in contours])


def _step(levels: NDArray[np.float64], fallback: float) -> float:
    steps = np.diff(np.unique(np.round(levels / _PLANE_MM).astype(int))) * _PLANE_MM
    return float(steps.min()) if len(steps) else fallback


def _grid_along(contours: Sequence[Contour], onto: Geometry, path: Path) -> Geometry:
    """Slices at the contours, with the in-plane grid of ``onto``."""
    levels = _levels(contours, onto.normal)
    step = _step(levels, onto.spacing[2])
    count = round(float(np.ptp(levels)) / step) + 1
    _check_size(onto.size[0] * onto.size[1] * count, path)
    origin = np.array(onto.origin) + onto.normal * (
        levels.min() - np.array(onto.origin) @ onto.normal
    )
    x, y, z = origin.tolist()
    return Geometry(
        (onto.size[0], onto.size[1], count),
        (onto.spacing[0], onto.spacing[1], step),
        (x, y, z),
        onto.direction,
    )


def _own_grid(
    contours: Sequence[Contour], normal: NDArray[np.float64], onto: Geometry, path: Path
) -> Geometry:
    """A grid in the contours' planes, as fine as the finest of ``onto``."""
    row = np.eye(3)[int(np.argmin(np.abs(normal)))]
    row = row - normal * (row @ normal)
    row /= np.linalg.norm(row)
    axes = np.stack([row, np.cross(normal, row), normal], axis=1)
    levels = _levels(contours, normal)
    fine = min(onto.spacing)
    step = _step(levels, fine)
    points = np.concatenate(contours) @ axes
    low, high = points.min(axis=0), points.max(axis=0)
    size = [int(np.ceil((high[a] - low[a]) / fine)) + 3 for a in (0, 1)]
    count = round(float(np.ptp(levels)) / step) + 1
    _check_size(size[0] * size[1] * count, path)
    x, y, z = (axes @ np.array([low[0] - fine, low[1] - fine, levels.min()])).tolist()
    return Geometry(
        (size[0], size[1], count), (fine, fine, step), (x, y, z), tuple(axes.ravel().tolist())
    )


def _check_size(voxels: int, path: Path) -> None:
    if voxels > _MAXIMUM_VOXELS:
        raise InputError("The contours of the structure set span an absurd size", path=path)


def _fill(contours: Sequence[Contour], grid: Geometry) -> sitk.Image:
    columns, rows, slices = grid.size
    volume = np.zeros((slices, rows, columns), np.bool_)
    for contour in contours:
        index = grid.physical_to_index(contour)
        k = round(float(index[:, 2].mean()))
        if 0 <= k < slices:
            volume[k] ^= _inside(index[:, :2], rows, columns)
    return grid.to_image(volume)


def _inside(polygon: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.bool_]:
    """Pixels whose centre lies in a closed polygon of continuous (i, j), by the even-odd rule.

    For every row the edges that cross its centre line flip what lies to the right of them.
    """
    mask = np.zeros((rows, columns), np.bool_)
    start, end = polygon, np.roll(polygon, -1, axis=0)
    first = max(0, int(np.ceil(polygon[:, 1].min())))
    last = min(rows - 1, int(np.floor(polygon[:, 1].max())))
    at = np.arange(columns)
    for j in range(first, last + 1):
        # Half-open: a vertex on the line belongs to one of its two edges.
        crosses = (start[:, 1] <= j) != (end[:, 1] <= j)
        a, b = start[crosses], end[crosses]
        x = np.sort(a[:, 0] + (j - a[:, 1]) / (b[:, 1] - a[:, 1]) * (b[:, 0] - a[:, 0]))
        mask[j] = (np.searchsorted(x, at, side="right") % 2).astype(bool)
    return mask


def referenced_studies(data: pydicom.Dataset) -> set[str]:
    """UIDs of the studies whose images a structure set was drawn on, its own included."""
    found = {str(data.get("StudyInstanceUID", ""))}
    for frame in data.get("ReferencedFrameOfReferenceSequence", None) or ():
        for study in frame.get("RTReferencedStudySequence", None) or ():
            found.add(str(study.get("ReferencedSOPInstanceUID", "")))
    return found - {""}
