"""Studies of real scanners are listed as their manifests say: phases, acquisitions, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dce_volumes import assert_same_voxels, files_below, only

from breastpredict.dicom import (
    DceAcquisition,
    index_folder,
    read_study,
)
from breastpredict.phantom import StudyHeader, write_dce

BLOCK = (slice(60, 120), slice(100, 180), slice(15, 35))
BLOCK_MEANS = (475.7, 666.7, 738.2, 779.8, 815.3, 841.9)


# --- A real GE study: TCGA-AO-A03M, the right breast, written as its scanner wrote it ---


@pytest.fixture(scope="module")
def tcga(shared: Path) -> list[sitk.Image]:
    """Pre and five post phases, bit for bit what the scanner stored."""
    folder = shared / "data" / "breast_mri" / "tcga_ao_a03m_right"
    names = ["R_s6_pre", *(f"R_s7_post{n}" for n in range(1, 6))]
    return [
        sitk.Cast(sitk.ReadImage(str(folder / f"{name}.nii.gz")), sitk.sitkUInt16) for name in names
    ]


@pytest.fixture(scope="module")
def tcga_subtraction(shared: Path) -> sitk.Image:
    """What the scanner's own software made of pre and post 1."""
    folder = shared / "data" / "breast_mri" / "tcga_ao_a03m_right"
    return sitk.ReadImage(str(folder / "R_scanner_subtraction_post1-pre.nii.gz"))


def second_breast(phases: list[sitk.Image], x: float | None) -> list[sitk.Image]:
    """46 slices that stand in for the other breast, starting at ``x`` or where the first does."""
    out = []
    for phase in phases:
        stack = phase[:, :, :46]
        if x is not None:
            stack.SetOrigin((x, *stack.GetOrigin()[1:]))
        out.append(stack)
    return out


@pytest.fixture(scope="module", params=[-8.0, None], ids=["beyond a gap", "overlapping in space"])
def tcga_in_ge_layout(
    request: pytest.FixtureRequest,
    tcga: list[sitk.Image],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[DceAcquisition, DceAcquisition, list[sitk.Image]]:
    """Series 6 = pre; series 7 = five times 50 right slices and 46 left ones. As it is read."""
    other = second_breast(tcga, request.param)
    folder = tmp_path_factory.mktemp("tcga")
    write_dce(
        folder,
        tcga,
        layout="ge",
        times_s=[-60, 30, 120, 210, 300, 390],
        second_stack=other,
        header=StudyHeader(laterality=None),
    )
    study = read_study(folder)
    assert study.rejected == ()
    assert sorted(len(a.phases[0].instances) for a in study.dce) == [46, 50]
    long = next(a for a in study.dce if len(a.phases[0].instances) == 50)
    short = next(a for a in study.dce if len(a.phases[0].instances) == 46)
    return long, short, other


def test_ge_series_with_two_breasts_is_one_pre_and_five_post_phases_each(
    tcga_in_ge_layout: tuple[DceAcquisition, DceAcquisition, list[sitk.Image]],
    tcga: list[sitk.Image],
) -> None:
    long, short, other = tcga_in_ge_layout
    for acquisition, expected in ((long, tcga), (short, other)):
        assert [phase.index for phase in acquisition.phases] == [1, 2, 3, 4, 5, 6]
        assert [phase.role for phase in acquisition.phases] == ["pre"] + ["post"] * 5
        assert acquisition.chosen == 2
        series = [phase.series_uid for phase in acquisition.phases]
        assert series[0] != series[1] and len(set(series[1:])) == 1
        for phase, image in zip(acquisition.phases, expected, strict=True):
            assert_same_voxels(phase, image)


def test_the_subtraction_is_the_scanners_own(
    tcga_in_ge_layout: tuple[DceAcquisition, DceAcquisition, list[sitk.Image]],
    tcga_subtraction: sitk.Image,
) -> None:
    acquisition = tcga_in_ge_layout[0]
    early, before = acquisition.phase(acquisition.chosen), acquisition.pre[-1]
    change = sitk.Clamp(sitk.Subtract(early.read(), before.read()), lowerBound=0.0)
    there = sitk.Resample(change, tcga_subtraction, sitk.Transform(), sitk.sitkNearestNeighbor)
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(there), sitk.GetArrayFromImage(tcga_subtraction)
    )


def test_the_phases_have_the_signal_of_the_reference(
    tcga_in_ge_layout: tuple[DceAcquisition, DceAcquisition, list[sitk.Image]],
    tcga: list[sitk.Image],
) -> None:
    for phase, mean in zip(tcga_in_ge_layout[0].phases, BLOCK_MEANS, strict=True):
        there = sitk.Resample(phase.read(), tcga[0], sitk.Transform(), sitk.sitkNearestNeighbor)
        block = sitk.GetArrayFromImage(there).transpose(2, 1, 0)[BLOCK]
        assert block.mean() == pytest.approx(mean, abs=0.05)


# --- Other real scanners: each set as its manifest says ---


def series(shared: Path, name: str) -> Path:
    return shared / "data" / "dicom_mr" / name


def test_ge_multiphase_by_temporal_position(shared: Path) -> None:
    acquisition = only(read_study(series(shared, "ge_multiphase")))
    assert len(acquisition.phases) == 10
    assert acquisition.key == "TemporalPositionIdentifier"
    for phase in acquisition.phases:
        assert len(phase.instances) == 10
        for instance in phase.instances:
            data = pydicom.dcmread(instance.path, stop_before_pixels=True)
            assert data.TemporalPositionIdentifier == phase.index


def test_philips_image_types_are_kept_apart(shared: Path) -> None:
    study = read_study(series(shared, "philips_1903_classic"))
    assert [len(a.phases) for a in study.dce] == [3, 3]
    for acquisition in study.dce:
        labels = set()
        for phase in acquisition.phases:
            assert len(phase.instances) == 40
            for instance in phase.instances:
                data = pydicom.dcmread(instance.path, stop_before_pixels=True)
                assert data.TemporalPositionIdentifier == phase.index
                labels.add(
                    (
                        tuple(data.ImageType),
                        data.get((0x2005, 0x1429), None) and data[0x2005, 0x1429].value,
                    )
                )
        assert len(labels) == 1


def test_siemens_enhanced_files_are_three_phases(shared: Path) -> None:
    acquisition = only(read_study(series(shared, "siemens_xa60_enhanced")))
    assert acquisition.key == "TemporalPositionIndex"
    assert [len(phase.instances) for phase in acquisition.phases] == [10, 10, 10]
    for phase in acquisition.phases:
        assert len({instance.path for instance in phase.instances}) == 1
        data = pydicom.dcmread(phase.instances[0].path, stop_before_pixels=True)
        content = data.PerFrameFunctionalGroupsSequence[0].FrameContentSequence[0]
        assert content.TemporalPositionIndex == phase.index
        for instance in phase.instances:
            assert instance.frame is not None
            group = data.PerFrameFunctionalGroupsSequence[instance.frame - 1]
            place = group.PlanePositionSequence[0].ImagePositionPatient
            k = phase.instances.index(instance)
            np.testing.assert_allclose(
                phase.geometry.index_to_physical(np.array([0.0, 0.0, k])), place, atol=0.01
            )
        np.testing.assert_array_equal(
            sitk.GetArrayFromImage(phase.read())[0],
            pydicom.dcmread(phase.instances[0].path).pixel_array[
                (phase.instances[0].frame or 1) - 1
            ],
        )


def test_a_mosaic_is_refused_never_misread(shared: Path) -> None:
    study = read_study(series(shared, "siemens_mosaic"))
    assert study.dce == ()
    assert all("mosaic" in rejected.reason for rejected in study.rejected)
    assert sum(rejected.files for rejected in study.rejected) == 2


def test_qiba_reference_object_has_sixty_one_phases_by_time(shared: Path) -> None:
    studies = index_folder(series(shared, "qiba_dro_q4_acqtime"))
    dynamic = [acquisition for study in studies for acquisition in study.dce]
    assert len(dynamic) == 1
    times = [phase.time_s for phase in dynamic[0].phases]
    assert len(times) == 61
    np.testing.assert_allclose(np.diff(times), 5.5, atol=1e-3)
    # The six flip angles beside them are no phases; each is accounted for.
    assert sum(rejected.files for study in studies for rejected in study.rejected) == 6
    assert len(read_study(series(shared, "qiba_dro_q4_acqtime")).dce) == 1


@pytest.mark.parametrize("name", ["pydicom_data", "enhanced_mr_test"])
def test_assorted_files_are_grouped_or_refused_with_a_reason(shared: Path, name: str) -> None:
    folder = series(shared, name)
    files = len([path for path in files_below(folder) if path.suffix == ".dcm"])
    studies = index_folder(folder)
    used = {
        instance.path
        for study in studies
        for acquisition in study.dce
        for phase in acquisition.phases
        for instance in phase.instances
    }
    rejected = [r for study in studies for r in study.rejected]
    assert len(used) + sum(r.files for r in rejected) == files
    assert all(r.reason for r in rejected)
