"""A batch does what is missing, survives what is damaged, and ends as if it had never stopped."""

from __future__ import annotations

import json
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
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
    from breastpredict.study import read_cohort, run_batch

    folder = tmp_path_factory.mktemp("uninterrupted")
    cases = read_cohort(original)
    run_batch(cases, tiny_run, folder / "first")
    shutil.copytree(folder / "first", folder / "over")
    run_batch(cases, other_run, folder / "over")
    return {"first": folder / "first", "over": folder / "over"}


@pytest.fixture
def done(uninterrupted: dict[str, Path], out: Path) -> Path:
    """A results folder in which the whole cohort is done."""
    return Path(shutil.copytree(uninterrupted["first"], out))


def batch(capfd: Capture, table: Path, run: Path, out: Path, *more: str) -> Ended:
    return command(capfd, "her2", "batch", table, "--model", run, "--out", out, "--quiet", *more)


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
    tables = {name: (out / name).read_bytes() for name in ("predictions.csv", ".ledger.csv")}
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
    assert "1 predicted, 2 done already" in again.out and redone(before, out) == 1
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
    ended = command(capfd, "her2", "batch", table, "--model", tiny_run, "--out", out)
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


# --- Killed and resumed; and inside Slicer ---


def results_of(out: Path) -> dict[str, object]:
    """Everything of a results folder that two runs must share: all but dates and new UIDs."""
    found: dict[str, object] = {}
    for path in files_below(out):
        name = path.relative_to(out).as_posix()
        found[name] = None
        if path.suffix in (".csv", ".png"):
            found[name] = path.read_bytes()
        elif path.name == "result.json":
            result = json.loads(path.read_text())
            del result["date"]
            found[name] = result
    return found


@pytest.mark.parametrize("over", [False, True], ids=["into an empty folder", "over old results"])
def test_a_killed_batch_goes_on_to_the_same_tables(
    capfd: Capture,
    original: Path,
    uninterrupted: dict[str, Path],
    tiny_run: Path,
    other_run: Path,
    out: Path,
    over: bool,
) -> None:
    run = other_run if over else tiny_run
    if over:
        shutil.copytree(uninterrupted["first"], out)
    else:  # the same salt gives the same keys
        out.mkdir()
        shutil.copy(uninterrupted["first"] / ".salt", out)
    old = (out / "predictions.csv").read_bytes() if over else b""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "breastpredict", "her2", "batch", str(original), "--quiet"),
            *("--model", str(run), "--out", str(out)),
        ],
        env=environment(),
    )

    def begun() -> bool:
        """Two cases are done, and the next is being written."""
        try:
            rows = (out / "predictions.csv").read_bytes().splitlines()
        except FileNotFoundError:
            return False
        return len(set(rows) - set(old.splitlines())) >= 2 + (not over) and bool(
            list(out.glob(".part-*-*"))
        )

    deadline = time.monotonic() + 60
    while not begun():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    expected = uninterrupted["over" if over else "first"]
    assert (out / "predictions.csv").read_bytes() != (expected / "predictions.csv").read_bytes()

    ended = batch(capfd, original, run, out)
    assert ended.code == 0
    done = int(ended.out.split(" done already")[0].split()[-1])
    assert 2 <= done < len(PATIENTS)
    assert results_of(out) == results_of(expected)


def test_stopped_between_folder_and_row_no_old_row_passes_for_the_new_folder(
    capfd: Capture,
    original: Path,
    uninterrupted: dict[str, Path],
    tiny_run: Path,
    other_run: Path,
    done: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C at the worst moment of a run with another model, and back to the first one."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Results, "predicted", stop)
        ended = batch(capfd, original, other_run, done)
    assert ended.code == 130 and "what is finished is kept" in ended.line
    assert f"1 predicted, {len(PATIENTS) - 1} done" in batch(capfd, original, tiny_run, done).out
    assert results_of(done) == results_of(uninterrupted["first"])


def test_the_script_for_slicer_gives_the_same_files(
    repository: Path, original: Path, uninterrupted: dict[str, Path], tiny_run: Path, out: Path
) -> None:
    """How it ends Slicer is tested in test_slicer_batch_script.py."""
    out.mkdir()
    shutil.copy(uninterrupted["first"] / ".salt", out)
    script = runpy.run_path(str(repository / "HER2Predict" / "Scripts" / "batch.py"))
    given = ("--", "batch", original, "--model", tiny_run, "--out", out, "--quiet")
    assert script["main"]([str(word) for word in given]) == 0
    assert results_of(out) == results_of(uninterrupted["first"])
