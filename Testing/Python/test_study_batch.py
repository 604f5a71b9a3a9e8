"""A batch does what is missing, survives what is damaged, and ends as if it had never stopped."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from batch_outputs import outputs_of
from cli_runs import (
    LESION,
    Ended,
    command,
    environment,
    make_cohort,
    make_mask,
    phase_files,
    truncate,
)
from dce_volumes import files_below

from breastpredict.study import Results

Capture = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("one_thread")
PATIENTS = [f"MRN-{number}" for number in range(5)]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of five, not to be changed."""
    return make_cohort(tmp_path_factory.mktemp("cohort"), PATIENTS)


@pytest.fixture
def table(original: Path, tmp_path: Path) -> Path:
    """A copy of its first three, to change."""
    folder = Path(shutil.copytree(original.parent, tmp_path / "cohort"))
    lines = (folder / "COHORT.csv").read_text().splitlines(keepends=True)
    (folder / "COHORT.csv").write_text("".join(lines[:4]))
    return folder / "COHORT.csv"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def changed_run(run: Path, to: Path, change: Callable[[dict[str, object]], None]) -> Path:
    """The run with other metadata."""
    shutil.copytree(run, to)
    for path in to.glob("*/configs/metadata.json"):
        metadata = json.loads(path.read_text())
        change(metadata["breastpredict"])
        path.write_text(json.dumps(metadata))
    return to


@pytest.fixture(scope="module")
def other_run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks with other weights."""
    import torch

    from breastpredict.models import load_bundle, save_bundle

    run = tmp_path_factory.mktemp("other")
    for folder in sorted(path for path in tiny_run.iterdir() if path.is_dir()):
        bundle = load_bundle(folder)
        with torch.no_grad():
            bundle.model.head.bias.add_(0.7)
        save_bundle(
            run / folder.name, bundle.model, network=bundle.block["network"], metadata=bundle.block
        )
    return run


@pytest.fixture(scope="module")
def uninterrupted(
    original: Path, tiny_run: Path, other_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Results of the whole cohort: by the first model, and by the other one over them."""
    from breastpredict.study import Limits, read_cohort, run_batch

    folder = tmp_path_factory.mktemp("uninterrupted")
    cases = read_cohort(original)
    run_batch(cases, tiny_run, folder / "first", limits=Limits(workers=0))
    shutil.copytree(folder / "first", folder / "over")
    run_batch(cases, other_run, folder / "over", limits=Limits(workers=0))
    return {"first": folder / "first", "over": folder / "over"}


@pytest.fixture
def done(uninterrupted: dict[str, Path], out: Path) -> Path:
    """A results folder in which the whole cohort is done."""
    return Path(shutil.copytree(uninterrupted["first"], out))


def batch(capfd: Capture, table: Path, run: Path, out: Path, *more: str, workers: int = 0) -> Ended:
    """In this process unless there are workers, which take a second to start."""
    given = ("--model", run, "--out", out, "--quiet", "--workers", str(workers))
    return command(capfd, "her2", "batch", table, *given, *more)


def written(out: Path) -> dict[str, int]:
    """Case key → when its result.json was written."""
    return {
        path.parent.name: (path.stat().st_mtime_ns) for path in sorted(out.glob("*/result.json"))
    }


def redone(before: dict[str, int], out: Path) -> int:
    """How many cases were written again."""
    after = written(out)
    assert set(after) == set(before)
    return sum(after[key] != before[key] for key in before)


def key_of(out: Path, patient: str) -> str:
    return next(
        row["case_key"] for row in Results(out).predictions() if row["patient_id"] == patient
    )


# --- A second run ---


def test_a_second_run_does_only_what_is_missing(
    capfd: Capture, table: Path, out: Path, tiny_run: Path
) -> None:
    first = batch(capfd, table, tiny_run, out)
    assert (first.code, first.err) == (0, "")
    assert "3 predicted, 0 done already, 0 failed" in first.out
    assert [row["patient_id"] for row in Results(out).predictions()] == PATIENTS[:3]
    tables = {"predictions.csv": (out / "predictions.csv").read_bytes()}
    before = written(out)

    again = batch(capfd, table, tiny_run, out)
    assert again.code == 0 and "0 predicted, 3 done already" in again.out
    assert redone(before, out) == 0
    assert {name: (out / name).read_bytes() for name in tables} == tables

    shutil.rmtree(out / key_of(out, PATIENTS[1]))
    again = batch(capfd, table, tiny_run, out)
    assert "1 predicted, 2 done already" in again.out and redone(before, out) == 1
    before = written(out)

    rows = (out / "predictions.csv").read_text().splitlines(keepends=True)
    (out / "predictions.csv").write_text("".join(rows[:-1]))
    again = batch(capfd, table, tiny_run, out)
    assert "0 predicted, 3 done already" in again.out and redone(before, out) == 0
    assert (out / "predictions.csv").read_bytes() == tables["predictions.csv"]


def test_a_run_with_another_model_or_other_options_does_all_again(
    capfd: Capture, table: Path, done: Path, tiny_run: Path, other_run: Path, tmp_path: Path
) -> None:
    assert "0 predicted, 3 done already" in batch(capfd, table, tiny_run, done).out
    rows = Results(done).predictions()

    assert "3 predicted, 0 done already" in batch(capfd, table, other_run, done).out
    now = Results(done).predictions()
    assert [row["case_key"] for row in now] == [row["case_key"] for row in rows]
    for number, (a, b) in enumerate(zip(now, rows, strict=True)):
        assert (a["task1_score"] == b["task1_score"]) == (number >= 3)
    for row in now[:3]:
        result = json.loads((done / row["case_key"] / "result.json").read_text())
        for task, digest in result["weights_sha256"].items():
            metadata = json.loads((other_run / task / "configs" / "metadata.json").read_text())
            assert metadata["breastpredict"]["weights_sha256"] == digest

    # The same weights with another threshold, as after recalibration.
    moved = changed_run(other_run, tmp_path / "moved", lambda block: block.update(threshold=0.9))
    assert "3 predicted" in batch(capfd, table, moved, done).out
    assert {row["task1_threshold"] for row in Results(done).predictions()[:3]} == {"0.9"}
    assert "3 predicted" in batch(capfd, table, moved, done, "--explain", "none").out
    assert len(list(done.glob("*/heatmap.dcm"))) == len(PATIENTS) - 3
    assert "3 done already" in batch(capfd, table, moved, done, "--explain", "none").out


def test_a_case_whose_mask_or_study_changed_is_done_again(
    capfd: Capture, table: Path, done: Path, tiny_run: Path
) -> None:
    before, result = written(done), done / key_of(done, PATIENTS[1]) / "result.json"
    area = json.loads(result.read_text())["area_mm2"]
    smaller = (LESION[0], slice(16, 24), LESION[2])
    make_mask(table.parent / "mask1.nrrd", table.parent / "study1", smaller)
    assert "1 predicted, 2 done already" in batch(capfd, table, tiny_run, done).out
    assert json.loads(result.read_text())["area_mm2"] == pytest.approx(area * 8 / 12)
    shutil.copy(phase_files(table.parent / "study2", 1)[0], table.parent / "study2" / "copy.dcm")
    assert "1 predicted, 2 done already" in batch(capfd, table, tiny_run, done).out
    assert redone(before, done) == 2


def test_a_cohort_that_moved_is_known_again(
    capfd: Capture, table: Path, done: Path, tiny_run: Path, tmp_path: Path
) -> None:
    """And no patient gets a second row."""
    elsewhere = Path(shutil.move(table.parent, tmp_path / "elsewhere"))
    assert "3 done already" in batch(capfd, elsewhere / "COHORT.csv", tiny_run, done).out
    assert len(Results(done).predictions()) == len(PATIENTS)


# --- Cases that cannot be used ---


def test_a_damaged_case_costs_a_row_with_its_reason_and_the_others_are_predicted(
    capfd: Capture, table: Path, out: Path, tiny_run: Path
) -> None:
    damaged = phase_files(table.parent / "study0", 2)
    for file in damaged:
        truncate(file)
    tiny = (slice(4, 5), slice(18, 20), slice(22, 24))
    make_mask(table.parent / "mask2.nrrd", table.parent / "study2", tiny)
    ended = batch(capfd, table, tiny_run, out)
    assert (ended.code, ended.err) == (1, "")
    assert "1 predicted, 0 done already, 2 failed" in ended.out
    assert [row["patient_id"] for row in Results(out).predictions()] == [PATIENTS[1]]
    first, second = Results(out).failures()
    assert (first["patient_id"], first["stage"], first["cohort"]) == (PATIENTS[0], "input", "SITE")
    assert "The pixel data are truncated" in first["reason"]
    assert str(damaged[0].parent) in first["reason"]
    assert (second["patient_id"], second["stage"]) == (PATIENTS[2], "gate tumour-size")
    assert not (out / first["case_key"]).exists()
    refused = json.loads((out / second["case_key"] / "result.json").read_text())
    assert refused["status"] == "refused" and "probabilities" not in refused


def test_a_row_without_a_mask_costs_a_row(
    capfd: Capture, table: Path, out: Path, tiny_run: Path
) -> None:
    table.write_text(table.read_text().replace("mask1.nrrd", ""))
    ended = batch(capfd, table, tiny_run, out)
    assert ended.code == 1 and "2 predicted, 0 done already, 1 failed" in ended.out
    (failure,) = Results(out).failures()
    assert failure["patient_id"] == PATIENTS[1] and "no segmentation" in failure["reason"]


def test_a_case_that_fails_now_loses_its_old_prediction(
    capfd: Capture, table: Path, done: Path, tiny_run: Path
) -> None:
    """Its numbers would look current. Repaired, it comes back and its failure goes."""
    key, before = key_of(done, PATIENTS[1]), written(done)
    content = {path: path.read_bytes() for path in phase_files(table.parent / "study1", 2)}
    for path in content:
        truncate(path)
    ended = batch(capfd, table, tiny_run, done)
    assert ended.code == 1 and "0 predicted, 2 done already, 1 failed" in ended.out
    assert not (done / key).exists()
    assert key not in {row["case_key"] for row in Results(done).predictions()}
    assert [row["case_key"] for row in Results(done).failures()] == [key]
    for path, whole in content.items():
        path.write_bytes(whole)
    ended = batch(capfd, table, tiny_run, done)
    assert ended.code == 0 and "1 predicted, 2 done already, 0 failed" in ended.out
    assert Results(done).failures() == [] and (done / key / "report.html").is_file()
    assert redone(before, done) == 1


def test_what_is_shown_names_cases_by_key_only(
    capfd: Capture, table: Path, out: Path, tiny_run: Path
) -> None:
    for path in phase_files(table.parent / "study0", 2):
        truncate(path)
    given = ("--model", tiny_run, "--out", out, "--workers", "0")
    ended = command(capfd, "her2", "batch", table, *given)
    shown = ended.out + ended.err
    assert "MRN" not in shown and "batch: 3/3" in shown
    assert key_of(out, PATIENTS[2]) in shown


def test_only_the_cohort_asked_for_is_predicted(
    capfd: Capture, table: Path, out: Path, tiny_run: Path
) -> None:
    table.write_text(table.read_text().replace("MRN-1,SITE", "MRN-1,OTHER"))
    ended = batch(capfd, table, tiny_run, out, "--cohort", "OTHER")
    assert ended.code == 0 and "1 predicted" in ended.out
    assert [row["patient_id"] for row in Results(out).predictions()] == ["MRN-1"]


# --- Inside Slicer ---


def test_the_script_for_slicer_gives_the_same_files(
    repository: Path, original: Path, uninterrupted: dict[str, Path], tiny_run: Path, out: Path
) -> None:
    """Inside of Slicer its worker processes are PythonSlicer's, as sys.executable is Slicer.

    How it ends Slicer is tested in test_slicer_batch_script.py.
    """
    out.mkdir()
    shutil.copy(uninterrupted["first"] / ".salt", out)
    program = out.parent / "bin" / "PythonSlicer"
    program.parent.mkdir()
    # Slicer's starts the real Python as a process of its own.
    program.write_text(f'#!/bin/sh\necho "$@" >> "{program}.calls"\n"{sys.executable}" "$@"\n')
    program.chmod(0o755)
    script = repository / "HER2Predict" / "Scripts" / "batch.py"
    given = ("--", "batch", original, "--model", tiny_run, "--out", out, "--quiet")
    surroundings = environment()
    surroundings["PATH"] = f"{program.parent}{os.pathsep}{surroundings['PATH']}"
    ended = subprocess.run(
        [sys.executable, str(script), *map(str, given), "--workers", "2"],
        env=surroundings, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    calls = Path(f"{program}.calls").read_text().splitlines()
    assert len(calls) == 2 and all("breastpredict.study.batch.child" in call for call in calls)
    assert outputs_of(out) == outputs_of(uninterrupted["first"])


# --- Strings and files from outside ---


def test_hostile_identifiers_stay_text_in_the_tables_and_lead_nowhere(
    capfd: Capture, table: Path, out: Path, tiny_run: Path
) -> None:
    hostile = ["../../x", "=cmd|'/c calc'!A0", "<script>alert(1)</script>"]
    text = table.read_text()
    for patient, name in zip(PATIENTS, hostile, strict=False):
        text = text.replace(f"{patient},SITE", f'"{name}","<b>=1+1</b>"')
    table.write_text(text)
    before = {path for path in out.parent.rglob("*")}
    assert batch(capfd, table, tiny_run, out).code == 0
    new = {path for path in out.parent.rglob("*")} - before
    assert all(path.is_relative_to(out) for path in new)
    assert [row["patient_id"] for row in Results(out).predictions()] == hostile
    raw = (out / "predictions.csv").read_text()
    assert "\n=cmd" not in raw and "\n'=cmd" in raw
    for page in out.glob("*/report.html"):
        assert "alert(1)" not in page.read_text() and "=1+1" not in page.read_text()


class Attack:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self._path,))


def test_pickled_weights_are_refused_and_not_run(
    capfd: Capture, table: Path, out: Path, tiny_run: Path, tmp_path: Path
) -> None:
    """Under the name of safe ones, with the hash that the metadata state."""
    made = tmp_path / "made"
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    for bundle in (path for path in run.iterdir() if path.is_dir()):
        weights = bundle / "models" / "model.safetensors"
        weights.write_bytes(pickle.dumps(Attack(made)))
        path = bundle / "configs" / "metadata.json"
        metadata = json.loads(path.read_text())
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        metadata["breastpredict"]["weights_sha256"] = digest
        path.write_text(json.dumps(metadata))
    ended = batch(capfd, table, run, out, workers=1)
    assert ended.code == 2 and "model.safetensors" in ended.line
    assert not made.exists() and not out.exists()
    pickle.loads(pickle.dumps(Attack(made)))
    assert made.exists()  # it would have


def test_an_archive_as_model_or_as_study_is_not_unpacked_beyond_reason(
    capfd: Capture, table: Path, out: Path, tiny_run: Path, tmp_path: Path
) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(4):
            with archive.open(f"{number}.dcm", "w", force_zip64=True) as member:
                for _ in range(300):
                    member.write(bytes(1 << 20))
    assert bomb.stat().st_size < 2_000_000
    ended = batch(capfd, table, bomb, out)
    assert ended.code == 2 and "There is no such run folder" in ended.line and not out.exists()
    table.write_text(table.read_text().replace("study1,", "../bomb.zip,"))
    ended = batch(capfd, table, tiny_run, out)
    assert ended.code == 1 and "2 predicted" in ended.out
    (failure,) = Results(out).failures()
    assert failure["patient_id"] == PATIENTS[1] and "bomb.zip" in failure["reason"]


def test_links_out_of_a_study_are_not_followed(
    capfd: Capture, table: Path, out: Path, tiny_run: Path
) -> None:
    """A study whose late phases lie behind a link has no phase after contrast."""
    phases = sorted(path for path in (table.parent / "study1").iterdir() if path.is_dir())
    for phase in phases[1:]:
        elsewhere = table.parent / f"elsewhere-{phase.name}"
        phase.rename(elsewhere)
        phase.symlink_to(elsewhere)
    assert batch(capfd, table, tiny_run, out).code == 1
    assert [row["patient_id"] for row in Results(out).failures()] == [PATIENTS[1]]


# --- A folder of case folders ---


@pytest.fixture
def tree(table: Path, tmp_path: Path) -> Path:
    """The three cases as case folders, one of them a zip archive."""
    root = tmp_path / "tree"
    for number, patient in enumerate(PATIENTS[:3]):
        shutil.copytree(table.parent / f"study{number}", root / patient / "dicom")
        shutil.copy(table.parent / f"mask{number}.nrrd", root / patient / "tumour.nrrd")
    shutil.make_archive(str(root / PATIENTS[2] / "study"), "zip", root / PATIENTS[2] / "dicom")
    shutil.rmtree(root / PATIENTS[2] / "dicom")
    (root / PATIENTS[0] / ".DS_Store").touch()
    return root


def test_a_folder_of_case_folders_gives_what_its_table_gives(
    capfd: Capture, tree: Path, table: Path, out: Path, tiny_run: Path, done: Path
) -> None:
    ended = batch(capfd, tree, tiny_run, out.parent / "other")
    assert (ended.code, ended.err) == (0, "") and "3 predicted" in ended.out
    rows = Results(out.parent / "other").predictions()
    wanted = Results(done).predictions()[:3]
    assert [row["patient_id"] for row in rows] == PATIENTS[:3]
    assert [row["task1_score"] for row in rows] == [row["task1_score"] for row in wanted]
    again = batch(capfd, tree, tiny_run, out.parent / "other")
    assert "0 predicted, 3 done already" in again.out


def test_case_folders_that_leave_a_choice_are_refused_all_at_once(
    capfd: Capture, tree: Path, out: Path, tiny_run: Path
) -> None:
    shutil.copytree(tree / PATIENTS[0] / "dicom", tree / PATIENTS[0] / "dicom2")
    shutil.copy(tree / PATIENTS[1] / "tumour.nrrd", tree / PATIENTS[1] / "other.nrrd")
    (tree / PATIENTS[2] / "tumour.nrrd").unlink()
    (tree / "empty").mkdir()
    (tree / "linked").symlink_to(tree / PATIENTS[0])
    ended = batch(capfd, tree, tiny_run, out)
    assert ended.code == 2 and not out.exists() and "2 cases cannot be told" not in ended.line
    assert f"{tree / 'linked'}: is a symbolic link" in ended.line
    (tree / "linked").unlink()
    ended = batch(capfd, tree, tiny_run, out)
    assert ended.code == 2 and not out.exists()
    for words in (
        "4 cases cannot be told",
        f"{PATIENTS[0]}: holds 2 studies (dicom, dicom2)",
        f"{PATIENTS[1]}: holds 2 masks (other.nrrd, tumour.nrrd)",
        f"{PATIENTS[2]}: holds 0 masks",
        "empty: holds 0 studies",
    ):
        assert words in ended.line
    shutil.rmtree(tree)
    tree.mkdir()
    assert "holds no case folders" in batch(capfd, tree, tiny_run, out).line


# --- What counts as the same ---


def test_the_same_study_under_other_names_and_times_is_known_again(
    capfd: Capture, table: Path, done: Path, tiny_run: Path
) -> None:
    """Another export: what it holds counts."""
    for number, path in enumerate(files_below(table.parent / "study1")):
        path.rename(path.with_name(f"IM{number:04}"))
        os.utime(path.with_name(f"IM{number:04}"), (1, 1))
    before = written(done)
    assert "0 predicted, 3 done already" in batch(capfd, table, tiny_run, done).out
    assert redone(before, done) == 0


def test_another_study_under_the_same_names_and_of_the_same_size_is_done_anew(
    capfd: Capture, table: Path, done: Path, tiny_run: Path
) -> None:
    here, other = table.parent / "study1", table.parent / "study2"
    shutil.rmtree(here)
    shutil.copytree(other, here)
    shutil.copy(table.parent / "mask2.nrrd", table.parent / "mask1.nrrd")
    assert "1 predicted, 2 done already" in batch(capfd, table, tiny_run, done).out
    rows = Results(done).predictions()
    assert rows[1]["task1_score"] == rows[2]["task1_score"]


def test_a_folder_that_a_batch_wrote_takes_single_cases_too(
    capfd: Capture, table: Path, done: Path, tiny_run: Path
) -> None:
    rows = Results(done).predictions()
    given = ("--segmentation", table.parent / "mask0.nrrd", "--model", tiny_run, "--out", done)
    ended = command(capfd, "her2", "predict", table.parent / "study0", *given)
    assert ended.code == 0
    now = Results(done).predictions()
    assert now[:-1] == rows and now[-1]["task1_score"] == rows[0]["task1_score"]
    assert "0 predicted, 3 done already" in batch(capfd, table, tiny_run, done).out
    assert Results(done).predictions() == now
