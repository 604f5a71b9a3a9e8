"""Series as vendors write them: twins, files of any cut, kinds of images, two breasts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dce_volumes import SAGITTAL, TIMES, dce, image_of, only
from pydicom import Dataset
from vendor_variants import (
    LABEL,
    as_one_series,
    assert_phases,
    change_frames,
    frames_apart,
    ge_component,
    joined_enhanced,
    new_uid,
    philips_component,
    philips_enhanced,
    reasons,
    save,
    siemens_component,
    stated_component,
    vary,
    without,
    written,
)

from breastpredict.dicom import read_study
from breastpredict.phantom import StudyHeader

SLICES, PHASES = 9, 4


# --- Philips: the Enhanced twin of a classic series ---


@pytest.fixture(scope="module")
def philips(shared: Path) -> list[Path]:
    """A real classic series: 40 slices, 3 times, label and control."""
    folder = shared / "data" / "dicom_mr" / "philips_1903_classic"
    return sorted(folder.glob("*.dcm"))


@pytest.fixture(scope="module")
def twin(philips: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pixels in one Enhanced file."""
    return philips_enhanced(philips, tmp_path_factory.mktemp("twin") / "enhanced.dcm")


def change_groups(twin: Path, path: Path, change: Callable[[Dataset], None]) -> None:
    """The twin with other functional groups."""
    data = pydicom.dcmread(twin)
    for group in data.PerFrameFunctionalGroupsSequence:
        change(group)
    save(data, path)


def without_temporal_index(group: Dataset) -> None:
    without(group.FrameContentSequence[0], "TemporalPositionIndex")


@pytest.mark.parametrize("change", [None, without_temporal_index])
def test_the_enhanced_twin_is_grouped_as_its_classic_series(
    philips: list[Path], twin: Path, tmp_path: Path, change: Callable[[Dataset], None] | None
) -> None:
    """Told apart by a private dimension, and by what a private sequence says of each frame."""
    if change is not None:
        change_groups(twin, tmp_path / "enhanced.dcm", change)
    found = {a.kind: a for a in read_study(twin.parent if change is None else tmp_path).dce}
    expected = {a.kind: a for a in read_study(philips[0].parent).dce}
    assert sorted(found) == sorted(expected) == ["label CONTROL", "label LABEL"]
    for kind, acquisition in found.items():
        assert [p.time_s for p in acquisition.phases] == [0.0, 127.5, 255.0]
        assert_phases(acquisition, [phase.read() for phase in expected[kind].phases])


def test_the_private_dimension_alone_tells_label_from_control(
    philips: list[Path], twin: Path, tmp_path: Path
) -> None:
    def bare(group: Dataset) -> None:
        del group[0x2005, 0x140F]

    change_groups(twin, tmp_path / "enhanced.dcm", bare)
    labels = [pydicom.dcmread(f, stop_before_pixels=True)[LABEL].value for f in philips]
    study = read_study(tmp_path)
    assert [len(a.phases) for a in study.dce] == [3, 3]
    for acquisition in study.dce:
        frames = [i.frame or 0 for phase in acquisition.phases for i in phase.instances]
        assert len({labels[frame - 1] for frame in frames}) == 1


def test_a_private_sequence_of_another_creator_is_not_believed(twin: Path, tmp_path: Path) -> None:
    def foreign(group: Dataset) -> None:
        group[0x2005, 0x0014].value = "SOMEONE ELSE"

    change_groups(twin, tmp_path / "enhanced.dcm", foreign)
    assert {a.kind for a in read_study(tmp_path).dce} == {
        "dimension PhilipsLabelType 1",
        "dimension PhilipsLabelType 2",
    }


def test_a_twin_beside_its_classic_series_is_a_copy(
    philips: list[Path], twin: Path, tmp_path: Path
) -> None:
    for file in (*philips, twin):
        shutil.copy(file, tmp_path)
    study = read_study(tmp_path)
    assert [len(a.phases) for a in study.dce] == [3, 3]
    assert {reason for reason, _ in reasons(study)} == {
        "a copy under other UIDs of what series 1903 holds"
    }


# --- Siemens XA: Enhanced files of one slice, one time, or everything ---

XA: dict[str, list[range]] = {
    "a file for each slice": [range(f, f + 1) for f in range(PHASES * SLICES)],
    "a file for each time": [range(p, p + SLICES) for p in range(0, PHASES * SLICES, SLICES)],
    "a file for each slice at all times": [
        range(k, PHASES * SLICES, SLICES) for k in range(SLICES)
    ],
    "one file": [range(PHASES * SLICES)],
}


@pytest.mark.parametrize(("indexed", "stack_per_slice"), [(True, False), (False, True)])
@pytest.mark.parametrize("how", XA)
def test_enhanced_frames_are_grouped_however_files_hold_them(
    tmp_path: Path, how: str, indexed: bool, stack_per_slice: bool
) -> None:
    """Also without temporal indices, and with a StackID that only counts the slices."""
    file = written(tmp_path / "whole", "enhanced").phases[0].files[0]

    def as_xa(group: Dataset, p: int, k: int) -> None:
        content = group.FrameContentSequence[0]
        if stack_per_slice:
            content.StackID, content.InStackPositionNumber = str(k + 1), 1
        if not indexed:
            without(content, "TemporalPositionIndex", "DimensionIndexValues")
            without(group, "TemporalPositionSequence", "ContrastBolusUsageSequence")

    change_frames(file, as_xa, SLICES)
    frames_apart(file, tmp_path / "apart", XA[how])
    acquisition = only(read_study(tmp_path / "apart"))
    assert acquisition.key == ("TemporalPositionIndex" if indexed else "AcquisitionTime")
    assert [phase.role for phase in acquisition.phases] == ["pre", "post", "post", "post"]
    assert_phases(acquisition, dce())


def test_dimension_indices_in_another_order_than_their_names_are_not_used(tmp_path: Path) -> None:
    """As a Philips release writes them: a kind of image would be made of every slice."""
    file = written(tmp_path, "enhanced").phases[0].files[0]

    def shuffled(group: Dataset, p: int, k: int) -> None:
        group.FrameContentSequence[0].DimensionIndexValues = [k + 1, p + 1, 1]

    change_frames(file, shuffled, SLICES)
    data = pydicom.dcmread(file)
    kind = Dataset()
    kind.DimensionIndexPointer = 0x00189226  # a frame type
    data.DimensionIndexSequence = [kind, *data.DimensionIndexSequence]
    save(data, file)
    assert_phases(only(read_study(tmp_path)), dce())


# --- Kinds of images at one place and time ---

DIXON = {"water": 1.0, "fat": 0.6, "in phase": 1.3, "opposed phase": 0.8}
DIXON_WORDS = {
    "GE": [("DERIVED", "PRIMARY", "DIXON", w) for w in ("WATER", "FAT", "IN_PHASE", "OUT_PHASE")],
    "Siemens": [
        ("ORIGINAL", "PRIMARY", "M", "DIXON", w) for w in ("WATER", "FAT", "IN_PHASE", "OPP_PHASE")
    ],
    "Philips": [("DERIVED", "PRIMARY", w, w, "DERIVED") for w in ("W", "F", "IP", "OP")],
}


def dixon_image(image: sitk.Image, kind: str) -> sitk.Image:
    scaled = sitk.Cast(image, sitk.sitkFloat32) * DIXON[kind] + 3
    return sitk.Cast(scaled, sitk.sitkUInt16)


def write_dixon(
    folder: Path, tags: Callable[[Dataset, int], None], *, series_per_phase: bool
) -> None:
    """Four images of every slice, told apart by what ``tags`` writes for the n-th of them."""
    for n, kind in enumerate(DIXON):
        one = written(folder / kind, phases=[dixon_image(image, kind) for image in dce()])

        def change(data: Dataset, p: int, k: int, n: int = n) -> None:
            data.SOPInstanceUID = new_uid("image", n, p, k)
            data.SeriesInstanceUID, data.SeriesNumber = new_uid("series", n, p), 10 + 4 * p + n
            if not series_per_phase:
                as_one_series(data, 1 + (p * len(DIXON) + n) * SLICES + k)
            tags(data, n)

        vary(one, change)


@pytest.mark.parametrize("series_per_phase", [True, False])
@pytest.mark.parametrize("vendor", DIXON_WORDS)
def test_water_fat_in_and_opposed_phase_are_four_acquisitions_water_first(
    tmp_path: Path, vendor: str, series_per_phase: bool
) -> None:
    def tags(data: Dataset, n: int) -> None:
        data.ImageType = list(DIXON_WORDS[vendor][n])

    write_dixon(tmp_path, tags, series_per_phase=series_per_phase)
    study = read_study(tmp_path)
    assert study.rejected == ()
    assert study.dce[0].kind == "water"
    found = {acquisition.kind: acquisition for acquisition in study.dce}
    assert sorted(found) == sorted(DIXON)
    for kind, acquisition in found.items():
        assert_phases(acquisition, [dixon_image(image, kind) for image in dce()])


def test_images_of_one_time_are_told_apart_by_the_description_of_their_series(
    tmp_path: Path,
) -> None:
    """Old scanners say water and fat nowhere else; the words themselves are not shown."""

    def tags(data: Dataset, n: int) -> None:
        data.SeriesDescription = f"{list(DIXON)[n]}: Smith, Jane"

    write_dixon(tmp_path, tags, series_per_phase=True)
    study = read_study(tmp_path)
    assert sorted(a.kind for a in study.dce) == [
        f"series {', '.join(str(10 + n + 4 * p) for p in range(PHASES))}" for n in range(4)
    ]
    for acquisition in study.dce:
        assert len(acquisition.phases) == PHASES
        assert "Smith" not in str(acquisition)


@pytest.mark.parametrize("series_per_phase", [True, False])
def test_images_of_one_time_that_nothing_tells_apart_are_refused(
    tmp_path: Path, series_per_phase: bool
) -> None:
    write_dixon(tmp_path, lambda data, n: None, series_per_phase=series_per_phase)
    study = read_study(tmp_path)
    assert study.dce == ()
    assert sum(files for _, files in reasons(study)) == 4 * PHASES * SLICES
    assert all("no tag tells" in reason for reason, _ in reasons(study))


@pytest.mark.parametrize("one_series", [True, False])
@pytest.mark.parametrize(
    "tags", [philips_component, siemens_component, ge_component, stated_component]
)
def test_phase_images_beside_the_magnitude_are_left_out(
    tmp_path: Path, tags: Callable[[Dataset, int], None], one_series: bool
) -> None:
    rng = np.random.default_rng(7)
    angles = [image_of(rng.integers(0, 4096, (9, 16, 20)).astype(np.uint16)) for _ in TIMES]
    for n, images in enumerate((dce(), angles)):
        one = written(tmp_path / f"{n}", phases=images)

        def change(data: Dataset, p: int, k: int, n: int = n) -> None:
            data.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
            data.SOPInstanceUID = new_uid("image", n, p, k)
            data.SeriesInstanceUID, data.SeriesNumber = new_uid("series", n, p), 10 + 2 * p + n
            if one_series:
                as_one_series(data, 1 + 2 * (p * SLICES + k) + n)
            tags(data, n)

        vary(one, change)
    study = read_study(tmp_path)
    assert_phases(only(study), dce())
    assert {reason for reason, _ in reasons(study)} == {"phase images, not magnitude"}
    assert sum(files for _, files in reasons(study)) == PHASES * SLICES


def test_flip_angles_of_a_t1_map_in_the_series_are_no_phases(tmp_path: Path) -> None:
    """As in a QIBA reference object."""

    def dynamic(data: Dataset, p: int, k: int) -> None:
        as_one_series(data, p * SLICES + k + 1)

    def mapping(data: Dataset, p: int, k: int) -> None:
        data.SOPInstanceUID, data.FlipAngle = new_uid("image", p, k), str((3, 20)[p])
        as_one_series(data, 100 + p * SLICES + k)

    vary(written(tmp_path / "dynamic"), dynamic)
    angles = written(tmp_path / "angles", phases=dce(2, seed=3), times_s=(-500, -400))
    vary(angles, mapping)
    study = read_study(tmp_path)
    acquisition = only(study)
    assert acquisition.kind == "flip angle 12"
    assert_phases(acquisition, dce())
    assert [(r[:14], n) for r, n in reasons(study)] == [
        ("flip angle 20:", SLICES),
        ("flip angle 3: ", SLICES),
    ]


@pytest.mark.parametrize(
    "image_type",
    [
        ["DERIVED", "SECONDARY", "SUBTRACTION"],
        ["ORIGINAL", "PRIMARY", "PROJECTION IMAGE", "MIP"],
        ["DERIVED", "PRIMARY", "M", "ND", "MOCO"],
        ["DERIVED", "PRIMARY", "OTHER"],
    ],
)
def test_derived_images_in_the_series_of_the_phases_do_not_take_it_with_them(
    tmp_path: Path, image_type: list[str]
) -> None:
    one = written(tmp_path, "philips")
    for k, file in enumerate(one.phases[1].files):
        data = pydicom.dcmread(file)
        data.SOPInstanceUID, data.ImageType = new_uid("image", k), image_type
        save(data, tmp_path / f"derived{k}.dcm")
    study = read_study(tmp_path)
    assert_phases(only(study), dce())
    assert [(r[:7], n) for r, n in reasons(study)] == [("derived", SLICES)]


# --- Two breasts ---


@pytest.mark.parametrize("slices", [SLICES, 7])
@pytest.mark.parametrize("layout", ["ge", "enhanced"])
@pytest.mark.parametrize("plane", ["axial", "sagittal"])
def test_two_breasts_are_two_acquisitions(
    tmp_path: Path, plane: str, layout: str, slices: int
) -> None:
    axes = SAGITTAL if plane == "sagittal" else ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
    right = dce(axes=axes, origin=(-80.0, -60.0, 30.0))
    left = dce(axes=axes, origin=(60.0, -60.0, 30.0), seed=3, size=(20, 16, slices))
    header = StudyHeader(laterality=None, trigger_times=True)
    if layout == "ge":
        written(tmp_path, "ge", phases=right, second_stack=left, header=header)
    else:
        files = [
            written(tmp_path / side, layout, phases=images, header=header).phases[0].files[0]
            for side, images in (("R", right), ("L", left))
        ]
        joined_enhanced(files, files[0])
        files[1].unlink()
    found = {acquisition.laterality: acquisition for acquisition in read_study(tmp_path).dce}
    assert sorted(found) == ["L", "R"]
    assert_phases(found["R"], right)
    assert_phases(found["L"], left)


def test_positions_that_straddle_a_rounding_step_are_one_stack(tmp_path: Path) -> None:
    """The last digits of a position differ from slice to slice and from phase to phase."""
    origin = (12.05, -60.05, 30.01)

    def jitter(data: Dataset, p: int, k: int) -> None:
        sign = 1 if (p + k) % 2 else -1
        data.ImagePositionPatient = [v + sign * 1e-3 for v in data.ImagePositionPatient]
        data.ImageOrientationPatient = [v + sign * 1e-6 for v in (1, 5e-4, 0, -5e-4, 1, 0)]
        data.PixelSpacing = [1.3 + sign * 1e-5, 0.9 + sign * 1e-5]
        as_one_series(data, p * SLICES + k + 1)

    one = written(tmp_path, phases=dce(origin=origin))
    vary(one, jitter)
    acquisition = only(read_study(tmp_path))
    assert acquisition.key == "AcquisitionTime"
    for phase, made in zip(acquisition.phases, one.phases, strict=True):
        assert [instance.path for instance in phase.instances] == list(made.files)
