"""Ultrasound in: which frame, which region, which pixels, at which scale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import Dataset
from pydicom.pixels import pixel_array
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

from breastpredict.cli import main
from breastpredict.dicom import (
    inspect_folder,
    inspect_text,
    join_masks,
    read_ultrasound,
)
from breastpredict.errors import InputError

# --- the real files -------------------------------------------------------------------------------

REAL = {
    # name: B-mode region, its number, mm a pixel
    "GREYSCALE_IMAGE.dcm": ((14, 38, 1010, 758), 1, 0.0649047),
    "RGB_IMAGE.dcm": ((0, 60, 1008, 764), 1, 0.2378717),
    "gdcm-US-ALOKA-16.dcm": ((32, 24, 335, 415), 1, 0.3826531),
    "gdcm-US-ALOKA-16_big.dcm": ((336, 24, 639, 415), 2, 0.3826531),
    "OBXXXX1A_2frame.dcm": ((120, 60, 799, 518), 1, 0.2622879),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_give_the_b_mode_region_that_they_state(shared: Path, name: str) -> None:
    box, number, mm = REAL[name]
    image = read_ultrasound(shared / "data" / "us" / "dicom" / name, region=number)
    assert image.region.box == box
    assert image.pixels.shape == (box[3] - box[1] + 1, box[2] - box[0] + 1)
    assert image.spacing_mm == pytest.approx((mm, mm), abs=1e-6)
    assert image.colour == "grey" and image.area_found


def test_two_views_are_two_regions_in_either_byte_order(shared: Path) -> None:
    little, big = (
        shared / "data" / "us" / "dicom" / f"gdcm-US-ALOKA-16{end}.dcm" for end in ("", "_big")
    )
    for number, box in ((1, (32, 24, 335, 415)), (2, (336, 24, 639, 415))):
        one, other = (read_ultrasound(path, region=number) for path in (little, big))
        assert one.region.box == other.region.box == box and one.region_count == 2
        np.testing.assert_array_equal(one.pixels, other.pixels)
        assert one.pixels.mean() > 20 and one.laterality == "R"
    with pytest.raises(InputError, match=r"2 B-mode regions \(1: X 32–335.*2: X 336–639"):
        read_ultrasound(little)
    with pytest.raises(InputError, match="no B-mode region 3"):
        read_ultrasound(little, region=3)
    bar = read_ultrasound(little, region=1).in_source(read_ultrasound(little, region=1).pixels)
    assert not bar[40:104, 32:64].any()  # the grey bar is no tissue


EPIQ_WORDS = {
    "name, number, birth date, hospital, time": (0, 0, 1023, 23),
    "preset": (0, 24, 150, 47),
    "indices": (820, 24, 1000, 47),
    "settings": (0, 48, 100, 260),
    "probe mark": (98, 90, 125, 118),
    "depth": (856, 699, 930, 717),
    "grey bar and scale": (900, 60, 1023, 717),
}


def test_what_is_burnt_into_the_epiq_still_is_in_no_output(shared: Path) -> None:
    path = shared / "data" / "us" / "dicom" / "GREYSCALE_IMAGE.dcm"
    image = read_ultrasound(path)
    source = pixel_array(path)
    kept = image.in_source(image.pixels)
    for words, (x0, y0, x1, y1) in EPIQ_WORDS.items():
        where = np.s_[y0 : y1 + 1, x0 : x1 + 1]
        assert source[where].max() > 100, words  # it was there
        assert kept[where].max() == 0, words
    scan = np.s_[96:690, 130:890]
    changed = kept[scan] != source[scan]
    assert changed.mean() < 0.001  # and the scan is as it was
    assert image.burned_in == "YES" and any("burnt in" in line for line in image.warnings)


def test_the_ecg_of_the_cx50_is_not_used(shared: Path) -> None:
    path = shared / "data" / "us" / "dicom" / "OBXXXX1A_2frame.dcm"
    image = read_ultrasound(path)
    assert (image.region_count, image.frame, image.frame_count) == (1, 1, 2)
    assert not image.in_source(image.pixels)[519:].any()
    second = read_ultrasound(path, frame=2)
    assert second.frame_reason == "chosen by the user" and second.pixels.any()
    with pytest.raises(InputError, match=r"no frame 3.*Choose one from 1 to 2"):
        read_ultrasound(path, frame=3)
    assert len(image.marks) == 2  # the ends of the calliper, which people must look at


def test_without_regions_the_box_of_the_scan_is_found_and_flow_is_noticed(shared: Path) -> None:
    """LOGIQ 700: two views side by side from X 14 to 622, Y 108 to 336, with power Doppler."""
    folder = shared / "data" / "us" / "dicom"
    images = [read_ultrasound(folder / f"US1_{coding}.dcm") for coding in ("UNCR", "J2KR")]
    for image in images:
        assert np.abs(np.subtract(image.region.box, (14, 108, 622, 336))).max() <= 3
        assert image.colour == "colour Doppler" and image.spacing_mm is None
        for words in ("states no ultrasound regions", "colour Doppler", "No spacing"):
            assert any(words in line for line in image.warnings), words
    np.testing.assert_array_equal(images[0].pixels, images[1].pixels)


def test_busi_pictures_are_read_whole_and_say_that_there_is_no_spacing(shared: Path) -> None:
    pictures = [p for p in (shared / "data" / "us" / "busi").rglob("*.png") if "mask" not in p.name]
    assert len(pictures) == 8
    for path in pictures:
        image = read_ultrasound(path)
        with Image.open(path) as source:
            grey = np.asarray(source.convert("L"))
        assert image.pixels.shape == grey.shape
        assert (image.pixels != grey).mean() < 0.01
        assert image.spacing_mm is None and image.spacing_text == "no spacing"
        assert "No spacing: a plain picture has none" in image.warnings
        mask = join_masks(sorted(path.parent.glob(f"{path.stem}_mask*.png")))
        assert mask.shape == grey.shape and mask.any() == ("normal" not in path.stem)


def test_the_masks_of_one_image_are_joined(shared: Path) -> None:
    masks = sorted((shared / "data" / "us" / "busi" / "benign").glob("benign_195_mask*.png"))
    assert len(masks) == 3
    parts = [np.asarray(Image.open(path).convert("L")) > 127 for path in masks]
    joined = join_masks(masks)
    np.testing.assert_array_equal(joined, parts[0] | parts[1] | parts[2])
    assert all((joined & ~part).any() for part in parts)
    with pytest.raises(InputError, match="no mask: it has many grey levels"):
        join_masks([masks[0].with_name("benign_195.png")])
    other = masks[0].with_name("benign_1_mask.png")
    with pytest.raises(InputError, match="562 × 471 pixels, the one before 729 × 611"):
        join_masks([masks[0], other])
    with pytest.raises(InputError, match="no mask to join"):
        join_masks([])


# --- the scan on the screen -----------------------------------------------------------------------


@pytest.mark.parametrize("scan", [fan(), rectangle()], ids=["fan", "rectangle"])
@pytest.mark.parametrize("stated", [True, False], ids=["region stated", "no region"])
def test_the_scan_is_kept_and_what_is_written_around_it_is_not(
    tmp_path: Path, scan: np.ndarray, stated: bool
) -> None:
    picture = screen(scan)
    image = read_ultrasound(
        save(dataset(picture, [region()] if stated else None), tmp_path / "a.dcm")
    )
    kept = image.in_source(image.pixels)
    outline = image.in_source(image.scan)
    assert (scan & ~outline).sum() < 0.02 * scan.sum()
    np.testing.assert_array_equal(kept[outline], picture[outline])
    words = (picture > 0) & ~scan
    assert words.sum() > 500 and not kept[words].any()
    assert outline[150, 190]  # a cyst belongs to it
    assert image.region.by == (
        "SequenceOfUltrasoundRegions" if stated else "the scan's measured outline"
    )
    assert image.marks == ()


def test_writing_that_reaches_over_the_scan_goes_and_leaves_no_shape(tmp_path: Path) -> None:
    picture = written(screen(rectangle()), "JANE DOE", (20, 150), 16)
    lines = np.s_[150:170, 20:110]
    assert (picture[lines] == 255).sum() > 100
    image = read_ultrasound(save(dataset(picture, [region()]), tmp_path / "a.dcm"))
    gone = image.in_source(image.blanked)[150:170, 70:100]
    inside = image.in_source(image.pixels)[lines]
    assert inside.max() < 230
    rows, columns = np.nonzero(gone)
    assert gone[rows.min() : rows.max() + 1, columns.min() : columns.max() - 1].all()


def test_marks_on_the_scan_are_said_and_blanked_where_the_reviewer_says_so(tmp_path: Path) -> None:
    picture = written(screen(rectangle()), "LEFT", (200, 220), 16)
    path = save(dataset(picture, [region()]), tmp_path / "a.dcm")
    (mark,) = read_ultrasound(path).marks
    assert 190 <= mark[0] <= 205 and mark[1] >= 215 and mark[3] <= 245 and mark[2] <= 255
    image = read_ultrasound(path, blank=[mark])
    assert image.marks == ()
    x0, y0, x1, y1 = mark
    assert not image.in_source(image.pixels)[y0 : y1 + 1, x0 : x1 + 1].any()
    with pytest.raises(InputError, match=r"box to blank .* lies off the image"):
        read_ultrasound(path, blank=[(0, 0, COLUMNS, 5)])


def test_a_screen_without_a_scan_is_used_whole_and_said(tmp_path: Path) -> None:
    Image.fromarray(written(np.zeros((ROWS, COLUMNS), np.uint8), "ABC", (9, 9))).save(
        tmp_path / "a.png"
    )
    image = read_ultrasound(tmp_path / "a.png")
    assert image.pixels.shape == (ROWS, COLUMNS) and not image.area_found
    assert any("whole image" in line for line in image.warnings)


def test_flow_in_colours_is_noticed_and_a_tinted_grey_map_is_not_taken_for_it(
    tmp_path: Path,
) -> None:
    grey = screen(rectangle()).astype(float)
    rgb = np.stack([grey] * 3, axis=-1).astype(np.uint8)
    flow = rgb.copy()
    flow[120:150, 100:140] = (220, 40, 0)
    flow[150:170, 100:140] = (0, 60, 210)
    sepia = np.stack([grey, grey * 0.8, grey * 0.5], axis=-1).astype(np.uint8)
    for picture, colour in ((rgb, "grey"), (flow, "colour Doppler"), (sepia, "tinted")):
        image = read_ultrasound(save(dataset(picture, [region()]), tmp_path / "a.dcm"))
        assert image.colour == colour
        said = any("as of colour Doppler" in line for line in image.warnings)
        assert said == (colour == "colour Doppler")
        luma = np.asarray(Image.fromarray(picture).convert("L"))[60:250, 80:300]
        np.testing.assert_array_equal(image.in_source(image.pixels)[60:250, 80:300], luma)


# --- places ---------------------------------------------------------------------------------------


@given(
    x=st.tuples(st.integers(0, COLUMNS - 2), st.integers(1, COLUMNS)),
    y=st.tuples(st.integers(0, ROWS - 2), st.integers(1, ROWS)),
    points=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 5000)), min_size=1, max_size=5),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_way_from_region_to_source_and_back_is_exact(
    tmp_path: Path, x: tuple[int, int], y: tuple[int, int], points: list[tuple[int, int]]
) -> None:
    box = (x[0], y[0], min(COLUMNS - 1, x[0] + x[1]), min(ROWS - 1, y[0] + y[1]))
    picture = speckle()
    image = read_ultrasound(save(dataset(picture, [region(box)]), tmp_path / "a.dcm"))
    assert image.region.box == box
    there = image.to_source(np.array(points))
    np.testing.assert_array_equal(image.from_source(there), points)
    np.testing.assert_array_equal(image.to_source(np.array([0, 0])), box[:2])
    back = image.in_source(image.pixels)
    assert back.shape == picture.shape
    kept = image.in_source(image.pixels > 0)
    np.testing.assert_array_equal(back[kept], picture[kept])
    np.testing.assert_array_equal(back[image.region.slices], image.pixels)
    assert back.sum() == image.pixels.sum(dtype=np.int64)


# --- regions --------------------------------------------------------------------------------------


def test_a_negative_pixel_size_is_a_length_all_the_same(tmp_path: Path) -> None:
    item = region(PhysicalDeltaX=-0.05, PhysicalDeltaY=-0.04)
    image = read_ultrasound(save(dataset(screen(fan()), [item]), tmp_path / "a.dcm"))
    assert image.spacing_mm == pytest.approx((0.5, 0.4)) and image.spacing_text == "0.5 × 0.4 mm"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"PhysicalUnitsXDirection": 4}, "units are not centimetres"),
        ({"PhysicalUnitsYDirection": 0}, "units are not centimetres"),
        ({"PhysicalDeltaX": None}, "states no pixel size"),
    ],
)
def test_without_centimetres_there_is_no_spacing_and_the_reason(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    path = save(dataset(screen(fan()), [region(**change)]), tmp_path / "a.dcm")
    image = read_ultrasound(path)
    assert image.spacing_mm is None
    assert any(line.startswith("No spacing") and why in line for line in image.warnings)


def test_traces_and_scales_within_the_region_are_blanked_and_other_regions_not_used(
    tmp_path: Path,
) -> None:
    ecg = region((100, 220, 300, 250), kind=0xA, RegionSpatialFormat=4)
    spectrum = region((40, 271, 339, 299), kind=3, RegionSpatialFormat=3)
    flow = region((100, 100, 140, 140), kind=2)
    data = dataset(screen(rectangle()), [region(), region(), ecg, spectrum, flow])
    image = read_ultrasound(save(data, tmp_path / "a.dcm"))
    assert image.region_count == 1  # stated twice
    kept = image.in_source(image.pixels)
    assert not kept[220:251, 100:301].any() and kept[100:141, 100:141].all()
    assert not kept[270:].any()
    for words in ("waveform ECG at X 100–300, Y 220–250 was blanked", "colour flow at X 100–140"):
        assert any(words in line for line in image.warnings), words


BAD_REGIONS: dict[str, tuple[list[Dataset], str]] = {
    "right of it": ([region((40, 30, COLUMNS + 9, 200))], r"lies off the image of 400 × 300"),
    "below it": ([region((40, 400, 90, 500))], "lies off the image"),
    "turned round": ([region((90, 30, 40, 200))], "lies off the image"),
    "zero": ([region(PhysicalDeltaX=0.0)], r"pixel size of 0 × 0.04 cm"),
    "not a number": ([region(PhysicalDeltaY=float("nan"))], "pixel size of 0.05 × nan cm"),
    "nowhere": ([region(RegionLocationMinX0=None)], "does not state where it is"),
    "only M-mode": (
        [region(RegionSpatialFormat=2)],
        "no B-mode region, only M-mode tissue at X 40",
    ),
    "only flow": ([region(kind=2)], "no B-mode region, only colour flow"),
    "under a spectrum": ([region(), region(kind=3)], "More than half of the B-mode region"),
}


@pytest.mark.parametrize("kind", BAD_REGIONS)
def test_regions_that_cannot_be_relied_on_are_refused(tmp_path: Path, kind: str) -> None:
    regions, words = BAD_REGIONS[kind]
    path = save(dataset(screen(fan()), regions), tmp_path / "a.dcm")
    with pytest.raises(InputError, match=words) as caught:
        read_ultrasound(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_a_region_that_ends_one_pixel_late_as_some_scanners_say_it_is_used(tmp_path: Path) -> None:
    item = region((0, 0, COLUMNS, ROWS))
    image = read_ultrasound(save(dataset(screen(fan()), [item]), tmp_path / "a.dcm"))
    assert image.region.box == (0, 0, COLUMNS - 1, ROWS - 1)


# --- inspect --------------------------------------------------------------------------------------


def test_inspect_lists_regions_spacing_frame_and_refusals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = np.stack([screen(fan(), seed) for seed in range(4)])
    ecg = region((40, 271, 339, 299), kind=0xA, RegionSpatialFormat=4)
    save(dataset(frames, [region(), ecg], NumberOfFrames=4, Laterality="L"), tmp_path / "sweep.dcm")
    bad = dataset(screen(fan()), [region((9, 9, 4000, 50))], SOPInstanceUID="1.2.3.4567.9")
    save(bad, tmp_path / "bad.dcm")
    (study,) = json.loads(json.dumps(inspect_folder(tmp_path), allow_nan=False))["studies"]
    (one,) = study["ultrasound"]
    assert (one["file"], one["frame"], one["frames"]) == ("sweep.dcm", 2, 4)
    assert [r["kind"] for r in one["regions"]] == ["B-mode", "waveform ECG"]
    assert one["regions"][0]["spacing_mm"] == pytest.approx([0.5, 0.4])
    (refused,) = study["rejected"]
    assert refused["files"] == 1 and refused["reason"].startswith("ultrasound bad.dcm: Ultrasound")
    assert main(["inspect", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Study 1: US, MAKER, from a folder",
        "  ultrasound sweep.dcm: 400 × 300, frame 2 of 4 (the middle of 4 frames), left breast",
        "    region 1, B-mode: X 40–339, Y 30–269, 0.5 × 0.4 mm; by SequenceOfUltrasoundRegions",
        "    not used, waveform ECG: X 40–339, Y 271–299; by SequenceOfUltrasoundRegions",
        "  left out: 1 file: ultrasound bad.dcm: Ultrasound region 1 (X 9–4000, Y 9–50) lies off "
        "the image of 400 × 300 pixels",
        "Research use only. Not for diagnosis or treatment.",
    ]


def test_inspect_accounts_for_every_real_file_and_shows_no_identity(shared: Path) -> None:
    folder = shared / "data" / "us" / "dicom"
    found = inspect_folder(folder)
    files = [one["file"] for study in found["studies"] for one in study["ultrasound"]]
    # The big-endian file is the same image as the little-endian one, archived twice.
    assert len(files) == 6 and not any(study["rejected"] for study in found["studies"])
    text = inspect_text(found) + json.dumps(found)
    for path in folder.glob("*.dcm"):
        data = pydicom.dcmread(path, stop_before_pixels=True)
        for value in (data.PatientName, data.PatientID):
            assert str(value) not in text
