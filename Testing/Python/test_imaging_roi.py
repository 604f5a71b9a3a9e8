"""The square region: its size and place, to the network's grid and exactly back."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from breastpredict.errors import GateRefusal, InputError
from breastpredict.imaging import Geometry, SquareROI

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
SAGITTAL = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
OBLIQUE = tuple(Rotation.from_euler("xyz", [31, -17, 52], degrees=True).as_matrix().ravel())

ANISOTROPIC_OBLIQUE = Geometry((60, 40, 9), (0.7, 1.1, 3.0), (-40.0, 25.0, 80.0), OBLIQUE)
SAGITTAL_NON_SQUARE = Geometry((48, 64, 12), (1.2, 0.8, 2.5), (90.0, -80.0, 60.0), SAGITTAL)
AXIAL_SQUARE = Geometry((64, 64, 10), (1.0, 1.0, 2.0), (0.0, 0.0, 0.0), AXIAL)


def ramps(geometry: Geometry) -> list[sitk.Image]:
    """Three images that hold every voxel's own index i, j, k."""
    k, j, i = np.indices(geometry.size[::-1]).astype(np.float32)
    return [geometry.to_image(array) for array in (i, j, k)]


def inside(roi: SquareROI) -> np.ndarray:
    """Which pixels [j, i] of the slice have their centre inside of the square, from its numbers."""
    width, height, _ = roi.geometry.size
    along_i = np.abs(np.arange(width) - roi.center_ij[0]) * roi.geometry.spacing[0]
    along_j = np.abs(np.arange(height) - roi.center_ij[1]) * roi.geometry.spacing[1]
    half = roi.side_mm / 2.0 - 1e-6
    return (along_j[:, None] < half) & (along_i[None, :] < half)


@settings(max_examples=40, deadline=None)
@given(
    geometry=st.sampled_from([ANISOTROPIC_OBLIQUE, SAGITTAL_NON_SQUARE, AXIAL_SQUARE]),
    angles=st.tuples(*[st.floats(-180.0, 180.0)] * 3),
    where=st.tuples(st.floats(0.35, 0.65), st.floats(0.35, 0.65)),
    side=st.floats(6.0, 20.0),
    size=st.sampled_from([16, 32, 57, 224]),
    slice_index=st.integers(0, 8),
)
def test_crop_and_overlay_put_every_voxel_back_within_half_a_voxel(
    geometry: Geometry,
    angles: tuple[float, float, float],
    where: tuple[float, float],
    side: float,
    size: int,
    slice_index: int,
) -> None:
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    axes = turn @ np.array(geometry.direction).reshape(3, 3)
    geometry = Geometry(
        geometry.size, geometry.spacing, geometry.origin, tuple(axes.ravel().tolist())
    )
    center = (where[0] * geometry.size[0], where[1] * geometry.size[1])
    roi = SquareROI(geometry, slice_index, center, side)
    step = side / size
    within = inside(roi)
    expected = np.indices(within.shape)[::-1]  # i, j
    for axis, ramp in enumerate(ramps(geometry)):
        back = roi.place(roi.extract(ramp, size))
        assert Geometry.from_image(back).same_grid(geometry.slab(slice_index, slice_index + 1))
        values = sitk.GetArrayFromImage(back)[0]
        if axis == 2:
            assert values[within] == pytest.approx(slice_index, abs=1e-3)
        else:
            # Half a voxel, or half of a network pixel where that is the coarser one.
            allowed = 0.5 * max(1.0, step / geometry.spacing[axis]) + 1e-3
            assert np.max(np.abs(values - expected[axis])[within]) < allowed
        assert not np.any(values[~within & ~_at_edge(roi)])


def _at_edge(roi: SquareROI) -> np.ndarray:
    """Pixels whose centre lies on the square's edge within rounding."""
    larger = SquareROI(roi.geometry, roi.slice_index, roi.center_ij, roi.side_mm + 1e-4)
    return inside(larger) & ~inside(roi)


@pytest.mark.parametrize("geometry", [ANISOTROPIC_OBLIQUE, SAGITTAL_NON_SQUARE])
def test_the_networks_pixels_lie_where_simpleitk_says(geometry: Geometry) -> None:
    roi = SquareROI(geometry, 4, (20.3, 22.8), 15.0)
    grid = roi.grid(24)
    assert grid.size == (24, 24, 1)
    pixels = [roi.extract(ramp, 24) for ramp in ramps(geometry)]
    image = geometry.to_image()
    for row, column in ((0, 0), (3, 17), (23, 23)):
        index = [float(p[row, column]) for p in pixels]
        theirs = image.TransformContinuousIndexToPhysicalPoint(index)
        ours = grid.index_to_physical(np.array([column, row, 0]))
        assert ours == pytest.approx(theirs, abs=1e-3)


def test_the_square_is_the_longer_side_of_the_lesion_and_a_margin_in_millimetres() -> None:
    geometry = Geometry((60, 60, 5), (0.5, 2.0, 3.0), (0.0, 0.0, 0.0), AXIAL)
    mask = np.zeros((5, 60, 60), np.uint8)
    mask[2, 10:20, 30:50] = 1  # 10 rows of 2 mm, 20 columns of 0.5 mm
    roi = SquareROI.around(geometry.to_image(mask), 2, margin=0.25, minimum_mm=5.0)
    assert roi.side_mm == pytest.approx(20.0 * 1.5)
    assert roi.center_ij == pytest.approx((39.5, 14.5))
    assert roi.geometry.same_grid(geometry)
    small = SquareROI.around(geometry.to_image(mask), 2, minimum_mm=64.0)
    assert small.side_mm == 64.0


def test_a_second_lesion_does_not_widen_the_square() -> None:
    mask = np.zeros((5, 64, 64), np.uint8)
    mask[1:4, 10:20, 10:20] = 1
    mask[2, 50:53, 50:53] = 1
    geometry = Geometry((64, 64, 5), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), AXIAL)
    roi = SquareROI.around(geometry.to_image(mask), 2, margin=0.0, minimum_mm=0.0)
    assert roi.side_mm == 10.0
    assert roi.center_ij == (14.5, 14.5)


def test_no_lesion_on_the_slice_is_refused() -> None:
    mask = np.zeros((10, 64, 64), np.uint8)
    with pytest.raises(GateRefusal, match="empty"):
        SquareROI.around(AXIAL_SQUARE.to_image(mask), 2)
    mask[2, 5:9, 5:9] = 1
    for index in (3, -1, 10):
        with pytest.raises(InputError, match=f"lice {index}"):
            SquareROI.around(AXIAL_SQUARE.to_image(mask), index)


@pytest.mark.parametrize("center", [(0.0, 30.0), (63.0, 63.0), (-3.0, 32.0)])
def test_a_square_past_the_edge_shows_the_outside_value_there(center: tuple[float, float]) -> None:
    image = AXIAL_SQUARE.to_image(np.full((10, 64, 64), 5.0, np.float32))
    roi = SquareROI(AXIAL_SQUARE, 3, center, 20.0)
    pixels = roi.extract(image, 40)
    index = AXIAL_SQUARE.physical_to_index(
        roi.grid(40).index_to_physical(
            np.stack([*np.meshgrid(np.arange(40), np.arange(40)), np.zeros((40, 40))], axis=-1)
        )
    )
    in_image = np.all((index[..., :2] > -0.5) & (index[..., :2] < 63.5), axis=-1)
    assert 0 < np.count_nonzero(in_image) < in_image.size
    assert np.all(pixels[in_image] == 5.0)
    assert np.all(pixels[~in_image] == 0.0)
    assert np.all(roi.extract(image, 40, outside=-1.0)[~in_image] == -1.0)
    back = sitk.GetArrayFromImage(roi.place(pixels))[0]
    assert np.all(back[~inside(roi) & ~_at_edge(roi)] == 0.0)
    # A voxel at the edge of the image may be blended with the padding beside it, others not.
    core = inside(roi)
    core[[0, -1], :] = False
    core[:, [0, -1]] = False
    assert np.all(back[core] == 5.0)


def test_a_square_wholly_outside_of_the_image_is_all_padding() -> None:
    image = AXIAL_SQUARE.to_image(np.ones((10, 64, 64), np.float32))
    assert not np.any(SquareROI(AXIAL_SQUARE, 3, (-200.0, -200.0), 20.0).extract(image, 16))


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((1, 240, 240), np.float32)
    stripes[:, :, ::2] = 100.0  # too fine for the network's grid: only its mean may remain
    geometry = Geometry((240, 240, 1), (0.5, 0.5, 2.0), (0.0, 0.0, 0.0), AXIAL)
    roi = SquareROI(geometry, 0, (119.7, 119.7), 100.0)
    pixels = roi.extract(geometry.to_image(stripes), 32)
    assert np.max(np.abs(pixels - 50.0)) < 2.0
    flat = roi.extract(geometry.to_image(np.full((1, 240, 240), 7.0, np.float32)), 32)
    assert flat == pytest.approx(7.0, abs=1e-4)


def test_a_slab_is_as_good_as_the_volume() -> None:
    array = np.random.default_rng(3).normal(size=(9, 40, 60)).astype(np.float32)
    geometry = ANISOTROPIC_OBLIQUE
    roi = SquareROI(geometry, 6, (30.0, 20.0), 22.0)
    whole = roi.extract(geometry.to_image(array), 48)
    slab = geometry.slab(5, 8).to_image(array[5:8])
    assert roi.extract(slab, 48) == pytest.approx(whole, abs=1e-5)
    assert whole.dtype == np.float32
    assert whole.shape == (48, 48)


def test_an_image_without_the_slice_is_refused() -> None:
    roi = SquareROI(AXIAL_SQUARE, 6, (30.0, 20.0), 22.0)
    with pytest.raises(InputError, match="slice 6"):
        roi.extract(AXIAL_SQUARE.slab(0, 6).to_image(), 16)
    moved = Geometry(AXIAL_SQUARE.size, AXIAL_SQUARE.spacing, (0.5, 0.0, 0.0), AXIAL)
    with pytest.raises(InputError, match="slice 6"):
        roi.extract(moved.to_image(), 16)


def test_a_map_is_placed_on_its_slice_of_the_whole_volume_and_nowhere_else() -> None:
    roi = SquareROI(ANISOTROPIC_OBLIQUE, 4, (30.0, 20.0), 20.0)
    volume = sitk.GetArrayFromImage(roi.place(np.ones((16, 16)), onto=ANISOTROPIC_OBLIQUE))
    assert volume.dtype == np.float32
    assert np.array_equal(volume[4], inside(roi).astype(np.float32))
    assert np.count_nonzero(volume) == np.count_nonzero(volume[4])
    with pytest.raises(ValueError, match="square"):
        roi.place(np.ones((16, 12)))
