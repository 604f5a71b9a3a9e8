"""What is accepted as H&E-stained tissue, and what is refused in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter
from slide_files import GLASS, on_glass, tissue

from breastpredict.errors import GateRefusal, InputError
from breastpredict.pathology import (
    MACENKO_REFERENCE,
    check_tissue,
    measure_stains,
    measure_tissue,
    normalise_stains,
    open_slide,
    read_patches,
)

REAL = ["torchstain/source.png", "torchstain/target.png", "stardist/histo.jpg"]

SCANNERS = {
    "as it is": lambda p: p,
    "pale": lambda p: 255 - (255 - p) * 0.55,
    "dark": lambda p: p * 0.7,
    "yellowish light": lambda p: p * [1, 0.97, 0.85],
    "bluish light": lambda p: p * [0.88, 0.95, 1],
    "strong contrast": lambda p: 255 * (p / 255) ** 1.6,
    "noise": lambda p: p + np.random.default_rng(0).normal(0, 6, p.shape),
}


def real(shared: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(shared / "data" / "he" / name).convert("RGB"))


def refusal(rgb: np.ndarray, mpp: float | None = None) -> str:
    with pytest.raises(GateRefusal) as caught:
        check_tissue(rgb, mpp)
    assert caught.value.gate == "pathology" and "\n" not in str(caught.value)
    return caught.value.reason


def blurred(rgb: np.ndarray, sigma: float) -> np.ndarray:
    return np.asarray(Image.fromarray(rgb).filter(ImageFilter.GaussianBlur(sigma)))


# --- accepted -------------------------------------------------------------------------------------


@pytest.mark.parametrize("scanner", SCANNERS)
@pytest.mark.parametrize("name", REAL)
def test_real_h_and_e_is_accepted_from_any_scanner(shared: Path, name: str, scanner: str) -> None:
    picture = SCANNERS[scanner](real(shared, name).astype(float))
    check_tissue(np.clip(picture, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("name", REAL)
def test_every_part_of_real_h_and_e_is_accepted(shared: Path, name: str) -> None:
    picture = real(shared, name)
    rows, columns = (n // 3 for n in picture.shape[:2])
    for row in range(3):
        for column in range(3):
            check_tissue(picture[row * rows :, column * columns :][:rows, :columns])


@pytest.mark.parametrize("name", REAL)
def test_real_h_and_e_is_accepted_as_the_network_gets_it(shared: Path, name: str) -> None:
    with open_slide(shared / "data" / "he" / name) as slide:
        read_patches(slide).check()
        read_patches(slide, patch=64).check()


def test_drawn_tissue_is_accepted() -> None:
    check_tissue(tissue(900, 900), 0.5)


# --- refused --------------------------------------------------------------------------------------


def test_the_real_immunostain_is_refused(shared: Path) -> None:
    picture = real(shared, "skimage/ihc.png")
    assert "immunostain" in refusal(picture)
    with open_slide(shared / "data" / "he" / "skimage" / "ihc.png") as slide:
        patches = read_patches(slide)
    with pytest.raises(GateRefusal, match="immunostain"):
        patches.check()
    for row in (0, 256):
        for column in (0, 256):
            assert "immunostain" in refusal(picture[row : row + 256, column : column + 256])


@pytest.mark.parametrize("scanner", SCANNERS)
def test_the_immunostain_is_refused_from_any_scanner(shared: Path, scanner: str) -> None:
    picture = SCANNERS[scanner](real(shared, "skimage/ihc.png").astype(float))
    assert "immunostain" in refusal(np.clip(picture, 0, 255).astype(np.uint8))


def test_blank_glass_is_refused() -> None:
    assert "blank" in refusal(np.full((300, 300, 3), GLASS, np.uint8))
    noise = np.random.default_rng(0).normal(0, 3, (300, 300, 3)) + GLASS
    assert "blank" in refusal(noise.clip(0, 255).astype(np.uint8))
    assert "mostly blank" in refusal(on_glass(600, 600, (0, 0, 160, 160)))
    check_tissue(on_glass(600, 600, (0, 0, 600, 160)))  # a core across the picture


def test_the_real_blank_slide_is_refused(shared: Path) -> None:
    path = shared / "data" / "he" / "dicom_wsi_highdicom" / "sm_image.dcm"
    with open_slide(path) as slide, pytest.raises(GateRefusal, match="blank"):
        check_tissue(slide.read(0, 0, 50, 50))


@pytest.mark.parametrize("name", REAL)
def test_tissue_out_of_focus_is_refused_at_its_scale(shared: Path, name: str) -> None:
    picture = real(shared, name)
    check_tissue(picture, 0.5)
    assert "out of focus" in refusal(blurred(picture, 6), 0.5)  # 3 µm
    check_tissue(blurred(picture, 2), 0.5)  # 1 µm: as a dry lens sees it


def test_the_same_tissue_is_judged_alike_at_20_and_at_40(shared: Path) -> None:
    image = Image.fromarray(real(shared, REAL[0]))
    twice = np.asarray(image.resize((image.width * 2, image.height * 2), Image.Resampling.BICUBIC))
    once = measure_tissue(np.asarray(image), 0.5).detail
    assert measure_tissue(twice, 0.25).detail == pytest.approx(once, rel=0.2)


@pytest.mark.parametrize(
    ("ink", "colour"),
    [
        ("green", (30, 130, 70)),
        ("green", (60, 190, 90)),
        ("blue", (25, 50, 170)),
        ("blue", (60, 110, 220)),
        ("black", (20, 20, 25)),
        ("red", (215, 25, 30)),
    ],
)
@pytest.mark.parametrize("name", REAL)
def test_pen_strokes_are_refused_with_their_colour(
    shared: Path, name: str, ink: str, colour: tuple[int, int, int]
) -> None:
    image = Image.fromarray(real(shared, name))
    ImageDraw.Draw(image).line((20, 40, 460, 260), fill=colour, width=24)
    assert f"pen ({ink} ink)" in refusal(np.asarray(image))


def test_a_grey_picture_is_refused(shared: Path) -> None:
    grey = np.asarray(Image.open(shared / "data" / "he" / REAL[0]).convert("L"))
    assert "grey" in refusal(np.repeat(grey[..., None], 3, axis=-1))


def test_fluorescence_is_refused() -> None:
    dark = 255 - tissue(300, 300)
    assert "dark" in refusal((dark * 0.3).astype(np.uint8))


def test_other_stains_and_photographs_are_refused() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(size=(300, 300, 1)) * 25
    for colour in [(90, 150, 210), (120, 190, 120), (90, 190, 200)]:
        picture = (noise + colour).clip(0, 255).astype(np.uint8)
        assert "H&E" in refusal(picture) or "ink" in refusal(picture)


def test_a_picture_of_one_colour_is_refused() -> None:
    assert "focus" in refusal(np.full((300, 300, 3), (190, 110, 170), np.uint8))


def test_too_small_a_picture_is_refused() -> None:
    assert "too few" in refusal(tissue(20, 200))


# --- stain normalisation --------------------------------------------------------------------------


def test_normalising_to_its_own_stains_changes_little(shared: Path) -> None:
    for name in REAL:
        picture = real(shared, name)
        back = normalise_stains(picture, measure_stains(picture))
        # What is left is what two stains cannot express: the first has its blue cut off at 255.
        limit = 9 if name == REAL[0] else 5
        assert np.abs(back.astype(int) - picture).mean() < limit, name


def test_normalising_brings_laboratories_together(shared: Path) -> None:
    pictures = [real(shared, name) for name in REAL]
    before = np.std([p.reshape(-1, 3).mean(axis=0) for p in pictures], axis=0).mean()
    vectors = []
    after = []
    for picture in pictures:
        out = normalise_stains(picture)
        assert out.shape == picture.shape and out.dtype == np.uint8
        after.append(out.reshape(-1, 3).mean(axis=0))
        vectors.append(measure_stains(out).matrix)
        check_tissue(out)
    assert np.std(after, axis=0).mean() < before
    for one in vectors:
        assert np.abs(one - MACENKO_REFERENCE.matrix).max() < 0.12


def test_measured_stains_are_those_that_were_drawn() -> None:
    found = measure_stains(tissue(400, 400))
    drawn = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    assert np.degrees(np.arccos(drawn[0] @ found.haematoxylin)) < 10
    assert np.degrees(np.arccos(drawn[1] @ found.eosin)) < 10


def test_glass_has_no_stains_to_normalise() -> None:
    with pytest.raises(InputError, match="too little tissue"):
        normalise_stains(np.full((100, 100, 3), GLASS, np.uint8))
