"""The square around the tumour on an ultrasound image, to the network's grid and exactly back."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage
from ultrasound_screens import (
    COLUMNS,
    ROWS,
    dataset,
    fan,
    rectangle,
    region,
    save,
    screen,
    speckle,
    written,
)

from breastpredict.dicom import UltrasoundImage, read_ultrasound
from breastpredict.errors import GateRefusal, InputError
from breastpredict.pcr import (
    BoxRoi,
    FromUs0,
    MaskRoi,
    PointRoi,
    parse_roi,
    ultrasound_roi,
)
from breastpredict.pcr.ultrasound_roi import resized

FULL = np.ones((ROWS, COLUMNS), bool)
CROPPED = (40, 30, 279, 259)
"""A region of 240 × 230 pixels: a grey level can hold the number of a column or row."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> UltrasoundImage:
    """A picture without spacing."""
    path = tmp_path_factory.mktemp("plain") / "us.png"
    Image.fromarray(screen(rectangle())).save(path)
    return read_ultrasound(path)


@pytest.fixture(scope="module")
def stated(tmp_path_factory: pytest.TempPathFactory) -> UltrasoundImage:
    """DICOM with pixels of 0.5 mm × 0.4 mm, cropped to its region."""
    folder = tmp_path_factory.mktemp("stated")
    return read_ultrasound(save(dataset(speckle(), [region(CROPPED)]), folder / "us.dcm"))


@cache
def ramps(image_of: str, folder: Path) -> tuple[UltrasoundImage, UltrasoundImage]:
    """Two images whose grey level is the source frame's column, and row, less the region's."""
    if image_of == "plain":
        Image.fromarray(speckle()[30:260, 40:280]).save(folder / "us.png")
        image = read_ultrasound(folder / "us.png")
    else:
        pixels = dataset(speckle(), [region(CROPPED)])
        image = read_ultrasound(save(pixels, folder / "us.dcm"))
    image = replace(image, scan=np.ones_like(image.scan), blanked=np.zeros_like(image.scan))
    row, column = np.indices(image.pixels.shape).astype(np.uint8)
    return replace(image, pixels=column), replace(image, pixels=row)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["plain", "stated"]),
    at=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    side=st.floats(16, 200),
    size=st.sampled_from([16, 33, 64, 128]),
)
def test_every_pixel_goes_to_the_network_and_back_within_half_a_pixel(
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    at: tuple[float, float],
    side: float,
    size: int,
) -> None:
    columns, rows = ramps(kind, tmp_path_factory.getbasetemp())
    height, width = columns.pixels.shape
    left, top = columns.region.box[:2]
    center = left + at[0] * (width - 1), top + at[1] * (height - 1)
    # Where a square in mm of low pixels would show less than a quarter of itself it is refused.
    regions = [ultrasound_roi(one, PointRoi(*center, side)) for one in (columns, rows)]
    roi = regions[0]
    y, x = np.indices((size, size)).astype(float)
    network = np.stack([x, y], axis=-1)
    source = roi.to_source(network, size)
    np.testing.assert_allclose(roi.from_source(source, size), network, atol=1e-6)

    # The pixels themselves: each says which column and row of the source it is from.
    spacing = np.array(columns.spacing_mm or (1.0, 1.0))
    step = side * spacing[0] / size / spacing  # of the network's grid, in source pixels
    seen = np.stack([one.extract(size) for one in regions], axis=-1) + np.array([left, top])
    inside = np.all((source >= (left, top)) & (source <= (left + width - 1, top + height - 1)), -1)
    assert np.isfinite(seen[inside]).all()
    deep = np.all(  # smoothing at the edge of the image sees one side of it only
        (source >= (left, top) + 2 * step)
        & (source <= np.array([left + width - 1, top + height - 1]) - 2 * step),
        axis=-1,
    )
    assert np.abs(seen - source)[deep].max(initial=0) <= 0.5
    off = np.any(
        (source < (left - 0.5, top - 0.5) - 0.5 * step)
        | (source > np.array([left + width - 0.5, top + height - 0.5]) + 0.5 * step),
        axis=-1,
    )
    assert np.isnan(seen[off]).all()

    # And back: a map of the network's own columns and rows, on the whole frame.
    placed = np.stack([roi.place(one + 1) for one in (x, y)], axis=-1)
    row, column = np.indices(placed.shape[:2])
    expected = roi.from_source(np.stack([column, row], axis=-1), size)
    covered = np.all((expected >= 0) & (expected <= size - 1), axis=-1)
    covered &= (column >= left) & (column < left + width) & (row >= top) & (row < top + height)
    error = np.abs(placed - 1 - expected)[covered] * step
    assert error.max(initial=0) <= 0.5
    x0, y0, x1, y1 = roi.box
    beyond = (column < x0) | (column > x1) | (row < y0) | (row > y1)
    assert not placed[beyond].any() and placed.shape == (*columns.source_size[::-1], 2)


def test_the_square_is_square_in_mm_where_pixels_are_not(stated: UltrasoundImage) -> None:
    roi = ultrasound_roi(stated, PointRoi(150, 140, 80))
    x0, y0, x1, y1 = roi.box
    assert roi.side_mm == pytest.approx(40)
    assert (x1 - x0) * 0.5 == pytest.approx(40) and (y1 - y0) * 0.4 == pytest.approx(40)
    assert roi.side_text == "40.0 mm"


def test_without_a_spacing_no_length_is_stated(plain: UltrasoundImage) -> None:
    roi = ultrasound_roi(plain, PointRoi(190, 150, 80))
    assert roi.side_mm is None and roi.side_text == "80 pixels (no spacing)"
    assert np.ptp(roi.box[::2]) == np.ptp(roi.box[1::2]) == 80


def test_a_box_gets_a_margin_and_a_least_size(
    plain: UltrasoundImage, stated: UltrasoundImage
) -> None:
    roi = ultrasound_roi(plain, BoxRoi(150, 120, 199, 139))
    assert roi.box == pytest.approx((139.5, 94.5, 209.5, 164.5))  # 50 pixels and 20 % on each side
    assert ultrasound_roi(plain, "box:190,150,191,151").square.side_mm == 32
    assert ultrasound_roi(stated, "box:150,140,155,145").side_mm == 20
    assert ultrasound_roi(plain, "box:150,120,199,139", margin=0).square.side_mm == 50
    # 30 rows of 0.4 mm are longer than 20 columns of 0.5 mm.
    assert ultrasound_roi(stated, "box:150,110,169,139").side_mm == pytest.approx(20.0)
    assert ultrasound_roi(stated, "box:150,90,169,149").side_mm == pytest.approx(24 * 1.4)


def mask_file(folder: Path, name: str, *boxes: tuple[int, int, int, int]) -> Path:
    mask = np.zeros((ROWS, COLUMNS), np.uint8)
    for x0, y0, x1, y1 in boxes:
        mask[y0 : y1 + 1, x0 : x1 + 1] = 255
    Image.fromarray(mask).save(folder / name)
    return folder / name


def test_of_several_lesions_the_largest_is_taken_and_that_is_said(
    plain: UltrasoundImage, tmp_path: Path
) -> None:
    small, large = (100, 100, 119, 119), (200, 150, 249, 179)
    crumb = (280, 90, 281, 91)
    masks = mask_file(tmp_path, "a.png", small, crumb), mask_file(tmp_path, "b.png", large)
    roi = ultrasound_roi(plain, MaskRoi(masks))
    assert roi.center == (224.5, 164.5) and roi.square.side_mm == 70
    assert roi.lesions == 2 and "largest of 2 lesions" in roi.reason
    assert any("2 lesions" in one for one in roi.warnings)
    one = ultrasound_roi(plain, MaskRoi(masks[1:]))
    assert one.lesions == 1 and one.box == roi.box and not one.warnings


@pytest.mark.parametrize("kind", ["box:-90,-80,-60,-40", "point:399,150,40", "point:190,45,60"])
def test_a_region_off_the_image_is_refused_in_one_line(plain: UltrasoundImage, kind: str) -> None:
    with pytest.raises(InputError, match="lies off the image") as caught:
        ultrasound_roi(plain, kind)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("side", [2000, 1e9])
def test_a_region_that_dwarfs_the_image_is_refused(plain: UltrasoundImage, side: float) -> None:
    with pytest.raises(InputError, match=r"lies off the image: .*% of it shows no scan"):
        ultrasound_roi(plain, PointRoi(190, 150, side))


def test_at_the_border_what_is_padded_is_said_and_has_no_grey(stated: UltrasoundImage) -> None:
    inside = ultrasound_roi(stated, PointRoi(160, 140, 100))
    assert inside.share_outside == 0 and not inside.warnings
    border = ultrasound_roi(stated, PointRoi(40, 140, 100))  # its left half shows nothing
    assert border.share_outside == pytest.approx(0.5, abs=0.01)
    (said,) = border.warnings
    assert said == f"{border.share_outside:.0%} of the region shows no scan and is padded"
    grey = border.extract(64)
    assert np.isnan(grey[:, :31]).all() and np.isfinite(grey[:, 33:]).all()
    assert (border.extract(64, outside=7.0)[:, :31] == 7).all()
    seen = border.network_input(64)
    assert seen.shape == (1, 64, 64) and seen.dtype == np.float32
    assert (seen[:, :, :31] == -1).all() and seen.max() == 1 and seen.min() == -1
    placed = border.place(np.ones((64, 64)))
    assert placed[140, 40] == 1 and not placed[:, :40].any()


def test_a_region_of_another_side_keeps_its_centre_and_says_what_is_padded_anew(
    stated: UltrasoundImage,
) -> None:
    roi = ultrasound_roi(stated, PointRoi(80, 140, 60))
    wider = resized(roi, 60.0)
    assert wider.center == roi.center and wider.side_mm == 60 and "from 30.0 mm" in wider.reason
    assert roi.share_outside == 0 < wider.share_outside
    assert len(wider.warnings) == 1 and not resized(wider, 30.0).warnings
    assert resized(roi, 30.0) is roi


def test_outside_of_a_fan_there_is_no_image(tmp_path: Path) -> None:
    image = read_ultrasound(save(dataset(screen(fan()), [region()]), tmp_path / "fan.dcm"))
    roi = ultrasound_roi(image, PointRoi(100, 150, 90))
    shown = np.isfinite(roi.extract(90))
    y, x = np.indices((90, 90))
    source = roi.to_source(np.stack([x, y], axis=-1), 90)
    column, row = np.rint(source).astype(int).T
    truth = fan()[row.clip(0, ROWS - 1), column.clip(0, COLUMNS - 1)].T
    assert (shown == truth).mean() > 0.95
    assert roi.share_outside == pytest.approx(1 - truth.mean(), abs=0.04)


def test_what_the_scanner_does_to_the_grey_does_not_reach_the_network(
    stated: UltrasoundImage,
) -> None:
    roi = ultrasound_roi(stated, PointRoi(160, 140, 100))
    brighter = replace(stated, pixels=(0.5 * stated.pixels + 60).astype(np.uint8))
    other = ultrasound_roi(brighter, PointRoi(160, 140, 100))
    difference = np.abs(roi.network_input(64) - other.network_input(64))
    assert difference.max() < 0.06  # what rounding to whole grey levels leaves
    black = replace(stated, pixels=np.zeros_like(stated.pixels))
    with pytest.raises(InputError, match="constant"):
        ultrasound_roi(black, PointRoi(160, 140, 100)).network_input(64)


def test_a_tumour_that_is_gone_is_looked_for_where_it_was(tmp_path: Path) -> None:
    """US-1 has another scale, another region, and its scan elsewhere on the screen."""
    before = read_ultrasound(save(dataset(screen(rectangle()), [region()]), tmp_path / "0.dcm"))
    us0 = ultrasound_roi(before, PointRoi(220, 150, 80))  # 15 mm right of the middle, 40 mm deep
    moved = np.zeros((ROWS, COLUMNS), bool)
    moved[40:280, 50:350] = True
    other = region((30, 20, 380, 290), PhysicalDeltaX=0.04, PhysicalDeltaY=0.05)
    after = read_ultrasound(
        save(dataset(np.where(moved, speckle(1), 0).astype(np.uint8), [other]), tmp_path / "1.dcm")
    )
    us1 = ultrasound_roi(after, "us0", us0=us0)
    face0, face1 = (189.5, 50), (199.5, 40)
    along = (220 - face0[0]) * 0.5, (150 - face0[1]) * 0.4
    assert us1.center == pytest.approx((face1[0] + along[0] / 0.4, face1[1] + along[1] / 0.5))
    assert us1.side_mm == us0.side_mm == 40
    assert "position and size at US-0 (40 mm deep, 15 mm" in us1.reason
    assert not us1.warnings


def test_without_a_spacing_the_position_is_carried_over_in_pixels_and_said(
    plain: UltrasoundImage, stated: UltrasoundImage, tmp_path: Path
) -> None:
    us0 = ultrasound_roi(plain, PointRoi(200, 140, 60))
    Image.fromarray(screen(rectangle(), 1)).save(tmp_path / "1.png")
    us1 = ultrasound_roi(read_ultrasound(tmp_path / "1.png"), FromUs0(), us0=us0)
    assert us1.box == pytest.approx(us0.box)
    assert "in pixels" in us1.reason and any("depth settings" in one for one in us1.warnings)
    with pytest.raises(InputError, match="cannot be carried over"):
        ultrasound_roi(stated, FromUs0(), us0=us0)
    with pytest.raises(InputError, match="refers to US-0"):
        ultrasound_roi(plain, FromUs0())


def test_masks_that_do_not_fit_or_are_empty_are_refused(
    plain: UltrasoundImage, tmp_path: Path
) -> None:
    Image.new("L", (50, 40), 255).save(tmp_path / "small.png")
    with pytest.raises(InputError, match="mask has 50 × 40 pixels, the image 400 × 300"):
        ultrasound_roi(plain, MaskRoi((tmp_path / "small.png",)))
    with pytest.raises(GateRefusal, match="no-tumour"):
        ultrasound_roi(plain, MaskRoi((mask_file(tmp_path, "none.png"),)))


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("box:1,2,30,40", BoxRoi(1, 2, 30, 40)),
        (" Point: 10.5, 20 ,30 ", PointRoi(10.5, 20, 30)),
        ("us0", FromUs0()),
        ("a.png; b.png", MaskRoi((Path("/table/a.png"), Path("/table/b.png")))),
        ("/elsewhere/a.png", MaskRoi((Path("/elsewhere/a.png"),))),
    ],
)
def test_a_cell_says_where_the_tumour_is(text: str, given: object) -> None:
    assert parse_roi(text, Path("/table")) == given


@pytest.mark.parametrize(
    "text",
    ["", ";", "box:1,2,3", "box:9,2,3,4", "point:1,2", "point:1,2,0", "point:nan,2,9"],
)  # fmt: skip
def test_a_cell_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_roi(text)


# --- the real files -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "lesions"),
    [
        ("malignant/malignant_1", 1),
        ("malignant/malignant_53", 2),  # the lesion and its satellite
        ("benign/benign_100", 2),
        ("benign/benign_195", 2),  # three masks, two of which touch
    ],
)
def test_the_joined_masks_of_busi_give_one_square_around_the_largest_lesion(
    shared: Path, name: str, lesions: int
) -> None:
    folder = shared / "data" / "us" / "busi"
    image = read_ultrasound(folder / f"{name}.png")
    paths = sorted(folder.glob(f"{name}_mask*.png"))
    roi = ultrasound_roi(image, MaskRoi(tuple(paths)))
    assert roi.lesions == lesions and roi.side_mm is None
    joined = np.any([np.asarray(Image.open(path).convert("L")) > 127 for path in paths], axis=0)
    labels, _ = ndimage.label(joined, np.ones((3, 3)))
    largest = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    rows, columns = np.nonzero(largest)
    middle = (columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2
    assert roi.center == pytest.approx(middle, abs=2)  # a crumb nearby belongs to it
    side = 1.4 * max(np.ptp(columns) + 1, np.ptp(rows) + 1)
    assert roi.square.side_mm == pytest.approx(side, rel=0.01)
    shown = roi.place(np.ones((64, 64))) > 0.5
    assert shown[largest].all()


def test_the_normal_case_of_busi_has_no_tumour(shared: Path) -> None:
    folder = shared / "data" / "us" / "busi" / "normal"
    image = read_ultrasound(folder / "normal_1.png")
    with pytest.raises(GateRefusal, match="no-tumour"):
        ultrasound_roi(image, MaskRoi((folder / "normal_1_mask.png",)))


@pytest.mark.parametrize(
    ("name", "number", "at"),
    [
        ("GREYSCALE_IMAGE.dcm", 1, (480.5, 200.5)),
        ("gdcm-US-ALOKA-16.dcm", 1, (150.5, 150.5)),
        ("gdcm-US-ALOKA-16.dcm", 2, (500.5, 150.5)),
        ("gdcm-US-ALOKA-16_big.dcm", 2, (500.5, 150.5)),
    ],
)
def test_at_the_files_own_scale_the_network_sees_the_files_own_pixels(
    shared: Path, name: str, number: int, at: tuple[float, float]
) -> None:
    image = read_ultrasound(shared / "data" / "us" / "dicom" / name, region=number)
    roi = ultrasound_roi(image, PointRoi(*at, 100))
    frame = image.in_source(image.pixels)
    if name.startswith("GREY"):  # by another way than ours
        frame = pydicom.dcmread(image.path).pixel_array
    x, y = round(at[0] - 49.5), round(at[1] - 49.5)
    wanted = frame[y : y + 100, x : x + 100]
    assert np.ptp(wanted) > 30
    np.testing.assert_allclose(roi.extract(100), wanted, atol=0.01)
    assert roi.side_mm == pytest.approx(100 * image.spacing_mm[0])


def test_a_region_is_carried_from_one_real_scanner_to_another(shared: Path) -> None:
    folder = shared / "data" / "us" / "dicom"
    epiq = read_ultrasound(folder / "GREYSCALE_IMAGE.dcm")
    siemens = read_ultrasound(folder / "RGB_IMAGE.dcm")
    us0 = ultrasound_roi(epiq, BoxRoi(400, 250, 560, 350))
    us1 = ultrasound_roi(siemens, FromUs0(), us0=us0)
    assert us1.side_mm == us0.side_mm
    ratio = epiq.spacing_mm[0] / siemens.spacing_mm[0]
    assert np.ptp(us1.box[::2]) == pytest.approx(np.ptp(us0.box[::2]) * ratio)


def test_colours_go_in_as_grey(tmp_path: Path) -> None:
    grey = screen(rectangle())
    tinted = np.stack([grey, (grey * 0.9).astype(np.uint8), (grey * 0.8).astype(np.uint8)], axis=-1)
    seen = []
    for name, pixels in (("grey", grey), ("tinted", tinted)):
        image = read_ultrasound(save(dataset(pixels, [region()]), tmp_path / f"{name}.dcm"))
        seen.append(ultrasound_roi(image, PointRoi(230, 150, 100)).network_input(32))
    assert seen[1].shape == (1, 32, 32)
    np.testing.assert_allclose(seen[0], seen[1], atol=0.05)  # a tint is no signal


def test_nothing_but_the_scan_reaches_the_network(tmp_path: Path) -> None:
    """A name that is burnt in beside the scan changes no pixel of a region that reaches there."""

    def seen(words: str) -> np.ndarray:
        picture = written(np.where(rectangle(), speckle(), 0).astype(np.uint8), words, (75, 36), 12)
        image = read_ultrasound(save(dataset(picture, [region()]), tmp_path / "us.dcm"))
        return ultrasound_roi(image, PointRoi(130, 60, 100)).network_input(64)

    np.testing.assert_array_equal(seen("DOE"), seen("ROE"))
