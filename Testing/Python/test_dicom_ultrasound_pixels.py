"""Ultrasound files of every coding give the same pixels; those that are damaged are refused."""

from __future__ import annotations

import io
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)
from ultrasound_screens import (
    COLUMNS,
    ROWS,
    dataset,
    fan,
    rectangle,
    region,
    save,
    screen,
)

from breastpredict.dicom import (
    read_ultrasound,
    write_deidentified,
)
from breastpredict.errors import InputError

# --- pixels ---------------------------------------------------------------------------------------


def coded(pixels: np.ndarray, syntax: UID, encode: Callable[[np.ndarray], bytes]) -> Dataset:
    data = dataset(pixels, [region()])
    raw = encode(pixels)
    data.PixelData = encapsulate([raw + b"\0" * (len(raw) % 2)])
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    data.file_meta.TransferSyntaxUID = syntax
    return data


def by_pillow(kind: str, **options: Any) -> Callable[[np.ndarray], bytes]:
    def encode(pixels: np.ndarray) -> bytes:
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, kind, **options)
        return out.getvalue()

    return encode


def as_big_endian(grey: np.ndarray) -> Dataset:
    data = dataset(grey, [region()])
    data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
    data["PixelData"].VR = "OW"
    data.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    return data


def as_deflated(grey: np.ndarray) -> Dataset:
    data = dataset(grey, [region()])
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return data


def as_compressed(syntax: UID) -> Callable[[np.ndarray], Dataset]:
    def encode(grey: np.ndarray) -> Dataset:
        data = dataset(grey, [region()])
        data.compress(syntax, generate_instance_uid=False)
        return data

    return encode


def as_lossless_jpeg(grey: np.ndarray) -> Dataset:
    """As GDCM writes it (Process 14), which pydicom alone does not decode."""
    path = Path("lossless.dcm")
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(path))
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG")
    writer.Execute(sitk.GetImageFromArray(grey))
    encoded = pydicom.dcmread(path)
    assert encoded.file_meta.TransferSyntaxUID.name.startswith("JPEG Lossless")
    data = dataset(grey, [region()])
    data.PixelData = encoded.PixelData
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    data.file_meta.TransferSyntaxUID = encoded.file_meta.TransferSyntaxUID
    return data


def as_rgb(grey: np.ndarray) -> Dataset:
    return dataset(np.repeat(grey[..., None], 3, axis=-1), [region()])


def as_planes(grey: np.ndarray) -> Dataset:
    data = as_rgb(grey)
    data.PixelData, data.PlanarConfiguration = grey.tobytes() * 3, 1
    return data


def as_ybr(grey: np.ndarray) -> Dataset:
    middle = np.full_like(grey, 128)
    data = dataset(np.stack([grey, middle, middle], axis=-1), [region()])
    data.PhotometricInterpretation = "YBR_FULL"
    return data


def as_palette(grey: np.ndarray) -> Dataset:
    data = dataset(255 - grey, [region()])
    table = (np.arange(255, -1, -1, dtype="<u2") << 8).tobytes()
    data.PhotometricInterpretation = "PALETTE COLOR"
    for name in ("Red", "Green", "Blue"):
        setattr(data, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(data, f"{name}PaletteColorLookupTableData", table)
    return data


def as_inverted(grey: np.ndarray) -> Dataset:
    return dataset(255 - grey, [region()], PhotometricInterpretation="MONOCHROME1")


def as_twelve_bits(grey: np.ndarray) -> Dataset:
    deep = np.round(grey.astype(float) * 4095 / 255).astype("<u2")
    return dataset(deep, [region()], BitsStored=12, HighBit=11)


@pytest.mark.parametrize(
    "coding",
    [
        as_big_endian, as_deflated, as_compressed(RLELossless), as_compressed(JPEGLSLossless),
        as_lossless_jpeg, as_rgb, as_planes, as_ybr, as_palette, as_inverted, as_twelve_bits,
        lambda g: coded(g, JPEG2000Lossless, by_pillow("JPEG2000", no_jp2=True)),
    ],
)  # fmt: skip
def test_every_coding_gives_the_same_grey_levels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, coding: Callable[[np.ndarray], Dataset]
) -> None:
    monkeypatch.chdir(tmp_path)
    grey = screen(rectangle())
    plain = read_ultrasound(save(dataset(grey, [region()]), tmp_path / "plain.dcm"))
    image = read_ultrasound(save(coding(grey), tmp_path / "coded.dcm"))
    np.testing.assert_array_equal(image.pixels, plain.pixels)
    assert plain.pixels.any() and not image.lossy


def test_jpeg_with_losses_is_read_in_colour_and_said(tmp_path: Path) -> None:
    grey = screen(rectangle())
    rgb = np.repeat(grey[..., None], 3, axis=-1)
    data = coded(rgb, JPEGBaseline8Bit, by_pillow("JPEG", quality=95))
    data.PhotometricInterpretation = "YBR_FULL_422"
    image = read_ultrasound(save(data, tmp_path / "a.dcm"))
    assert image.lossy and image.colour == "grey"
    scan = image.in_source(image.pixels)[60:250, 80:300].astype(int)
    assert np.abs(scan - grey[60:250, 80:300]).mean() < 3


@pytest.mark.parametrize(
    ("name", "mode"), [("a.png", "L"), ("a.jpg", "RGB"), ("a.tif", "L"), ("b.png", "RGBA"),
                       ("c.png", "I;16"), ("d.tiff", "P")],
)  # fmt: skip
def test_pictures_of_every_kind_are_read(tmp_path: Path, name: str, mode: str) -> None:
    grey = screen(rectangle())
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    (deep if mode == "I;16" else Image.fromarray(grey).convert(mode)).save(tmp_path / name)
    image = read_ultrasound(tmp_path / name)
    scan = image.in_source(image.pixels)[60:250, 80:300].astype(int)
    assert np.abs(scan - grey[60:250, 80:300]).mean() < (3 if name == "a.jpg" else 0.01)
    assert image.spacing_mm is None and image.lossy == (name == "a.jpg")


# --- frames ---------------------------------------------------------------------------------------


def test_of_a_sweep_the_representative_frame_else_the_middle_one_is_read(tmp_path: Path) -> None:
    frames = np.stack([screen(rectangle(), seed) for seed in range(5)])
    data = dataset(frames, [region()], NumberOfFrames=5)
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    path = save(data, tmp_path / "a.dcm")
    scan = np.s_[60:250, 80:300]

    def frame_of(**options: Any) -> tuple[int, str]:
        image = read_ultrasound(path, **options)
        source = frames[image.frame - 1]
        np.testing.assert_array_equal(image.in_source(image.pixels)[scan], source[scan])
        return image.frame, image.frame_reason

    assert frame_of() == (3, "the middle of 5 frames")
    assert frame_of(frame=5) == (5, "chosen by the user")
    data.RepresentativeFrameNumber = 2
    save(data, path)
    assert frame_of() == (2, "RepresentativeFrameNumber (0028,6010)")
    data.RepresentativeFrameNumber = 9
    save(data, path)
    assert frame_of()[0] == 3


# --- bad files ------------------------------------------------------------------------------------


def truncated_sweep() -> Dataset:
    frames = np.stack([screen(fan())] * 3)
    data = dataset(frames, [region()], NumberOfFrames=3)
    data.PixelData = data.PixelData[: ROWS * COLUMNS * 2]
    return data


def truncated_compressed() -> Dataset:
    data = as_compressed(RLELossless)(screen(fan()))
    data.NumberOfFrames = 4
    return data


def minus_one_frame() -> Dataset:
    data = dataset(screen(fan()), [region()])
    data.NumberOfFrames = -1
    return data


def unknown_coding() -> Dataset:
    return coded(screen(fan()), UID("1.2.840.10008.1.2.4.201"), lambda pixels: b"\1" * 64)


def without_pixels() -> Dataset:
    data = dataset(screen(fan()), [region()])
    del data.PixelData
    return data


BAD_FILES: dict[str, tuple[Callable[[], Dataset], str]] = {
    "truncated sweep": (truncated_sweep, r"does not hold all 3 frames of 400 × 300 pixels"),
    "truncated compressed sweep": (truncated_compressed, "does not hold all 4 frames"),
    "unknown coding": (unknown_coding, "no decoder for the transfer syntax High-Throughput JPEG"),
    "no pixels": (without_pixels, "missing or truncated"),
    "minus one frame": (minus_one_frame, "number of frames is not a number above 0"),
    "signed": (lambda: dataset(screen(fan()), PixelRepresentation=1), "8 bits, signed, in 400"),
    "another modality": (
        lambda: dataset(screen(fan()), SOPClassUID="1.2.840.10008.5.1.4.1.1.2", Modality="CT"),
        r"no two-dimensional ultrasound image \(CT Image Storage\)",
    ),
    "no rows": (lambda: dataset(screen(fan()), Rows=None), "does not describe the pixels"),
    "unknown colours": (
        lambda: dataset(screen(fan()), PhotometricInterpretation="HSV"),
        r"colours cannot be understood \(HSV\)",
    ),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bad_files_are_refused_in_one_clear_line(tmp_path: Path, kind: str) -> None:
    make, words = BAD_FILES[kind]
    data = make()
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    path = save(data, tmp_path / "a.dcm")
    with pytest.raises(InputError, match=words) as caught:
        read_ultrasound(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless])
def test_a_sweep_that_was_cut_anywhere_is_refused(tmp_path: Path, syntax: UID | None) -> None:
    """Also where the frame that would be read is still there."""
    frames = np.stack([screen(fan(), seed) for seed in range(3)])
    data = dataset(frames, [region()], NumberOfFrames=3)
    if syntax is not None:
        data.compress(syntax, generate_instance_uid=False)
    path = save(data, tmp_path / "a.dcm")
    assert read_ultrasound(path).frame == 2
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="truncated: the file does not hold all 3 frames"):
        read_ultrasound(path)


@given(seed=st.integers(0, 10**6))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damage_in_the_header_is_one_clear_line_and_quotes_nothing(
    tmp_path: Path, seed: int, capfd: pytest.CaptureFixture[str]
) -> None:
    data = dataset(screen(fan())[:120, :160], [region((0, 0, 159, 119))])
    raw = bytearray(save(data, tmp_path / "a.dcm").read_bytes())
    chance = random.Random(seed)
    for _ in range(chance.choice([1, 2, 5])):
        raw[chance.randrange(132, len(raw) - 120 * 160)] = chance.randrange(256)
    (tmp_path / "a.dcm").write_bytes(raw)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            image = read_ultrasound(tmp_path / "a.dcm")
            write_deidentified(image, tmp_path / "out.dcm", research_id="R-001")
        except InputError as error:
            assert "\n" not in str(error)
    assert capfd.readouterr().err == ""


def test_what_is_neither_dicom_nor_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("not a picture")
    (tmp_path / "b.png").write_bytes(b"")
    good = io.BytesIO()
    Image.fromarray(screen(fan())).save(good, "PNG")
    (tmp_path / "c.png").write_bytes(good.getvalue()[:9000])
    for name, words in (("a.txt", "neither"), ("b.png", "neither"), ("c.png", "cannot be read")):
        with pytest.raises(InputError, match=words):
            read_ultrasound(tmp_path / name)
    with pytest.raises(InputError, match="no such file"):
        read_ultrasound(tmp_path / "d.png")
