"""Slides in: every kind, its pixels at their place, and its scale."""

from __future__ import annotations

import re
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from slide_files import (
    LABEL_COLOUR,
    SECRET,
    coded,
    halved,
    on_glass,
    refusal,
    tissue,
    write_dicom_slide,
    write_pyramid,
    write_svs,
)

from breastpredict.errors import InputError
from breastpredict.pathology import open_slide, read_patches

PICTURE = coded(600, 900)


# --- the real files -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "_control", "_dots", "_numbers", "_jpegls", "_jpegls_nobot"])
def test_real_dicom_slides_give_the_pixels_of_an_independent_reader(
    shared: Path, name: str
) -> None:
    path = shared / "data" / "he" / "dicom_wsi_highdicom" / f"sm_image{name}.dcm"
    frames = pydicom.dcmread(path).pixel_array
    whole = frames.reshape(5, 5, 10, 10, 3).swapaxes(1, 2).reshape(50, 50, 3)
    with open_slide(path) as slide:
        assert (slide.kind, slide.size, slide.mpp) == (
            "DICOM",
            (50, 50),
            pytest.approx((0.499,) * 2),
        )
        np.testing.assert_array_equal(slide.read(0, 0, 50, 50), whole)
        np.testing.assert_array_equal(slide.read(7, 13, 20, 30), whole[13:43, 7:27])


@pytest.mark.parametrize("name", ["grayscale", "grayscale_reversed"])
def test_the_real_fluorescence_slides_are_refused(shared: Path, name: str) -> None:
    path = shared / "data" / "he" / "dicom_wsi_highdicom" / f"sm_image_{name}.dcm"
    assert "fluorescence" in refusal(path)


def test_annotations_are_no_slide(shared: Path) -> None:
    path = shared / "data" / "he" / "dicom_wsi_highdicom" / "sm_annotations.dcm"
    assert "Annotations" in refusal(path)


def test_a_folder_of_several_slides_asks_for_one(shared: Path) -> None:
    text = refusal(shared / "data" / "he" / "dicom_wsi_highdicom")
    assert "8 slides" in text and "Name one file" in text


@pytest.mark.parametrize("name", ["torchstain/source.png", "torchstain/target.png"])
def test_real_patches_with_an_opaque_alpha_keep_their_colours(shared: Path, name: str) -> None:
    path = shared / "data" / "he" / name
    with open_slide(path) as slide:
        assert slide.plain and slide.mpp is None
        columns, rows = slide.size
        np.testing.assert_array_equal(
            slide.read(0, 0, columns, rows), np.asarray(Image.open(path))[..., :3]
        )


# --- every kind gives the same pixels -------------------------------------------------------------


def _ome(path: Path) -> Path:
    with tifffile.TiffWriter(path, ome=True) as out:
        out.write(
            PICTURE,
            subifds=1,
            tile=(128, 128),
            photometric="rgb",
            metadata={
                "axes": "YXS",
                "PhysicalSizeX": 500,
                "PhysicalSizeXUnit": "nm",
                "PhysicalSizeY": 0.5,
                "PhysicalSizeYUnit": "µm",
            },
        )
        out.write(halved(PICTURE, 4), subfiletype=1, tile=(128, 128), photometric="rgb")
    return path


def _planar(path: Path) -> Path:
    tifffile.imwrite(
        path,
        np.moveaxis(PICTURE, -1, 0),
        tile=(128, 128),
        photometric="rgb",
        planarconfig="separate",
        metadata=None,
        resolution=(20000, 20000),
        resolutionunit="CENTIMETER",
    )
    return path


def _striped(path: Path) -> Path:
    tifffile.imwrite(
        path,
        PICTURE,
        rowsperstrip=50,
        photometric="rgb",
        compression="lzw",
        metadata=None,
        resolution=(50800, 50800),
        resolutionunit="INCH",
    )
    return path


def _imagej(path: Path) -> Path:
    tifffile.imwrite(path, PICTURE, imagej=True, resolution=(2, 2), metadata={"unit": "micron"})
    return path


def _png(path: Path) -> Path:
    Image.fromarray(PICTURE).save(path, dpi=(50800, 50800))
    return path


KINDS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "DICOM": ("d", lambda path: write_dicom_slide(path, PICTURE)[0].parent),
    "one file of DICOM": ("d", lambda path: write_dicom_slide(path, PICTURE)[1]),
    "TIFF pyramid": (
        "a.tif",
        lambda path: write_pyramid(
            path,
            PICTURE,
            resolution=(20000, 20000),
            resolutionunit="CENTIMETER",
            compression="zlib",
        ),
    ),
    "OME-TIFF": ("a.ome.tif", _ome),
    "planes apart": ("b.tif", _planar),
    "strips": ("c.tif", _striped),
    "ImageJ": ("e.tif", _imagej),
    "PNG": ("f.png", _png),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_its_pixels_at_their_place_and_its_scale(
    kind: str, tmp_path: Path
) -> None:
    name, write = KINDS[kind]
    with open_slide(write(tmp_path / name)) as slide:
        assert slide.size == (900, 600)
        assert slide.mpp == pytest.approx((0.5, 0.5), rel=1e-3)
        for x, y, width, height in [(0, 0, 900, 600), (127, 255, 200, 130), (899, 599, 1, 1)]:
            found = slide.read(x, y, width, height)
            np.testing.assert_array_equal(found, PICTURE[y : y + height, x : x + width])


@pytest.mark.parametrize("kind", ["DICOM", "TIFF pyramid", "OME-TIFF"])
def test_a_smaller_level_is_read_where_it_has_enough_pixels(kind: str, tmp_path: Path) -> None:
    name, write = KINDS[kind]
    with open_slide(write(tmp_path / name)) as slide:
        assert [level.size for level in slide.levels] == [(900, 600), (225, 150)]
        assert slide.level_for(400, 400, (100, 100)) == 1
        assert slide.level_for(400, 400, (120, 120)) == 0
        small = slide.read(80, 40, 400, 400, out=(100, 100))
        np.testing.assert_array_equal(small, halved(PICTURE, 4)[10:110, 20:120])


def test_an_svs_slide_gives_its_tissue_and_the_scale_of_its_description(tmp_path: Path) -> None:
    picture = on_glass(800, 1200, (100, 100, 1100, 700))
    with open_slide(write_svs(tmp_path / "a.svs", picture, mpp=0.2532)) as slide:
        assert slide.kind == "SVS" and not slide.plain
        assert slide.mpp == pytest.approx((0.2532, 0.2532))
        assert [level.size for level in slide.levels] == [(1200, 800), (300, 200)]
        near = np.abs(slide.read(0, 0, 1200, 800).astype(int) - picture)
        assert near.mean() < 6  # JPEG


def test_a_rectangle_is_the_same_when_it_is_read_in_bands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_pyramid(tmp_path / "a.tif", PICTURE, times=())
    with open_slide(path) as slide:
        whole = slide.read(11, 7, 777, 555, out=(96, 96))
        monkeypatch.setattr("breastpredict.pathology.slide._BAND_PIXELS", 20000)
        np.testing.assert_array_equal(slide.read(11, 7, 777, 555, out=(96, 96)), whole)


# --- no more is read than is needed ---------------------------------------------------------------

SIDE, TILE = 40960, 512


def _large(path: Path) -> Path:
    """1.7 thousand million pixels; all tiles are damaged but nine of level 0 and of the next."""
    good = zlib.compress(np.full((TILE, TILE, 3), (200, 120, 180), np.uint8).tobytes())

    def tiles(count: int, first: int) -> Iterator[bytes]:
        for row in range(count):
            for column in range(count):
                fine = first <= row < first + 3 and first <= column < first + 3
                yield good if fine else b"damaged"

    with tifffile.TiffWriter(path, bigtiff=True) as out:
        for factor in (1, 4):
            side = SIDE // factor
            out.write(
                tiles(side // TILE, 5),
                shape=(side, side, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="rgb",
                compression="zlib",
                metadata=None,
                resolution=(40000 / factor,) * 2,
                resolutionunit="CENTIMETER",
            )
    return path


def test_of_a_large_slide_only_the_tiles_of_the_rectangle_are_decoded(tmp_path: Path) -> None:
    path = _large(tmp_path / "large.tif")
    with open_slide(path) as slide:
        assert slide.size == (SIDE, SIDE)
        inside = slide.read(5 * TILE, 5 * TILE, 3 * TILE, 3 * TILE)
        assert (inside == (200, 120, 180)).all()
        with pytest.raises(InputError, match="damaged"):
            slide.read(5 * TILE - 1, 5 * TILE, 3 * TILE, 3 * TILE)
        # The same tissue at a quarter of the resolution, from the smaller level.
        start, side = 5 * TILE * 4, 3 * TILE * 4
        assert (slide.read(start, start, side, side, out=(384, 384)) == (200, 120, 180)).all()


def test_memory_is_that_of_the_rectangle_and_not_of_the_slide(tmp_path: Path) -> None:
    path = _large(tmp_path / "large.tif")
    with open_slide(path) as slide:
        slide.read(5 * TILE, 5 * TILE, 10, 10)
        tracemalloc.start()
        slide.read(5 * TILE, 5 * TILE, 3 * TILE, 3 * TILE)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    rectangle = (3 * TILE) ** 2 * 3
    assert peak < 3 * rectangle, f"{peak / rectangle:.1f} times the rectangle"


def test_of_a_dicom_slide_only_the_tiles_of_the_rectangle_are_decoded(tmp_path: Path) -> None:
    (path,) = write_dicom_slide(tmp_path / "d", tissue(256, 256), (1,), jpeg=True, label=False)
    data = pydicom.dcmread(path)
    frames = list(pydicom.encaps.generate_frames(data.PixelData, number_of_frames=16))
    frames[15] = frames[15][:40] + b"\0" * (len(frames[15]) - 40)
    data.PixelData = pydicom.encaps.encapsulate(frames)
    data.save_as(path)
    with open_slide(path) as slide:
        slide.read(0, 0, 192, 192)
        with pytest.raises(InputError, match="damaged"):
            slide.read(150, 150, 100, 100)


# --- labels and identifiers -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["SVS", "SVS with a large macro image", "DICOM"])
def test_no_pixel_of_the_label_is_ever_read(kind: str, tmp_path: Path) -> None:
    picture = on_glass(512, 512, (50, 50, 450, 450))
    path = tmp_path / "a.svs"
    if kind == "DICOM":
        path = write_dicom_slide(tmp_path / "a", picture)[0].parent
    else:
        write_svs(path, picture, label_size=(60, 90) if kind == "SVS" else (900, 900))
    with open_slide(path) as slide:
        seen = [slide.thumbnail(side) for side in (64, 128, 512)]
        seen += [slide.read_level(n, (0, 0, *level.size)) for n, level in enumerate(slide.levels)]
    for pixels in seen:
        assert np.abs(pixels.astype(int) - LABEL_COLOUR).sum(axis=-1).min() > 100


def test_a_label_is_refused_by_name(tmp_path: Path) -> None:
    write_dicom_slide(tmp_path / "d", PICTURE)
    assert "names the patient" in refusal(tmp_path / "d" / "label.dcm")
    assert "overview" in refusal(tmp_path / "d" / "overview.dcm")


@pytest.mark.parametrize("kind", ["SVS", "DICOM"])
def test_what_is_said_of_a_slide_holds_none_of_its_identifiers(kind: str, tmp_path: Path) -> None:
    picture = on_glass(800, 800, (100, 100, 700, 700))
    path = tmp_path / "a.svs"
    if kind == "SVS":
        write_svs(path, picture)
    else:
        path = write_dicom_slide(tmp_path / "a", picture)[0].parent
    with open_slide(path) as slide:
        patches = read_patches(slide, patch=32)
    text = repr(patches) + repr(vars(slide)) + "".join(patches.warnings)
    assert SECRET not in text


def test_a_dicom_slide_says_what_objects_refer_to(tmp_path: Path) -> None:
    paths = write_dicom_slide(tmp_path / "d", PICTURE)
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    with open_slide(paths[1]) as slide:
        origin = slide.origin
    assert origin is not None and origin.files == tuple(paths)
    assert origin.sop_instance_uids == tuple(str(one.SOPInstanceUID) for one in headers)
    assert origin.study_uid == headers[0].StudyInstanceUID
    assert origin.series_uid == headers[0].SeriesInstanceUID
    assert origin.patient_id == SECRET


# --- colours --------------------------------------------------------------------------------------


def _stripes() -> tuple[np.ndarray, np.ndarray]:
    """Colours with an alpha of 0, 128 and 255, and how they look on white."""
    colours = np.zeros((90, 90, 4), np.uint8)
    colours[...] = (40, 20, 90, 255)
    colours[30:60, :, 3], colours[60:, :, 3] = 128, 0
    seen = np.full((90, 90, 3), 255.0)
    seen[:30] = (40, 20, 90)
    seen[30:60] = 255 - (255 - np.array([40, 20, 90])) * 128 / 255
    return colours, seen


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_what_is_transparent_lies_on_white(suffix: str, tmp_path: Path) -> None:
    colours, seen = _stripes()
    path = tmp_path / f"a.{suffix}"
    if suffix == "png":
        Image.fromarray(colours).save(path)
    else:
        tifffile.imwrite(path, colours, photometric="rgb", extrasamples=["unassalpha"])
    with open_slide(path) as slide:
        assert np.abs(slide.read(0, 0, 90, 90) - seen).max() <= 1


def test_colours_of_16_bits_are_brought_to_8_by_their_range(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PICTURE.astype(np.uint16) * 257, photometric="rgb", metadata=None)
    with open_slide(path) as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 900, 600), PICTURE)
        assert any("16 bits" in warning for warning in slide.warnings)


def test_grey_is_read_with_a_warning(tmp_path: Path) -> None:
    grey = PICTURE[:200, :200, 0]
    Image.fromarray(grey).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "b.tif", grey, metadata=None)
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "c.png")
    (dicom,) = write_dicom_slide(tmp_path / "d", grey[..., None], (1,), label=False)
    for path in (tmp_path / "a.png", tmp_path / "b.tif", tmp_path / "c.png", dicom):
        with open_slide(path) as slide:
            np.testing.assert_array_equal(slide.read(0, 0, 200, 200)[..., 1], grey)
            assert any("grey" in warning for warning in slide.warnings)


def test_a_palette_gives_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(tissue(100, 100)).quantize(32)
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.tif")
    for name in ("a.png", "b.tif"):
        with open_slide(tmp_path / name) as slide:
            np.testing.assert_array_equal(
                slide.read(0, 0, 100, 100), np.asarray(image.convert("RGB"))
            )


def test_aperio_jpeg_2000_of_ycbcr_gives_its_colours(tmp_path: Path) -> None:
    import imagecodecs

    picture = tissue(128, 128)
    ycbcr = np.asarray(Image.fromarray(picture).convert("YCbCr"))
    tile = imagecodecs.jpeg2k_encode(ycbcr, codecformat="j2k", level=0, mct=False)
    path = tmp_path / "a.svs"
    tifffile.imwrite(
        path,
        iter([tile]),
        shape=(128, 128, 3),
        dtype=np.uint8,
        tile=(128, 128),
        metadata=None,
        compression=33003,
        photometric="rgb",
        description="Aperio Image Library |MPP = 0.5",
    )
    with open_slide(path) as slide:
        assert np.abs(slide.read(0, 0, 128, 128).astype(int) - picture).max() <= 3


# --- scale ----------------------------------------------------------------------------------------


def test_a_resolution_that_programs_write_by_habit_is_no_scale(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.png", dpi=(72, 72))
    tifffile.imwrite(tmp_path / "b.tif", PICTURE, resolution=(96, 96), resolutionunit="INCH")
    for name in ("a.png", "b.tif"):
        with open_slide(tmp_path / name) as slide:
            assert slide.mpp is None and "not a microscope's" in slide.scale.by


def test_a_given_scale_wins_and_the_contradiction_is_said(tmp_path: Path) -> None:
    path = write_svs(tmp_path / "a.svs", PICTURE, mpp=0.25)
    with open_slide(path, mpp=0.5) as slide:
        assert slide.mpp == (0.5, 0.5)
        assert any("0.25" in warning for warning in slide.warnings)
    with open_slide(path, mpp=0.2505) as slide:
        assert slide.warnings == ()


@pytest.mark.parametrize("mpp", [0.0, -1.0, 500.0, float("nan")])
def test_a_given_scale_that_no_microscope_has_is_refused(mpp: float, tmp_path: Path) -> None:
    _png(tmp_path / "a.png")
    with pytest.raises(InputError, match="not a microscope's"):
        open_slide(tmp_path / "a.png", mpp=mpp)


@pytest.mark.parametrize("kind", ["SVS", "DICOM", "TIFF pyramid"])
def test_a_slide_without_scale_asks_for_it(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    if kind == "SVS":
        write_svs(path, PICTURE, mpp=None)
    elif kind == "DICOM":
        path = write_dicom_slide(tmp_path / "d", PICTURE, mpp=None)[0]
    else:
        write_pyramid(path, PICTURE)
    with open_slide(path) as slide, pytest.raises(InputError) as caught:
        read_patches(slide)
    assert re.search(r"has no scale: .*\. Give its microns per pixel", str(caught.value))
    if kind == "SVS":
        assert "×20" in str(caught.value)
    with open_slide(path, mpp=0.5) as slide:
        assert read_patches(slide, patch=16).mpp == (0.5, 0.5)
