"""Small dynamic volumes with known pixels for the tests of reading DICOM."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from breastpredict.dicom import DceAcquisition, Phase, Study

TIMES = (-60.0, 30.0, 120.0, 210.0)
SAGITTAL = ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0))


def oblique_axes(angle: float = 0.3) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Row and column direction of a plane turned about two axes of the body."""
    c, s = math.cos(angle), math.sin(angle)
    return (c, s, 0.0), (-s * c, c * c, s)


def image_of(
    array: NDArray[np.generic],
    *,
    spacing: Sequence[float] = (0.9, 1.3, 2.6),
    origin: Sequence[float] = (12.0, -60.0, 30.0),
    axes: Sequence[Sequence[float]] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
) -> sitk.Image:
    """``array`` [k, j, i] in space; k runs along the cross product of the two axes."""
    row, column = np.array(axes[0]), np.array(axes[1])
    image = sitk.GetImageFromArray(array)
    image.SetSpacing([float(v) for v in spacing])
    image.SetOrigin([float(v) for v in origin])
    image.SetDirection(np.stack([row, column, np.cross(row, column)], axis=1).ravel().tolist())
    return image


def dce(
    phases: int = 4,
    pre: int = 1,
    size: Sequence[int] = (20, 16, 9),
    *,
    seed: int = 0,
    lesion: tuple[slice, slice, slice] = (slice(3, 6), slice(5, 11), slice(7, 14)),
    **place: Sequence[float] | Sequence[Sequence[float]],
) -> list[sitk.Image]:
    """Noisy tissue in which a block enhances from phase ``pre`` on; ``size`` is i, j, k."""
    rng = np.random.default_rng(seed)
    tissue = rng.integers(180, 220, tuple(size)[::-1])
    out = []
    for phase in range(phases):
        values = tissue + rng.integers(0, 5, tissue.shape)
        if phase >= pre:
            values[lesion] = values[lesion] * 2 + rng.integers(0, 120, values[lesion].shape)
        out.append(image_of(values.astype(np.uint16), **place))  # type: ignore[arg-type]
    return out


def only(study: Study) -> DceAcquisition:
    """The study's one acquisition."""
    assert len(study.dce) == 1, [r.reason for r in study.rejected]
    return study.dce[0]


def assert_same_voxels(phase: Phase, expected: sitk.Image) -> None:
    """Bit for bit, at the same place, however the slices are ordered."""
    found = phase.read()
    assert found.GetPixelID() == sitk.sitkFloat32
    there = sitk.Resample(found, expected, sitk.Transform(), sitk.sitkNearestNeighbor, -1.0)
    assert found.GetNumberOfPixels() == expected.GetNumberOfPixels()
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(there), sitk.GetArrayFromImage(expected).astype(np.float32)
    )


def files_below(folder: Path) -> list[Path]:
    """Every file, in a fixed order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
