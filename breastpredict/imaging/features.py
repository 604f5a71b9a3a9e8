"""Shape, intensity and texture of a lesion, by the definitions of the IBSI.

Image Biomarker Standardisation Initiative: Zwanenburg et al., Radiology 2020;295:328, and its
reference manual (arXiv:1612.07003). Where the manual leaves a choice:

- Shape: volume by counting voxels; surface by Crofton's formula as SimpleITK computes it (Lehmann &
  Legland, Insight Journal 2012), which the steps of a voxel mask do not enlarge; sphericity from
  both; diameters between the outer corners of voxels, as callipers measure them.
- Intensity: in the image's own unit. Entropy and uniformity after discretisation.
- Texture: grey level co-occurrence of neighbours at distance 1 within slices, symmetrical, all four
  directions and all slices merged into one matrix ("2.5D, merged"): MR slices are two to three
  times as thick as pixels are wide, so that neighbours across slices are not neighbours alike.
- Discretisation: a fixed number of bins between the lesion's own extremes, as is advised where the
  unit is arbitrary.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from breastpredict.errors import GateRefusal, InputError
from breastpredict.imaging.geometry import Geometry
from breastpredict.imaging.mask import BoxedMask
from breastpredict.imaging.slices import largest_slice

BINS = 32

Floats = NDArray[np.float64]
Levels = NDArray[np.int64]

_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))  # (j, i); the opposite ones by symmetry


def shape_features(mask: BoxedMask) -> dict[str, float]:
    """Size and shape of everything that is marked; area and diameter on the largest section.

    Returns:
        ``volume_mm3``, ``surface_mm2``, ``sphericity`` (1 for a ball; a little more where a mask
        has few voxels), ``diameter_3d_mm``, ``area_mm2`` and ``diameter_mm`` of the largest
        section (`breastpredict.imaging.largest_slice`).

    Raises:
        GateRefusal: "no-tumour", the mask is empty.
    """
    if mask.empty:
        raise GateRefusal("no-tumour", "The tumour mask is empty.")
    best = largest_slice(mask)
    section = mask.on_slice(best.index)
    # A layer of nothing, without which the surface would end at the box.
    padded = sitk.GetImageFromArray(np.pad(mask.inside, 1).astype(np.uint8))
    padded.SetSpacing(mask.geometry.spacing)
    found = sitk.LabelShapeStatisticsImageFilter()
    found.Execute(padded)
    return {
        "volume_mm3": mask.volume_mm3,
        "surface_mm2": float(found.GetPerimeter(1)),
        "sphericity": float(found.GetRoundness(1)),
        "diameter_3d_mm": _longest(_corners(mask.inside, mask.geometry.spacing)),
        "area_mm2": best.area_mm2,
        "diameter_mm": _longest(_corners(section[np.newaxis], mask.geometry.spacing)[:, :2]),
    }


def intensity_features(image: sitk.Image, mask: BoxedMask, bins: int = BINS) -> dict[str, float]:
    """First-order statistics of the voxels in a mask.

    Args:
        image: volume on the mask's grid.
        mask: the lesion.
        bins: of entropy and uniformity.

    Raises:
        GateRefusal: "no-tumour", the mask is empty.
        InputError: another grid, or values that are not finite.
    """
    values = _values(image, mask)[mask.inside]
    p10, p25, p50, p75, p90 = np.percentile(values, (10, 25, 50, 75, 90))
    mean, sd = float(values.mean()), float(values.std())
    counts = np.bincount(discretised(values, bins)) / values.size
    unit = (values - mean) / sd if sd > 0.0 else np.zeros(1)  # skewness 0, as the manual has it
    return {
        "mean": mean,
        "sd": sd,
        "variation": sd / mean if mean != 0.0 else float("nan"),
        "skewness": float((unit**3).mean()),
        "excess_kurtosis": float((unit**4).mean()) - 3.0 if sd > 0.0 else 0.0,
        "median": float(p50),
        "p10": float(p10),
        "p90": float(p90),
        "interquartile_range": float(p75 - p25),
        "maximum": float(values.max()),
        "minimum": float(values.min()),
        "rms": float(np.sqrt((values**2).mean())),
        "entropy": _entropy(counts),
        "uniformity": float((counts**2).sum()),
    }


def texture_features(image: sitk.Image, mask: BoxedMask, bins: int = BINS) -> dict[str, float]:
    """Grey level co-occurrence features of the voxels in a mask; NaN where not defined.

    Args, Raises: as `intensity_features`.
    """
    values = _values(image, mask)
    levels = np.full(values.shape, -1, np.int64)
    levels[mask.inside] = discretised(values[mask.inside], bins)
    return cooccurrence_features(cooccurrence(levels))


def discretised(values: Floats, bins: int) -> Levels:
    """Fixed bin number: bins 0 … ``bins`` − 1 of equal width from the least to the largest."""
    if bins < 2:
        raise InputError(f"Discretisation needs at least 2 bins, not {bins}")
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.zeros(values.shape, np.int64)
    steps = np.floor(bins * (values - low) / (high - low)).astype(np.int64)
    return np.minimum(steps, bins - 1)


def cooccurrence(levels: Levels) -> Floats:
    """Shares of the pairs of neighbouring levels [levels, levels]; zeros where there are no pairs.

    Args:
        levels: ``[k, j, i]`` from 0; negative outside of the lesion.
    """
    size = int(levels.max()) + 1
    counts = np.zeros(size * size)
    for dj, di in _DIRECTIONS:
        first = levels[:, : levels.shape[1] - dj, max(0, -di) : levels.shape[2] - max(0, di)]
        second = levels[:, dj:, max(0, di) : levels.shape[2] + min(0, di)]
        both = (first >= 0) & (second >= 0)
        counts += np.bincount(first[both] * size + second[both], minlength=size * size)
    matrix = counts.reshape(size, size)
    matrix = matrix + matrix.T
    out: Floats = matrix / max(float(matrix.sum()), 1.0)
    return out


def cooccurrence_features(p: Floats) -> dict[str, float]:
    """Features of a symmetrical co-occurrence matrix of shares (IBSI manual, 3.6)."""
    names = (
        "joint_maximum joint_variance joint_entropy difference_entropy sum_entropy "
        "angular_second_moment contrast dissimilarity inverse_difference "
        "inverse_difference_moment correlation cluster_tendency cluster_shade"
    ).split()
    if not p.any():
        return dict.fromkeys(names, float("nan"))
    i, j = np.indices(p.shape)
    apart = np.abs(i - j)
    mean = float((i * p).sum())
    variance = float(((i - mean) ** 2 * p).sum())
    shifted = i + j - 2 * mean
    covariance = float(((i - mean) * (j - mean) * p).sum())
    values = (
        p.max(),
        variance,
        _entropy(p),
        _entropy(_sums(apart, p)),
        _entropy(_sums(np.add(i, j), p)),
        (p**2).sum(),
        (apart**2 * p).sum(),
        (apart * p).sum(),
        (p / (1 + apart)).sum(),
        (p / (1 + apart**2)).sum(),
        covariance / variance if variance > 1e-12 else float("nan"),
        (shifted**2 * p).sum(),
        (shifted**3 * p).sum(),
    )
    return dict(zip(names, map(float, values), strict=True))


def _sums(groups: NDArray[Any], p: Floats) -> Floats:
    """The shares of each group of cells, such as those of one difference."""
    return np.asarray(np.bincount(groups.ravel(), p.ravel()), dtype=np.float64)


def _entropy(shares: Floats) -> float:
    some = shares[shares > 0]
    return float(-(some * np.log2(some)).sum())


def _values(image: sitk.Image, mask: BoxedMask) -> Floats:
    """The image's voxels in the mask's box ``[k, j, i]``, float64."""
    if mask.empty:
        raise GateRefusal("no-tumour", "The tumour mask is empty.")
    if not Geometry.from_image(image).same_grid(mask.geometry, 0.01):
        raise InputError("The image is not on the grid of the mask")
    box = tuple(slice(a, a + n) for a, n in zip(mask.start, mask.inside.shape, strict=True))
    values = sitk.GetArrayViewFromImage(image)[box].astype(np.float64)
    if not np.isfinite(values[mask.inside]).all():
        raise InputError("The image holds values that are not finite")
    return values


def _corners(inside: NDArray[np.bool_], spacing: tuple[float, float, float]) -> Floats:
    """Outer corners in mm of the first and the last voxel of each row; no other is extreme."""
    k, j = np.nonzero(inside.any(axis=2))
    rows = inside[k, j]
    first = rows.argmax(axis=1)
    last = rows.shape[1] - rows[:, ::-1].argmax(axis=1)
    points = [
        (i * spacing[0], (j + dj) * spacing[1], (k + dk) * spacing[2])
        for i in (first, last)
        for dj in (0, 1)
        for dk in (0, 1)
    ]
    return np.concatenate([np.stack(np.broadcast_arrays(*p), axis=1) for p in points])


def _longest(points: Floats) -> float:
    """The longest distance between any two points."""
    from scipy.spatial import ConvexHull  # takes as long to import as the rest of this room
    from scipy.spatial.distance import pdist

    # Voxels have a size, so that the hull of their corners is never flat.
    return float(pdist(points[ConvexHull(points).vertices]).max())
