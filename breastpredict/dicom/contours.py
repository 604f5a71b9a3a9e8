"""Contours of an RT Structure Set (PS3.3 A.19, C.8.8.6) as a mask.

A structure is a stack of closed planar contours in patient coordinates. A voxel belongs to it when
its centre lies inside an odd number of the contours of its plane (even-odd rule): so a contour
within another is a hole, whether a keyhole, CLOSEDPLANAR_XOR or two plain contours say it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray

from breastpredict.dicom.planes import MAXIMUM_SLICES, even_slots
from breastpredict.dicom.segments import Segment
from breastpredict.errors import GateRefusal, InputError
from breastpredict.imaging import BoxedMask, Geometry

_PLAIN, _XOR = "CLOSED_PLANAR", "CLOSEDPLANAR_XOR"
_ON_SLICE = 0.1  # of the slice distance: how far a contour may lie off a slice and still be on it
_FLAT_MM = 1.0  # how far points may lie off the plane of their contour
_MAXIMUM_PIXELS = 2**24  # of a plane


@dataclass(frozen=True)
class Contour:
    """A closed contour: points ``[n, 3]`` in LPS mm, and whether it is one of an XOR."""

    points: NDArray[np.float64]
    xor: bool


def described_structures(data: pydicom.Dataset) -> list[Segment]:
    """The structures of a set; a gross tumour volume (GTV) is the tumour by its type."""
    kinds: dict[int, tuple[str, tuple[str, str]]] = {}
    for observation in data.get("RTROIObservationsSequence", None) or ():
        codes = observation.get("RTROIIdentificationCodeSequence", None) or [pydicom.Dataset()]
        code = tuple(
            str(codes[0].get(name) or "") for name in ("CodingSchemeDesignator", "CodeValue")
        )
        kinds[int(observation.ReferencedROINumber)] = (
            str(observation.get("RTROIInterpretedType") or "").upper(),
            (code[0], code[1]),
        )
    out = []
    for item in data.StructureSetROISequence:
        number = int(item.ROINumber)
        kind, code = kinds.get(number, ("", ("", "")))
        out.append(Segment(number, str(item.get("ROIName") or ""), code, declared=kind == "GTV"))
    return out


def structure_mask(data: pydicom.Dataset, number: int, onto: Geometry, path: Path) -> BoxedMask:
    """One structure as a mask.

    Contours in the slices of ``onto`` are filled there. Contours in other planes are filled on a
    grid of their own, as far apart as they are, which is returned instead; the caller brings it
    over by position.

    Raises:
        GateRefusal: "no-tumour", the structure has no closed contour.
        InputError: contours that are damaged, not planar, not parallel or not evenly spaced.
    """
    contours = _contours(data, number, path)
    if not contours:
        raise GateRefusal("no-tumour", "The tumour's structure has no closed contour.")
    slices = _slices_of(contours, onto)
    if slices is not None:
        if np.all(np.abs(slices - np.round(slices)) <= _ON_SLICE):
            return BoxedMask.of_planes(onto, _filled(contours, np.round(slices).astype(int), onto))
        grid, slots = _between(contours, onto, path)
    else:
        grid, slots = _elsewhere(contours, onto, path)
    return BoxedMask.of_planes(grid, _filled(contours, slots, grid))


def _contours(data: pydicom.Dataset, number: int, path: Path) -> list[Contour]:
    out: list[Contour] = []
    for structure in data.get("ROIContourSequence", None) or ():
        if int(structure.ReferencedROINumber) != number:
            continue
        for contour in structure.get("ContourSequence", None) or ():
            kind = str(contour.get("ContourGeometricType") or "")
            if kind not in (_PLAIN, _XOR):
                continue  # points and open lines enclose nothing
            values = np.array(contour.get("ContourData"), dtype=np.float64)
            if values.size % 3 or values.size < 9 or not np.isfinite(values).all():
                raise InputError("A contour of the structure set is damaged", path=path)
            out.append(Contour(values.reshape(-1, 3), kind == _XOR))
    return out


def _slices_of(contours: Sequence[Contour], onto: Geometry) -> NDArray[np.float64] | None:
    """The (continuous) slice of each contour; None where they do not run along the slices."""
    slices = []
    for contour in contours:
        k = onto.physical_to_index(contour.points)[:, 2]
        off = np.abs(k - k.mean()).max()
        if off > _ON_SLICE and off * onto.spacing[2] > _FLAT_MM / 10:
            return None
        slices.append(float(k.mean()))
    return np.array(slices)


def _between(
    contours: Sequence[Contour], onto: Geometry, path: Path
) -> tuple[Geometry, NDArray[np.int64]]:
    """Slices at the contours, with the in-plane grid of ``onto``."""
    normal = onto.normal
    levels = np.array([float((contour.points @ normal).mean()) for contour in contours])
    step, slots = _stack(levels, onto.spacing[2], path)
    origin = np.array(onto.origin)
    x, y, z = (origin + normal * (levels.min() - origin @ normal)).tolist()
    columns, rows, _ = onto.size
    grid = Geometry(
        (columns, rows, int(slots.max()) + 1),
        (onto.spacing[0], onto.spacing[1], step),
        (x, y, z),
        onto.direction,
    )
    return grid, slots


def _elsewhere(
    contours: Sequence[Contour], onto: Geometry, path: Path
) -> tuple[Geometry, NDArray[np.int64]]:
    """A grid in the contours' own planes, as fine as the finest of ``onto``."""
    normal = _common_normal(contours, path)
    row = np.eye(3)[int(np.argmin(np.abs(normal)))]
    row = row - normal * (row @ normal)
    row /= np.linalg.norm(row)
    axes = np.stack([row, np.cross(normal, row), normal], axis=1)
    levels = np.array([float((contour.points @ normal).mean()) for contour in contours])
    # A single contour is as thick as a voxel of `onto` reaches along its normal: thinner, it could
    # fall between the voxels' centres.
    reach = np.abs(normal @ np.array(onto.direction).reshape(3, 3)) @ np.array(onto.spacing)
    step, slots = _stack(levels, float(reach), path)
    fine = min(onto.spacing)
    points = np.concatenate([contour.points for contour in contours]) @ axes
    low, high = points.min(axis=0), points.max(axis=0)
    columns, rows = (int(np.ceil((high[a] - low[a]) / fine)) + 3 for a in (0, 1))
    if columns * rows > _MAXIMUM_PIXELS:
        raise InputError("The contours of the structure set span an absurd size", path=path)
    x, y, z = (axes @ np.array([low[0] - fine, low[1] - fine, levels.min()])).tolist()
    grid = Geometry(
        (columns, rows, int(slots.max()) + 1),
        (fine, fine, step),
        (x, y, z),
        tuple(axes.ravel().tolist()),
    )
    return grid, slots


def _stack(
    levels: NDArray[np.float64], alone: float, path: Path
) -> tuple[float, NDArray[np.int64]]:
    found = even_slots(levels, alone=alone)
    if found is None:
        raise InputError(
            "The contours of the structure set are not evenly spaced, and not on the image slices",
            path=path,
            remedy=f"Draw them on the slices of these images (at most {MAXIMUM_SLICES} planes)",
        )
    return found


def _common_normal(contours: Sequence[Contour], path: Path) -> NDArray[np.float64]:
    """The normal of all contours; long ones tell it best.

    Raises:
        GateRefusal: "no-tumour", they enclose nothing.
        InputError: a contour is not planar, or they are not parallel.
    """
    centred = [contour.points - contour.points.mean(axis=0) for contour in contours]
    normal, broad = _plane(np.concatenate(centred))
    if not broad:
        raise GateRefusal("no-tumour", "The contours of the tumour's structure enclose nothing.")
    for points in centred:
        if np.abs(points @ normal).max() > _FLAT_MM:
            own, _ = _plane(points)
            flat = np.abs(points @ own).max() <= _FLAT_MM
            raise InputError(
                "The contours of the structure set are not parallel"
                if flat
                else "A contour of the structure set is not planar",
                path=path,
            )
    return normal


def _plane(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    """The normal of the plane through points around 0, and whether they are no mere line."""
    _, sizes, axes = np.linalg.svd(points, full_matrices=False)
    return np.asarray(axes[2]), bool(sizes[1] > 1e-6)


def _filled(
    contours: Sequence[Contour], slots: NDArray[np.int64], grid: Geometry
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """The planes (k, ``[j, i]``) that the contours fill."""
    columns, rows, slices = grid.size
    for k in sorted({int(slot) for slot in slots if 0 <= slot < slices}):
        plane = np.zeros((rows, columns), np.bool_)
        seen: list[NDArray[np.float64]] = []
        for contour, slot in zip(contours, slots, strict=True):
            if slot != k:
                continue
            if not contour.xor:
                # Written twice it is one contour still, not a contour and its hole.
                if any(np.array_equal(contour.points, other) for other in seen):
                    continue
                seen.append(contour.points)
            plane ^= _inside(grid.physical_to_index(contour.points)[:, :2], rows, columns)
        yield k, plane


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
