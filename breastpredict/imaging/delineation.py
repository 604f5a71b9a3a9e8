"""A lesion's outline from one click or a box, on the contrast enhancement.

The steps, all on a neighbourhood of the lesion (early phase's grid):

1. *Motion*: the pre-contrast phase is brought onto the early phase's grid; its shift is estimated
   and undone (`breastpredict.imaging.motion`).
2. *Enhancement* = early minus pre-contrast, smoothed by curvature flow, which keeps edges.
3. *Threshold*: half-way between the lesion's robust peak (95th percentile in the seed's sphere,
   98th in the box) and the enhancement around it (median of the tissue in the neighbourhood, air
   left out), the half-maximum contour; raised to Otsu's threshold of that tissue (values cut at
   the peak, so that a brighter vessel does not decide) where that is higher, though never above
   70 % of the way.
4. *Component*: an opening cuts vessels off; the component at the seed (the largest one in a box)
   is grown back into its own voxels by the radius of the opening. Nothing passes the leakage
   limit: a sphere around the seed, or the box. From a seed, a component that reaches the limit
   has leaked: the threshold is raised by tenths of the way, up to 80 %, until it does not.
5. *Shape*: closing, holes filled slice by slice (which fills them in 3-D as well), one
   26-connected component, the seed inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from breastpredict.errors import GateRefusal, InputError
from breastpredict.imaging.geometry import Geometry
from breastpredict.imaging.motion import Motion, estimate_motion, pre_on_early_grid
from breastpredict.imaging.shape import (
    ALL_NEIGHBOURS,
    Bools,
    Floats,
    Voxel,
    component_at,
    distance_mm,
    fill_slices,
    inside_box,
    morphology,
    nearest_voxel,
    with_line,
)

_SURROUNDINGS_MM = 30.0  # what is read around a box; motion needs that much to go by
_MOTION_MARGIN_MM = 15.0  # how much further the pre-contrast phase is read
_SEED_PEAK = 95.0  # percentile in the seed's sphere
_BOX_PEAK = 98.0  # percentile in a box, of which the lesion may be a small part
_HIGHEST_FRACTION = 0.7  # of the way from surroundings to peak, for Otsu's threshold
_RAISED_FRACTIONS = (0.6, 0.7, 0.8)  # of the way, against leakage
_NOISE_FACTOR = 3.0  # a peak below this many noise standard deviations is noise
_AIR_FRACTION = 0.05  # of the volume's 99th percentile; air is 1-3 % in MR magnitude images


@dataclass(frozen=True)
class Settings:
    """What a delineation may be tuned by; lengths in mm.

    Attributes:
        seed_radius_mm: the sphere around a seed in which the lesion's peak is looked for.
        max_radius_mm: nothing further from the seed belongs to the lesion (leakage limit).
        opening_mm: radius of the opening that cuts vessels off.
        closing_mm: radius of the closing.
        threshold_fraction: where the threshold lies between surroundings (0) and peak (1).
        minimum_enhancement: least rise of the peak over the pre-contrast signal there.
        correct_motion: whether motion is estimated (and undone).
    """

    seed_radius_mm: float = 5.0
    max_radius_mm: float = 40.0
    opening_mm: float = 1.5
    closing_mm: float = 1.5
    threshold_fraction: float = 0.5
    minimum_enhancement: float = 0.2
    correct_motion: bool = True


@dataclass(frozen=True)
class Delineation:
    """A lesion mask and how it came about.

    Attributes:
        mask: uint8, 0 and 1, on the early phase's grid; one 26-connected component without holes.
        warnings: one line each, for the user.
        motion: between the two phases; None where it was not or could not be estimated.
        parameters: every number that decided, for the record of provenance.
    """

    mask: sitk.Image
    warnings: tuple[str, ...]
    motion: Motion | None
    parameters: Mapping[str, float | str]


@dataclass(frozen=True)
class _Neighbourhood:
    """Arrays [k, j, i] of the same block of the early phase."""

    geometry: Geometry
    start: tuple[int, int, int]  # index (i, j, k) of its first voxel in the early phase
    pre: Floats
    enhancement: Floats  # smoothed
    tissue: Bools  # not air
    noise: float
    motion: Motion | None
    warnings: tuple[str, ...]


def delineate_from_point(
    pre: sitk.Image,
    early: sitk.Image,
    point_lps: tuple[float, float, float],
    settings: Settings | None = None,
) -> Delineation:
    """Delineate the enhancing lesion at a point (the algorithm is the module's docstring).

    Args:
        pre: pre-contrast phase.
        early: early post-contrast phase; the mask is on its grid.
        point_lps: the seed in LPS mm. It may lie up to ``seed_radius_mm`` beside the enhancement,
            as in a necrotic centre; a line of voxels then joins it to the lesion.
        settings: defaults when left out.

    Raises:
        InputError: the seed is outside of a phase or in air.
        GateRefusal: "no-enhancement", nothing enhances at the seed.
    """
    use = settings or Settings()
    point = np.array(point_lps, dtype=float)
    _check_inside(point, pre, early)
    center = Geometry.from_image(early).physical_to_index(point)
    near = _neighbourhood(pre, early, center, center, use.max_radius_mm + 2.0, use)
    last = np.array(early.GetSize()) - 1
    seed = np.clip(np.round(center).astype(int), 0, last) - np.array(near.start)
    distance = distance_mm(near.geometry, near.geometry.physical_to_index(point))
    at_seed: Bools = distance <= use.seed_radius_mm
    at_seed[tuple(seed[::-1])] = True
    _check_not_air(near, at_seed)
    allowed: Bools = distance <= use.max_radius_mm
    edge = allowed & (distance > use.max_radius_mm - max(near.geometry.spacing))
    threshold, numbers = _threshold(near, at_seed, _SEED_PEAK, allowed & near.tissue, use)
    peak, base = float(numbers["peak_enhancement"]), float(numbers["surrounding_enhancement"])
    warnings = list(near.warnings)
    for level in (threshold, *(base + part * (peak - base) for part in _RAISED_FRACTIONS)):
        if level < threshold:
            continue
        candidates = (near.enhancement >= level) & allowed
        if not np.any(candidates & at_seed):
            raise GateRefusal("no-enhancement", "Nothing at the seed enhances more than around it.")
        start = nearest_voxel(candidates & at_seed, distance)
        lesion = _lesion_at(candidates, start, near.geometry, use)
        leaked = bool(np.any(lesion & edge))
        if not leaked:
            break
    if level > threshold:
        warnings.append(
            f"At half of its peak the enhancement runs on into its surroundings: the threshold "
            f"was raised to {100.0 * (level - base) / (peak - base):.0f} %. Check the outline."
        )
    if leaked:
        warnings.append(
            f"The lesion reaches the leakage limit of {use.max_radius_mm:g} mm from the seed: "
            f"it may have leaked into enhancing tissue, or be larger. Check the outline."
        )
    numbers["threshold"] = level
    lesion = with_line(lesion, start, (int(seed[2]), int(seed[1]), int(seed[0])))
    lesion = fill_slices(lesion)
    return _finish(early, near, lesion, warnings, {**numbers, "seed": "point"}, use)


def delineate_from_box(
    pre: sitk.Image,
    early: sitk.Image,
    lower_lps: tuple[float, float, float],
    upper_lps: tuple[float, float, float],
    settings: Settings | None = None,
) -> Delineation:
    """Delineate the largest enhancing lesion in a box (the algorithm is the module's docstring).

    Args:
        pre: pre-contrast phase.
        early: early post-contrast phase; the mask is on its grid.
        lower_lps: the corner with the lowest LPS coordinates, mm; the box is along the patient's
            axes. Voxels it touches count as inside; nothing outside belongs to the lesion.
        upper_lps: the opposite corner.
        settings: defaults when left out; the seed's and the limit's radius are not used.

    Raises:
        InputError: the box is outside of a phase, in air, or its corners are exchanged.
        GateRefusal: "no-enhancement", nothing enhances in the box.
    """
    use = settings or Settings()
    lower, upper = np.array(lower_lps, dtype=float), np.array(upper_lps, dtype=float)
    if not (np.all(np.isfinite([lower, upper])) and np.all(lower <= upper)):
        raise InputError("The box's lower corner must not lie above its upper corner (LPS mm)")
    _check_inside((lower + upper) / 2.0, pre, early)
    grid = Geometry.from_image(early)
    corners = np.array(np.meshgrid(*zip(lower, upper, strict=True))).reshape(3, 8).T
    index = grid.physical_to_index(corners)
    near = _neighbourhood(pre, early, index.min(0), index.max(0), _SURROUNDINGS_MM, use)
    box = inside_box(near.geometry, lower, upper)
    _check_not_air(near, box)
    threshold, numbers = _threshold(near, box, _BOX_PEAK, near.tissue, use)
    candidates = (near.enhancement >= threshold) & box
    if not np.any(candidates):
        raise GateRefusal("no-enhancement", "Nothing in the box enhances more than around it.")
    labels, count = ndimage.label(_opened(candidates, near.geometry, use), ALL_NEIGHBOURS)
    if count == 0:
        labels, _ = ndimage.label(candidates, ALL_NEIGHBOURS)
    largest = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    middle = near.geometry.physical_to_index((lower + upper) / 2.0)
    distance = distance_mm(near.geometry, middle)
    start = nearest_voxel(largest, distance)
    lesion = _lesion_at(candidates, start, near.geometry, use) & box
    lesion = component_at(fill_slices(lesion), start)
    warnings = list(near.warnings)
    edge = box & ~ndimage.binary_erosion(box)
    if bool(np.any(lesion & edge)):
        warnings.append("The lesion reaches the edge of the box: it may be larger than the box.")
    return _finish(early, near, lesion, warnings, {**numbers, "seed": "box"}, use)


def _neighbourhood(
    pre: sitk.Image,
    early: sitk.Image,
    first: NDArray[Any],
    last: NDArray[Any],
    margin_mm: float,
    use: Settings,
) -> _Neighbourhood:
    """Steps 1 and 2 on the block from index ``first`` to ``last`` and a margin around it."""
    grid = Geometry.from_image(early)
    block_start, block = _block(early, first, last, margin_mm)
    geometry = Geometry.from_image(block)
    moving_grid = Geometry.from_image(pre)
    seen = moving_grid.physical_to_index(geometry.corners())
    _, moving = _block(pre, seen.min(0), seen.max(0), _MOTION_MARGIN_MM)
    motion, warnings = None, []
    if use.correct_motion:
        try:
            motion = estimate_motion(moving, block)
        except InputError as error:
            warnings.append(f"Motion was not corrected. {error}")
        else:
            warnings += [motion.warning] if motion.warning else []
    before: Floats = sitk.GetArrayFromImage(pre_on_early_grid(moving, geometry, motion))
    # Where the pre-contrast phase does not reach, there is no enhancement to measure.
    raw = np.nan_to_num(sitk.GetArrayFromImage(block) - before, nan=0.0, posinf=0.0, neginf=0.0)
    before = np.nan_to_num(before, nan=0.0)
    # Explicit scheme in mm: stable for steps below a sixth of the squared spacing.
    step = min(0.0625, min(grid.spacing) ** 2 / 8.0)
    smooth = sitk.CurvatureFlow(geometry.to_image(raw), timeStep=step, numberOfIterations=5)
    smoothed: Floats = sitk.GetArrayFromImage(smooth)
    rest = raw - smoothed
    noise = 1.4826 * float(np.median(np.abs(rest - np.median(rest))))
    return _Neighbourhood(
        geometry,
        block_start,
        before,
        smoothed,
        before + smoothed > _air_level(early),
        noise,
        motion,
        tuple(warnings),
    )


def _block(
    image: sitk.Image, first: NDArray[Any], last: NDArray[Any], margin_mm: float
) -> tuple[tuple[int, int, int], sitk.Image]:
    """The part of an image between two indices and a margin, float32, and where it starts."""
    margin = margin_mm / np.array(image.GetSpacing())
    top = np.array(image.GetSize()) - 1
    low = np.clip(np.floor(first - margin), 0, top).astype(int)
    high = np.clip(np.ceil(last + margin), 0, top).astype(int)
    i, j, k = low.tolist()
    part = sitk.RegionOfInterest(image, (high - low + 1).tolist(), [i, j, k])
    return (i, j, k), sitk.Cast(part, sitk.sitkFloat32)


def _threshold(
    near: _Neighbourhood, core: Bools, percentile: float, surroundings: Bools, use: Settings
) -> tuple[float, dict[str, float | str]]:
    """Step 3: the threshold on the smoothed enhancement, and the numbers behind it."""
    values = near.enhancement
    surroundings = surroundings if np.any(surroundings) else core
    peak = float(np.percentile(values[core], percentile))
    base = max(0.0, float(np.median(values[surroundings])))
    signal = float(np.mean(near.pre[core]))
    least = max(use.minimum_enhancement * signal, _NOISE_FACTOR * near.noise)
    if not (peak > least and peak > base):
        percent = 100.0 * peak / signal if signal > 0 else 0.0
        raise GateRefusal(
            "no-enhancement",
            f"The early phase is only {percent:.0f} % brighter than the pre-contrast phase here "
            f"(its surroundings or the noise reach as much); place the seed or box on a lesion.",
        )
    half = base + use.threshold_fraction * (peak - base)
    otsu_filter = sitk.OtsuThresholdImageFilter()
    clipped = sitk.GetImageFromArray(np.clip(values[surroundings], 0.0, peak)[np.newaxis])
    otsu_filter.Execute(clipped)
    otsu = float(otsu_filter.GetThreshold())
    highest = base + max(use.threshold_fraction, _HIGHEST_FRACTION) * (peak - base)
    threshold = min(max(half, otsu), highest)
    return threshold, {
        "threshold": threshold,
        "peak_enhancement": peak,
        "surrounding_enhancement": base,
        "otsu_threshold": otsu,
        "noise": near.noise,
    }


def _lesion_at(candidates: Bools, start: Voxel, geometry: Geometry, use: Settings) -> Bools:
    """Steps 4 and 5 for the component of the candidates that holds ``start``."""
    whole = component_at(candidates, start)
    opened = _opened(whole, geometry, use)
    away = distance_mm(geometry, np.array(start[::-1]))
    near = opened & (away <= 2.0 * use.opening_mm)
    if np.any(near):
        first = nearest_voxel(near, away)
        body = component_at(opened, first)
        grown = morphology(body, geometry, use.opening_mm, sitk.BinaryDilate) & whole
        whole = with_line(grown, start, first)
    # else: the lesion is as thin as what the opening removes, and is kept as it is
    closed = morphology(whole, geometry, use.closing_mm, sitk.BinaryMorphologicalClosing)
    return fill_slices(component_at(closed, start))


def _opened(mask: Bools, geometry: Geometry, use: Settings) -> Bools:
    return morphology(mask, geometry, use.opening_mm, sitk.BinaryMorphologicalOpening) & mask


def _check_inside(point: NDArray[Any], pre: sitk.Image, early: sitk.Image) -> None:
    if not np.all(np.isfinite(point)):
        raise InputError("The seed's coordinates are not finite numbers")
    for name, image in (("early", early), ("pre-contrast", pre)):
        if not Geometry.from_image(image).contains(point):
            raise InputError(
                f"The seed ({', '.join(f'{x:.1f}' for x in point)}) mm LPS is outside of the "
                f"{name} phase",
                remedy="Give a point in LPS mm inside of the volume",
            )


def _air_level(early: sitk.Image) -> float:
    """The signal below which there is air."""
    coarse = sitk.GetArrayViewFromImage(early)[::2, ::4, ::4]
    return _AIR_FRACTION * float(np.percentile(coarse, 99.0))


def _check_not_air(near: _Neighbourhood, core: Bools) -> None:
    if np.mean(near.tissue[core]) < 0.1:
        raise InputError(
            "There is only air at the seed or in the box",
            remedy="Place it on the enhancing lesion",
        )


def _finish(
    early: sitk.Image,
    near: _Neighbourhood,
    lesion: Bools,
    warnings: list[str],
    numbers: dict[str, float | str],
    use: Settings,
) -> Delineation:
    grid = Geometry.from_image(early)
    whole = np.zeros(grid.size[::-1], np.uint8)
    i, j, k = near.start
    depth, height, width = lesion.shape
    whole[k : k + depth, j : j + height, i : i + width] = lesion
    return Delineation(
        grid.to_image(whole),
        tuple(warnings),
        near.motion,
        {
            **numbers,
            "algorithm": "half-maximum of early minus pre-contrast enhancement",
            "threshold_fraction": use.threshold_fraction,
            "seed_radius_mm": use.seed_radius_mm,
            "max_radius_mm": use.max_radius_mm,
            "opening_mm": use.opening_mm,
            "closing_mm": use.closing_mm,
        },
    )
