"""From a rectangle of a slide to nine patches, and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from slide_files import GLASS, coded, halved, on_glass, tissue, write_dicom_slide, write_pyramid

from breastpredict.errors import GateRefusal, InputError
from breastpredict.pathology import SlideRegion, open_slide, read_patches, stitch

SCALE = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}
ROWS, COLUMNS = 640, 960


def _png(path: Path, picture: np.ndarray) -> Path:
    Image.fromarray(picture).save(path)
    return path


@pytest.fixture(scope="module")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide whose red grows with the column and green with the row."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    picture = np.stack([x * 255 / COLUMNS, y * 255 / ROWS, 0 * x + 128], axis=-1)
    path = tmp_path_factory.mktemp("ramp") / "ramp.tif"
    return write_pyramid(path, np.round(picture).astype(np.uint8), times=(2, 4), **SCALE)


regions = st.tuples(
    st.integers(0, COLUMNS - 1),
    st.integers(0, ROWS - 1),
    st.integers(1, COLUMNS),
    st.integers(1, ROWS),
).map(lambda r: SlideRegion(r[0], r[1], min(r[2], COLUMNS - r[0]), min(r[3], ROWS - r[1])))


# --- geometry -------------------------------------------------------------------------------------


@given(region=regions, side=st.integers(3, 1536), data=st.data())
def test_grid_to_slide_and_back_is_exact(
    region: SlideRegion, side: int, data: st.DataObject
) -> None:
    place = st.floats(-0.5, side - 0.5)
    points = np.array([data.draw(st.tuples(place, place)) for _ in range(4)])
    there = region.to_source(points, side)
    np.testing.assert_allclose(region.from_source(there, side), points, atol=1e-6)
    low = np.array([region.x, region.y]) - 0.5
    assert (there >= low - 1e-6).all()
    assert (there <= low + [region.width, region.height] + 1e-6).all()


def test_the_grid_tiles_the_rectangle() -> None:
    region = SlideRegion(100, 40, 30, 60)
    # Ten grid pixels over 30 columns: the first covers columns 100 to 102, centre 101.
    np.testing.assert_allclose(
        region.to_source(np.array([[0, 0], [9, 9]]), 10), [[101, 42.5], [128, 96.5]]
    )
    same = SlideRegion(5, 7, 12, 12)
    np.testing.assert_allclose(same.to_source(np.array([3, 4]), 12), [8, 11])


@settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(region=regions, patch=st.integers(4, 40))
def test_what_a_grid_pixel_shows_lies_at_its_place_to_half_a_pixel(
    ramp: Path, region: SlideRegion, patch: int
) -> None:
    """At any rectangle, also at the border, and from any level."""
    with open_slide(ramp) as slide:
        patches = read_patches(slide, region, patch=patch)
    side = patches.side
    row, column = np.mgrid[:side, :side]
    source = patches.to_source(np.stack([column, row], axis=-1))
    seen = patches.picture[..., :2] * [COLUMNS / 255, ROWS / 255]
    # Half a pixel of the grid or of the slide, whichever is larger, and half a grey level.
    steps = np.array([region.width, region.height]) / side
    allowed = 0.5 * np.maximum(steps, 4.0) + np.array([COLUMNS, ROWS]) / 255
    # At the rim a level's pixel may lie a little outside.
    assert (np.abs(seen - source) <= allowed).all()


@given(seed=st.integers(0, 99), side=st.integers(1, 7), rest=st.sampled_from([(), (2,)]))
def test_nine_maps_are_stitched_in_rows_of_three(
    seed: int, side: int, rest: tuple[int, ...]
) -> None:
    whole = np.random.default_rng(seed).normal(size=(3 * side, 3 * side, *rest))
    nine = np.stack(
        [
            whole[r * side : (r + 1) * side, c * side : (c + 1) * side]
            for r in range(3)
            for c in range(3)
        ]
    )
    np.testing.assert_array_equal(stitch(nine), whole)


def test_stitching_wants_nine() -> None:
    with pytest.raises(InputError, match=r"Nine maps"):
        stitch(np.zeros((8, 4, 4)))


# --- the paper's patches --------------------------------------------------------------------------


def test_a_rectangle_of_the_papers_size_becomes_nine_patches_unchanged(tmp_path: Path) -> None:
    picture = coded(1700, 1800)
    path = write_pyramid(tmp_path / "a.tif", picture, tile=512, compression="zlib", **SCALE)
    with open_slide(path) as slide:
        patches = read_patches(slide, SlideRegion(123, 45, 1536, 1536))
    assert patches.patches.shape == (9, 512, 512, 3) and patches.patches.dtype == np.uint8
    part = picture[45 : 45 + 1536, 123 : 123 + 1536]
    np.testing.assert_array_equal(patches.picture, part)
    np.testing.assert_array_equal(patches.patches[5], part[512:1024, 1024:])
    assert patches.grid_mpp == (0.5, 0.5) and patches.enlarged == 1 and patches.warnings == ()


def test_a_slide_at_40_is_read_at_20_from_the_level_that_fits(tmp_path: Path) -> None:
    picture = tissue(1600, 1600)
    path = write_pyramid(
        tmp_path / "a.tif",
        picture,
        times=(2,),
        resolution=(40000,) * 2,
        resolutionunit="CENTIMETER",
    )
    with open_slide(path) as slide:
        patches = read_patches(slide, SlideRegion(32, 64, 1536, 1536), patch=256)
    assert patches.read_mpp == pytest.approx((0.5, 0.5), rel=1e-3)
    np.testing.assert_array_equal(patches.picture, halved(picture, 2)[32:800, 16:784])


def test_a_reduced_network_sees_the_same_tissue_coarser(tmp_path: Path) -> None:
    picture = on_glass(1800, 2000, (100, 100, 1900, 1700))
    path = write_pyramid(tmp_path / "a.tif", picture, times=(4, 8), **SCALE)
    with open_slide(path) as slide:
        full, small = read_patches(slide), read_patches(slide, patch=64)
    assert small.region == full.region and small.patches.shape == (9, 64, 64, 3)
    assert (full.region.width, full.region.height) == (1536, 1536)
    # The levels' pixels need not begin where the rectangle does.
    pair = small.picture[..., 1].ravel(), halved(full.picture, 8)[..., 1].ravel()
    assert np.corrcoef(*pair)[0, 1] > 0.9


def test_a_region_off_the_slide_is_refused(ramp: Path) -> None:
    with open_slide(ramp) as slide:
        for region in [(-1, 0, 10, 10), (0, 0, COLUMNS + 1, 10), (0, ROWS - 5, 10, 6)]:
            with pytest.raises(InputError, match=r"lies off the slide of 960 × 640 pixels"):
                read_patches(slide, SlideRegion(*region))
    with pytest.raises(InputError, match="holds nothing"):
        SlideRegion(0, 0, 0, 5)


# --- without a region -----------------------------------------------------------------------------


def test_without_a_region_a_slide_gives_the_square_that_holds_the_most_tissue(
    tmp_path: Path,
) -> None:
    slide_picture = np.full((3000, 4600, 3), GLASS, np.uint8)
    slide_picture[200:900, 300:1000] = tissue(700, 700)  # a small core
    slide_picture[1000:2900, 2600:4500] = tissue(1900, 1900)  # the large one
    slide_picture[1000:2900, 100:2000] = (20, 60, 190)  # a larger patch of blue ink
    path = write_pyramid(tmp_path / "a.tif", slide_picture, times=(4, 16), tile=256, **SCALE)
    with open_slide(path) as slide:
        patches = read_patches(slide, patch=64)
    assert patches.region_by == "the middle of the tissue"
    x, y = patches.region.x, patches.region.y
    # Two hundredths of the square may be glass, if it is nearer to the middle of all tissue.
    assert x >= 2560 and x + 1536 <= 4540 and y >= 960 and y + 1536 <= 2940
    patches.check()


@pytest.mark.parametrize("corner", [(0, 0), (1400, 0), (0, 900), (1400, 900)])
def test_tissue_in_a_corner_gives_a_square_on_the_slide(
    corner: tuple[int, int], tmp_path: Path
) -> None:
    x, y = corner
    picture = on_glass(1300, 1800, (x, y, x + 400, y + 400))
    (path,) = write_dicom_slide(tmp_path / "d", picture, (1,), mpp=2.0, label=False, tile=256)
    with open_slide(path) as slide:
        region = read_patches(slide, patch=32).region
    region.check_on((1800, 1300))
    assert (region.width, region.height) == (384, 384)
    assert x - 20 <= region.x <= x + 36 and y - 20 <= region.y <= y + 36


def test_a_slide_smaller_than_the_field_is_taken_as_the_square_that_fits(tmp_path: Path) -> None:
    (path,) = write_dicom_slide(tmp_path / "d", tissue(300, 500), (1,), label=False)
    with open_slide(path) as slide:
        patches = read_patches(slide, patch=32)
    assert (patches.region.width, patches.region.height) == (300, 300)
    assert any("smaller than the 768 µm" in warning for warning in patches.warnings)


def test_a_slide_without_tissue_is_refused(tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "a.tif", np.full((900, 900, 3), GLASS, np.uint8), **SCALE)
    with open_slide(path) as slide, pytest.raises(GateRefusal, match="no tissue") as caught:
        read_patches(slide)
    assert caught.value.gate == "pathology"


def test_a_picture_is_taken_whole_and_its_doubts_are_said(tmp_path: Path) -> None:
    path = _png(tmp_path / "a.png", tissue(300, 600))
    with open_slide(path) as slide:
        patches = read_patches(slide)
    assert patches.region == SlideRegion(0, 0, 600, 300)
    assert patches.region_by == "the whole picture" and patches.mpp is None
    said = " | ".join(patches.warnings)
    assert "No scale" in said and "2 times wider than high" in said and "enlarged 5.12" in said
    patches.check()  # enlarging is no blur


def test_a_rectangle_far_from_the_papers_size_is_said(ramp: Path) -> None:
    with open_slide(ramp, mpp=4.0) as slide:
        found = read_patches(slide, SlideRegion(0, 0, 600, 600), patch=8)
    assert any("2400 µm" in warning for warning in found.warnings)
    with open_slide(ramp, mpp=1.0) as slide:
        found = read_patches(slide, SlideRegion(0, 0, 600, 600), patch=8)
    assert not any("µm of tissue" in warning for warning in found.warnings)


def test_nothing_outside_of_the_rectangle_comes_in(tmp_path: Path) -> None:
    """What is written beside the tissue must not leave, not even in one blurred pixel."""
    picture = np.zeros((400, 400, 3), np.uint8)
    picture[100:300, 100:300] = 200
    path = write_pyramid(tmp_path / "a.tif", picture, times=(), tile=64, **SCALE)
    with open_slide(path) as slide:
        for patch in (7, 20, 67, 200):
            assert (
                read_patches(slide, SlideRegion(100, 100, 200, 200), patch=patch).patches == 200
            ).all()
