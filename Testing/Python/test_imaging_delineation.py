"""Delineating a lesion from a click or a box on the contrast enhancement."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from breastpredict.errors import GateRefusal, InputError
from breastpredict.imaging import (
    Delineation,
    Geometry,
    Settings,
    delineate_from_box,
    delineate_from_point,
)

SAGITTAL = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
GRID = Geometry((96, 90, 30), (0.9, 0.9, 2.5), (40.0, -60.0, 50.0), SAGITTAL)
MIDDLE = (48.0, 45.0, 15.0)

Point = tuple[float, float, float]


def lps(geometry: Geometry, index: Point) -> Point:
    x, y, z = geometry.index_to_physical(np.array(index)).tolist()
    return x, y, z


def ellipsoid(geometry: Geometry, center: Point, radii_mm: Point) -> np.ndarray:
    """Distance from the centre, 1 on the surface, for every voxel [k, j, i]."""
    k, j, i = np.indices(geometry.size[::-1])
    scaled = [
        (index - c) * s / r
        for index, c, s, r in zip((i, j, k), center, geometry.spacing, radii_mm, strict=True)
    ]
    return np.sqrt(sum(part**2 for part in scaled))


def dice(found: Delineation, truth: np.ndarray) -> float:
    mask = sitk.GetArrayFromImage(found.mask) > 0
    return float(2.0 * np.sum(mask & truth) / (np.sum(mask) + np.sum(truth)))


def breast(seed: int = 0) -> np.ndarray:
    """Smooth random tissue with noise, in air from row 75 on."""
    rng = np.random.default_rng(seed)
    tissue = ndimage.gaussian_filter(rng.normal(size=GRID.size[::-1]), (1.5, 4, 4))
    tissue = 400.0 + 80.0 * tissue / tissue.std()
    tissue[:, 75:, :] = 0.0
    return np.abs(tissue + rng.normal(scale=8.0, size=tissue.shape))


def phases(uptake: np.ndarray) -> tuple[sitk.Image, sitk.Image]:
    """The pre-contrast and the early phase of a breast with some parenchymal enhancement."""
    noise = np.random.default_rng(7).normal(scale=8.0, size=uptake.shape)
    before = breast()
    tissue = before > 100.0
    after = np.abs(before + tissue * (40.0 + uptake) + noise)
    return GRID.to_image(before, np.float32), GRID.to_image(after, np.float32)


@pytest.fixture(scope="module")
def real(shared: Path) -> tuple[sitk.Image, sitk.Image]:
    """A real breast's pre-contrast and first post-contrast phase (256 x 256 x 50)."""
    folder = shared / "data/breast_mri/tcga_ao_a03m_right"
    names = ("R_s6_pre.nii.gz", "R_s7_post1.nii.gz")
    pre, post = (sitk.ReadImage(str(folder / name)) for name in names)
    return pre, post


def plant(early: sitk.Image, center: Point, radii_mm: Point) -> tuple[sitk.Image, np.ndarray]:
    """A textured lesion with a soft edge on top of a real phase, and its true mask."""
    geometry = Geometry.from_image(early)
    surface = ellipsoid(geometry, center, radii_mm)
    _, j, i = np.indices(surface.shape)
    texture = 1.0 + 0.15 * np.sin(i / 2.0) * np.cos(j / 3.0)
    uptake = 750.0 * texture / (1.0 + np.exp((surface - 1.0) * min(radii_mm) / 0.8))
    return geometry.to_image(sitk.GetArrayFromImage(early) + uptake, np.float32), surface <= 1.0


REAL_LESIONS = [
    ((130.0, 90.0, 25.0), (9.0, 7.0, 8.0)),
    ((140.0, 90.0, 25.0), (5.0, 5.0, 5.0)),
    ((120.0, 100.0, 20.0), (15.0, 12.0, 14.0)),
]


@pytest.mark.parametrize(("center", "radii"), REAL_LESIONS)
def test_a_lesion_planted_in_a_real_breast_is_outlined_from_a_click_in_time(
    real: tuple[sitk.Image, sitk.Image], center: Point, radii: Point
) -> None:
    pre, post = real
    early, truth = plant(post, center, radii)
    geometry = Geometry.from_image(post)
    beside = (center[0] + 2.0, center[1] - 2.0, center[2])  # nobody clicks on the very centre
    began = time.perf_counter()
    found = delineate_from_point(pre, early, lps(geometry, beside))
    assert time.perf_counter() - began < 3.0
    assert dice(found, truth) > 0.8
    assert Geometry.from_image(found.mask).same_grid(geometry)


@pytest.mark.parametrize(("center", "radii"), REAL_LESIONS)
def test_a_lesion_planted_in_a_real_breast_is_outlined_from_a_box(
    real: tuple[sitk.Image, sitk.Image], center: Point, radii: Point
) -> None:
    pre, post = real
    early, truth = plant(post, center, radii)
    geometry = Geometry.from_image(post)
    corners = [
        np.array(center) + sign * (np.array(radii) + 3.0) / geometry.spacing for sign in (-1, 1)
    ]
    points = geometry.index_to_physical(np.array(corners))
    found = delineate_from_box(pre, early, tuple(points.min(0)), tuple(points.max(0)))
    assert dice(found, truth) > 0.8


def test_a_shift_of_two_millimetres_is_undone_before_subtracting(
    real: tuple[sitk.Image, sitk.Image],
) -> None:
    pre, post = real
    center, radii = REAL_LESIONS[0]
    early, truth = plant(post, center, radii)
    shifted = sitk.Cast(pre, sitk.sitkFloat32)
    shifted.SetOrigin([o - s for o, s in zip(pre.GetOrigin(), (0.0, 2.0, 0.0), strict=True)])
    seed = lps(Geometry.from_image(post), center)
    still, found = (delineate_from_point(p, early, seed) for p in (pre, shifted))
    assert still.motion is not None
    assert found.motion is not None
    assert found.motion.corrected
    planted = np.subtract(found.motion.translation_mm, still.motion.translation_mm)
    assert planted == pytest.approx((0.0, 2.0, 0.0), abs=0.3)
    assert dice(found, truth) > 0.8


def test_the_same_click_gives_the_same_mask(real: tuple[sitk.Image, sitk.Image]) -> None:
    pre, post = real
    early, _ = plant(post, *REAL_LESIONS[0])
    seed = lps(Geometry.from_image(post), REAL_LESIONS[0][0])
    one, two = (delineate_from_point(pre, early, seed) for _ in range(2))
    assert np.array_equal(sitk.GetArrayFromImage(one.mask), sitk.GetArrayFromImage(two.mask))
    assert one.parameters == two.parameters


def assert_connected_and_hole_free(mask: np.ndarray) -> None:
    _, count = ndimage.label(mask, np.ones((3, 3, 3)))
    assert count == 1
    for section in mask:
        assert np.array_equal(ndimage.binary_fill_holes(section), section > 0)


@pytest.mark.parametrize("offset", [(0, 0, 0), (3, 2, 0), (-5, 0, 1), (0, 9, 0)])
def test_a_rim_enhancing_lesion_is_filled_and_holds_its_seed(offset: Point) -> None:
    surface = ellipsoid(GRID, MIDDLE, (9.0, 9.0, 9.0))
    pre, early = phases(450.0 * ((surface <= 1.0) & (surface > 0.55)))
    index = tuple(int(m + o) for m, o in zip(MIDDLE, offset, strict=True))
    found = delineate_from_point(pre, early, lps(GRID, index))
    mask = sitk.GetArrayFromImage(found.mask)
    assert mask.dtype == np.uint8
    assert mask[index[2], index[1], index[0]] == 1
    assert_connected_and_hole_free(mask)
    assert dice(found, surface <= 1.0) > 0.8


def test_a_feeding_vessel_is_cut_off() -> None:
    surface = ellipsoid(GRID, MIDDLE, (8.0, 8.0, 8.0))
    k, j, i = np.indices(surface.shape)
    vessel = (np.hypot((j - 45) * 0.9, (k - 15) * 2.5) <= 1.0) & (i > 48)
    pre, early = phases(450.0 * ((surface <= 1.0) | vessel))
    found = delineate_from_point(pre, early, lps(GRID, MIDDLE))
    mask = sitk.GetArrayFromImage(found.mask)
    assert dice(found, surface <= 1.0) > 0.8
    assert not np.any(mask[:, :, 48 + 14 :])  # 8 mm of lesion, and no more than a stub
    assert_connected_and_hole_free(mask)


def test_a_second_lesion_is_left_out() -> None:
    one = ellipsoid(GRID, MIDDLE, (6.0, 6.0, 6.0)) <= 1.0
    two = ellipsoid(GRID, (70.0, 45.0, 15.0), (6.0, 6.0, 6.0)) <= 1.0
    pre, early = phases(450.0 * (one | two))
    assert dice(delineate_from_point(pre, early, lps(GRID, MIDDLE)), one) > 0.8
    assert dice(delineate_from_point(pre, early, lps(GRID, (70.0, 45.0, 15.0))), two) > 0.8


def test_reaching_the_leakage_limit_is_warned_of() -> None:
    surface = ellipsoid(GRID, MIDDLE, (20.0, 20.0, 20.0))
    pre, early = phases(450.0 * (surface <= 1.0))
    narrow = Settings(max_radius_mm=12.0)
    found = delineate_from_point(pre, early, lps(GRID, MIDDLE), narrow)
    assert any("leakage limit of 12 mm" in line for line in found.warnings)
    wide = delineate_from_point(pre, early, lps(GRID, MIDDLE))
    assert not any("leakage limit" in line for line in wide.warnings)


def test_a_box_that_cuts_the_lesion_is_warned_of_and_nothing_leaves_it() -> None:
    surface = ellipsoid(GRID, MIDDLE, (12.0, 12.0, 12.0))
    pre, early = phases(450.0 * (surface <= 1.0))
    center = np.array(lps(GRID, MIDDLE))
    found = delineate_from_box(pre, early, tuple(center - 6.0), tuple(center + 6.0))
    assert any("edge of the box" in line for line in found.warnings)
    where = np.argwhere(sitk.GetArrayFromImage(found.mask))[:, ::-1]
    apart = np.abs(GRID.index_to_physical(where) - center)
    assert np.all(apart <= 6.0 + np.array([2.5, 0.9, 0.9]) / 2.0 + 1e-6)


def test_a_pre_contrast_phase_on_another_grid_is_used_by_position() -> None:
    surface = ellipsoid(GRID, MIDDLE, (8.0, 8.0, 8.0))
    pre, early = phases(450.0 * (surface <= 1.0))
    found = delineate_from_point(pre[5:92, 3:, 2:28], early, lps(GRID, MIDDLE))
    assert dice(found, surface <= 1.0) > 0.8


def test_what_decided_is_reported() -> None:
    pre, early = phases(450.0 * (ellipsoid(GRID, MIDDLE, (8.0, 8.0, 8.0)) <= 1.0))
    found = delineate_from_point(pre, early, lps(GRID, MIDDLE))
    assert 150.0 < float(found.parameters["threshold"]) < 350.0
    assert found.parameters["threshold_fraction"] == 0.5
    without = delineate_from_point(pre, early, lps(GRID, MIDDLE), Settings(correct_motion=False))
    assert without.motion is None


def test_a_seed_in_the_wrong_place_is_refused_in_one_line() -> None:
    pre, early = phases(450.0 * (ellipsoid(GRID, MIDDLE, (6.0, 6.0, 6.0)) <= 1.0))
    with pytest.raises(InputError, match="outside of the early phase"):
        delineate_from_point(pre, early, (500.0, 0.0, 0.0))
    with pytest.raises(InputError, match="not finite"):
        delineate_from_point(pre, early, (float("nan"), 0.0, 0.0))
    with pytest.raises(InputError, match="outside of the pre-contrast phase"):
        delineate_from_point(pre[:20, :, :], early, lps(GRID, MIDDLE))
    with pytest.raises(InputError, match="air"):
        delineate_from_point(pre, early, lps(GRID, (48.0, 86.0, 15.0)))
    with pytest.raises(GateRefusal, match="brighter") as refusal:
        delineate_from_point(pre, early, lps(GRID, (20.0, 20.0, 8.0)))
    assert refusal.value.gate == "no-enhancement"


def test_a_box_in_the_wrong_place_is_refused_in_one_line() -> None:
    pre, early = phases(450.0 * (ellipsoid(GRID, MIDDLE, (6.0, 6.0, 6.0)) <= 1.0))

    def box(index: Point, half: float = 6.0) -> Delineation:
        center = np.array(lps(GRID, index))
        return delineate_from_box(pre, early, tuple(center - half), tuple(center + half))

    with pytest.raises(InputError, match="corner"):
        box(MIDDLE, -6.0)
    with pytest.raises(InputError, match="outside"):
        box((500.0, 0.0, 0.0))
    with pytest.raises(InputError, match="air"):
        box((48.0, 84.0, 15.0), 3.0)
    with pytest.raises(GateRefusal, match="brighter"):
        box((20.0, 20.0, 8.0))
