"""The table of loaded volumes: what the user says is taken or doubted, and what cannot be used is
refused with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from cli_runs import LESION
from dce_volumes import files_below, only
from loaded_volumes import CENTRES, VOLUMES, one_file_each, phases_of, slicer_sequence, table

from breastpredict.dicom import (
    LoadedPhase,
    inspect_folder,
    inspect_text,
    read_study,
    study_from_volumes,
)
from breastpredict.errors import GateRefusal, InputError
from breastpredict.her2 import prepare_case

pytestmark = pytest.mark.usefixtures("one_thread")


# --- what the user says ---------------------------------------------------------------------------


def test_without_times_the_first_post_contrast_phase_is_taken(tmp_path: Path) -> None:
    phases = one_file_each(tmp_path, ".nrrd")
    rows = [line.split(",")[:3] for line in phases.read_text().splitlines()[1:]]
    acquisition = only(read_study(table(tmp_path, rows)))
    assert (acquisition.chosen, acquisition.rule) == (2, "first post-contrast phase")
    assert all(np.isnan(phase.time_s) for phase in acquisition.phases)


def test_rows_in_any_order_are_put_in_the_order_of_their_times(tmp_path: Path) -> None:
    phases = one_file_each(tmp_path, ".nrrd")
    lines = phases.read_text().splitlines()
    phases.write_text("\n".join([lines[0], lines[3], lines[1], lines[2]]) + "\n")
    acquisition = only(read_study(phases))
    assert [phase.time_s for phase in acquisition.phases] == list(CENTRES)
    assert [phase.role for phase in acquisition.phases] == ["pre", "post", "post"]


def test_a_table_as_spreadsheets_write_it_is_read(tmp_path: Path) -> None:
    """With a byte order mark, spaces, CRLF, empty columns at the end of rows and empty lines."""
    one_file_each(tmp_path, ".nrrd")
    text = "\ufeff role , file ,laterality\r\npre, phase 0.nrrd ,L\r\npost,phase 1.nrrd\r\n\r\n"
    (tmp_path / "t.CSV").write_bytes(text.encode("utf-8"))
    acquisition = only(read_study(tmp_path / "t.CSV"))
    assert (len(acquisition.phases), acquisition.laterality) == (2, "L")


def test_roles_against_the_signal_are_said_and_kept(tmp_path: Path) -> None:
    one_file_each(tmp_path, ".nrrd")
    wrong = table(
        tmp_path,
        [["phase 0.nrrd", "", "pre"], ["phase 1.nrrd", "", "pre"], ["phase 2.nrrd", "", "post"]],
    )
    acquisition = only(read_study(wrong))
    assert [phase.role for phase in acquisition.phases] == ["pre", "pre", "post"]
    assert acquisition.warnings == (
        "Phase 2 was assigned pre-contrast, and its signal looks post-contrast",
    )
    assert only(read_study(one_file_each(tmp_path, ".nrrd"))).warnings == ()


def test_only_a_post_contrast_phase_is_enough_for_a_mask_and_not_for_a_point(
    same_dicom: Path, tmp_path: Path
) -> None:
    one_file_each(tmp_path, ".nrrd")
    single = table(tmp_path, [["phase 1.nrrd", "", "post"]])
    case = prepare_case(single, image_size=32, segmentation=same_dicom / "mask.nrrd")
    assert case.phase.index == 1 and "enhancement" not in case.features
    with pytest.raises(InputError, match="no phase before the chosen one"):
        prepare_case(single, image_size=32, seed_point_lps=(30.0, -36.0, 40.0))
    before = table(tmp_path, [["phase 0.nrrd", "", "pre"], ["phase 1.nrrd", "", "pre"]])
    with pytest.raises(GateRefusal, match="post-contrast"):
        prepare_case(before, image_size=32, segmentation=same_dicom / "mask.nrrd")


def test_volumes_of_a_voxel_size_without_a_place_are_taken_with_a_warning(tmp_path: Path) -> None:
    for n, volume in enumerate(VOLUMES):
        moved = sitk.Image(volume)
        moved.SetOrigin((0, 0, 0))
        sitk.WriteImage(moved, str(tmp_path / f"{n}.nrrd"))
    phases = table(tmp_path, phases_of([f"{n}.nrrd" for n in range(3)]))
    assert "state no place in the patient" in only(read_study(phases)).warnings[0]
    assert "note: The volumes state no place" in inspect_text(inspect_folder(phases))


# --- what cannot be used --------------------------------------------------------------------------


def test_everything_wrong_with_a_table_is_said_at_once(tmp_path: Path) -> None:
    one_file_each(tmp_path, ".nrrd")
    bad = table(
        tmp_path,
        [
            ["absent.nrrd", "", "pre", "-15", "R"],
            ["", "", "Post", "soon", "L"],
            ["phase 1.nrrd", "0", "post", "", "R"],
            ["phase 1.nrrd", "x", "post", "inf", "R"],
            ["phase 2.nrrd", "", "post", "5", "R"],
            ["phase 2.nrrd", "", "post", "6", "R"],
        ],
    )
    with pytest.raises(InputError) as refused:
        read_study(bad)
    for said in (
        "has 9 errors",
        "row 2, column file: there is no such file",
        "row 3, column file: there is no such file",
        "row 3, column role: is 'Post'; use pre or post",
        "row 3, column time_s: is 'soon'",
        "row 4, column frame: is '0'",
        "row 5, column frame: is 'x'",
        "row 5, column time_s: is 'inf'",
        "row 7, column file: the same volume stands in row 6 already",
        "column laterality: use one of R, L, B for all rows",
    ):
        assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "rows, said",
    [
        ([("0", "pre", "1"), ("1", "post", "")], "some phases have a time and others have none"),
        ([("0", "pre", "1"), ("1", "post", "1")], "two phases have the same time"),
        ([("0", "post", ""), ("1", "pre", "")], "pre-contrast phase comes after a post-contrast"),
        ([("0", "pre", "9"), ("1", "post", "3")], "pre-contrast phase comes after a post-contrast"),
    ],
)
def test_phases_that_contradict_each_other_are_refused(
    tmp_path: Path, rows: list[tuple[str, str, str]], said: str
) -> None:
    one_file_each(tmp_path, ".nrrd")
    bad = table(tmp_path, [[f"phase {n}.nrrd", "", role, time] for n, role, time in rows])
    with pytest.raises(InputError, match=f"The table of phases has an error: .*{said}"):
        read_study(bad)
    phases = [
        LoadedPhase(VOLUMES[int(n)], role, float(time) if time else None) for n, role, time in rows
    ]
    with pytest.raises(InputError, match=said[1:]):
        study_from_volumes(phases)


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "lacks file, lacks role"),
        ("file,role\n", "has no rows"),
        ("file,roles\na,b\n", "lacks role, has an unknown roles"),
        ("patient_id,cohort,split,study\n1,2,3,4\n", "a cohort is for her2 batch and train"),
        ("file,role,role\na,pre,post\n", "has role twice"),
        ("file,role\na,pre,3\n", "Row 2 has more cells than columns"),
        ("file;role\na;pre\n", "lacks file, lacks role"),
        ("file,role\n\xff\xfe,pre\n", "is no UTF-8 CSV"),
        ('file,role\n"' + "x" * 200_000 + '",pre\n', "is no UTF-8 CSV"),
    ],
)
def test_what_is_no_table_of_phases_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=said):
        read_study(tmp_path / "t.csv")


def other_grid(image: sitk.Image) -> sitk.Image:
    image.SetOrigin((12.0, -60.0, 30.2))
    return image


def bare(image: sitk.Image) -> sitk.Image:
    return sitk.GetImageFromArray(sitk.GetArrayFromImage(image))


def with_a_hole(image: sitk.Image) -> sitk.Image:
    """In a corner, which no sampled slice shows."""
    out = sitk.Cast(image, sitk.sitkFloat32)
    out[0, 0, 0] = float("nan")
    return out


def complex_numbers(image: sitk.Image) -> sitk.Image:
    real = sitk.Cast(image, sitk.sitkFloat32)
    return sitk.RealAndImaginaryToComplex(real, real)


UNUSABLE: dict[str, tuple[Callable[[sitk.Image], sitk.Image], str]] = {
    "on another grid": (other_grid, "not on the grid of the first phase"),
    "of another size": (lambda image: image[:, :, :-1], "not on the grid of the first phase"),
    "without a place": (bare, "neither voxel size nor place"),
    "of one slice less an axis": (lambda image: image[:, :, 0], "holds no volume"),
    "of several values a voxel": (lambda i: sitk.Compose([i, i]), "holds 2 volumes"),
    "of complex numbers": (complex_numbers, "complex numbers"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_volume_that_does_not_fit_is_named(tmp_path: Path, what: str) -> None:
    change, said = UNUSABLE[what]
    phases = one_file_each(tmp_path, ".nrrd")
    sitk.WriteImage(change(sitk.Image(VOLUMES[1])), str(tmp_path / "phase 1.nrrd"))
    with pytest.raises(InputError, match=said) as refused:
        read_study(phases)
    assert "phase 1.nrrd" in str(refused.value)


def test_a_value_that_is_not_finite_is_refused_where_it_is_read(
    same_dicom: Path, tmp_path: Path
) -> None:
    """It would pass for what lies outside of the image."""
    phases = one_file_each(tmp_path, ".nrrd")
    sitk.WriteImage(with_a_hole(VOLUMES[1]), str(tmp_path / "phase 1.nrrd"))
    study = read_study(phases)
    with pytest.raises(InputError, match=r"not finite.*phase 1.nrrd"):
        only(study).phases[1].read()
    image = sitk.Cast(VOLUMES[1], sitk.sitkFloat32)
    k, j, i = LESION[0].start + 1, LESION[1].start - 2, LESION[2].start
    image[i, j, k] = float("inf")
    sitk.WriteImage(image, str(tmp_path / "phase 1.nrrd"))
    with pytest.raises(InputError, match="not finite"):
        prepare_case(phases, image_size=32, segmentation=same_dicom / "mask.nrrd")


def test_a_frame_must_be_named_and_be_there(tmp_path: Path) -> None:
    slicer_sequence(tmp_path)
    with pytest.raises(InputError, match=r"The file holds 3 volumes .*column frame"):
        read_study(table(tmp_path, [["all.seq.nrrd", "", "pre"], ["all.seq.nrrd", 2, "post"]]))
    with pytest.raises(InputError, match="The file holds 3 volumes, not 4"):
        read_study(table(tmp_path, [["all.seq.nrrd", 1, "pre"], ["all.seq.nrrd", 4, "post"]]))


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".nii", ".mha"])
def test_a_volume_cut_short_is_named_before_anything_is_read(tmp_path: Path, suffix: str) -> None:
    """ITK fills the rest of a NIfTI with nought."""
    phases = one_file_each(tmp_path, suffix)
    file = tmp_path / f"phase 2{suffix}"
    file.write_bytes(file.read_bytes()[: -file.stat().st_size // 3])
    with pytest.raises(InputError, match="damaged") as refused:
        read_study(phases)
        only(read_study(phases)).phases[2].read()
    assert file.name in str(refused.value) and "\n" not in str(refused.value)


def test_dicom_files_in_a_table_are_sent_to_their_folder(same_dicom: Path, tmp_path: Path) -> None:
    file = files_below(same_dicom / "study")[0]
    with pytest.raises(InputError, match=r"is a DICOM file .*Give the folder of the DICOM study"):
        read_study(table(tmp_path, [[file, "", "pre"]]))
