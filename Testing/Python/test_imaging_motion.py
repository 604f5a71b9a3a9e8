"""Motion between the pre-contrast and the early phase."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from breastpredict.errors import InputError
from breastpredict.imaging import Geometry, estimate_motion


@pytest.fixture(scope="module")
def pre(shared: Path) -> sitk.Image:
    """The real breast before contrast; its lesion's neighbourhood."""
    file = shared / "data/breast_mri/tcga_ao_a03m_right/R_s6_pre.nii.gz"
    return sitk.ReadImage(str(file), sitk.sitkFloat32)[80:180, 40:140, 10:40]


@pytest.fixture(scope="module")
def post(shared: Path) -> sitk.Image:
    file = shared / "data/breast_mri/tcga_ao_a03m_right/R_s7_post1.nii.gz"
    return sitk.ReadImage(str(file), sitk.sitkFloat32)[80:180, 40:140, 10:40]


def moved(image: sitk.Image, shift: tuple[float, float, float]) -> sitk.Image:
    """The same pixels, displaced by a shift in LPS mm."""
    other = sitk.Image(image)
    other.SetOrigin([o + s for o, s in zip(image.GetOrigin(), shift, strict=True)])
    return other


@pytest.mark.parametrize("shift", [(2.0, 0.0, 0.0), (0.0, -2.0, 0.0), (1.2, 1.0, -1.2)])
def test_a_planted_shift_of_two_millimetres_is_found_on_real_phases(
    pre: sitk.Image, post: sitk.Image, shift: tuple[float, float, float]
) -> None:
    as_acquired = estimate_motion(pre, post)  # the patient moved a little herself
    found = estimate_motion(pre, moved(post, shift))
    planted = np.subtract(found.translation_mm, as_acquired.translation_mm)
    assert planted == pytest.approx(shift, abs=0.3)
    assert found.corrected
    assert found.similarity_after > found.similarity_before


def test_phases_at_rest_are_left_alone(pre: sitk.Image) -> None:
    brighter = pre * 1.4 + 20.0
    motion = estimate_motion(pre, brighter)
    assert motion.displacement_mm < 0.1
    assert not motion.corrected
    assert motion.warning is None


def test_large_motion_is_corrected_with_a_warning(pre: sitk.Image) -> None:
    motion = estimate_motion(pre, moved(pre, (0.0, 4.5, 3.0)))
    assert motion.corrected
    assert motion.warning is not None
    assert "5.4 mm" in motion.warning


def test_the_same_input_gives_the_same_number(pre: sitk.Image, post: sitk.Image) -> None:
    assert estimate_motion(pre, post) == estimate_motion(pre, post)


def test_phases_without_structure_or_overlap_are_refused(pre: sitk.Image) -> None:
    with pytest.raises(InputError, match="cannot be estimated"):
        estimate_motion(pre, moved(pre, (2000.0, 0.0, 0.0)))
    empty = Geometry.from_image(pre).to_image()
    with pytest.raises(InputError, match="cannot be estimated"):
        estimate_motion(empty, empty)
