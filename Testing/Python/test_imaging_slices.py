"""The largest cross-section of the largest lesion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from breastpredict.errors import GateRefusal, InputError
from breastpredict.imaging import Geometry, largest_lesion, largest_slice

SPACING = (0.5, 0.8, 2.0)
AXES = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def image_of(mask: np.ndarray) -> sitk.Image:
    size = (mask.shape[2], mask.shape[1], mask.shape[0])
    return Geometry(size, SPACING, (5.0, 6.0, 7.0), AXES).to_image(mask)


def test_the_ispy2_mask_gives_slice_38(shared: Path) -> None:
    file = shared / "data/breast_mri/ispy2_masks/ACRIN-6698-102212_spy2_vis1_mask.nii.gz"
    # The file's first axis is the slice, with an identity affine; SimpleITK reads it as i.
    in_file_order = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
    mask = in_file_order.transpose(2, 1, 0)
    assert mask.shape[0] == 80
    assert np.count_nonzero(mask) == 42423
    found = largest_slice(mask, (0.6055, 0.6055, 2.0))
    assert found.index == 38
    assert found.area_mm2 == pytest.approx(2380 * 0.6055**2)


def test_area_is_in_square_millimetres_and_the_image_brings_its_spacing() -> None:
    mask = np.zeros((6, 20, 20), np.uint8)
    mask[2, 4:8, 4:8] = 1
    mask[3, 4:10, 4:9] = 1
    expected = (3, 30 * 0.5 * 0.8)
    assert largest_slice(image_of(mask)) == pytest.approx(expected)
    assert largest_slice(mask, SPACING) == pytest.approx(expected)
    assert largest_slice(mask) == (3, 30.0)


def test_a_small_lesion_with_a_wide_slice_does_not_win() -> None:
    mask = np.zeros((12, 30, 30), np.uint8)
    mask[1, 2:14, 2:14] = 1  # 144 voxels on one slice
    mask[4:10, 20:26, 20:26] = 1  # 216 voxels, 36 a slice
    assert largest_slice(mask).area_mm2 == 36.0
    kept = sitk.GetArrayFromImage(largest_lesion(image_of(mask)).to_image())
    assert kept.sum() == 216
    assert kept[1].sum() == 0


def test_voxels_that_touch_by_a_corner_are_one_lesion() -> None:
    mask = np.zeros((12, 30, 30), np.uint8)
    mask[2:4, 2:4, 2:4] = 1
    mask[4:6, 4:6, 4:6] = 1  # shares one corner
    mask[9:11, 20:23, 20:22] = 1  # 12 voxels against 16
    assert sitk.GetArrayFromImage(largest_lesion(image_of(mask)).to_image()).sum() == 16


def test_crumbs_beside_a_lesion_belong_to_it_and_distant_foci_do_not() -> None:
    mask = np.zeros((5, 30, 40), np.uint8)
    mask[1:4, 5:15, 5:15] = 1
    mask[2, 10, 18] = 1  # 4 columns of 0.5 mm off
    mask[2, 10, 30] = 1
    kept = sitk.GetArrayFromImage(largest_lesion(image_of(mask)).to_image())
    assert kept[2, 10, 18] == 1
    assert kept[2, 10, 30] == 0
    assert largest_slice(image_of(mask)) == pytest.approx((2, 101 * 0.4))


def test_equal_slices_are_decided_by_the_centroid_then_by_the_lower_index() -> None:
    mask = np.zeros((9, 10, 10), np.uint8)
    mask[2:7, 2:6, 2:6] = 1
    assert largest_slice(mask).index == 4
    mask[7, 2:6, 2:6] = 1  # six equal slices: 4 and 5 are equally near
    assert largest_slice(mask).index == 4
    mask[8, 2, 2] = 1  # pulls the centroid up
    assert largest_slice(mask).index == 5


def test_equal_lesions_are_decided_by_the_first_voxel() -> None:
    mask = np.zeros((9, 20, 20), np.uint8)
    mask[6:8, 2:4, 2:4] = 1
    mask[1:3, 12:14, 12:14] = 1
    assert sitk.GetArrayFromImage(largest_lesion(image_of(mask)).to_image())[1, 12, 12] == 1
    assert largest_slice(mask).index == 1


def test_an_empty_mask_is_refused_with_a_reason() -> None:
    empty = np.zeros((4, 5, 6), np.uint8)
    for attempt in (largest_slice, lambda m: largest_lesion(image_of(m))):
        with pytest.raises(GateRefusal, match="empty") as refusal:
            attempt(empty)
        assert refusal.value.gate == "no-tumour"


@pytest.mark.parametrize("wrong", [np.ones((4, 4)), np.full((3, 3, 3), np.nan)])
def test_what_is_no_mask_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(InputError):
        largest_slice(wrong)


def test_any_nonzero_value_is_lesion() -> None:
    mask = np.zeros((4, 8, 8), np.int16)
    mask[2, 2:5, 2:5] = 255
    assert largest_slice(mask) == (2, 9.0)
