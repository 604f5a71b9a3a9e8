"""A HER2 batch that is killed at any moment goes on to the same files as one that never stopped."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from batch_outputs import outputs_of
from cli_runs import Ended, environment, make_cohort, make_mask, process, truncate

from breastpredict.study import Results

KILLS = 5
PATIENTS = [f"MRN-{number}" for number in range(8)]

NURSERY = """
import os, signal, sys, torch, timm
from breastpredict.cli import main
from breastpredict.study import run_batch
torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's "&" hands on SIG_IGN
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(0)
        os._exit(main(line.rstrip().split("\\t")))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Starts batches as processes of their own without importing torch for each of them."""


class Nursery:
    """Batches to be killed."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", NURSERY], text=True, env=environment(),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def begin(self, *words: object) -> int:
        """Start a command; its process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\t".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> int:
        """Wait for it; its exit code, negative where a signal ended it."""
        lines = self._process.stdout
        assert lines is not None
        for line in lines:
            if line.strip().lstrip("-").isdigit():
                return int(line)
        raise AssertionError("the nursery has ended")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven cases that are predicted or refused, and one that is damaged."""
    table = make_cohort(tmp_path_factory.mktemp("cohort"), PATIENTS)
    tiny = (slice(4, 5), slice(18, 20), slice(22, 24))
    make_mask(table.parent / "mask2.nrrd", table.parent / "study2", tiny)
    truncate(table.parent / "mask5.nrrd", 200)
    return table


@dataclass(frozen=True)
class Whole:
    """A batch that was never stopped: its folder, what it said, and how long a case took."""

    out: Path
    ended: Ended
    case_s: float


@pytest.fixture(scope="module")
def whole(cohort: Path, tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    out = tmp_path_factory.mktemp("whole") / "out"
    ended = process("her2", "batch", cohort, "--model", tiny_run, "--out", out, "--workers", "2")
    written = sorted(path.stat().st_mtime for path in out.glob("*/report.html"))
    return Whole(out, ended, (written[-1] - written[0]) / len(written))


def test_a_batch_killed_at_random_moments_ends_as_if_it_had_never_stopped(
    nursery: Nursery, cohort: Path, whole: Whole, tiny_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    shutil.copy(whole.out / ".salt", out)  # the same salt gives the same keys
    words = ("her2", "batch", cohort, "--model", tiny_run, "--quiet", "--workers", 2, "--out", out)
    rng = random.Random(9)
    for how in (signal.SIGINT, *[signal.SIGKILL] * KILLS):  # Ctrl-C too
        pid = nursery.begin(*words)
        deadline = time.monotonic() + 60
        while not list(out.glob(".staging-*")) and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(rng.uniform(0.0, 2.5) * whole.case_s)
        os.kill(pid, how)
        assert nursery.end() == (130 if how == signal.SIGINT else -signal.SIGKILL)
        assert outputs_of(out) != outputs_of(whole.out)
        for left in out.glob(".staging-*"):
            left.rename(out / f".left{left.name}")  # so that the next one's is seen to begin
    for left in out.glob(".left*"):
        left.rename(out / left.name.removeprefix(".left"))
    nursery.begin(*words)
    assert nursery.end() == 1  # one case is refused and one is damaged
    assert outputs_of(out) == outputs_of(whole.out)
    assert [row["patient_id"] for row in Results(out).failures()] == ["MRN-2", "MRN-5"]


def test_a_batch_gives_the_numbers_of_predict(
    nursery: Nursery, cohort: Path, whole: Whole, tiny_run: Path, tmp_path: Path
) -> None:
    """To the last bit, whatever waits together."""
    row = Results(whole.out).predictions()[-1]
    number = row["patient_id"].removeprefix("MRN-")
    case, mask = cohort.parent / f"study{number}", cohort.parent / f"mask{number}.nrrd"
    given = ("--segmentation", mask, "--model", tiny_run, "--out", tmp_path)
    nursery.begin("her2", "predict", case, *given)
    assert nursery.end() == 0
    (alone,) = Results(tmp_path).predictions()
    for name in ("p_zero", "p_low", "p_positive", "task1_score", "task2_score"):
        assert alone[name] == row[name]


def test_as_a_process_it_says_how_fast_it_is_and_how_it_went(whole: Whole) -> None:
    """Plain lines where there is no terminal, the exit code for some failed cases."""
    ended = whole.ended
    assert ended.code == 1
    assert ended.out == f"6 predicted, 0 done already, 2 failed: {whole.out}\n"
    last = ended.err.splitlines()[-1]
    assert last.startswith(f"batch: {len(PATIENTS)}/{len(PATIENTS)} ")
    assert "cases per second" in last or "s a case" in last
    assert "MRN" not in ended.err and "\r" not in ended.err


# --- The disk ---


DISK = """
set -e
mount -t tmpfs -o size=9m tmpfs "$1"
shift
code=0; "$@" || code=$?
echo "first $code"
ls -d "$OUT"/*/ | wc -l
mount -o remount,size=200m tmpfs "$OUT"
code=0; "$@" || code=$?
echo "second $code"
cp -a "$OUT" "$OUT.kept"
"""


def test_on_a_full_disk_the_batch_ends_with_one_line_and_goes_on_when_there_is_room(
    cohort: Path, tiny_run: Path, tmp_path: Path
) -> None:
    """On a real file system of 9 MB, in which three cases have room."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"]).returncode:
        pytest.skip("needs a mount of its own: unshare -rm")
    out = tmp_path / "out"
    out.mkdir()
    ended = subprocess.run(
        [
            *("unshare", "-rm", "sh", "-c", DISK, "sh", str(out)),
            *(sys.executable, "-m", "breastpredict", "her2", "batch", str(cohort)),
            *("--model", str(tiny_run), "--out", str(out), "--quiet", "--workers", "2"),
        ],
        capture_output=True, text=True, env={**environment(), "OUT": str(out)}, timeout=600,
        check=True,
    )  # fmt: skip
    lines = ended.stdout.splitlines()
    assert "first 2" in lines and "second 1" in lines
    (error,) = ended.stderr.splitlines()
    assert error.startswith("breastpredict: error: ") and str(out) in error
    assert "No space left" in error or "disk is full" in error
    done = int(lines[lines.index("first 2") + 1])
    summary = next(line for line in lines if "predicted" in line)
    skipped = int(summary.split(" done already")[0].split()[-1])
    assert 1 <= skipped <= done < len(PATIENTS)
    assert len(Results(tmp_path / "out.kept").predictions()) == len(PATIENTS) - 2
