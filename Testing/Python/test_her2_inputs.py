"""From a study and a mask, point or box to the network's input, reading only what is needed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dce_volumes import SAGITTAL, TIMES, dce, files_below, image_of, only

from breastpredict.dicom import Provenance, read_study, write_segmentation
from breastpredict.errors import GateRefusal, InputError
from breastpredict.her2 import PreparedCase, prepare_case
from breastpredict.imaging import Geometry
from breastpredict.phantom import StudyHeader, write_dce

SIZE = (48, 40, 31)  # i, j, k
LESION = (slice(13, 20), slice(14, 26), slice(18, 32))  # k, j, i
SLICES = range(13, 20)
LARGEST = 16
SPACING = (0.9, 1.3, 2.6)


def lesion_array(size: tuple[int, ...] = SIZE) -> np.ndarray[Any, Any]:
    """An ellipsoid in the enhancing block, largest on slice 16."""
    k, j, i = np.indices(size[::-1])
    inside = ((k - LARGEST) / 3.6) ** 2 + ((j - 19.5) / 6.4) ** 2 + ((i - 24.5) / 7.4) ** 2 <= 1
    return inside.astype(np.uint8)


def on_grid_of(folder: Path, array: np.ndarray[Any, Any]) -> sitk.Image:
    """An array of the written order of slices as an image on the grid that is read."""
    return only(read_study(folder)).phases[0].geometry.to_image(array)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folder of an axial study, one series a phase, and its SEG beside it."""
    root = tmp_path_factory.mktemp("case")
    folder = root / "study"
    phases = dce(4, size=SIZE, lesion=LESION, spacing=SPACING)
    write_dce(folder, phases, layout="siemens", times_s=TIMES)
    return folder, write_mask(folder, root / "mask.dcm")


def write_mask(folder: Path, path: Path) -> Path:
    phase = only(read_study(folder)).phases[1]
    mask = phase.geometry.to_image(lesion_array())
    return write_segmentation(mask, phase, path, provenance=Provenance()).path


def voxel(case: PreparedCase, i: float, j: float, k: float) -> tuple[float, float, float]:
    x, y, z = case.phase.geometry.index_to_physical(np.array([i, j, k])).tolist()
    return x, y, z


def cut_pixels(folder: Path, slices: set[int], series: str = "") -> int:
    """Truncate the files of these slices (0-based) in every or one series."""
    count = 0
    for file in files_below(folder):
        if int(file.stem[1:]) - 1 in slices and (not series or file.parent.name == series):
            file.write_bytes(file.read_bytes()[:-1000])
            count += 1
    return count


def fresh(tmp_path: Path, **options: Any) -> tuple[Path, Path]:
    """A study of its own that a test may damage."""
    phases = dce(4, size=SIZE, lesion=LESION, spacing=SPACING, **options)
    write_dce(tmp_path / "study", phases, layout="siemens", times_s=TIMES)
    return tmp_path / "study", write_mask(tmp_path / "study", tmp_path / "mask.dcm")


# --- What is prepared ---


def test_the_largest_slice_of_the_early_phase_is_prepared(study: tuple[Path, Path]) -> None:
    case = prepare_case(study[0], image_size=64, segmentation=study[1])
    assert case.slice.index == LARGEST
    pixels = int(lesion_array()[LARGEST].sum())
    assert case.slice.area_mm2 == pytest.approx(pixels * SPACING[0] * SPACING[1])
    assert case.phase.index == 2 and "90 s" in case.phase_reason
    assert case.image.shape == (1, 64, 64) and case.image.dtype == np.float32
    assert case.image.min() == -1 and case.image.max() == 1
    assert case.outlined_by == "mask"
    np.testing.assert_array_equal(sitk.GetArrayFromImage(case.mask.to_image()), lesion_array())


def test_the_image_is_the_crop_between_its_own_percentiles(study: tuple[Path, Path]) -> None:
    case = prepare_case(study[0], image_size=64, segmentation=study[1])
    crop = case.roi.extract(case.phase.read(), 64).astype(np.float64)
    low, high = np.percentile(crop, [1, 99])
    expected = np.clip((crop - low) / (high - low), 0, 1) * 2 - 1
    np.testing.assert_allclose(case.image[0], expected, atol=1e-6)


def test_the_square_holds_the_lesion_and_its_margin(study: tuple[Path, Path]) -> None:
    case = prepare_case(study[0], image_size=64, segmentation=study[1], margin=0.5)
    rows, columns = np.nonzero(lesion_array()[LARGEST])
    longer = max(
        (np.ptp(columns) + 1) * SPACING[0],
        (np.ptp(rows) + 1) * SPACING[1],
    )
    assert case.roi.side_mm == pytest.approx(longer * 2)
    assert case.roi.slice_index == LARGEST


def test_a_phase_chosen_by_hand(study: tuple[Path, Path]) -> None:
    case = prepare_case(study[0], image_size=64, segmentation=study[1], phase=4)
    assert case.phase.index == 4
    assert "chosen by the user" in case.phase_reason
    by_rule = prepare_case(study[0], image_size=64, segmentation=study[1])
    assert not np.array_equal(case.image, by_rule.image)
    with pytest.raises(InputError, match="no phase 9"):
        prepare_case(study[0], image_size=64, segmentation=study[1], phase=9)


def test_features_for_the_gates(study: tuple[Path, Path]) -> None:
    case = prepare_case(study[0], image_size=64, segmentation=study[1])
    inside = lesion_array()[LARGEST] > 0
    early = sitk.GetArrayFromImage(case.acquisition.phases[1].read())[LARGEST][inside]
    before = sitk.GetArrayFromImage(case.acquisition.phases[0].read())[LARGEST][inside]
    expected = {
        "modality": "MR",
        "phase_role": "post",
        "plane": "axial",
        "pixel_spacing_mm": 1.3,
        "slice_spacing_mm": 2.6,
        "tumour_volume_mm3": pytest.approx(lesion_array().sum() * math.prod(SPACING)),
        "enhancement": pytest.approx(float(np.median(early) / np.median(before)) - 1),
    }
    assert {name: case.features[name] for name in expected} == expected
    assert float(case.features["lesion_contrast"]) > 1


@pytest.mark.parametrize("kind", [".nrrd", ".nii.gz"])
def test_a_mask_on_another_grid_is_brought_over_by_position(
    study: tuple[Path, Path], tmp_path: Path, kind: str
) -> None:
    """Slices in reverse order and cropped: the same place, so the same input."""
    expected = prepare_case(study[0], image_size=64, segmentation=study[1])
    mask = sitk.Flip(expected.mask.to_image(), (False, True, True), False)[4:44, 3:, 5:25]
    path = tmp_path / f"mask{kind}"
    sitk.WriteImage(mask, str(path))
    case = prepare_case(study[0], image_size=64, segmentation=path)
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(case.mask.to_image()),
        sitk.GetArrayFromImage(expected.mask.to_image()),
    )
    np.testing.assert_array_equal(case.image, expected.image)


@pytest.mark.parametrize("layout", ["ge", "philips", "enhanced", "enhanced-per-phase"])
def test_every_layout_gives_the_same_input(
    study: tuple[Path, Path], tmp_path: Path, layout: str
) -> None:
    expected = prepare_case(study[0], image_size=64, segmentation=study[1])
    phases = dce(4, size=SIZE, lesion=LESION, spacing=SPACING)
    write_dce(tmp_path / "study", phases, layout=layout, times_s=TIMES)
    mask = write_mask(tmp_path / "study", tmp_path / "mask.dcm")
    case = prepare_case(tmp_path / "study", image_size=64, segmentation=mask)
    np.testing.assert_array_equal(case.image, expected.image)
    assert case.features == expected.features


def test_a_point_or_a_box_outlines_the_lesion(study: tuple[Path, Path]) -> None:
    by_mask = prepare_case(study[0], image_size=64, segmentation=study[1])
    truth = np.zeros(SIZE[::-1], bool)
    truth[LESION] = True
    point = prepare_case(study[0], image_size=64, seed_point_lps=voxel(by_mask, 24, 19, LARGEST))
    box = prepare_case(
        study[0],
        image_size=64,
        box_lps=(voxel(by_mask, 36, 29, 22), voxel(by_mask, 14, 11, 11)),  # any two corners
    )
    for case, how in ((point, "point"), (box, "box")):
        found = sitk.GetArrayFromImage(case.mask.to_image()) > 0
        dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
        assert case.outlined_by == how and dice > 0.8
        assert case.phase.index == 2


# --- Lazily ---


def test_damage_far_from_the_lesion_does_not_matter(
    study: tuple[Path, Path], tmp_path: Path
) -> None:
    expected = prepare_case(study[0], image_size=64, segmentation=study[1])
    folder, mask = fresh(tmp_path)
    assert cut_pixels(folder, {0, 1, 2, 3, 28, 29, 30}) == 28
    case = prepare_case(folder, image_size=64, segmentation=mask)
    np.testing.assert_array_equal(case.image, expected.image)


def test_other_phases_need_no_pixels_beyond_the_sample(
    study: tuple[Path, Path], tmp_path: Path
) -> None:
    """At most the early and the pre-contrast slice, and the few slices that tell the roles."""
    expected = prepare_case(study[0], image_size=64, segmentation=study[1])
    folder, mask = fresh(tmp_path)
    sampled = 7
    needed = {LARGEST}
    for k in set(range(SIZE[2])) - needed:
        intact = [f for f in files_below(folder) if int(f.stem[1:]) - 1 == k]
        contents = [file.read_bytes() for file in intact]
        cut_pixels(folder, {k})
        if read_study(folder).dce[0].warnings:  # this one is sampled
            needed.add(k)
            for file, content in zip(intact, contents, strict=True):
                file.write_bytes(content)
    assert len(needed) <= sampled + 1
    case = prepare_case(folder, image_size=64, segmentation=mask)
    np.testing.assert_array_equal(case.image, expected.image)


@pytest.mark.parametrize("series", ["S0010", "S0011"], ids=["pre", "early"])
def test_damage_of_a_needed_slice_is_one_clear_line(tmp_path: Path, series: str) -> None:
    folder, mask = fresh(tmp_path)
    cut_pixels(folder, {LARGEST}, series)
    with pytest.raises(InputError, match="truncated") as caught:
        prepare_case(folder, image_size=64, segmentation=mask)
    assert f"I{LARGEST + 1:05d}" in str(caught.value)


def test_when_every_slice_is_damaged_it_is_said(tmp_path: Path) -> None:
    folder, mask = fresh(tmp_path)
    cut_pixels(folder, set(range(SIZE[2])))
    with pytest.raises(InputError, match="truncated"):
        prepare_case(folder, image_size=64, segmentation=mask)


# --- Which breast ---


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A right and a left breast in one study."""
    folder = tmp_path_factory.mktemp("both")
    place = {"axes": SAGITTAL, "size": (20, 16, 9)}
    write_dce(
        folder,
        dce(origin=(-20.0, -60.0, 30.0), **place),
        layout="ge",
        times_s=TIMES,
        second_stack=dce(origin=(55.0, -60.0, 30.0), seed=5, **place),
        header=StudyHeader(laterality=None),
    )
    return folder


@pytest.mark.parametrize("side", ["R", "L"])
def test_the_mask_says_which_breast(both: Path, tmp_path: Path, side: str) -> None:
    wanted = next(a for a in read_study(both).dce if a.laterality == side)
    array = np.zeros((9, 16, 20), np.uint8)
    array[3:6, 5:11, 7:14] = 1
    path = tmp_path / "mask.nrrd"
    sitk.WriteImage(wanted.phases[0].geometry.to_image(array), str(path))
    case = prepare_case(both, image_size=32, segmentation=path)
    assert case.acquisition.laterality == side
    other = "L" if side == "R" else "R"
    with pytest.raises(InputError):
        prepare_case(both, image_size=32, segmentation=path, laterality=other)


# --- Bad input ---


@pytest.mark.parametrize(
    ("given", "words"),
    [({}, "not given"), ({"segmentation": "x", "seed_point_lps": (0, 0, 0)}, "given twice")],
)
def test_the_tumour_is_given_once(
    study: tuple[Path, Path], given: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        prepare_case(study[0], image_size=64, **given)


def test_a_mask_of_another_study(study: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_dce(
        other,
        dce(4, size=SIZE, lesion=LESION, spacing=SPACING),
        layout="siemens",
        times_s=TIMES,
        header=StudyHeader(seed=8),
    )
    with pytest.raises(InputError, match="another study"):
        prepare_case(other, image_size=64, segmentation=study[1])


def test_an_empty_mask_is_no_tumour(study: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "empty.nrrd"
    sitk.WriteImage(on_grid_of(study[0], np.zeros(SIZE[::-1], np.uint8)), str(path))
    with pytest.raises(GateRefusal) as caught:
        prepare_case(study[0], image_size=64, segmentation=path)
    assert caught.value.gate == "no-tumour"


def test_a_mask_elsewhere_in_space(study: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "elsewhere.nrrd"
    geometry = only(read_study(study[0])).phases[0].geometry
    image = geometry.to_image(lesion_array())
    image.SetOrigin((500.0, 500.0, 500.0))
    sitk.WriteImage(image, str(path))
    with pytest.raises(InputError, match="outside"):
        prepare_case(study[0], image_size=64, segmentation=path)


def test_a_point_outside_of_the_images(study: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="outside"):
        prepare_case(study[0], image_size=64, seed_point_lps=(900.0, 0.0, 0.0))


def test_a_point_where_nothing_enhances(study: tuple[Path, Path]) -> None:
    case = prepare_case(study[0], image_size=64, segmentation=study[1])
    with pytest.raises(GateRefusal) as caught:
        prepare_case(study[0], image_size=64, seed_point_lps=voxel(case, 4, 4, 3))
    assert caught.value.gate == "no-enhancement"


def test_no_post_contrast_phase(tmp_path: Path) -> None:
    write_dce(
        tmp_path / "study",
        dce(3, pre=3, size=SIZE, spacing=SPACING),
        layout="siemens",
        times_s=TIMES[:3],
    )
    mask = write_mask(tmp_path / "study", tmp_path / "mask.dcm")
    with pytest.raises(GateRefusal) as caught:
        prepare_case(tmp_path / "study", image_size=64, segmentation=mask)
    assert caught.value.gate == "post-contrast"
    by_hand = prepare_case(tmp_path / "study", image_size=64, segmentation=mask, phase=2)
    assert by_hand.features["phase_role"] == "unknown"


def test_a_single_phase(study: tuple[Path, Path], tmp_path: Path) -> None:
    write_dce(tmp_path, dce(2, size=SIZE, spacing=SPACING), layout="siemens", times_s=TIMES[:2])
    for file in files_below(tmp_path / "S0011"):
        file.unlink()
    with pytest.raises(InputError, match="single time point"):
        prepare_case(tmp_path, image_size=64, segmentation=study[1])


@pytest.mark.parametrize("series", ["S0010", "S0011", "S0013"])
def test_a_missing_geometry_tag_is_named(tmp_path: Path, series: str) -> None:
    """Without the damaged phase the rest is a study too, but which is the early one is unknown."""
    folder, mask = fresh(tmp_path)
    file = files_below(folder / series)[5]
    data = pydicom.dcmread(file)
    del data.ImageOrientationPatient
    data.save_as(file)
    with pytest.raises(InputError, match="ImageOrientationPatient") as caught:
        prepare_case(folder, image_size=64, segmentation=mask)
    assert file.name in str(caught.value)
    if series == "S0013":  # a reader who knows may still choose
        case = prepare_case(folder, image_size=64, segmentation=mask, phase=2)
        assert case.phase.series_uid == only(read_study(folder)).phases[1].series_uid


@pytest.mark.parametrize("series", ["S0010", "S0011"])
@pytest.mark.parametrize("which", [0, 9, -1])
def test_a_missing_slice_is_one_clear_line(tmp_path: Path, series: str, which: int) -> None:
    folder, mask = fresh(tmp_path)
    files_below(folder / series)[which].unlink()
    with pytest.raises(InputError, match="slices") as caught:
        prepare_case(folder, image_size=64, segmentation=mask)
    assert series in str(caught.value)


def test_not_mr(tmp_path: Path, study: tuple[Path, Path]) -> None:
    write_dce(tmp_path, dce(2), layout="siemens", times_s=TIMES[:2])
    for file in files_below(tmp_path):
        data = pydicom.dcmread(file)
        data.Modality = "CT"
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        data.save_as(file)
    with pytest.raises(GateRefusal) as caught:
        prepare_case(tmp_path, image_size=64, segmentation=study[1])
    assert caught.value.gate == "modality" and "not MR" in caught.value.reason


def test_a_constant_crop_is_refused(tmp_path: Path) -> None:
    flat = np.full((9, 40, 40), 200, np.uint16)
    brighter = flat.copy()
    brighter[:, 30:, 30:] = 500
    images = [image_of(flat), image_of(brighter)]
    write_dce(tmp_path / "study", images, layout="siemens", times_s=TIMES[:2])
    mask = np.zeros((9, 40, 40), np.uint8)
    mask[4, 14:18, 14:18] = 1
    path = tmp_path / "mask.nrrd"
    sitk.WriteImage(Geometry.from_image(images[0]).to_image(mask), str(path))
    with pytest.raises(InputError, match="constant"):
        prepare_case(tmp_path / "study", image_size=32, segmentation=path)
