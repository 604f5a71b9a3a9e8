"""RT structure sets come in as the voxels whose centres their contours enclose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dce_volumes import SAGITTAL, oblique_axes
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from mask_objects import (
    BREAST,
    LESION,
    Bools,
    MrCase,
    array_of,
    edited,
    mr_case,
    write_seg,
    write_structures,
)
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import generate_uid

from breastpredict.dicom import read_mask
from breastpredict.dicom.planes import even_slots
from breastpredict.errors import BreastPredictError, GateRefusal, InputError
from breastpredict.her2 import prepare_case
from breastpredict.imaging import Geometry

Points = NDArray[np.float64]
PLANES: dict[str, dict[str, Any]] = {
    "axial": {},
    "sagittal": {"axes": SAGITTAL},
    "oblique": {"axes": oblique_axes()},
}


@pytest.fixture(scope="module", params=PLANES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MrCase:
    folder = tmp_path_factory.mktemp(request.param) / "dicom"
    return mr_case(folder, (51, 37, 15), **PLANES[request.param])


@pytest.fixture(scope="module")
def axial(tmp_path_factory: pytest.TempPathFactory) -> MrCase:
    return mr_case(tmp_path_factory.mktemp("axial") / "dicom", (51, 37, 15))


def circle(centre: Points, radius: float, u: Points, v: Points, count: int = 90) -> Points:
    """A circle around a point in the plane of two unit vectors, ``[count, 3]``."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)[:, np.newaxis]
    return np.asarray(centre + radius * (np.cos(angle) * u + np.sin(angle) * v))


def axes_of(grid: Geometry) -> tuple[Points, Points, Points]:
    """Unit vectors of i, j, k."""
    i, j, k = np.array(grid.direction).reshape(3, 3).T
    return i, j, k


def at(grid: Geometry, i: float, j: float, k: float) -> Points:
    return grid.index_to_physical(np.array([i, j, k]))


def distance_from(grid: Geometry, centre: Points) -> Points:
    """mm of every voxel's centre from a point, ``[k, j, i]``."""
    k, j, i = np.indices(grid.size[::-1])
    points = grid.index_to_physical(np.stack([i, j, k], axis=-1))
    return np.asarray(np.linalg.norm(points - centre, axis=-1))


def read(path: Path, case: MrCase, segment: str | None = None) -> Bools:
    return array_of(read_mask(path, case.phase.geometry, segment=segment, study=case.study))


def ball(
    centre: Points, radius: float, axes: tuple[Points, Points, Points], levels: Points
) -> list[Points]:
    """The circles of a ball in planes at mm from its centre along the third axis."""
    u, v, n = axes
    return [
        circle(centre + level * n, np.sqrt(radius**2 - level**2), u, v)
        for level in levels
        if abs(level) < radius - 0.01
    ]


# --- shapes on the slices -------------------------------------------------------------------------


def test_a_disc_is_the_voxels_whose_centres_it_holds(case: MrCase, tmp_path: Path) -> None:
    grid = case.phase.geometry
    u, v, _ = axes_of(grid)
    discs = {3: 9.0, 4: 12.3, 7: 6.1}  # slice: radius in mm; between them there is none
    contours = [circle(at(grid, 24.3, 17.8, k), r, u, v, 360) for k, r in discs.items()]
    found = read(write_structures(tmp_path / "rt.dcm", case.images, [{"contours": contours}]), case)
    assert set(np.flatnonzero(found.any(axis=(1, 2)))) == set(discs)
    for k, radius in discs.items():
        away = distance_from(grid, at(grid, 24.3, 17.8, k))[k]
        assert found[k][away < radius - 0.01].all() and not found[k][away > radius + 0.01].any()


def winding(polygon: Points, i: Points, j: Points) -> NDArray[np.int64]:
    """How often a polygon of (i, j) turns around points: the sum of the angles it is seen under."""
    to = polygon[:, np.newaxis] - np.stack([i.ravel(), j.ravel()], axis=-1)
    angle = np.arctan2(to[..., 1], to[..., 0])
    turn = np.diff(angle, axis=0, append=angle[:1])
    turns = (np.mod(turn + np.pi, 2 * np.pi) - np.pi).sum(axis=0) / (2 * np.pi)
    return np.round(turns).astype(np.int64).reshape(i.shape)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    polygon=st.lists(
        st.tuples(st.floats(-8, 60), st.floats(-8, 45)), min_size=3, max_size=12, unique=True
    )
)
def test_any_polygon_is_filled_by_the_even_odd_rule(
    axial: MrCase, tmp_path: Path, polygon: list[tuple[float, float]]
) -> None:
    """Also one that crosses itself or leaves the image; told by the angles it is seen under."""
    grid = axial.phase.geometry
    corners = np.round(np.array(polygon), 2) + 0.003  # no edge runs through the centre of a voxel
    points = grid.index_to_physical(np.column_stack([corners, np.full(len(corners), 6.0)]))
    path = write_structures(tmp_path / "rt.dcm", axial.images, [{"contours": [points]}])
    stored = np.array(
        pydicom.dcmread(path).ROIContourSequence[0].ContourSequence[0].ContourData, float
    )
    written = grid.physical_to_index(stored.reshape(-1, 3))[:, :2]
    j, i = np.indices(grid.size[1::-1]).astype(float)
    expected = winding(written, i, j) % 2 == 1
    try:
        found = read(path, axial)
    except (InputError, GateRefusal):
        assert not expected.any()
    else:
        near = near_an_edge(written, i, j)
        np.testing.assert_array_equal(found[6][~near], expected[~near])
        assert not np.delete(found, 6, axis=0).any()


def near_an_edge(polygon: Points, i: Points, j: Points) -> Bools:
    """Points so near to an edge that rounding decides."""
    points = np.stack([i, j], axis=-1)
    near = np.zeros(i.shape, bool)
    for a, b in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        along = np.clip(((points - a) @ (b - a)) / max(1e-12, (b - a) @ (b - a)), 0, 1)
        near |= np.linalg.norm(points - a - along[..., np.newaxis] * (b - a), axis=-1) < 1e-6
    return near


def test_a_hole_may_be_said_in_three_ways(case: MrCase, tmp_path: Path) -> None:
    grid = case.phase.geometry
    u, v, _ = axes_of(grid)
    outer, inner = (circle(at(grid, 24.3, 17.8, 5), r, u, v) for r in (14.0, 7.0))
    keyhole = np.concatenate([outer, outer[:1], inner[::-1][-1:], inner[::-1], outer[:1]])
    ways = {
        "two contours": [outer, inner],
        "keyhole": [keyhole],
        "XOR": [(outer, "CLOSEDPLANAR_XOR"), (inner, "CLOSEDPLANAR_XOR")],
    }
    away = distance_from(grid, at(grid, 24.3, 17.8, 5))[5]
    for way, contours in ways.items():
        path = write_structures(tmp_path / "rt.dcm", case.images, [{"contours": contours}])
        found = read(path, case)[5]
        assert found[(away > 7.05) & (away < 13.9)].all(), way
        assert not found[(away < 6.9) | (away > 14.05)].any(), way


def test_an_island_in_a_hole_counts_and_a_contour_written_twice_is_one(
    axial: MrCase, tmp_path: Path
) -> None:
    grid = axial.phase.geometry
    u, v, _ = axes_of(grid)
    outer, hole, island = (circle(at(grid, 24.3, 17.8, 5), r, u, v) for r in (14.0, 9.0, 4.0))
    three = [{"contours": [outer, hole, island, outer]}]
    found = read(write_structures(tmp_path / "rt.dcm", axial.images, three), axial)[5]
    away = distance_from(grid, at(grid, 24.3, 17.8, 5))[5]
    assert found[(away > 9.05) & (away < 13.9)].all() and found[away < 3.9].all()
    assert not found[(away > 4.05) & (away < 8.9)].any()


def test_a_voxel_on_the_edge_between_two_contours_belongs_to_one_of_them(
    axial: MrCase, tmp_path: Path
) -> None:
    """Rectangles whose edges run through the centres of voxels."""
    grid = axial.phase.geometry

    def rectangle(i: tuple[int, int], j: tuple[int, int]) -> Points:
        corners = [(i[0], j[0]), (i[1], j[0]), (i[1], j[1]), (i[0], j[1])]
        return np.stack([at(grid, a, b, 5) for a, b in corners])

    parts = [
        rectangle(i, j) for i in ((10, 20), (20, 24)) for j in ((5, 12), (12, 30))
    ]  # 14 × 25 voxels in all
    masks = []
    for part in parts:
        path = write_structures(tmp_path / "rt.dcm", axial.images, [{"contours": [part]}])
        masks.append(read(path, axial)[5].astype(int))
    total = sum(masks)
    assert np.max(total) == 1 and np.sum(total) == 14 * 25


# --- contours off the slices ----------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.0, 0.25, 0.5, 0.8], ids=lambda x: f"{x} slices off")
@pytest.mark.parametrize("step", [0.625, 1.25, 2.6, 3.9], ids=lambda x: f"every {x} mm")
def test_between_the_slices_each_slice_shows_the_contour_nearest_to_it(
    case: MrCase, tmp_path: Path, step: float, offset: float
) -> None:
    """A ball of 26 mm, contoured at distances that are no multiples of the images'."""
    grid = case.phase.geometry
    u, v, n = axes_of(grid)
    centre = at(grid, 24.3, 17.8, 7.0)
    levels = np.arange(-60, 60) * step + offset * grid.spacing[2]
    levels = levels[np.abs(levels) < 12.99]
    contours = ball(centre, 13.0, (u, v, n), levels)
    path = write_structures(tmp_path / "rt.dcm", case.images, [{"contours": contours}])
    found = read(path, case)
    for k in range(grid.size[2]):
        level = (k - 7) * grid.spacing[2]
        apart = np.abs(levels - level)
        away = distance_from(grid, centre + level * n)[k]
        if apart.min() > step / 2 + 0.01:
            assert not found[k].any()
            continue
        # Half-way between two contours either is as near, or none at the end of the stack.
        near = np.sqrt(13.0**2 - levels[apart < apart.min() + 0.01] ** 2)
        end = apart.min() > step / 2 - 0.01 and len(near) == 1
        assert end or found[k][away < near.min() - 0.1].all()
        assert not found[k][away > near.max() + 0.05].any()


@pytest.mark.parametrize("plane", ["across i", "across j", "oblique"])
def test_contours_in_another_plane_keep_place_and_volume(
    case: MrCase, tmp_path: Path, plane: str
) -> None:
    grid = case.phase.geometry
    i, j, k = axes_of(grid)
    row, column = (np.array(axis) for axis in oblique_axes(0.5))
    axes = {
        "across i": (j, k, i),
        "across j": (k, i, j),
        "oblique": (row, column, np.cross(row, column)),
    }[plane]
    centre = at(grid, 24.3, 17.8, 7.1)
    contours = ball(centre, 13.0, axes, np.arange(-20, 20) * 1.5)
    path = write_structures(tmp_path / "rt.dcm", case.images, [{"contours": contours}])
    found = read(path, case)
    away = distance_from(grid, centre)
    assert found[away < 11.4].all() and not found[away > 14.2].any()
    volume = np.count_nonzero(found) * grid.voxel_volume_mm3
    assert volume == pytest.approx(4 / 3 * np.pi * 13**3, rel=0.04)
    middle = grid.index_to_physical(np.argwhere(found).mean(axis=0)[::-1])
    assert np.linalg.norm(middle - centre) < 0.35


@pytest.mark.parametrize("k", [4.0, 4.3, 4.49, 4.51, 4.8])
def test_a_single_contour_fills_the_nearest_slice(case: MrCase, tmp_path: Path, k: float) -> None:
    grid = case.phase.geometry
    u, v, _ = axes_of(grid)
    contour = circle(at(grid, 24.3, 17.8, k), 9.0, u, v)
    path = write_structures(tmp_path / "rt.dcm", case.images, [{"contours": [contour]}])
    found = read(path, case)
    assert list(np.flatnonzero(found.any(axis=(1, 2)))) == [round(k)]
    away = distance_from(grid, at(grid, 24.3, 17.8, round(k)))[round(k)]
    assert found[round(k)][away < 8.9].all() and not found[round(k)][away > 9.05].any()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("where", [18.0, 18.4, 18.6])
def test_a_single_contour_across_the_slices_fills_a_layer_of_voxels(
    case: MrCase, tmp_path: Path, axis: int, where: float
) -> None:
    grid = case.phase.geometry
    i, j, k = axes_of(grid)
    place = [24.0, 18.0, 7.0]
    place[axis] = where
    contour = circle(at(grid, *place), 10.0, (i, j)[1 - axis], k)
    path = write_structures(tmp_path / "rt.dcm", case.images, [{"contours": [contour]}])
    found = read(path, case)
    layers = np.flatnonzero(found.any(axis=(0, 1 + axis)))
    assert list(layers) == [round(where)]


@given(
    step=st.floats(0.3, 8.0),
    slots=st.sets(st.integers(0, 150), min_size=3, max_size=60),
    stated=st.sampled_from([0.5, 1.0, 2.0, 1.37, 30.0]),
    digits=st.integers(2, 5),
)
@example(step=1.0, slots={0, 2, 51}, stated=1.0, digits=2)
@example(step=2.0, slots={0, 1, 2}, stated=30.0, digits=2)
def test_planes_of_few_digits_are_told_to_their_slots(
    step: float, slots: set[int], stated: float, digits: int
) -> None:
    """By neighbours, whatever is stated; without any, by the distance stated."""
    places = np.array(sorted(slots)) - min(slots)
    neighbours = np.diff(places).min() == 1
    assume(neighbours or (stated == 1.0 and np.gcd.reduce(places) == 1))
    assume(10.0**-digits * places.max() < 0.1 * step)  # else nobody can tell
    levels = np.round(-71.3 + places * step, digits)
    found = even_slots(levels, [stated * step])
    assert found is not None
    np.testing.assert_array_equal(found[1], places)
    assert found[0] * places.max() == pytest.approx(np.ptp(levels))


@pytest.mark.parametrize(
    "levels, stated, step, slots",
    [
        ([5, 7], 30.0, 2.0, [0, 1]),
        ([5, 25], 2.0, 2.0, [0, 10]),
        ([5, 25], 3.0, 20.0, [0, 1]),
        ([5, 5, 25], 0.0, 20.0, [0, 0, 1]),
        ([0, 1e6], 0.5, 1e6, [0, 1]),  # two million slices are absurd
        ([4, 4], 3.0, 3.0, [0, 0]),
    ],
)
def test_of_two_planes_what_is_stated_is_believed_where_it_fits(
    levels: list[float], stated: float, step: float, slots: list[int]
) -> None:
    found = even_slots(np.array(levels, float), [stated])
    assert found is not None
    assert (pytest.approx(found[0]), found[1].tolist()) == (step, slots)


def test_contours_in_digits_of_a_tenth_lie_on_their_slices(case: MrCase, tmp_path: Path) -> None:
    grid = case.phase.geometry
    contours = ball(at(grid, 24.3, 17.8, 7.0), 13.0, axes_of(grid), np.arange(-9, 10) * 2.6)
    exact = read(write_structures(tmp_path / "a.dcm", case.images, [{"contours": contours}]), case)
    rounded = [np.round(contour, 1) for contour in contours]
    found = read(write_structures(tmp_path / "b.dcm", case.images, [{"contours": rounded}]), case)
    np.testing.assert_array_equal(found.any(axis=(1, 2)), exact.any(axis=(1, 2)))
    assert np.count_nonzero(found != exact) < 0.05 * np.count_nonzero(exact)


# --- which structure, whose -----------------------------------------------------------------------


def test_the_tumour_is_told_by_its_type_its_code_or_its_name(axial: MrCase, tmp_path: Path) -> None:
    grid = axial.phase.geometry
    u, v, _ = axes_of(grid)
    contour = [circle(at(grid, 24, 18, 5), 8.0, u, v)]
    other = [circle(at(grid, 24, 18, 9), 12.0, u, v)]
    body = {"name": "Body", "type": "EXTERNAL", "contours": other}
    told: list[tuple[dict[str, Any], str | None]] = [
        ({"name": "x", "type": "GTV"}, None),
        ({"name": "x", "code": LESION}, None),
        ({"name": "x"}, "x"),
        ({"name": "x"}, "2"),
    ]
    for roi, segment in told:
        rois = [body, {**roi, "contours": contour}]
        path = write_structures(tmp_path / "rt.dcm", axial.images, rois)
        mask = read_mask(path, grid, segment=segment, study=axial.study)
        assert (list(mask.mask.slices), mask.label, mask.source) == ([5], "x", "RTSTRUCT")
    path = write_structures(
        tmp_path / "rt.dcm",
        axial.images,
        [body, {"name": "x", "contours": contour, "code": BREAST}],
    )
    with pytest.raises(InputError, match="unclear which segment is the tumour: 1: Body, 2: x"):
        read(path, axial)


def test_it_belongs_to_the_images_it_was_drawn_on(axial: MrCase, tmp_path: Path) -> None:
    grid = axial.phase.geometry
    u, v, _ = axes_of(grid)
    rois = [{"contours": [circle(at(grid, 24, 18, 5), 8.0, u, v)]}]
    path = write_structures(
        tmp_path / "rt.dcm", axial.images, rois, StudyInstanceUID=generate_uid()
    )
    with pytest.raises(InputError, match="of another study"):
        read(path, axial)

    def refer(data: Dataset) -> None:
        item = Dataset()
        item.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
        item.ReferencedSOPInstanceUID = axial.study.study_uid
        data.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence = [item]

    assert read(edited(path, path, refer), axial).any()
    other = edited(path, tmp_path / "b.dcm", lambda d: setattr(d, "PatientID", "P2"))
    with pytest.raises(InputError, match="of another patient"):
        read(other, axial)

    def move(data: Dataset) -> None:
        data.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = generate_uid()

    assert read_mask(path, grid, study=axial.study).warnings == ()
    moved = read_mask(edited(path, path, move), grid, study=axial.study)
    assert "another frame of reference" in moved.warnings[0]


def test_a_case_is_prepared_from_contours_as_from_the_mask_they_enclose(
    axial: MrCase, tmp_path: Path
) -> None:
    """To the network's input, bit for bit; the warning goes along."""
    grid = axial.phase.geometry
    contours = ball(at(grid, 11.2, 8.4, 4.0), 7.0, axes_of(grid), np.arange(-9, 10) * 2.6)
    rt = write_structures(tmp_path / "rt.dcm", axial.images, [{"contours": contours}])
    seg = write_seg(tmp_path / "seg.dcm", axial.images, read(rt, axial))

    def move(data: Dataset) -> None:
        for item in data.StructureSetROISequence:
            item.ReferencedFrameOfReferenceUID = generate_uid()

    moved = edited(rt, tmp_path / "moved.dcm", move)
    cases = [
        prepare_case(axial.study.folder, image_size=32, segmentation=path)
        for path in (rt, seg, moved)
    ]
    for other in cases[1:]:
        np.testing.assert_array_equal(cases[0].image, other.image)
        assert other.slice == cases[0].slice
    assert not any("frame of reference" in line for line in cases[0].warnings)
    assert any("frame of reference" in line for line in cases[2].warnings)


# --- what is no tumour, and damage ----------------------------------------------------------------


def test_what_encloses_nothing_is_no_tumour(axial: MrCase, tmp_path: Path) -> None:
    grid = axial.phase.geometry
    u, v, _ = axes_of(grid)
    points = circle(at(grid, 24, 18, 5), 8.0, u, v)
    line = np.stack([at(grid, i, 18, 5) for i in (3.0, 9.0, 5.0, 20.0)])
    kinds = {
        "points": [(points[:1], "POINT")],
        "an open line": [(points, "OPEN_PLANAR")],
        "nothing": [],
        "a line": [line],
        "a line across": [np.stack([at(grid, 4, 5, k) for k in (1.0, 3.0, 7.5)])],
    }
    for what, contours in kinds.items():
        path = write_structures(tmp_path / "rt.dcm", axial.images, [{"contours": contours}])
        with pytest.raises(GateRefusal, match="no-tumour"):
            read(path, axial)
            pytest.fail(what)


def set_contour(values: list[str] | None) -> Callable[[Dataset], None]:
    def change(data: Dataset) -> None:
        data.ROIContourSequence[0].ContourSequence[0].ContourData = values

    return change


DAMAGE: dict[str, tuple[Callable[[Dataset], object], str]] = {
    "two of three coordinates": (set_contour(["1"] * 8), "contour of the structure set is damaged"),
    "two points": (set_contour(["1"] * 6), "contour of the structure set is damaged"),
    "no points": (set_contour(None), "damaged"),
    "not a number": (set_contour(["1e999"] * 9), "damaged"),
    "far away": (
        set_contour(["0", "0", "0", "9e8", "0", "0", "0", "9e8", "9e8"]),
        "absurd|lies outside|not planar|not parallel",
    ),
    "no list of structures": (lambda d: d.__delattr__("StructureSetROISequence"), "damaged"),
    "no number": (
        lambda d: d.ROIContourSequence[0].__delattr__("ReferencedROINumber"),
        "damaged",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_one_clear_line(axial: MrCase, tmp_path: Path, what: str) -> None:
    change, said = DAMAGE[what]
    grid = axial.phase.geometry
    u, v, _ = axes_of(grid)
    rois = [{"contours": [circle(at(grid, 24, 18, 5), 8.0, u, v)]}]
    path = write_structures(tmp_path / "rt.dcm", axial.images, rois)
    with pytest.raises(InputError, match=said) as refused:
        read(edited(path, path, change), axial)
    assert "\n" not in str(refused.value)


def test_contours_that_make_no_stack_are_refused(axial: MrCase, tmp_path: Path) -> None:
    grid = axial.phase.geometry
    u, v, n = axes_of(grid)

    def disc(k: float, bend: float = 0.0) -> Points:
        flat = circle(at(grid, 24, 18, k), 10.0, u, v)
        return flat + bend * np.cos(np.linspace(0, 4 * np.pi, len(flat)))[:, np.newaxis] * n

    crooked: dict[str, list[Points]] = {
        "is not planar": [disc(5, 3.0)],
        "are not parallel": [disc(5), circle(at(grid, 24, 18, 6), 10.0, u, n)],
        "not evenly spaced": [disc(5.3), disc(6.3), disc(7.74)],
    }
    for said, contours in crooked.items():
        path = write_structures(tmp_path / "rt.dcm", axial.images, [{"contours": contours}])
        with pytest.raises(InputError, match=said):
            read(path, axial)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(places=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=8))
@pytest.mark.filterwarnings("ignore")
def test_damaged_bytes_give_a_mask_or_one_clear_line(
    axial: MrCase, tmp_path: Path, places: list[tuple[float, int]]
) -> None:
    grid = axial.phase.geometry
    rois = [{"contours": ball(at(grid, 24, 18, 7), 12, axes_of(grid), np.arange(-9, 9) * 2.6)}]
    path = tmp_path / "rt.dcm"
    if not path.exists():
        write_structures(path, axial.images, rois)
    raw = bytearray(path.read_bytes())
    for where, value in places:
        raw[int(where * len(raw))] = value
    damaged = tmp_path / "damaged.dcm"
    damaged.write_bytes(raw)
    try:
        found = read(damaged, axial)
    except BreastPredictError as error:
        assert "\n" not in str(error)
    else:
        assert found.any()
