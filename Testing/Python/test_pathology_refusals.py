"""What is no slide of stained tissue, or a damaged one, is refused in one line."""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from slide_files import (
    coded,
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
SIDE, TILE = 40960, 512


def test_a_slide_of_several_planes_paths_or_fluorescence_is_refused(tmp_path: Path) -> None:
    epi = pydicom.Dataset()
    epi.CodeValue, epi.CodingSchemeDesignator, epi.CodeMeaning = "111743", "DCM", "Epifluorescence"
    light = pydicom.Dataset()
    light.OpticalPathIdentifier, light.IlluminationTypeCodeSequence = "1", [epi]
    for number, (changes, word) in enumerate(
        [
            ({"TotalPixelMatrixFocalPlanes": 3}, "focal planes"),
            ({"NumberOfOpticalPaths": 2}, "optical paths"),
            ({"OpticalPathSequence": [light]}, "fluorescence"),
        ]
    ):
        paths = write_dicom_slide(tmp_path / str(number), PICTURE, **changes)
        assert word in refusal(paths[0])


def test_a_tiff_of_several_channels_is_refused(tmp_path: Path) -> None:
    channels = np.zeros((4, 300, 300), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", channels, photometric="minisblack", tile=(128, 128))
    assert "channels" in refusal(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.ome.tif", channels, metadata={"axes": "CYX"}, ome=True)
    assert "channels" in refusal(tmp_path / "b.ome.tif")


def test_colours_for_print_and_fractions_are_refused(tmp_path: Path) -> None:
    Image.fromarray(PICTURE).convert("CMYK").save(tmp_path / "a.jpg")
    Image.fromarray(PICTURE).convert("CMYK").save(tmp_path / "b.tif")
    tifffile.imwrite(tmp_path / "c.tif", PICTURE.astype(np.float32), photometric="rgb")
    assert "CMYK" in refusal(tmp_path / "a.jpg")
    assert "CMYK" in refusal(tmp_path / "b.tif")
    assert "whole numbers" in refusal(tmp_path / "c.tif")


def test_a_picture_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    path = tmp_path / "bomb.png"
    head = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99))
    )
    assert "too large" in refusal(path)
    tifffile.imwrite(
        tmp_path / "bomb.tif",
        iter([b"x"]),
        shape=(30000, 30000, 3),
        dtype=np.uint8,
        compression="zlib",
        rowsperstrip=30000,
        photometric="rgb",
        metadata=None,
    )
    assert "too large" in refusal(tmp_path / "bomb.tif")


def test_a_slide_of_one_level_that_is_too_large_to_look_at_asks_for_a_region(
    tmp_path: Path,
) -> None:
    path = tmp_path / "flat.tif"
    tile = zlib.compress(np.full((TILE, TILE, 3), 240, np.uint8).tobytes())
    tifffile.imwrite(
        path,
        iter([tile] * 80**2),
        shape=(SIDE, SIDE, 3),
        dtype=np.uint8,
        tile=(TILE, TILE),
        compression="zlib",
        photometric="rgb",
        metadata=None,
    )
    with open_slide(path, mpp=0.25) as slide, pytest.raises(InputError, match="smaller region"):
        read_patches(slide)


def test_what_is_no_slide_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.svs").write_text("no picture")
    (tmp_path / "empty").mkdir()
    assert "neither a slide" in refusal(tmp_path / "a.svs")
    assert "no slide" in refusal(tmp_path / "empty")
    assert "no such file" in refusal(tmp_path / "missing.svs")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.97])
@pytest.mark.parametrize("kind", ["svs", "tif", "png", "jpg", "dcm", "jpeg.dcm"])
def test_a_truncated_file_is_refused_in_one_line(kind: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    picture = tissue(400, 400)
    if kind == "svs":
        write_svs(path, picture)
    elif kind == "tif":
        write_pyramid(path, picture, times=(2,), tile=64)
    elif kind in ("png", "jpg"):
        Image.fromarray(picture).save(path)
    else:
        jpeg = kind.startswith("jpeg")
        (path,) = write_dicom_slide(tmp_path / "d", picture, (1,), jpeg=jpeg, label=False)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError) as caught, open_slide(path, mpp=0.5) as slide:
        slide.read(0, 0, *slide.size)
    assert "\n" not in str(caught.value)


def test_a_file_that_ends_between_two_images_is_refused(tmp_path: Path) -> None:
    path = write_pyramid(tmp_path / "a.tif", tissue(256, 256), times=(2,), tile=64)
    with tifffile.TiffFile(path) as file:
        first, second = file.pages[0], file.pages[1]
        end = max(o + n for o, n in zip(first.dataoffsets, first.databytecounts, strict=True))
        assert end <= second.offset < min(second.dataoffsets)
    path.write_bytes(path.read_bytes()[: second.offset])
    assert "truncated" in refusal(path)


def test_damaged_bytes_never_give_more_than_one_line(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    sources = [write_svs(tmp_path / "a.svs", tissue(256, 256))]
    sources += write_dicom_slide(tmp_path / "d", tissue(256, 256), (1,), label=False)
    refused = 0
    for source in sources:
        whole = source.read_bytes()
        for number in range(25):
            broken = bytearray(whole)
            # The heads: where the structure is.
            end = len(whole) if number % 2 else 1500
            for place in random.integers(0, end, 40):
                broken[place] = random.integers(256)
            path = tmp_path / "broken" / source.name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(bytes(broken))
            try:
                with open_slide(path, mpp=0.5) as slide:
                    slide.read(0, 0, *slide.size)
            except InputError as error:
                refused += 1
                assert "\n" not in str(error)
    assert refused > 5


def test_a_missing_package_is_named_with_its_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name in ("tifffile", "wsidicom") else found(name, *rest),
    )
    write_svs(tmp_path / "a.svs", PICTURE)
    write_dicom_slide(tmp_path / "d", PICTURE)
    for path in (tmp_path / "a.svs", tmp_path / "d"):
        assert 'pip install "breastpredict[pathology]"' in refusal(path)


def test_a_kind_that_only_openslide_reads_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openslide", None)
    Image.fromarray(PICTURE).save(tmp_path / "a.jpg")  # MIRAX keeps a JPEG of this name
    (tmp_path / "a.jpg").rename(tmp_path / "a.mrxs")
    assert 'pip install "breastpredict[openslide]"' in refusal(tmp_path / "a.mrxs")


def test_openslide_where_it_is_installed_gives_the_same_pixels(tmp_path: Path) -> None:
    pytest.importorskip("openslide", reason="needs the extra openslide")
    from breastpredict.pathology.openslide_file import OpenSlideSlide

    path = write_svs(tmp_path / "a.svs", on_glass(800, 1200, (100, 100, 1100, 700)))
    with open_slide(path) as one, OpenSlideSlide(path, None) as other:
        assert (one.size, one.levels) == (other.size, other.levels)
        assert one.mpp == pytest.approx(other.mpp)
        for box, out in [((401, 303, 200, 100), None), ((403, 301, 600, 400), (140, 95))]:
            np.testing.assert_array_equal(one.read(*box, out=out), other.read(*box, out=out))
