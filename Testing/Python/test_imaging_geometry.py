"""Geometry: indices and LPS positions, planes, grids and resampling between them."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from breastpredict.errors import InputError
from breastpredict.imaging import Geometry, resample_to

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
SAGITTAL = (0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Any rotation, spacing, origin and size."""
    length = st.floats(0.2, 6.0)
    place = st.floats(-500.0, 500.0)
    count = st.integers(1, 40)
    angles = draw(st.tuples(*[st.floats(-180.0, 180.0)] * 3))
    direction = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    return Geometry(
        size=draw(st.tuples(count, count, count)),
        spacing=draw(st.tuples(length, length, length)),
        origin=draw(st.tuples(place, place, place)),
        direction=tuple(direction.ravel().tolist()),
    )


@given(geometries(), st.tuples(*[st.floats(-50.0, 50.0)] * 3))
def test_an_index_survives_the_way_to_the_patient_and_back(
    geometry: Geometry, index: tuple[float, float, float]
) -> None:
    physical = geometry.index_to_physical(np.array(index))
    assert geometry.physical_to_index(physical) == pytest.approx(np.array(index), abs=1e-6)


@given(geometries())
def test_positions_are_those_of_simpleitk(geometry: Geometry) -> None:
    image = geometry.to_image()
    last = tuple(n - 1 for n in geometry.size)
    theirs = image.TransformIndexToPhysicalPoint(last)
    assert geometry.index_to_physical(np.array(last)) == pytest.approx(theirs, abs=1e-6)
    assert Geometry.from_image(image).same_grid(geometry)


@given(geometries(), st.data())
def test_a_slab_keeps_its_voxels_where_they_were(geometry: Geometry, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, geometry.size[2] - 1))
    stop = data.draw(st.integers(start + 1, geometry.size[2]))
    slab = geometry.slab(start, stop)
    assert slab.size == (geometry.size[0], geometry.size[1], stop - start)
    ours = slab.index_to_physical(np.array([0, 0, stop - start - 1]))
    assert ours == pytest.approx(geometry.index_to_physical(np.array([0, 0, stop - 1])), abs=1e-6)


def test_many_points_are_converted_at_once() -> None:
    geometry = Geometry((4, 5, 6), (0.5, 0.7, 2.0), (1.0, 2.0, 3.0), SAGITTAL)
    points = np.random.default_rng(0).normal(size=(2, 7, 3))
    there = geometry.index_to_physical(points)
    assert there.shape == (2, 7, 3)
    assert there[1, 4] == pytest.approx(geometry.index_to_physical(points[1, 4]))
    assert geometry.physical_to_index(there) == pytest.approx(points)


def test_an_empty_or_foreign_slab_is_refused() -> None:
    geometry = Geometry((4, 5, 6), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), AXIAL)
    for start, stop in ((2, 2), (-1, 2), (5, 7)):
        with pytest.raises(IndexError):
            geometry.slab(start, stop)


@pytest.mark.parametrize(
    ("direction", "plane"), [(AXIAL, "axial"), (SAGITTAL, "sagittal"), (CORONAL, "coronal")]
)
@pytest.mark.parametrize(("tilt", "oblique"), [(0.0, False), (15.0, False), (25.0, True)])
def test_the_plane_is_that_of_the_slices(
    direction: tuple[float, ...], plane: str, tilt: float, oblique: bool
) -> None:
    turn = Rotation.from_euler("xyz", [tilt, 0, 0], degrees=True).as_matrix()
    if plane == "sagittal":  # turning about x leaves a sagittal slice where it is
        turn = Rotation.from_euler("xyz", [0, tilt, 0], degrees=True).as_matrix()
    axes = turn @ np.array(direction).reshape(3, 3)
    geometry = Geometry((4, 4, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(axes.ravel().tolist()))
    assert geometry.plane == ("oblique" if oblique else plane)


@pytest.mark.parametrize(
    "wrong",
    [
        {"spacing": (1.0, 0.0, 1.0)},
        {"spacing": (1.0, float("nan"), 1.0)},
        {"size": (4, 0, 4)},
        {"direction": (1.0, 0.5, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)},
        {"direction": (1.0, 0.0, 0.0, 1.0)},
    ],
)
def test_an_impossible_geometry_is_refused(wrong: dict[str, tuple[float, ...]]) -> None:
    right = {
        "size": (4, 4, 4),
        "spacing": (1.0, 1.0, 1.0),
        "origin": (0.0, 0.0, 0.0),
        "direction": AXIAL,
    }
    with pytest.raises(InputError):
        Geometry(**{**right, **wrong})  # type: ignore[arg-type]


def test_grids_differ_by_size_place_and_direction() -> None:
    one = Geometry((8, 8, 1), (0.5, 0.7, 2.0), (1.0, 2.0, 3.0), AXIAL)
    assert one.same_grid(Geometry((8, 8, 1), (0.5, 0.7, 2.0), (1.0, 2.0, 3.0 + 1e-6), AXIAL))
    assert not one.same_grid(Geometry((8, 8, 2), (0.5, 0.7, 2.0), (1.0, 2.0, 3.0), AXIAL))
    assert not one.same_grid(Geometry((8, 8, 1), (0.5, 0.7, 2.0), (1.0, 2.0, 3.1), AXIAL))
    flipped = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    assert not one.same_grid(Geometry((8, 8, 1), (0.5, 0.7, 2.0), (1.0, 2.0, 3.0), flipped))


@settings(max_examples=25, deadline=None)
@given(geometries())
def test_resampling_onto_its_own_grid_changes_nothing(geometry: Geometry) -> None:
    array = np.random.default_rng(1).normal(size=geometry.size[::-1]).astype(np.float32)
    same = resample_to(geometry.to_image(array), geometry, "linear")
    assert np.array_equal(sitk.GetArrayFromImage(same), array)


def test_a_mask_is_brought_over_by_position_not_by_index() -> None:
    axial = Geometry((30, 30, 20), (1.0, 1.0, 1.5), (0.0, 0.0, 0.0), AXIAL)
    block = np.zeros((20, 30, 30), np.uint8)
    block[8:12, 10:20, 10:20] = 1
    middle = axial.index_to_physical(np.array([14.5, 14.5, 9.5]))
    sagittal = Geometry((30, 24, 30), (1.0, 1.0, 1.0), (0.0, 0.0, 25.0), SAGITTAL)
    sagittal = Geometry(sagittal.size, sagittal.spacing, (29.0, 0.0, 25.0), SAGITTAL)
    moved = resample_to(axial.to_image(block), sagittal, "nearest")
    assert moved.GetPixelID() == sitk.sitkUInt8
    where = np.argwhere(sitk.GetArrayFromImage(moved))[:, ::-1]
    assert sagittal.index_to_physical(where.mean(axis=0)) == pytest.approx(middle, abs=0.5)
    assert len(where) == pytest.approx(600, rel=0.05)  # 10 x 10 x 6 mm


def test_what_lies_outside_gets_the_stated_value() -> None:
    small = Geometry((4, 4, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), AXIAL)
    large = Geometry((8, 8, 8), (1.0, 1.0, 1.0), (-2.0, -2.0, -2.0), AXIAL)
    image = resample_to(small.to_image(np.ones((4, 4, 4), np.float32)), large, "linear", -7.0)
    values = sitk.GetArrayFromImage(image)
    assert values[0, 0, 0] == -7.0
    assert values[3, 3, 3] == 1.0
    assert np.count_nonzero(values == 1.0) == 64
