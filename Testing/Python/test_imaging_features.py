"""Features and overlap of masks: the IBSI's printed values, known bodies, another library."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_hausdorff_distance, compute_surface_dice

from breastpredict.errors import GateRefusal, InputError
from breastpredict.imaging import (
    BoxedMask,
    Geometry,
    intensity_features,
    overlap,
    shape_features,
    texture_features,
)

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def grid(size: tuple[int, int, int], spacing: tuple[float, float, float]) -> Geometry:
    return Geometry(size, spacing, (0.0, 0.0, 0.0), IDENTITY)


def ellipsoid(
    radii: tuple[float, float, float],
    spacing: tuple[float, float, float] = (1.0, 1.0, 2.5),
    size: tuple[int, int, int] = (64, 64, 28),
    center: tuple[float, float, float] = (31.3, 30.8, 33.0),
) -> BoxedMask:
    """Half axes and centre in mm along i, j, k."""
    i, j, k = (
        (np.arange(n) * s - c) / r for n, s, c, r in zip(size, spacing, center, radii, strict=True)
    )
    inside = k[:, None, None] ** 2 + j[:, None] ** 2 + i**2 <= 1
    return BoxedMask.of_array(inside, grid(size, spacing))


class TestDigitalPhantomOfTheIbsi:
    """Reference manual 5.1 and the benchmark tables of chapter 3; excluded voxels are 0."""

    VOXELS: ClassVar = np.array(
        [
            [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
            [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [0, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
            [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 6, 1, 1]],
            [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
        ],
        np.float32,
    )
    INTENSITY: ClassVar = {
        "mean": 2.15, "variation": 0.812, "skewness": 1.08, "excess_kurtosis": -0.355, "median": 1,
        "p10": 1, "p90": 4, "interquartile_range": 3, "maximum": 6, "minimum": 1, "rms": 2.77,
        "entropy": 1.27, "uniformity": 0.512,
    }  # fmt: skip
    TEXTURE_2_5D_MERGED: ClassVar = {
        "joint_maximum": 0.492, "joint_variance": 3.24, "joint_entropy": 2.61,
        "difference_entropy": 1.67, "sum_entropy": 2.14, "angular_second_moment": 0.277,
        "contrast": 5.29, "dissimilarity": 1.44, "inverse_difference": 0.673,
        "inverse_difference_moment": 0.613, "correlation": 0.182, "cluster_tendency": 7.65,
        "cluster_shade": 16.4,
    }  # fmt: skip

    @pytest.fixture
    def phantom(self) -> tuple[sitk.Image, BoxedMask]:
        geometry = grid((5, 4, 4), (2.0, 2.0, 2.0))
        return geometry.to_image(self.VOXELS), BoxedMask.of_array(self.VOXELS, geometry)

    @staticmethod
    def printed(value: float, like: float) -> float:
        """To three significant digits, as the tables print."""
        return float(f"{value:.3g}") if like else value

    def test_intensity(self, phantom: tuple[sitk.Image, BoxedMask]) -> None:
        found = intensity_features(*phantom, bins=6)
        assert {n: self.printed(found[n], v) for n, v in self.INTENSITY.items()} == self.INTENSITY
        assert found["sd"] ** 2 == pytest.approx(3.05, abs=0.005)

    def test_texture(self, phantom: tuple[sitk.Image, BoxedMask]) -> None:
        found = texture_features(*phantom, bins=6)
        rounded = {name: self.printed(value, 1) for name, value in found.items()}
        assert rounded == self.TEXTURE_2_5D_MERGED

    def test_volume(self, phantom: tuple[sitk.Image, BoxedMask]) -> None:
        found = shape_features(phantom[1])
        assert found["volume_mm3"] == 592
        assert found["sphericity"] == pytest.approx(0.867, abs=0.06)  # theirs is of a mesh


class TestShape:
    @pytest.mark.parametrize("radius", [8.0, 15.0])
    def test_a_ball_has_its_surface_its_diameter_and_sphericity_one(self, radius: float) -> None:
        found = shape_features(ellipsoid((radius,) * 3))
        assert found["volume_mm3"] == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.03)
        assert found["surface_mm2"] == pytest.approx(4 * np.pi * radius**2, rel=0.05)
        assert found["sphericity"] == pytest.approx(1, abs=0.04)
        for name in ("diameter_mm", "diameter_3d_mm"):
            assert found[name] == pytest.approx(2 * radius, abs=3)
        assert found["area_mm2"] == pytest.approx(np.pi * radius**2, rel=0.03)

    def test_a_long_body_is_less_of_a_ball_and_measured_along_its_axis(self) -> None:
        found = shape_features(ellipsoid((24, 8, 8)))
        a, b = 24.0, 8.0
        e = np.sqrt(1 - (b / a) ** 2)
        surface = 2 * np.pi * b**2 * (1 + a / (b * e) * np.arcsin(e))
        assert found["surface_mm2"] == pytest.approx(surface, rel=0.07)
        assert found["diameter_mm"] == pytest.approx(48, abs=2)
        assert found["sphericity"] < 0.85

    def test_a_single_voxel_is_measured_across_its_corners(self) -> None:
        one = np.zeros((5, 6, 7))
        one[2, 3, 4] = 1
        found = shape_features(BoxedMask.of_array(one, grid((7, 6, 5), (3.0, 4.0, 12.0))))
        assert found["diameter_mm"] == pytest.approx(5)
        assert found["diameter_3d_mm"] == pytest.approx(13)
        assert (found["volume_mm3"], found["area_mm2"]) == (144, 12)

    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 2**32 - 1))
    def test_the_diameter_is_the_longest_of_all_pairs_of_corners(self, seed: int) -> None:
        inside = np.random.default_rng(seed).random((1, 6, 7)) < 0.3
        inside[0, 2, 3] = True
        spacing = (0.7, 1.3, 2.0)
        mask = BoxedMask.of_array(inside, grid((7, 6, 1), spacing))
        j, i = np.nonzero(inside[0])
        corners = np.array(
            [((x + dx) * 0.7, (y + dy) * 1.3) for x, y in zip(i, j, strict=True)
             for dx in (0, 1) for dy in (0, 1)]
        )  # fmt: skip
        apart = np.linalg.norm(corners[:, None] - corners, axis=-1).max()
        # Crumbs within 2.5 mm belong to the lesion; here everything lies as near.
        found = shape_features(mask)
        assert found["diameter_mm"] == pytest.approx(apart)

    def test_an_empty_mask_has_no_features(self) -> None:
        nothing = BoxedMask.of_array(np.zeros((3, 3, 3)), grid((3, 3, 3), (1, 1, 1)))
        image = nothing.geometry.to_image()
        for call in (
            lambda: shape_features(nothing),
            lambda: intensity_features(image, nothing),
            lambda: texture_features(image, nothing),
        ):
            with pytest.raises(GateRefusal, match="empty"):
                call()


class TestIntensityAndTexture:
    MASK = ellipsoid((10, 9, 8))

    def image(self, seed: int = 0) -> sitk.Image:
        rng = np.random.default_rng(seed)
        shape = self.MASK.geometry.size[::-1]
        return self.MASK.geometry.to_image(rng.gamma(4, 100, shape).astype(np.float32))

    def test_texture_knows_no_unit_and_intensity_scales(self) -> None:
        image = self.image()
        other = image * 3.0 + 50.0
        before, after = texture_features(image, self.MASK), texture_features(other, self.MASK)
        assert after == pytest.approx(before, rel=2e-2)
        first, second = intensity_features(image, self.MASK), intensity_features(other, self.MASK)
        assert second["mean"] == pytest.approx(3 * first["mean"] + 50, rel=1e-5)
        assert second["sd"] == pytest.approx(3 * first["sd"], rel=1e-5)

    def test_what_lies_outside_does_not_count(self) -> None:
        image = self.image()
        array = sitk.GetArrayFromImage(image)
        outside = sitk.GetArrayFromImage(self.MASK.to_image()) == 0
        array[outside] = 1e6
        changed = self.MASK.geometry.to_image(array)
        assert texture_features(changed, self.MASK) == texture_features(image, self.MASK)
        assert intensity_features(changed, self.MASK) == intensity_features(image, self.MASK)

    def test_smoothing_lowers_contrast_and_raises_correlation(self) -> None:
        rough = texture_features(self.image(), self.MASK)
        smooth = texture_features(
            sitk.SmoothingRecursiveGaussian(self.image(), [2.0, 2.0, 2.0]), self.MASK
        )
        assert smooth["correlation"] > 0.5 > abs(rough["correlation"]) + 0.3
        assert smooth["contrast"] < rough["contrast"]

    def test_a_lesion_of_one_grey_level_has_no_correlation(self) -> None:
        flat = self.MASK.geometry.to_image() + 7.0
        texture = texture_features(flat, self.MASK)
        assert np.isnan(texture["correlation"]) and texture["angular_second_moment"] == 1.0
        found = intensity_features(flat, self.MASK)
        assert (found["entropy"], found["skewness"], found["sd"]) == (0.0, 0.0, 0.0)

    def test_another_grid_and_values_that_are_no_numbers_are_refused(self) -> None:
        with pytest.raises(InputError, match="not on the grid"):
            intensity_features(grid((3, 3, 3), (1, 1, 1)).to_image(), self.MASK)
        with pytest.raises(InputError, match="not finite"):
            texture_features(self.image() * float("nan"), self.MASK)
        with pytest.raises(InputError, match="at least 2 bins"):
            texture_features(self.image(), self.MASK, bins=1)


class TestOverlap:
    @pytest.mark.parametrize("shift", [(0, 0, 0), (2, -1, 0), (4, 3, 2.5)])
    @pytest.mark.parametrize("tolerance", [1.0, 2.5])
    def test_equals_that_of_monai(self, shift: tuple[float, ...], tolerance: float) -> None:
        a = ellipsoid((11, 9, 12))
        center = tuple(c + s for c, s in zip((31.3, 30.8, 33.0), shift, strict=True))
        b = ellipsoid((10, 10, 10), center=center)  # type: ignore[arg-type]
        arrays = [sitk.GetArrayFromImage(m.to_image()).astype(bool) for m in (a, b)]
        p, q = (torch.from_numpy(x)[None, None] for x in arrays)
        spacing = (2.5, 1.0, 1.0)
        theirs = compute_surface_dice(p, q, [tolerance], include_background=True, spacing=spacing)
        furthest = compute_hausdorff_distance(
            p, q, include_background=True, percentile=95, spacing=spacing
        )
        found = overlap(a, b, tolerance)
        assert found.surface_dice == pytest.approx(float(theirs), abs=1e-6)
        assert found.hausdorff95_mm == pytest.approx(float(furthest), abs=1e-4)
        both = (arrays[0] & arrays[1]).sum() / (arrays[0].sum() + arrays[1].sum())
        assert found.dice == pytest.approx(2 * both)

    def test_it_is_the_same_both_ways_and_perfect_with_itself(self) -> None:
        a, b = ellipsoid((9, 9, 9)), ellipsoid((12, 8, 9))
        assert overlap(a, b, 1) == overlap(b, a, 1)
        assert overlap(a, a, 0) == type(overlap(a, a, 0))(1.0, 1.0, 0.0)

    def test_a_shift_of_two_millimetres_is_within_a_tolerance_of_two(self) -> None:
        a = ellipsoid((10, 10, 10))
        b = BoxedMask(a.geometry, (a.start[0], a.start[1], a.start[2] + 2), a.inside)
        found = overlap(a, b, 2.0)
        assert found.surface_dice == 1.0 and found.hausdorff95_mm == pytest.approx(2, abs=0.3)
        assert overlap(a, b, 0.5).surface_dice < 0.6

    def test_masks_apart_do_not_agree_and_empty_ones_have_no_distance(self) -> None:
        a = ellipsoid((6, 6, 6), center=(12, 12, 20))
        b = ellipsoid((6, 6, 6), center=(50, 50, 50))
        nothing = BoxedMask.of_array(np.zeros(a.geometry.size[::-1]), a.geometry)
        assert overlap(a, b, 2).dice == 0 and overlap(a, b, 2).hausdorff95_mm > 40
        one = overlap(a, nothing, 2)
        assert (one.dice, one.surface_dice) == (0, 0) and np.isnan(one.hausdorff95_mm)
        both = overlap(nothing, nothing, 2)
        assert np.isnan([both.dice, both.surface_dice, both.hausdorff95_mm]).all()

    def test_different_grids_are_refused(self) -> None:
        a = ellipsoid((6, 6, 6))
        b = ellipsoid((6, 6, 6), spacing=(1.0, 1.0, 2.4))
        with pytest.raises(InputError, match="different grids"):
            overlap(a, b, 1)
        with pytest.raises(InputError, match="tolerance"):
            overlap(a, a, -1)
