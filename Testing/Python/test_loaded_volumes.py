"""Volumes that are no longer DICOM, with their phases assigned by the user, go everywhere a DICOM
study goes and give the same numbers; no DICOM is written of them, and it is said why."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from cli_runs import LESION, SIZE, Ended, command, make_mask
from dce_volumes import TIMES, dce, files_below, only
from nifti_files import write_nifti

from breastpredict.dicom import (
    NO_DICOM,
    LoadedPhase,
    inspect_folder,
    inspect_text,
    read_study,
    study_from_volumes,
)
from breastpredict.errors import GateRefusal, InputError
from breastpredict.her2 import PreparedCase, prepare_case
from breastpredict.her2.train_cache import crop_of
from breastpredict.imaging import Geometry
from breastpredict.phantom import write_dce
from breastpredict.study import read_cohort

Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("one_thread")

PLACE = {"spacing": (0.75, 1.25, 2.5), "origin": (12.0, -60.0, 30.0)}  # exact in single precision
VOLUMES = dce(3, size=SIZE, lesion=LESION, **PLACE)
CENTRES = (-15.0, 75.0, 165.0)  # of the DICOM study's phases, which start at TIMES[:3]


def table(folder: Path, rows: Sequence[Sequence[object]], name: str = "phases.csv") -> Path:
    """A table of phases; the columns are those of the longest row."""
    columns = ["file", "frame", "role", "time_s", "laterality"][: max(map(len, rows))]
    lines = [",".join(map(str, row)) for row in [columns, *rows]]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / name


def phases_of(names: Sequence[str], frames: Sequence[object] = ("",) * 3) -> list[list[object]]:
    roles = ("pre", "post", "post")
    return [list(row) for row in zip(names, frames, roles, CENTRES, strict=True)]


def one_file_each(folder: Path, suffix: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"phase {n}{suffix}" for n in range(3)]
    for name, volume in zip(names, VOLUMES, strict=True):
        sitk.WriteImage(volume, str(folder / name), suffix == ".nrrd")
    return table(folder, phases_of(names))


def four_axes(folder: Path, name: str) -> Path:
    """All in one file whose fourth axis is time."""
    folder.mkdir(parents=True, exist_ok=True)
    if name.endswith(".nrrd"):
        sitk.WriteImage(sitk.JoinSeries(VOLUMES), str(folder / name))
        return table(folder, phases_of([name] * 3, (1, 2, 3)))
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[:3, :3] *= PLACE["spacing"]
    affine[:3, 3] = [-12, 60, 30]
    stacked = np.stack([sitk.GetArrayFromImage(v).transpose(2, 1, 0) for v in VOLUMES], axis=-1)
    write_nifti(folder / name, stacked.astype(np.int16), sform=affine, pixdim=PLACE["spacing"])
    return table(folder, phases_of([name] * 3, (1, 2, 3)))


def slicer_sequence(folder: Path) -> Path:
    """As Slicer writes a sequence: the list of the volumes is the last axis."""
    folder.mkdir(parents=True, exist_ok=True)
    i, j, k = SIZE
    a, b, c = PLACE["spacing"]
    header = (
        f"NRRD0004\ntype: float\ndimension: 4\nspace: left-posterior-superior\n"
        f"sizes: {i} {j} {k} 3\nspace directions: ({a},0,0) (0,{b},0) (0,0,{c}) none\n"
        "kinds: domain domain domain list\nendian: little\nencoding: raw\n"
        "space origin: (12,-60,30)\nDataNodeClassName:=vtkMRMLScalarVolumeNode\n\n"
    )
    data = b"".join(sitk.GetArrayFromImage(v).astype("<f4").tobytes() for v in VOLUMES)
    (folder / "all.seq.nrrd").write_bytes(header.encode() + data)
    return table(folder, phases_of(["all.seq.nrrd"] * 3, (1, 2, 3)))


KINDS: dict[str, Callable[[Path], Path]] = {
    "NRRD": lambda folder: one_file_each(folder, ".nrrd"),
    "NRRD with detached data": lambda folder: one_file_each(folder, ".nhdr"),
    "NIfTI": lambda folder: one_file_each(folder, ".nii.gz"),
    "MetaImage": lambda folder: one_file_each(folder, ".mha"),
    "NIfTI of four axes": lambda folder: four_axes(folder, "all.nii.gz"),
    "NRRD of four axes": lambda folder: four_axes(folder, "all.nrrd"),
    "Slicer sequence": slicer_sequence,
}


@pytest.fixture(scope="module")
def dicom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same volumes as DICOM, and a mask of the lesion beside them."""
    folder = tmp_path_factory.mktemp("dicom")
    write_dce(folder / "study", VOLUMES, layout="siemens", times_s=TIMES[:3])
    make_mask(folder / "mask.dcm", folder / "study")
    make_mask(folder / "mask.nrrd", folder / "study")
    return folder


def assert_same_input(one: PreparedCase, other: PreparedCase) -> None:
    """Slice, crop and all that the gates compare, bit for bit."""
    np.testing.assert_array_equal(one.image, other.image)
    assert one.slice == other.slice
    assert one.phase.index == other.phase.index
    assert one.features == other.features


# --- the same as DICOM ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_pixels_give_the_same_input_as_dicom(
    dicom: Path, tmp_path: Path, kind: str
) -> None:
    phases = KINDS[kind](tmp_path / "loaded")
    study = read_study(phases)
    for phase, volume in zip(only(study).phases, VOLUMES, strict=True):
        expected = sitk.GetArrayFromImage(volume).astype(np.float32)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(phase.read()), expected)
        slab = phase.read_slices(3, 5)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(slab), expected[3:5])
    for given in ({"segmentation": dicom / "mask.nrrd"}, {"seed_point_lps": (30.0, -36.0, 40.0)}):
        loaded, original = (
            prepare_case(path, image_size=64, **given) for path in (phases, dicom / "study")
        )
        assert_same_input(loaded, original)
    assert_same_input(
        prepare_case(phases, image_size=64, segmentation=dicom / "mask.dcm"),
        prepare_case(dicom / "study", image_size=64, segmentation=dicom / "mask.dcm"),
    )


def test_a_sequence_that_slicer_wrote_is_read_frame_by_frame(tmp_path: Path) -> None:
    """dce(3), written by slicer-core 5.13 (vtkMRMLVolumeSequenceStorageNode)."""
    file = Path(__file__).parent / "slicer_files" / "dynamic.seq.nrrd"
    phases = only(read_study(table(tmp_path, phases_of([str(file)] * 3, (1, 2, 3))))).phases
    for phase, volume in zip(phases, dce(3), strict=True):
        found = phase.read()
        np.testing.assert_array_equal(
            sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(volume).astype(np.float32)
        )
        assert Geometry.from_image(found).same_grid(Geometry.from_image(volume))


def test_pixels_of_a_sequence_outlive_what_they_were_read_from(tmp_path: Path) -> None:
    phase = only(read_study(slicer_sequence(tmp_path))).phases[1]
    assert phase.volume is not None
    values = phase.volume.read(0, SIZE[2])
    gc.collect()
    fill = [sitk.Image(SIZE, sitk.sitkFloat32) + 7.0 for _ in range(20)]  # where it lay
    np.testing.assert_array_equal(values, sitk.GetArrayFromImage(VOLUMES[1]).astype(np.float32))
    assert len(fill) == 20


def test_volumes_in_memory_are_a_study_too(dicom: Path) -> None:
    """As Slicer's module has them, in any order; sides and times as the user says."""
    order = (2, 0, 1)
    phases = [LoadedPhase(VOLUMES[n], ("pre", "post", "post")[n], CENTRES[n]) for n in order]
    study = study_from_volumes(phases, laterality="R")
    acquisition = only(study)
    assert [phase.time_s for phase in acquisition.phases] == list(CENTRES)
    assert (acquisition.laterality, acquisition.chosen) == ("R", 2)
    for phase, volume in zip(acquisition.phases, VOLUMES, strict=True):
        np.testing.assert_array_equal(
            sitk.GetArrayFromImage(phase.read()), sitk.GetArrayFromImage(volume)
        )
    with pytest.raises(InputError, match="single values"):
        study_from_volumes([LoadedPhase(sitk.JoinSeries(VOLUMES), "pre")])


def test_left_handed_volumes_keep_their_order_and_give_the_same_crop(
    dicom: Path, tmp_path: Path
) -> None:
    """As many NIfTI programs store them: the slices run against the cross product of the axes."""
    for n, volume in enumerate(VOLUMES):
        turned = sitk.Flip(volume, (False, False, True))
        assert np.linalg.det(np.array(turned.GetDirection()).reshape(3, 3)) < 0
        sitk.WriteImage(turned, str(tmp_path / f"{n}.nii.gz"))
    phases = table(tmp_path, phases_of([f"{n}.nii.gz" for n in range(3)]))
    mask = dicom / "mask.dcm"
    loaded, original = (
        prepare_case(path, image_size=64, segmentation=mask) for path in (phases, dicom / "study")
    )
    np.testing.assert_array_equal(loaded.image, original.image)
    assert loaded.slice.index == SIZE[2] - 1 - original.slice.index
    # An array is in the order of the volumes' own files.
    array = np.zeros(SIZE, bool)
    array[LESION[::-1]] = True
    np.save(tmp_path / "mask.npy", np.flip(array, 2))
    by_order = prepare_case(
        phases, image_size=64, segmentation=tmp_path / "mask.npy", mask_order="xyz"
    )
    assert_same_input(loaded, by_order)


# --- everywhere -----------------------------------------------------------------------------------


@pytest.fixture
def loaded(tmp_path: Path) -> Path:
    return one_file_each(tmp_path / "loaded", ".nrrd")


def test_inspect_says_who_assigned_the_phases(loaded: Path, capfd: Capture) -> None:
    text = command(capfd, "inspect", loaded)
    assert text.code == 0 and text.err == ""
    assert "from loaded volumes" in text.out
    assert "told apart by the user" in text.out and NO_DICOM in text.out
    found = json.loads(command(capfd, "inspect", "--json", loaded).out)["studies"][0]
    assert found == inspect_folder(loaded)["studies"][0]
    assert found["source"] == "loaded volumes" and found["study_uid"] == ""
    dce = found["dce"][0]
    assert [(p["role"], p["time_s"]) for p in dce["phases"]] == [
        ("pre", -15.0), ("post", 75.0), ("post", 165.0),
    ]  # fmt: skip
    assert (dce["chosen"], dce["rule"]) == (2, "nearest to 90 s after injection")
    assert dce["phases"][0]["time_origin"] == "injection, as the user says"


def predict(capfd: Capture, case: Path, run: Path, out: Path, *more: str | Path) -> Ended:
    return command(capfd, "her2", "predict", case, "--model", run, "--out", out, *more)


@pytest.mark.parametrize("how", ["mask", "point"])
def test_predict_gives_the_scores_of_dicom_and_writes_no_dicom(
    dicom: Path, loaded: Path, tiny_run: Path, tmp_path: Path, capfd: Capture, how: str
) -> None:
    given = ("--segmentation", dicom / "mask.dcm") if how == "mask" else ("--seed-point=30,-36,40",)
    results = []
    for name, case in (("a", dicom / "study"), ("b", loaded)):
        ended = predict(capfd, case, tiny_run, tmp_path / name, *given)
        assert ended.code == 0, ended.err
        results.append(next((tmp_path / name).glob("*/result.json")))
    original, mine = (json.loads(path.read_text("utf-8")) for path in results)
    for name in ("probabilities", "scores", "slice_index", "area_mm2", "roi", "features", "phase"):
        assert mine[name] == original[name], name
    assert mine["no_dicom"] == f"No DICOM results were written. {NO_DICOM}."
    assert original["no_dicom"] == ""
    folder = results[1].parent
    assert {path.name for path in folder.iterdir()} == {
        "segmentation.nrrd", "heatmap.nrrd", "overlay.png", "report.html", "result.json",
    }  # fmt: skip
    assert NO_DICOM in (folder / "report.html").read_text("utf-8")
    assert (folder / "overlay.png").read_bytes() == (results[0].parent / "overlay.png").read_bytes()
    # Mask and map are those of the DICOM results, at the same place.
    grid = Geometry.from_image(VOLUMES[0])
    mask = sitk.ReadImage(str(folder / "segmentation.nrrd"))
    assert Geometry.from_image(mask).same_grid(grid)
    seg = hd.seg.segread(results[0].parent / "segmentation.dcm")
    theirs = seg.get_volume(segment_numbers=[1])
    points = np.argwhere(theirs.array[..., 0] > 0)
    there = points @ theirs.affine[:3, :3].T + theirs.affine[:3, 3]
    index = np.round(grid.physical_to_index(there)).astype(int)
    expected = np.zeros(SIZE[::-1], np.uint8)
    expected[tuple(index[:, ::-1].T)] = 1
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), expected)
    heat = sitk.ReadImage(str(folder / "heatmap.nrrd"))
    k = mine["slice_index"]
    assert Geometry.from_image(heat).same_grid(grid.slab(k, k + 1))
    theirs = pydicom.dcmread(results[0].parent / "heatmap.dcm").pixel_array
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(heat)[0], np.squeeze(theirs).astype(np.float32)
    )


def test_a_refused_case_of_loaded_volumes_has_a_reason_and_no_number(
    tiny_run: Path, tmp_path: Path, capfd: Capture
) -> None:
    small = np.zeros(SIZE[::-1], np.uint8)
    small[4, 20, 20] = 1
    grid = Geometry.from_image(VOLUMES[0])
    sitk.WriteImage(grid.to_image(small), str(tmp_path / "mask.nrrd"))
    case = one_file_each(tmp_path / "loaded", ".nrrd")
    ended = predict(
        capfd, case, tiny_run, tmp_path / "out", "--segmentation", tmp_path / "mask.nrrd"
    )
    assert ended.code == 1 and "tumour-size" in ended.line
    folder = next((tmp_path / "out").glob("*/result.json")).parent
    assert {path.name for path in folder.iterdir()} == {"report.html", "result.json"}
    result = json.loads((folder / "result.json").read_text("utf-8"))
    assert result["status"] == "refused" and "probabilities" not in result
    assert result["no_dicom"]


def cohort(folder: Path, studies: Sequence[Path], mask: Path, extra: str = "") -> Path:
    """COHORT.csv of those studies with one mask."""
    lines = [
        "patient_id,cohort,split,study,segmentation,ihc,ish" + (",mask_order" if extra else "")
    ]
    for n, study in enumerate(studies):
        lines.append(f"P{n},SITE,external,{study},{mask},3+," + (f",{extra}" if extra else ""))
    (folder / "COHORT.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "COHORT.csv"


def test_a_cohort_may_mix_dicom_and_loaded_volumes(
    dicom: Path, loaded: Path, tiny_run: Path, tmp_path: Path, capfd: Capture
) -> None:
    """In a batch: the same scores; what changed in table or volume is done again."""
    rows = cohort(tmp_path, [dicom / "study", loaded], dicom / "mask.nrrd")
    words = ("her2", "batch", rows, "--model", tiny_run, "--out", tmp_path / "out", "--quiet")
    assert command(capfd, *words).out.startswith("2 predicted, 0 done already, 0 failed")
    results = [json.loads(p.read_text()) for p in (tmp_path / "out").glob("*/result.json")]
    assert results[0]["scores"] == results[1]["scores"]
    assert command(capfd, *words).out.startswith("0 predicted, 2 done already")
    text = loaded.read_text()
    loaded.write_text(text.replace("75.0", "95.0"))  # of the same length
    assert command(capfd, *words).out.startswith("1 predicted, 1 done already")
    volume = loaded.parent / "phase 1.nrrd"
    edited = sitk.ReadImage(str(volume))
    edited[24, 20, 4] = edited[24, 20, 4] + 1
    sitk.WriteImage(edited, str(volume), True)
    assert command(capfd, *words).out.startswith("1 predicted, 1 done already")


def test_training_sees_of_loaded_volumes_what_it_sees_of_dicom(
    dicom: Path, loaded: Path, tmp_path: Path
) -> None:
    """The crop that training keeps; from the cache the second time."""
    cases = read_cohort(cohort(tmp_path, [dicom / "study", loaded], dicom / "mask.nrrd"))
    crops = [crop_of(case, tmp_path / "crops", 32) for case in cases]
    np.testing.assert_array_equal(crops[0].image, crops[1].image)
    assert crops[0].features == crops[1].features
    [kept] = [case for case in cases if case.study == loaded]
    before = {path.name for path in (tmp_path / "crops").iterdir()}
    crop_of(kept, tmp_path / "crops", 32)
    assert {path.name for path in (tmp_path / "crops").iterdir()} == before
    (loaded.parent / "phase 2.nrrd").unlink()
    with pytest.raises(InputError, match="row 4, column file: there is no such file"):
        crop_of(kept, tmp_path / "crops", 32)


def test_a_network_is_trained_on_loaded_volumes(tmp_path: Path, capfd: Capture) -> None:
    lines = ["patient_id,cohort,split,study,segmentation,ihc,ish,mask_order"]
    array = np.zeros(SIZE[::-1], bool)
    array[LESION] = True
    np.save(tmp_path / "mask.npy", array)
    for n in range(18):
        folder = tmp_path / f"case{n}"
        folder.mkdir()
        volumes = dce(2, size=SIZE, lesion=LESION, seed=n, **PLACE)
        sitk.WriteImage(sitk.JoinSeries(volumes), str(folder / "all.nrrd"))
        table(folder, [["all.nrrd", 1, "pre"], ["all.nrrd", 2, "post"]])
        ihc = ("0", "1+", "3+")[n % 3]
        lines.append(f"P{n},SITE,,case{n}/phases.csv,mask.npy,{ihc},,zyx")
    (tmp_path / "COHORT.csv").write_text("\n".join(lines) + "\n")
    ended = command(
        capfd, "her2", "train", tmp_path / "COHORT.csv", "--out", tmp_path / "run",
        "--network", "reduced", "--epochs", "1", "--weights", "none", "--quiet",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    ended = predict(
        capfd, tmp_path / "case3" / "phases.csv", tmp_path / "run", tmp_path / "out",
        "--segmentation", tmp_path / "mask.npy", "--mask-order", "zyx",
    )  # fmt: skip
    assert ended.code == 0, ended.err


def test_the_mask_of_i_spy_2_goes_onto_loaded_volumes_in_its_order(
    shared: Path, tmp_path: Path
) -> None:
    """To its largest slice, 38; the lesion is planted where the mask is."""
    mask = next((shared / "data" / "breast_mri" / "ispy2_masks").glob("*.nii.gz"))
    inside = sitk.GetArrayFromImage(sitk.ReadImage(str(mask))).transpose(2, 1, 0) > 0
    rng = np.random.default_rng(0)
    phases = []
    for role in ("pre", "post"):
        values = rng.integers(90, 110, inside.shape).astype(np.uint8)
        values[inside] += 100 * (role == "post")
        image = sitk.GetImageFromArray(values)
        image.SetSpacing((0.6055, 0.6055, 2.0))
        image.SetOrigin((-77.0, -80.0, -60.0))
        sitk.WriteImage(image, str(tmp_path / f"{role}.nrrd"))
        phases.append([f"{role}.nrrd", "", role])
    study = table(tmp_path, phases)
    with pytest.raises(InputError, match="--mask-order"):
        prepare_case(study, image_size=64, segmentation=mask)
    case = prepare_case(study, image_size=64, segmentation=mask, mask_order="zyx")
    assert case.slice.index == 38
    assert case.mask.volume_mm3 == pytest.approx(42423 * 0.6055**2 * 2.0)
    assert case.slice.area_mm2 == pytest.approx(2380 * 0.6055**2)


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
    dicom: Path, tmp_path: Path
) -> None:
    one_file_each(tmp_path, ".nrrd")
    single = table(tmp_path, [["phase 1.nrrd", "", "post"]])
    case = prepare_case(single, image_size=32, segmentation=dicom / "mask.nrrd")
    assert case.phase.index == 1 and "enhancement" not in case.features
    with pytest.raises(InputError, match="no phase before the chosen one"):
        prepare_case(single, image_size=32, seed_point_lps=(30.0, -36.0, 40.0))
    before = table(tmp_path, [["phase 0.nrrd", "", "pre"], ["phase 1.nrrd", "", "pre"]])
    with pytest.raises(GateRefusal, match="post-contrast"):
        prepare_case(before, image_size=32, segmentation=dicom / "mask.nrrd")


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
    dicom: Path, tmp_path: Path
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
        prepare_case(phases, image_size=32, segmentation=dicom / "mask.nrrd")


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


def test_dicom_files_in_a_table_are_sent_to_their_folder(dicom: Path, tmp_path: Path) -> None:
    file = files_below(dicom / "study")[0]
    with pytest.raises(InputError, match=r"is a DICOM file .*Give the folder of the DICOM study"):
        read_study(table(tmp_path, [[file, "", "pre"]]))
