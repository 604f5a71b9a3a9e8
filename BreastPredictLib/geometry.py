"""Between the backend's LPS and the scene's RAS, and between volume nodes and images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk

if TYPE_CHECKING:
    from breastpredict.imaging import Geometry

FLIP = np.diag([-1.0, -1.0, 1.0])
"""LPS to RAS, and back."""


def flipped(point: Sequence[float]) -> list[float]:
    """A point in RAS from one in LPS, or the other way."""
    x, y, z = point
    return [-float(x), -float(y), float(z)]


def geometry_of(volume: Any) -> Geometry:
    """The grid of a volume node in LPS.

    Raises:
        ValueError: the volume is under a transform, which no DICOM grid can follow.
    """
    from breastpredict.imaging import Geometry

    if volume.GetParentTransformNode() is not None:
        raise ValueError(f"The volume '{volume.GetName()}' is under a transform: harden it first.")
    directions = vtk.vtkMatrix4x4()
    volume.GetIJKToRASDirectionMatrix(directions)
    axes = np.array([[directions.GetElement(r, c) for c in range(3)] for r in range(3)])
    size = volume.GetImageData().GetDimensions()
    return Geometry(
        tuple(size),
        tuple(volume.GetSpacing()),
        tuple(flipped(volume.GetOrigin())),
        tuple((FLIP @ axes).ravel().tolist()),
    )


def place(volume: Any, geometry: Geometry) -> None:
    """Put a volume node on a grid in LPS."""
    axes = FLIP @ np.array(geometry.direction).reshape(3, 3)
    volume.SetSpacing(*geometry.spacing)
    volume.SetOrigin(*flipped(geometry.origin))
    volume.SetIJKToRASDirections(*axes.ravel().tolist())


def add_volume(name: str, array: np.ndarray, geometry: Geometry) -> Any:
    """A new volume node that shows an array ``[k, j, i]`` on a grid in LPS."""
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(volume, array)
    place(volume, geometry)
    volume.CreateDefaultDisplayNodes()
    return volume


def read_volume(name: str, file: str) -> Any:
    """A new volume node from a file, which it does not remember: it is a temporary one."""
    import SimpleITK as sitk

    from breastpredict.imaging import Geometry

    image = sitk.ReadImage(file)
    return add_volume(name, sitk.GetArrayViewFromImage(image), Geometry.from_image(image))
