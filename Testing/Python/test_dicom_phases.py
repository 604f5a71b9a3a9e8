"""The phases of a DCE acquisition: every layout, their pixels, times and roles, the early one."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dce_volumes import SAGITTAL, TIMES, assert_same_voxels, dce, files_below, oblique_axes, only

from breastpredict.dicom import read_study
from breastpredict.errors import InputError
from breastpredict.phantom import LAYOUTS, StudyHeader, write_dce

STEP = 90.0
PLANES = {
    "axial": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
    "sagittal": SAGITTAL,
    "coronal": ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
    "oblique": oblique_axes(0.6),
}


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_phases_bit_for_bit(tmp_path: Path, layout: str, plane: str) -> None:
    phases = dce(axes=PLANES[plane])
    written = write_dce(tmp_path, phases, layout=layout, times_s=TIMES)
    acquisition = only(read_study(tmp_path))
    assert [phase.index for phase in acquisition.phases] == [1, 2, 3, 4]
    assert [phase.role for phase in acquisition.phases] == ["pre", "post", "post", "post"]
    assert acquisition.phases[0].geometry.plane == plane
    assert acquisition.warnings == () or "No tag tells when" in acquisition.warnings[0]
    for phase, image, made in zip(acquisition.phases, phases, written.phases, strict=True):
        assert phase.series_uid == made.series_uid
        assert_same_voxels(phase, image)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_slices_run_along_the_right_handed_normal_and_carry_their_source(
    tmp_path: Path, layout: str
) -> None:
    write_dce(tmp_path, dce(axes=oblique_axes()), layout=layout, times_s=TIMES)
    for phase in only(read_study(tmp_path)).phases:
        assert np.linalg.det(np.reshape(phase.geometry.direction, (3, 3))) == pytest.approx(1)
        for k, instance in enumerate(phase.instances):
            data = pydicom.dcmread(instance.path, stop_before_pixels=True)
            assert (data.SOPClassUID, data.SOPInstanceUID) == (
                instance.sop_class_uid,
                instance.sop_instance_uid,
            )
            if instance.frame is None:
                position = data.ImagePositionPatient
            else:
                group = data.PerFrameFunctionalGroupsSequence[instance.frame - 1]
                position = group.PlanePositionSequence[0].ImagePositionPatient
            np.testing.assert_allclose(
                phase.geometry.index_to_physical(np.array([0.0, 0.0, k])), position, atol=1e-3
            )


def test_a_slab_is_the_same_as_that_part_of_the_whole(tmp_path: Path) -> None:
    write_dce(tmp_path, dce(axes=oblique_axes()), layout="philips", times_s=TIMES)
    phase = only(read_study(tmp_path)).phases[2]
    slab = phase.read_slices(3, 6)
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(slab), sitk.GetArrayFromImage(phase.read())[3:6]
    )
    assert slab.GetOrigin() == pytest.approx(
        phase.read().TransformIndexToPhysicalPoint((0, 0, 3)), abs=1e-6
    )


# --- Times ---


@pytest.mark.parametrize("layout", ["siemens", "philips", "enhanced", "enhanced-per-phase", "ge"])
def test_times_are_counted_from_the_injection_where_it_is_known(
    tmp_path: Path, layout: str
) -> None:
    header = StudyHeader(trigger_times=True)
    write_dce(tmp_path, dce(), layout=layout, times_s=TIMES, header=header)
    acquisition = only(read_study(tmp_path))
    assert {phase.time_origin for phase in acquisition.phases} == {"injection"}
    centres = [start + STEP / 2 for start in TIMES]
    np.testing.assert_allclose([p.time_s for p in acquisition.phases], centres, atol=1e-3)


@pytest.mark.parametrize("layout", ["siemens", "philips", "enhanced", "enhanced-per-phase", "ge"])
def test_times_are_counted_from_the_first_phase_where_it_is_not(
    tmp_path: Path, layout: str
) -> None:
    header = StudyHeader(injection=False, trigger_times=True)
    write_dce(tmp_path, dce(), layout=layout, times_s=TIMES, header=header)
    acquisition = only(read_study(tmp_path))
    assert {phase.time_origin for phase in acquisition.phases} == {"first phase"}
    np.testing.assert_allclose([p.time_s for p in acquisition.phases], [0, 90, 180, 270], atol=1e-3)


def test_without_any_time_only_the_order_is_claimed(tmp_path: Path) -> None:
    write_dce(tmp_path, dce(), layout="ge", times_s=TIMES)
    acquisition = only(read_study(tmp_path))
    assert all(np.isnan(phase.time_s) for phase in acquisition.phases)
    assert "unknown" in acquisition.phases[0].time_origin
    assert any("only their order is known" in warning for warning in acquisition.warnings)
    assert acquisition.chosen == 2


@pytest.mark.parametrize("layout", ["siemens", "enhanced-per-phase", "philips"])
@pytest.mark.parametrize("minutes", [1, 3, 4])
def test_midnight_changes_nothing(tmp_path: Path, layout: str, minutes: int) -> None:
    start = datetime(2020, 1, 2) + timedelta(days=1) - timedelta(minutes=minutes)
    phases = dce()
    write_dce(tmp_path, phases, layout=layout, times_s=TIMES, header=StudyHeader(start=start))
    acquisition = only(read_study(tmp_path))
    np.testing.assert_allclose(
        [phase.time_s for phase in acquisition.phases], [t + STEP / 2 for t in TIMES], atol=1e-3
    )
    for phase, image in zip(acquisition.phases, phases, strict=True):
        assert_same_voxels(phase, image)


def one_series(folder: Path, number: dict[str, int], **values: object) -> None:
    """Make one series of every file; InstanceNumber by SOP instance; other attributes as given."""
    for file in files_below(folder):
        data = pydicom.dcmread(file)
        data.SeriesInstanceUID, data.SeriesNumber = "2.25.5", 5
        data.InstanceNumber = number[data.SOPInstanceUID]
        for keyword, value in values.items():
            setattr(data, keyword, value)
        data.save_as(file)


@pytest.mark.parametrize("minutes", [1, 3, 600])
def test_one_series_told_apart_by_acquisition_time_alone(tmp_path: Path, minutes: int) -> None:
    """Also over midnight, and with instance numbers that say nothing."""
    start = datetime(2020, 1, 3) - timedelta(minutes=minutes)
    phases = dce()
    header = StudyHeader(start=start, injection=False)
    write_dce(tmp_path, phases, layout="siemens", times_s=TIMES, header=header)
    uids = [str(pydicom.dcmread(file).SOPInstanceUID) for file in files_below(tmp_path)]
    one_series(tmp_path, {uid: n for n, uid in enumerate(sorted(uids), start=1)})
    acquisition = only(read_study(tmp_path))
    assert acquisition.key == "AcquisitionTime"
    np.testing.assert_allclose([p.time_s for p in acquisition.phases], [0, 90, 180, 270], atol=1e-3)
    for phase, image in zip(acquisition.phases, phases, strict=True):
        assert_same_voxels(phase, image)


@pytest.mark.parametrize("order", ["phase after phase", "slice after slice"])
def test_one_series_without_any_temporal_tag_by_its_own_order(tmp_path: Path, order: str) -> None:
    phases = dce()
    write_dce(tmp_path, phases, layout="siemens", times_s=TIMES)
    number = {}
    for place, file in enumerate(files_below(tmp_path)):
        phase, k = divmod(place, 9)
        uid = str(pydicom.dcmread(file).SOPInstanceUID)
        number[uid] = 1 + (place if order == "phase after phase" else k * len(phases) + phase)
    one_series(
        tmp_path, number, AcquisitionTime="093000", ContentTime="093000", ContrastBolusStartTime=""
    )
    acquisition = only(read_study(tmp_path))
    assert acquisition.key == "InstanceNumber"
    for phase, image in zip(acquisition.phases, phases, strict=True):
        assert_same_voxels(phase, image)


# --- Roles ---


@pytest.mark.parametrize("layout", LAYOUTS)
def test_several_phases_may_come_before_contrast(tmp_path: Path, layout: str) -> None:
    phases = dce(5, pre=2)
    times = (-150.0, -60.0, 30.0, 120.0, 210.0)
    write_dce(tmp_path, phases, layout=layout, times_s=times, pre_phases=2)
    acquisition = only(read_study(tmp_path))
    assert [phase.role for phase in acquisition.phases] == ["pre", "pre", "post", "post", "post"]
    assert [phase.index for phase in acquisition.pre] == [1, 2]
    assert acquisition.chosen == 3
    for phase, image in zip(acquisition.phases, phases, strict=True):
        assert_same_voxels(phase, image)


def test_roles_come_from_the_signal_and_not_from_names(tmp_path: Path) -> None:
    """The headers say one phase before contrast; the pixels show two."""
    write_dce(tmp_path, dce(4, pre=2), layout="siemens", times_s=TIMES, pre_phases=1)
    for file in files_below(tmp_path):
        data = pydicom.dcmread(file)
        data.SeriesDescription = "post contrast"
        data.save_as(file)
    acquisition = only(read_study(tmp_path))
    assert [phase.role for phase in acquisition.phases] == ["pre", "pre", "post", "post"]


def test_without_enhancement_no_phase_is_chosen(tmp_path: Path) -> None:
    write_dce(tmp_path, dce(4, pre=4), layout="siemens", times_s=TIMES)
    acquisition = only(read_study(tmp_path))
    assert {phase.role for phase in acquisition.phases} == {"unknown"}
    assert acquisition.chosen is None
    assert "no phase shows enhancement" in acquisition.reason


# --- The early phase ---


@pytest.mark.parametrize(
    ("starts", "chosen"),
    [
        ((-60.0, 30.0, 120.0, 210.0), 2),  # centres 75, 165
        ((-60.0, 0.0, 60.0, 120.0), 3),  # centres 30, 90
        ((-80.0, 10.0, 100.0, 190.0), 2),  # centres 55, 145
        ((-20.0, 5.0, 30.0, 55.0), 4),  # centres 17.5, 42.5, 67.5
    ],
)
@pytest.mark.parametrize("layout", ["siemens", "enhanced"])
def test_with_known_injection_the_phase_nearest_to_ninety_seconds(
    tmp_path: Path, layout: str, starts: tuple[float, ...], chosen: int
) -> None:
    write_dce(tmp_path, dce(), layout=layout, times_s=starts)
    acquisition = only(read_study(tmp_path))
    assert acquisition.chosen == chosen
    assert "90 s" in acquisition.rule
    assert f"{acquisition.phase(chosen).time_s:.1f} s after injection" in acquisition.reason


def test_without_injection_the_first_post_contrast_phase(tmp_path: Path) -> None:
    write_dce(
        tmp_path,
        dce(),
        layout="siemens",
        times_s=(-60.0, 0.0, 60.0, 120.0),
        header=StudyHeader(injection=False),
    )
    acquisition = only(read_study(tmp_path))
    assert acquisition.chosen == 2
    assert acquisition.rule == "first post-contrast phase"
    assert "60.0 s after the first phase" in acquisition.reason


@pytest.mark.parametrize("index", [0, 5, None])
def test_a_phase_that_is_not_there(tmp_path: Path, index: int | None) -> None:
    write_dce(tmp_path, dce(), layout="siemens", times_s=TIMES)
    acquisition = only(read_study(tmp_path))
    with pytest.raises(InputError, match="1 to 4"):
        acquisition.phase(index)


# --- Laterality ---


def test_two_breasts_in_one_series_are_told_apart_by_place(tmp_path: Path) -> None:
    right = dce(axes=SAGITTAL, origin=(-20.0, -60.0, 30.0))  # x from -20 to -41: right
    left = dce(axes=SAGITTAL, size=(20, 16, 7), seed=3, origin=(55.0, -60.0, 30.0))
    write_dce(
        tmp_path,
        right,
        layout="ge",
        times_s=TIMES,
        second_stack=left,
        header=StudyHeader(laterality=None),
    )
    acquisitions = {a.laterality: a for a in read_study(tmp_path).dce}
    assert sorted(map(str, acquisitions)) == ["L", "R"]
    for side, images in (("R", right), ("L", left)):
        for phase, image in zip(acquisitions[side].phases, images, strict=True):
            assert_same_voxels(phase, image)


@pytest.mark.parametrize("trigger_times", [False, True])
@pytest.mark.parametrize(
    ("x", "slices"),
    [
        (30.0, 10),  # in the same place
        (27.0, 10),  # one slice on
        (15.0, 9),  # half inside
        (30.0, 4),  # much shorter
        (-3.0, 10),  # one position in common
        (-1.5, 11),  # between the slices of the first
        (-9.0, 10),  # one position left free, across the midline
        (-70.0, 7),  # far away
    ],
)
def test_a_second_stack_is_told_apart_wherever_it_lies(
    tmp_path: Path, x: float, slices: int, trigger_times: bool
) -> None:
    """The first stack has 12 slices from x = 30 to -3 mm."""
    place = {"axes": SAGITTAL, "spacing": (0.9, 0.9, 3.0)}
    first = dce(3, size=(20, 16, 12), origin=(30.0, -60.0, 30.0), **place)
    second = dce(3, size=(20, 16, slices), seed=4, origin=(x, -60.0, 30.0), **place)
    header = StudyHeader(laterality=None, trigger_times=trigger_times)
    write_dce(tmp_path, first, layout="ge", times_s=TIMES[:3], second_stack=second, header=header)
    study = read_study(tmp_path)
    assert study.rejected == ()
    found = {len(acquisition.phases[0].instances): acquisition for acquisition in study.dce}
    assert sorted(found) == sorted({12, slices})
    for count, images in ((12, first), (slices, second)):
        for phase, image in zip(found[count].phases, images, strict=True):
            assert_same_voxels(phase, image)


@pytest.mark.parametrize(("x", "side"), [(-60.0, "R"), (20.0, "L"), (-9.0, "B")])
def test_side_by_place_where_no_tag_says_it(tmp_path: Path, x: float, side: str) -> None:
    write_dce(
        tmp_path,
        dce(origin=(x, -60.0, 30.0)),
        layout="siemens",
        times_s=TIMES,
        header=StudyHeader(laterality=None),
    )
    assert only(read_study(tmp_path)).laterality == side


def test_a_tag_against_the_place_is_warned_of(tmp_path: Path) -> None:
    write_dce(
        tmp_path,
        dce(origin=(-60.0, -60.0, 30.0)),
        layout="siemens",
        times_s=TIMES,
        header=StudyHeader(laterality="L"),
    )
    acquisition = only(read_study(tmp_path))
    assert acquisition.laterality == "L"
    assert any("side of R" in warning for warning in acquisition.warnings)
