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
from cli_runs import LESION, SIZE, Ended, command
from dce_volumes import dce, only
from loaded_volumes import CENTRES, PLACE, VOLUMES, one_file_each, phases_of, slicer_sequence, table
from nifti_files import write_nifti

from breastpredict.dicom import (
    NO_DICOM,
    LoadedPhase,
    inspect_folder,
    read_study,
    study_from_volumes,
)
from breastpredict.errors import InputError
from breastpredict.her2 import PreparedCase, prepare_case
from breastpredict.her2.train_cache import crop_of
from breastpredict.imaging import Geometry
from breastpredict.study import read_cohort

pytestmark = pytest.mark.usefixtures("one_thread")

Capture = pytest.CaptureFixture[str]


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


KINDS: dict[str, Callable[[Path], Path]] = {
    "NRRD": lambda folder: one_file_each(folder, ".nrrd"),
    "NRRD with detached data": lambda folder: one_file_each(folder, ".nhdr"),
    "NIfTI": lambda folder: one_file_each(folder, ".nii.gz"),
    "MetaImage": lambda folder: one_file_each(folder, ".mha"),
    "NIfTI of four axes": lambda folder: four_axes(folder, "all.nii.gz"),
    "NRRD of four axes": lambda folder: four_axes(folder, "all.nrrd"),
    "Slicer sequence": slicer_sequence,
}


def assert_same_input(one: PreparedCase, other: PreparedCase) -> None:
    """Slice, crop and all that the gates compare, bit for bit."""
    np.testing.assert_array_equal(one.image, other.image)
    assert one.slice == other.slice
    assert one.phase.index == other.phase.index
    assert one.features == other.features


# --- the same as DICOM ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_pixels_give_the_same_input_as_dicom(
    same_dicom: Path, tmp_path: Path, kind: str
) -> None:
    phases = KINDS[kind](tmp_path / "loaded")
    study = read_study(phases)
    for phase, volume in zip(only(study).phases, VOLUMES, strict=True):
        expected = sitk.GetArrayFromImage(volume).astype(np.float32)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(phase.read()), expected)
        slab = phase.read_slices(3, 5)
        np.testing.assert_array_equal(sitk.GetArrayFromImage(slab), expected[3:5])
    for given in (
        {"segmentation": same_dicom / "mask.nrrd"},
        {"seed_point_lps": (30.0, -36.0, 40.0)},
    ):
        loaded, original = (
            prepare_case(path, image_size=64, **given) for path in (phases, same_dicom / "study")
        )
        assert_same_input(loaded, original)
    assert_same_input(
        prepare_case(phases, image_size=64, segmentation=same_dicom / "mask.dcm"),
        prepare_case(same_dicom / "study", image_size=64, segmentation=same_dicom / "mask.dcm"),
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


def test_volumes_in_memory_are_a_study_too(same_dicom: Path) -> None:
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
    same_dicom: Path, tmp_path: Path
) -> None:
    """As many NIfTI programs store them: the slices run against the cross product of the axes."""
    for n, volume in enumerate(VOLUMES):
        turned = sitk.Flip(volume, (False, False, True))
        assert np.linalg.det(np.array(turned.GetDirection()).reshape(3, 3)) < 0
        sitk.WriteImage(turned, str(tmp_path / f"{n}.nii.gz"))
    phases = table(tmp_path, phases_of([f"{n}.nii.gz" for n in range(3)]))
    mask = same_dicom / "mask.dcm"
    loaded, original = (
        prepare_case(path, image_size=64, segmentation=mask)
        for path in (phases, same_dicom / "study")
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
    same_dicom: Path, loaded: Path, tiny_run: Path, tmp_path: Path, capfd: Capture, how: str
) -> None:
    given = (
        ("--segmentation", same_dicom / "mask.dcm")
        if how == "mask"
        else ("--seed-point=30,-36,40",)
    )
    results = []
    for name, case in (("a", same_dicom / "study"), ("b", loaded)):
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
    same_dicom: Path, loaded: Path, tiny_run: Path, tmp_path: Path, capfd: Capture
) -> None:
    """In a batch: the same scores; what changed in table or volume is done again."""
    rows = cohort(tmp_path, [same_dicom / "study", loaded], same_dicom / "mask.nrrd")
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
    same_dicom: Path, loaded: Path, tmp_path: Path
) -> None:
    """The crop that training keeps; from the cache the second time."""
    cases = read_cohort(cohort(tmp_path, [same_dicom / "study", loaded], same_dicom / "mask.nrrd"))
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
