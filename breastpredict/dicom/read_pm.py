"""A map that was written as DICOM Parametric Map, where it lies.

highdicom (0.27) writes pixels of floating point and cannot read them.
"""

from __future__ import annotations

import os

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom import Dataset

from breastpredict.errors import InputError
from breastpredict.imaging import Geometry

_PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"


def read_parametric_map(path: str | os.PathLike[str]) -> sitk.Image:
    """The map that `write_parametric_map` has written: float32, a slab of its phase's grid.

    Frames are put where they say they lie (PS3.3 C.7.6.16.2), whatever their order.

    Raises:
        InputError: it cannot be read, is no Parametric Map of float32, or its frames make no slab.
    """
    try:
        data = pydicom.dcmread(path)
        if data.SOPClassUID != _PARAMETRIC_MAP:
            raise InputError("The file is no Parametric Map", path=path)
        shape = (int(data.NumberOfFrames), int(data.Rows), int(data.Columns))
        values = np.frombuffer(data.FloatPixelData, "<f4").reshape(shape)
        axes, corners, spacing = _places(data)
    except (OSError, AttributeError, ValueError, IndexError, pydicom.errors.InvalidDicomError) as e:
        raise InputError(f"The map cannot be read ({type(e).__name__})", path=path) from e
    normal = np.cross(*axes)
    heights = corners @ normal
    order = np.argsort(heights)
    steps = np.diff(heights[order])
    straight = corners[order] - corners[order[0]]
    straight = straight - np.outer(straight @ normal, normal)
    if np.any(np.abs(straight) > 1e-2) or (len(steps) and np.ptp(steps) > 1e-2):
        raise InputError("The frames of the map do not lie on a grid", path=path)
    thickness = float(steps[0]) if len(steps) else spacing[2]
    geometry = Geometry(
        shape[::-1],
        (spacing[1], spacing[0], thickness),
        tuple(corners[order[0]].tolist()),
        tuple(np.stack([*axes, normal], axis=1).ravel().tolist()),
    )
    return geometry.to_image(np.ascontiguousarray(values[order], dtype=np.float32))


def _places(data: Dataset) -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
    """Directions of rows and columns, the frames' first pixels, and row, column, slice spacing."""
    shared = data.SharedFunctionalGroupsSequence[0]
    frames = data.PerFrameFunctionalGroupsSequence

    def groups(name: str) -> list[Dataset]:
        found = [getattr(group, name)[0] for group in (shared, *frames) if name in group]
        return found or [getattr(shared, name)[0]]

    measures = groups("PixelMeasuresSequence")[0]
    axes = np.array(groups("PlaneOrientationSequence")[0].ImageOrientationPatient, float)
    corners = [place.ImagePositionPatient for place in groups("PlanePositionSequence")]
    row, column = (float(value) for value in measures.PixelSpacing)
    slices = float(measures.get("SpacingBetweenSlices") or measures.SliceThickness)
    return axes.reshape(2, 3), np.array(corners, float), (row, column, slices)
