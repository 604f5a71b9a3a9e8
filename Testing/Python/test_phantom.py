"""The phantom: known pixels in every vendor's layout, and cohorts only morphology tells apart."""

from __future__ import annotations

import csv
import filecmp
import math
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import label
from sklearn.metrics import roc_auc_score

from breastpredict.errors import InputError
from breastpredict.phantom import (
    LAYOUTS,
    STUDY_DESCRIPTION,
    CasePlan,
    StudyHeader,
    make_her2_phantom,
    plan_her2_cohorts,
    render_her2_case,
    write_dce,
)

CLASSIC = ("ge", "siemens", "philips")
TIMES = (-70.0, 45.0, 115.5)


def volume(seed: int, slices: int = 5, dtype: type = np.uint16, low: int = 0) -> sitk.Image:
    """Random values on an oblique, anisotropic, non-square grid."""
    values = np.random.default_rng(seed).integers(low, low + 5000, (slices, 9, 12)).astype(dtype)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.7, 0.9, 3.0))
    image.SetOrigin((10.25, -20.5, 7.125))
    c, s = math.cos(0.3), math.sin(0.3)
    image.SetDirection((c, -s, 0, s, c, 0, 0, 0, 1))
    return image


def read_classic(files: tuple[Path, ...]) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(file) for file in files])
    return reader.Execute()


def frames(file: Path) -> list[tuple[int, tuple[float, ...], NDArray[np.uint16]]]:
    """Temporal position, position in space and pixels of an enhanced file's frames."""
    data = pydicom.dcmread(file)
    return [
        (
            int(group.FrameContentSequence[0].TemporalPositionIndex),
            tuple(map(float, group.PlanePositionSequence[0].ImagePositionPatient)),
            pixels,
        )
        for group, pixels in zip(
            data.PerFrameFunctionalGroupsSequence, data.pixel_array, strict=True
        )
    ]


def assert_valid(*files: Path) -> None:
    """dciodvfy finds no error."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("needs dciodvfy (Debian package dicom3tools)")
    for file in files:
        done = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
        errors = [li for li in (done.stdout + done.stderr).splitlines() if li.startswith("Error")]
        assert not errors, f"{file.name}: {errors}"


# --- DICOM layouts ---------------------------------------------------------------------------


@pytest.mark.parametrize("layout", CLASSIC)
@pytest.mark.parametrize(("dtype", "low"), [(np.uint16, 0), (np.uint16, 60000), (np.int16, -900)])
def test_integer_volumes_come_back_bit_for_bit_at_their_place(
    tmp_path: Path, layout: str, dtype: type, low: int
) -> None:
    phases = [volume(p, dtype=dtype, low=low) for p in range(3)]

    written = write_dce(tmp_path / "study", phases, layout=layout, times_s=TIMES)

    for phase, made in zip(phases, written.phases, strict=True):
        back = read_classic(made.files)
        assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(phase))
        assert back.GetOrigin() == pytest.approx(phase.GetOrigin(), abs=1e-6)
        assert back.GetSpacing() == pytest.approx(phase.GetSpacing(), abs=1e-6)
        assert back.GetDirection() == pytest.approx(phase.GetDirection(), abs=1e-6)
        assert_valid(made.files[0])


def test_real_numbers_come_back_within_half_a_step(tmp_path: Path) -> None:
    phases = [sitk.Cast(volume(p), sitk.sitkFloat32) * 0.01 - 3.0 for p in range(2)]

    written = write_dce(tmp_path / "study", phases, layout="siemens", times_s=(-60, 60))

    back = sitk.GetArrayFromImage(read_classic(written.phases[1].files))
    assert back == pytest.approx(sitk.GetArrayFromImage(phases[1]), abs=0.6 * 50 / 65534)


def test_ge_keeps_pre_in_series_6_and_interleaves_two_breasts_in_series_7(tmp_path: Path) -> None:
    right = [volume(p, slices=5) for p in range(3)]
    left = [volume(10 + p, slices=4) for p in range(3)]

    written = write_dce(tmp_path / "study", right, layout="ge", times_s=TIMES, second_stack=left)

    headers = [
        pydicom.dcmread(file, stop_before_pixels=True)
        for r, o in zip(written.phases, written.other, strict=True)
        for file in (*r.files, *o.files)
    ]
    assert [(h.SeriesNumber, h.InstanceNumber) for h in headers] == [
        *((6, n) for n in range(1, 10)),
        *((7, n) for n in range(1, 19)),
    ]
    assert len({h.AcquisitionTime for h in headers if h.SeriesNumber == 7}) == 1
    assert not any("TriggerTime" in h for h in headers)
    other = read_classic(written.other[2].files)
    assert np.array_equal(sitk.GetArrayFromImage(other), sitk.GetArrayFromImage(left[2]))


def test_siemens_writes_a_series_and_a_time_for_each_phase(tmp_path: Path) -> None:
    phases = [volume(p) for p in range(3)]
    header = StudyHeader()

    written = write_dce(tmp_path / "study", phases, layout="siemens", times_s=TIMES, header=header)

    heads = [pydicom.dcmread(p.files[0], stop_before_pixels=True) for p in written.phases]
    assert len({h.SeriesInstanceUID for h in heads}) == 3
    assert [h.AcquisitionTime for h in heads] == ["093000", "093155", "093305.500000"]
    assert [h.get("ContrastBolusStartTime") for h in heads] == [None, "093110", "093110"]


@pytest.mark.parametrize("layout", ["ge", "philips"])
def test_trigger_times_count_milliseconds_within_the_series(tmp_path: Path, layout: str) -> None:
    header = StudyHeader(trigger_times=True)

    written = write_dce(
        tmp_path / "study", [volume(p) for p in range(3)],
        layout=layout, times_s=TIMES, header=header,
    )  # fmt: skip

    heads = [pydicom.dcmread(p.files[0], stop_before_pixels=True) for p in written.phases]
    expected = {"ge": [0, 0, 70500], "philips": [0, 115000, 185500]}[layout]
    assert [float(h.TriggerTime) for h in heads] == expected
    positions = {"ge": [1, 1, 2], "philips": [1, 2, 3]}[layout]
    assert [int(h.TemporalPositionIdentifier) for h in heads] == positions
    assert_valid(*(p.files[0] for p in written.phases))


@pytest.mark.parametrize("layout", ["enhanced", "enhanced-per-phase"])
def test_enhanced_files_hold_every_frame_with_its_time_and_place(
    tmp_path: Path, layout: str
) -> None:
    phases = [volume(p) for p in range(3)]

    written = write_dce(tmp_path / "study", phases, layout=layout, times_s=TIMES)

    files = list(dict.fromkeys(p.files[0] for p in written.phases))
    assert len(files) == (1 if layout == "enhanced" else 3)
    found = [frame for file in files for frame in frames(file)]
    expected = [
        (p + 1 if layout == "enhanced" else 1, phase.TransformIndexToPhysicalPoint((0, 0, k)))
        for p, phase in enumerate(phases)
        for k in range(5)
    ]
    for (position, place, _), (want_position, want_place) in zip(found, expected, strict=True):
        assert position == want_position
        assert place == pytest.approx(want_place, abs=1e-6)
    pixels = np.stack([f[2] for f in found])
    assert np.array_equal(pixels, np.concatenate([sitk.GetArrayFromImage(p) for p in phases]))
    assert_valid(*files)


def test_same_header_same_bytes_and_other_seed_other_uids(tmp_path: Path) -> None:
    phases = [volume(p) for p in range(2)]
    times = (-60.0, 60.0)

    one = write_dce(tmp_path / "a", phases, layout="ge", times_s=times)
    two = write_dce(tmp_path / "b", phases, layout="ge", times_s=times)
    other = write_dce(
        tmp_path / "c", phases, layout="ge", times_s=times, header=StudyHeader(seed=1)
    )

    assert one.phases[1].files[2].read_bytes() == two.phases[1].files[2].read_bytes()
    assert one.study_uid != other.study_uid
    assert one.study_uid.startswith("2.25.")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"times_s": (60.0, -60.0)}, "do not increase"),
        ({"times_s": (0.0,)}, "one time for each"),
        ({"layout": "hitachi"}, "unknown layout"),
        ({"pre_phases": 2}, "no post-contrast"),
        ({"layout": "siemens", "second_stack": [0, 0]}, "second stack"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, object], problem: str
) -> None:
    arguments = {"layout": "ge", "times_s": (-60.0, 60.0), **change}
    with pytest.raises(InputError, match=problem):
        write_dce(tmp_path / "study", [volume(0), volume(1)], **arguments)  # type: ignore[arg-type]


def test_phases_on_different_grids_and_existing_series_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one grid"):
        write_dce(tmp_path / "a", [volume(0), volume(1, slices=4)], layout="ge", times_s=(0, 1))
    write_dce(tmp_path / "b", [volume(0), volume(1)], layout="ge", times_s=(0, 1))
    with pytest.raises(InputError, match="exists already"):
        write_dce(tmp_path / "b", [volume(0), volume(1)], layout="ge", times_s=(0, 1))


# --- HER2 cohorts ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A written cohort of ten."""
    out = tmp_path_factory.mktemp("phantom")
    return make_her2_phantom(out, {"SITE-A": 7, "SITE-B": 3}, seed=5, slices=12, workers=1)


def rows(table: Path) -> list[dict[str, str]]:
    with open(table, newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


def test_the_table_names_what_is_on_disk_and_says_it_is_synthetic(cohort: Path) -> None:
    table = rows(cohort)

    assert len(table) == 10
    assert [r["split"] for r in table] == [""] * 7 + ["external"] * 3
    for row in table:
        assert row["synthetic"] == "1"
        files = sorted((cohort.parent / row["study"]).rglob("*.dcm"))
        head = pydicom.dcmread(files[0], stop_before_pixels=True)
        assert head.StudyDescription.startswith(STUDY_DESCRIPTION)
        assert head.PatientID == row["patient_id"]
        seg = pydicom.dcmread(cohort.parent / row["segmentation"])
        assert seg.StudyInstanceUID == head.StudyInstanceUID
        sops = {pydicom.dcmread(f, stop_before_pixels=True).SOPInstanceUID for f in files}
        for series in seg.ReferencedSeriesSequence:
            for instance in series.ReferencedInstanceSequence:
                assert instance.ReferencedSOPInstanceUID in sops
        assert_valid(files[0], files[-1], cohort.parent / row["segmentation"])


def test_the_mask_is_the_planted_lesion_at_its_place(cohort: Path) -> None:
    plans = plan_her2_cohorts({"SITE-A": 7, "SITE-B": 3}, seed=5, slices=12)
    for plan, row in list(zip(plans, rows(cohort), strict=True))[::3]:
        truth = render_her2_case(plan).mask
        found = np.zeros_like(sitk.GetArrayFromImage(truth))
        seg = pydicom.dcmread(cohort.parent / row["segmentation"])
        groups = seg.PerFrameFunctionalGroupsSequence
        for group, pixels in zip(groups, seg.pixel_array, strict=True):
            place = [float(v) for v in group.PlanePositionSequence[0].ImagePositionPatient]
            index = truth.TransformPhysicalPointToContinuousIndex(place)
            assert index == pytest.approx((0, 0, round(index[2])), abs=1e-3)
            found[round(index[2])] = pixels
        assert np.array_equal(found, sitk.GetArrayFromImage(truth))


def test_stains_fit_the_planned_class(cohort: Path) -> None:
    plans = plan_her2_cohorts({"SITE-A": 7, "SITE-B": 3}, seed=5, slices=12)
    allowed = {
        "zero": {("0", ""), ("ultralow", "")},
        "low": {("1+", ""), ("2+", "-")},
        "positive": {("3+", ""), ("2+", "+")},
    }
    for plan, row in zip(plans, rows(cohort), strict=True):
        assert (row["ihc"], row["ish"]) in allowed[plan.her2]
        assert 0 <= float(row["rfs_months"]) <= float(row["os_months"])


def test_same_seed_same_bytes_whatever_the_number_of_processes(
    cohort: Path, tmp_path: Path
) -> None:
    again = make_her2_phantom(tmp_path, {"SITE-A": 7, "SITE-B": 3}, seed=5, slices=12, workers=2)

    def tree(table: Path) -> list[str]:
        return sorted(str(p.relative_to(table.parent)) for p in table.parent.rglob("*.*"))

    assert tree(again) == tree(cohort)
    files = [name for name in tree(cohort) if (cohort.parent / name).is_file()]
    _, different, unreadable = filecmp.cmpfiles(cohort.parent, again.parent, files, shallow=False)
    assert different == unreadable == []


def test_progress_is_told_after_every_case(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    make_her2_phantom(
        tmp_path, {"SITE-B": 2}, slices=8, matrix=48, workers=1,
        progress=lambda done, total: heard.append((done, total)),
    )  # fmt: skip
    assert heard == [(1, 2), (2, 2)]


def test_classes_and_cohorts_come_in_the_papers_proportions() -> None:
    plans = plan_her2_cohorts(708, seed=2)

    assert Counter(p.cohort for p in plans) == {"SITE-A": 496, "SITE-B": 106, "SITE-C": 106}
    found = Counter(p.her2 for p in plans)
    assert found["zero"] == pytest.approx(138, abs=2)
    assert found["low"] == pytest.approx(344, abs=2)
    assert found["positive"] == pytest.approx(226, abs=2)
    assert [p.number for p in plans] == list(range(1, 709))


@pytest.mark.parametrize("cases", [0, {"SITE-A": -1}, {"SITE-X": 3}])
def test_impossible_cohorts_are_refused(cases: int | dict[str, int]) -> None:
    with pytest.raises(InputError):
        plan_her2_cohorts(cases)


def measured(plan: CasePlan) -> dict[str, float]:
    """What a shortcut would use, measured on the rendered lesion and its surroundings."""
    case = render_her2_case(plan)
    mask = sitk.GetArrayFromImage(case.mask) > 0
    parts, _ = label(mask, np.ones((3, 3, 3)))
    main = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    areas = main.sum(axis=(1, 2))
    pre, early = (sitk.GetArrayFromImage(p).astype(float) for p in case.phases[:2])
    voxel = float(np.prod(plan.spacing))
    k = int(areas.argmax())
    return {
        "mean": early[main].mean(),
        "mean on the slice": early[k][main[k]].mean(),
        "enhancement": early[main].mean() / pre[main].mean(),
        "volume": main.sum() * voxel,
        "area": areas[k] * plan.spacing[0] ** 2,
        "surroundings": early[k][~main[k]].mean(),
        "ge": float(plan.layout == "ge"),
        "siemens": float(plan.layout == "siemens"),
        "pixel": plan.spacing[0],
        "thickness": plan.spacing[2],
        "noise": early[:, :6, :6].std(),
    }


def test_no_single_number_tells_the_classes_apart() -> None:
    plans = plan_her2_cohorts(160, seed=11, slices=14, matrix=72)
    table = [measured(plan) for plan in plans]
    her2 = np.array([plan.her2 for plan in plans])
    for name in table[0]:
        value = np.array([row[name] for row in table])
        zero = roc_auc_score(her2 != "zero", value)
        later = her2 != "zero"
        low = roc_auc_score(her2[later] == "low", value[later])
        assert zero == pytest.approx(0.5, abs=0.1), name
        assert low == pytest.approx(0.5, abs=0.1), name


def test_a_lesion_enhances_as_planned_and_lies_within_the_breast() -> None:
    for plan in plan_her2_cohorts(8, seed=4):
        case = render_her2_case(plan)
        mask = sitk.GetArrayFromImage(case.mask) > 0
        pre, early = (sitk.GetArrayFromImage(p).astype(float) for p in case.phases[:2])
        assert early[mask].mean() / pre[mask].mean() - 1 == pytest.approx(
            plan.early_enhancement, rel=0.2
        )
        assert pre[mask].min() > 0
        assert case.times_s[0] < 0 < case.times_s[1]


def test_every_layout_is_known() -> None:
    assert set(CLASSIC) < set(LAYOUTS)
