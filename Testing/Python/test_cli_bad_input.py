"""Bad input: one clear line on standard error, exit code 2, and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from cli_runs import (
    LESION,
    Ended,
    command,
    make_mask,
    make_study,
    phase_files,
    process,
    truncate,
    without_tag,
)
from dce_volumes import files_below

Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study and its mask in which nothing is wrong."""
    folder = tmp_path_factory.mktemp("good")
    make_mask(folder / "mask.nrrd", make_study(folder / "study"))
    return folder


@pytest.fixture
def case(good: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(good, tmp_path / "case"))


def refused(ended: Ended, *names: str | Path) -> None:
    """Wrong input: exit code 2 and one line that names all of ``names``; no other output."""
    assert ended.code == 2, ended
    assert ended.line.startswith("breastpredict: error: ")
    for name in names:
        assert str(name) in ended.line
    assert ended.out == ""
    assert "Traceback" not in ended.err


def predict(capfd: Capture, case: Path, run: Path, *more: str | Path) -> Ended:
    """``her2 predict`` of the case with its mask; nothing may be left where it was refused."""
    out = case.parent / "out"
    ended = command(
        capfd, "her2", "predict", case / "study", "--model", run, "--out", out,
        *(more or ("--segmentation", case / "mask.nrrd")),
    )  # fmt: skip
    if ended.code == 2:
        assert not out.exists()
        assert not list(case.parent.glob(".part-*"))
    return ended


def test_nothing_is_wrong_with_the_good_case(capfd: Capture, case: Path, tiny_run: Path) -> None:
    """Or the tests below would be refused for another reason than the one they plant."""
    ended = predict(capfd, case, tiny_run)
    assert (ended.code, ended.err) == (0, "")
    assert command(capfd, "inspect", case / "study").code == 0


# --- A folder that is no study ---


def gone(study: Path) -> Path:
    shutil.rmtree(study)
    return study


def empty(study: Path) -> Path:
    gone(study).mkdir()
    return study


def text(study: Path) -> Path:
    (empty(study) / "image.dcm").write_text("I am a text file, whatever my name is.\n" * 20)
    return study


def two_patients(study: Path) -> Path:
    make_study(study / "other", "SOMEONE-ELSE", seed=5)
    return study


def one_study_of_two_patients(study: Path) -> Path:
    for file in phase_files(study, 2):
        data = pydicom.dcmread(file)
        data.PatientID = "SOMEONE-ELSE"
        data.save_as(file)
    return study


def single_phase(study: Path) -> Path:
    for folder in sorted(study.iterdir())[1:]:
        shutil.rmtree(folder)
    return study


def all_of_the_early_phase_truncated(study: Path) -> Path:
    for file in phase_files(study, 2):
        truncate(file)
    return file.parent


def the_slice_needed_truncated(study: Path) -> Path:
    for file in phase_files(study, 2)[LESION[0]]:
        truncate(file)
    return file.parent


def missing(keyword: str) -> Callable[[Path], Path]:
    def plant(study: Path) -> Path:
        return without_tag(phase_files(study, 2)[6], keyword)

    return plant


BAD_STUDIES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no such folder": (gone, "There is no such folder"),
    "an empty folder": (empty, "The folder is empty"),
    "a text file named .dcm": (text, "There is no DICOM file here"),
    "two patients": (two_patients, "The folder holds 2 patients"),
    "two patients in one study": (one_study_of_two_patients, "belongs to 2 patients"),
    "a single phase": (single_phase, "no DCE acquisition with several phases (a single time"),
    "a truncated phase": (all_of_the_early_phase_truncated, "The pixel data are truncated"),
    "truncated slices": (the_slice_needed_truncated, "The pixel data are truncated"),
    "no PixelSpacing": (missing("PixelSpacing"), "The tag PixelSpacing is missing"),
    "no position": (missing("ImagePositionPatient"), "ImagePositionPatient is missing"),
    "no orientation": (missing("ImageOrientationPatient"), "ImageOrientationPatient is missing"),
}


@pytest.mark.parametrize("name", BAD_STUDIES)
def test_a_study_that_cannot_be_used_is_named(
    capfd: Capture, case: Path, tiny_run: Path, name: str
) -> None:
    plant, words = BAD_STUDIES[name]
    where = plant(case / "study")
    refused(predict(capfd, case, tiny_run), words, where)


@pytest.mark.parametrize("name", ["no such folder", "an empty folder", "a text file named .dcm"])
def test_inspect_refuses_a_folder_without_dicom(capfd: Capture, case: Path, name: str) -> None:
    plant, words = BAD_STUDIES[name]
    where = plant(case / "study")
    for more in ((), ("--json",)):
        refused(command(capfd, "inspect", where, *more), words, where)


def test_inspect_names_the_file_that_lacks_a_tag(capfd: Capture, case: Path) -> None:
    """It shows what is there, and why the rest was left out: that is no wrong input to it."""
    where = missing("PixelSpacing")(case / "study")
    ended = command(capfd, "inspect", case / "study")
    assert (ended.code, ended.err) == (0, "")
    assert f"The tag PixelSpacing is missing [{where}]" in ended.out


def test_a_folder_or_file_without_permission_is_named_not_passed_over(case: Path) -> None:
    """What cannot be read may be the early phase. In its own process, without root's rights."""
    before: list[str] = []
    if os.geteuid() == 0:
        before = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    file = phase_files(case / "study", 2)[0]
    for where in (file, file.parent):
        mode = where.stat().st_mode
        where.chmod(0)
        try:
            refused(process("inspect", case / "study", before=before), "Permission denied", where)
        finally:
            where.chmod(mode)
    assert process("inspect", case / "study", before=before).code == 0


# --- A mask that does not fit ---


def no_mask(case: Path) -> tuple[Path, str]:
    return case / "none.nrrd", "There is no such segmentation"


def text_mask(case: Path) -> tuple[Path, str]:
    path = case / "text.nrrd"
    path.write_text("no mask")
    return path, "damaged or of an unknown kind"


def truncated_mask(case: Path) -> tuple[Path, str]:
    path = make_mask(case / "seg.dcm", case / "study")
    return truncate(path, 40), "truncated"


def mask_of_another_study(case: Path) -> tuple[Path, str]:
    other = make_study(case / "other", seed=8)
    return make_mask(case / "seg.dcm", other), "The mask is of another study"


def mask_of_another_patient(case: Path) -> tuple[Path, str]:
    other = make_study(case / "other", "SOMEONE-ELSE", seed=8)
    return make_mask(case / "seg.dcm", other), "The mask is of another patient"


def mask_elsewhere(case: Path) -> tuple[Path, str]:
    mask = sitk.ReadImage(str(case / "mask.nrrd"))
    mask.SetOrigin([x + 500 for x in mask.GetOrigin()])
    sitk.WriteImage(mask, str(case / "far.nii.gz"))
    return case / "far.nii.gz", "The mask lies outside of the images"


def image_for_a_mask(case: Path) -> tuple[Path, str]:
    values = np.random.default_rng(0).normal(size=(9, 40, 48)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(values), str(case / "image.nrrd"))
    return case / "image.nrrd", "The file holds an image, not a mask"


def scan_for_a_mask(case: Path) -> tuple[Path, str]:
    return phase_files(case / "study", 1)[0], "The DICOM file is no segmentation"


def two_tumours_unnamed(case: Path) -> tuple[Path, str]:
    mask = sitk.GetArrayFromImage(sitk.ReadImage(str(case / "mask.nrrd")))
    mask[4, 0, 0] = 2
    sitk.WriteImage(sitk.GetImageFromArray(mask), str(case / "two.nrrd"))
    return case / "two.nrrd", "It is unclear which segment is the tumour"


@pytest.mark.parametrize(
    "plant",
    [
        no_mask, text_mask, truncated_mask, mask_of_another_study, mask_of_another_patient,
        mask_elsewhere, image_for_a_mask, scan_for_a_mask, two_tumours_unnamed,
    ],
)  # fmt: skip
def test_a_mask_that_cannot_be_used_is_named(
    capfd: Capture, case: Path, tiny_run: Path, plant: Callable[[Path], tuple[Path, str]]
) -> None:
    path, words = plant(case)
    refused(predict(capfd, case, tiny_run, "--segmentation", path), words, path)


# --- A model that is not what it was ---


def no_run(run: Path) -> tuple[Path, str]:
    shutil.rmtree(run)
    return run, "There is no such run folder"


def half_a_run(run: Path) -> tuple[Path, str]:
    shutil.rmtree(run / "her2_low_vs_positive")
    return run / "her2_low_vs_positive", "There is no model bundle here"


def no_weights(run: Path) -> tuple[Path, str]:
    path = run / "her2_zero_vs_rest" / "models" / "model.safetensors"
    path.unlink()
    return path, "The bundle has no weights"


def tampered_weights(run: Path) -> tuple[Path, str]:
    path = run / "her2_zero_vs_rest" / "models" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    return path, "do not match the hash"


def tampered_metadata(run: Path) -> tuple[Path, str]:
    path = run / "her2_zero_vs_rest" / "configs" / "metadata.json"
    path.write_text(path.read_text().replace('"threshold": 0.4', '"threshold": 4'))
    return path, "metadata is damaged"


BAD_RUNS = [no_run, half_a_run, no_weights, tampered_weights, tampered_metadata]


@pytest.mark.parametrize("plant", BAD_RUNS)
def test_a_model_that_cannot_be_used_is_named(
    capfd: Capture, case: Path, tiny_run: Path, plant: Callable[[Path], tuple[Path, str]]
) -> None:
    run = Path(shutil.copytree(tiny_run, case / "run"))
    path, words = plant(run)
    refused(predict(capfd, case, run), words, path)
    table = cohort(case, GOOD_ROW)
    ended = command(capfd, "her2", "batch", table, "--model", run, "--out", case / "out")
    refused(ended, words, path)
    assert not (case / "out").exists()


# --- Options ---


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", "The tumour is not given"),
        ("--segmentation {mask} --seed-point 1,2,3", "The tumour is given twice"),
        ("--seed-point 1,2,3 --box 1,2,3,4,5,6", "The tumour is given twice"),
        ("--segmentation {mask} --override-gate colour", "There is no gate 'colour'"),
        ("--segmentation {mask} --override-gate no-tumour", "cannot be overridden"),
        ("--seed-point 1,2", "--seed-point takes 3 numbers"),
        ("--seed-point 1,2,nan", "--seed-point takes 3 numbers"),
        ("--seed-point here", "--seed-point takes 3 numbers"),
        ("--box 1,2,3,4,5", "--box takes 6 numbers"),
        ("--seed-point -9000,0,0", "The point lies outside of the acquisition"),
        ("--segmentation {mask} --phase 9", "There is no phase 9"),
        ("--segmentation {mask} --phase two", "argument --phase"),
        ("--segmentation {mask} --segment 7", "There is no segment '7'"),
        ("--segmentation {mask} --laterality R", "There is no acquisition of side R"),
        ("--segmentation {mask} --margin -1", "--margin must lie between"),
        ("--segmentation {mask} --margin nan", "--margin must lie between"),
        ("--segmentation {mask} --explain nothing", "argument --explain"),
        ("--segmentation {mask} --device tpu9", "The device 'tpu9' cannot be used"),
        ("--segmentation {mask} --model-file x", "unrecognized arguments: --model-file"),
    ],
)
def test_a_wrong_option_is_named(
    capfd: Capture, case: Path, tiny_run: Path, options: str, words: str
) -> None:
    given = options.format(mask=case / "mask.nrrd").split()
    refused(predict(capfd, case, tiny_run, *(given or ["--quiet"])), words)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "COMMAND"),
        ("her2", "COMMAND"),
        ("inspect", "FOLDER"),
        ("her2 predict folder --out out", "--model"),
        ("her2 batch COHORT.csv --model run", "--out"),
        ("diagnose folder", "invalid choice: 'diagnose'"),
        ("phantom her2 --cases many --out out", "argument --cases"),
        ("phantom her2 --cases 1 --out out", "at least 3 cases"),
        ("demo --cases 10 --out out", "at least 60 cases"),
        ("inspect folder\nname", "[folder name]"),
    ],
)
def test_a_wrong_command_line_is_named(
    capfd: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = command(capfd, *line.split(" ")) if line else command(capfd)
    assert (ended.code, ended.out) == (2, "")
    assert ended.line.startswith("breastpredict: error: ") and words in ended.line
    assert not list(tmp_path.iterdir())


def test_a_file_where_a_folder_should_be(capfd: Capture, case: Path, tiny_run: Path) -> None:
    taken = case / "taken"
    taken.write_text("mine")
    given = ("her2", "predict", case / "study", "--segmentation", case / "mask.nrrd")
    refused(command(capfd, *given, "--model", tiny_run, "--out", taken), taken)
    refused(command(capfd, *given, "--model", taken, "--out", case / "out"), taken)
    refused(command(capfd, "demo", "--out", taken), taken)
    refused(command(capfd, "phantom", "her2", "--cases", "3", "--out", taken), taken)
    assert taken.read_text() == "mine" and not (case / "out").exists()


# --- A cohort with errors ---

HEADER = "patient_id,cohort,split,study,segmentation,ihc,ish"
GOOD_ROW = "P1,A,,study,mask.nrrd,3+,"


def cohort(case: Path, *rows: str, header: str = HEADER) -> Path:
    table = case / "COHORT.csv"
    table.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return table


BAD_COHORTS = {
    "a wrong value": (["P1,A,,study,mask.nrrd,4+,"], "row 2, column ihc"),
    "no such study": (["P1,A,,nowhere,mask.nrrd,3+,"], "row 2, column study"),
    "no such mask": (["P1,A,,study,nowhere.nrrd,3+,"], "row 2, column segmentation"),
    "a patient twice": ([GOOD_ROW, GOOD_ROW], "row 3, column patient_id"),
    "a cell too many": ([GOOD_ROW + ",,"], "row 2: more cells than columns"),
    "no rows": ([], "The cohort table has no rows"),
}


@pytest.mark.parametrize("name", BAD_COHORTS)
@pytest.mark.parametrize("task", ["batch", "train"])
def test_the_errors_of_a_cohort_are_named_by_row_and_column(
    capfd: Capture, case: Path, tiny_run: Path, task: str, name: str
) -> None:
    rows, words = BAD_COHORTS[name]
    table = cohort(case, *rows)
    model = ["--model", tiny_run] if task == "batch" else []
    refused(command(capfd, "her2", task, table, *model, "--out", case / "out"), words, table)
    assert not (case / "out").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"patient_id,cohort\nP1,A\n", "column 'split' is missing"),
        (HEADER.encode() + b"\nP\xe9,A,,study,mask.nrrd,3+,\n", "no UTF-8 CSV"),
        (b"", "is missing"),
        (b"\x89PNG\r\n\x1a\n\0\0", "no UTF-8 CSV"),
    ],
)
def test_a_file_that_is_no_cohort_table_is_named(
    capfd: Capture, case: Path, tiny_run: Path, content: bytes, words: str
) -> None:
    table = case / "COHORT.csv"
    table.write_bytes(content)
    for more in (("batch", table, "--model", tiny_run), ("train", table)):
        refused(command(capfd, "her2", *more, "--out", case / "out"), words, table)
    assert not (case / "out").exists()


def test_a_cohort_that_is_not_there_or_a_folder_is_named(
    capfd: Capture, case: Path, tiny_run: Path
) -> None:
    """A batch takes a folder of case folders; this is none."""
    missing, words = case / "none.csv", "There is no such cohort table"
    for more, said in (
        (("batch", missing, "--model", tiny_run), words),
        (("train", missing), words),
        (("train", case), words),
        (("batch", case, "--model", tiny_run), "or give a cohort table"),
    ):
        ended = command(capfd, "her2", *more, "--out", case / "out")
        refused(ended, said, more[1])
    assert not (case / "out").exists()


def test_a_batch_refuses_options_before_it_writes(
    capfd: Capture, case: Path, tiny_run: Path
) -> None:
    table = cohort(case, GOOD_ROW)
    batch = ("her2", "batch", table, "--model", tiny_run, "--out", case / "out")
    refused(command(capfd, *batch, "--cohort", "B"), "There is no cohort B", table)
    refused(command(capfd, *batch, "--override-gate", "all"), "There is no gate 'all'")
    assert not (case / "out").exists()


def test_a_batch_refuses_a_table_it_did_not_write(
    capfd: Capture, case: Path, tiny_run: Path
) -> None:
    """A results folder of something else is not written over."""
    table, taken = cohort(case, GOOD_ROW), case / "out" / "predictions.csv"
    taken.parent.mkdir()
    for content in ("", "case_key,score\n", "my notes\n1,2,3\n"):
        taken.write_text(content)
        ended = command(
            capfd, "her2", "batch", table, "--model", tiny_run, "--out", taken.parent, "--quiet"
        )
        refused(ended, "was not made by BreastPredict", taken)
        assert taken.read_text() == content


TRAIN_ERRORS = {
    "too few patients": ([GOOD_ROW], [], "Too few usable patients"),
    "nothing to train on": (["P1,A,external,study,mask.nrrd,3+,"], [], "no row to train on"),
    "no starting weights": (
        [
            f"P{n},A,,study,mask.nrrd,{ihc},"
            for n, ihc in enumerate(["0"] * 5 + ["1+"] * 5 + ["3+"] * 5)
        ],
        ["--weights", "none.safetensors"],
        "none.safetensors",
    ),
    "an impossible setting": ([GOOD_ROW], ["--epochs", "0"], "epochs"),
}


@pytest.mark.parametrize("name", TRAIN_ERRORS)
def test_training_refuses_before_it_begins_a_run(capfd: Capture, case: Path, name: str) -> None:
    rows, options, words = TRAIN_ERRORS[name]
    table = cohort(case, *rows)
    ended = command(
        capfd, "her2", "train", table, "--out", case / "out", "--network", "reduced", *options
    )
    refused(ended, words)
    assert not (case / "out").exists()


def test_training_keeps_off_a_folder_that_is_in_use(capfd: Capture, case: Path) -> None:
    table = cohort(case, *TRAIN_ERRORS["no starting weights"][0])
    ended = command(capfd, "her2", "train", table, "--out", case, "--network", "reduced")
    refused(ended, "The folder for the run is not empty", case)


# --- The same in a process of its own ---


def test_as_a_process_it_ends_with_one_line_and_code_2(case: Path, tiny_run: Path) -> None:
    where = all_of_the_early_phase_truncated(case / "study")
    ended = process(
        "her2", "predict", case / "study", "--segmentation", case / "mask.nrrd",
        "--model", tiny_run, "--out", case / "out",
    )  # fmt: skip
    refused(ended, "The pixel data are truncated", where)
    assert not (case / "out").exists()


# --- A gate's refusal is another thing: exit code 1, a reason, a folder, and no number ---


def tiny_lesion(case: Path) -> list[str]:
    small = make_mask(
        case / "small.nrrd", case / "study", (slice(4, 5), slice(18, 20), slice(22, 24))
    )
    return ["--segmentation", str(small)]


def empty_mask(case: Path) -> list[str]:
    return ["--segmentation", str(make_mask(case / "SMITH-JANE.nrrd", case / "study", None))]


def before_contrast(case: Path) -> list[str]:
    return ["--segmentation", str(case / "mask.nrrd"), "--phase", "1"]


def nothing_enhances(case: Path) -> list[str]:
    make_study(empty(case / "study"), enhancing=False)
    return ["--segmentation", str(case / "mask.nrrd")]


def computed_tomography(case: Path) -> list[str]:
    for file in files_below(case / "study"):
        data = pydicom.dcmread(file)
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
        data.Modality = "CT"
        data.save_as(file)
    return ["--segmentation", str(case / "mask.nrrd")]


def seed_in_fat(case: Path) -> list[str]:
    mask = sitk.ReadImage(str(case / "mask.nrrd"))
    point = mask.TransformIndexToPhysicalPoint((3, 3, 1))
    return ["--seed-point", ",".join(map(str, point))]


GATES = {
    "tumour-size": (tiny_lesion, "it is too small"),
    "no-tumour": (empty_mask, "The tumour mask is empty"),
    "post-contrast": (before_contrast, "is a pre-contrast phase"),
    "post-contrast, no phase at all": (nothing_enhances, "There is no post-contrast phase"),
    "modality": (computed_tomography, "The study is CT, not MR"),
    "no-enhancement": (seed_in_fat, "brighter than the pre-contrast phase"),
}


@pytest.mark.parametrize("name", GATES)
def test_a_gate_refuses_with_code_1_a_reason_and_no_number(
    capfd: Capture, case: Path, tiny_run: Path, name: str
) -> None:
    plant, words = GATES[name]
    gate = name.split(",")[0]
    ended = predict(capfd, case, tiny_run, *plant(case))
    assert (ended.code, ended.out) == (1, "")
    assert ended.line.startswith(f"breastpredict: error: Refused by gate '{gate}': ")
    assert words in ended.line
    out = case.parent / "out"
    (folder,) = (path for path in out.iterdir() if path.is_dir())
    assert {path.name for path in folder.iterdir()} <= {"result.json", "report.html", "report.dcm"}
    result = json.loads((folder / "result.json").read_text())
    assert (result["status"], result["gate"]) == ("refused", gate)
    assert words in result["reason"]
    assert not {"probabilities", "scores", "predicted_class", "map"} & set(result)
    assert not (out / "predictions.csv").exists()
    assert f"gate {gate}" in (out / "failures.csv").read_text()
    for file in ("result.json", "report.html"):
        assert "SMITH" not in (folder / file).read_text()
