"""A batch loses nothing: not by a case that hangs, crashes or eats memory, not by a second run."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest
from batch_systems import Told, ToldSystem, told

from breastpredict.errors import InputError
from breastpredict.study import Limits, Results
from breastpredict.study.batch import BatchResult, run_cases
from breastpredict.study.batch.engine import Progress
from breastpredict.study.batch.pace import Pace

HERE = Path(__file__).resolve().parent


@pytest.fixture(autouse=True)
def path_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes find the system of these tests."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def results_in(out: Path) -> Results:
    return Results(out, ToldSystem.name, ToldSystem.columns)


def run(
    cases: Sequence[Told],
    out: Path,
    *,
    workers: int = 2,
    timeout_s: float = 60.0,
    memory_gb: float = 0.8,
    system: ToldSystem | None = None,
    progress: Progress | None = None,
) -> BatchResult:
    pool = Limits(workers, timeout_s, memory_gb).pool(len(cases))
    return run_cases(cases, system or ToldSystem(), results_in(out), pool, progress)


def values(out: Path) -> dict[str, str]:
    """Patient → value."""
    return {row["patient_id"]: row["value"] for row in results_in(out).predictions()}


def failures(out: Path) -> dict[str, tuple[str, str]]:
    """Patient → stage and reason."""
    rows = results_in(out).failures()
    return {row["patient_id"]: (row["stage"], row["reason"]) for row in rows}


def nothing_is_left_over(out: Path) -> bool:
    """Nothing but results, and no process."""
    children = [p for p in psutil.Process().children(recursive=True) if "batch.child" in _line(p)]
    return not list(out.glob(".staging-*")) and not list(out.glob("*/part-*")) and not children


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


# --- One case's trouble is its own ---


def test_every_kind_of_trouble_costs_its_case_and_no_other(tmp_path: Path, out: Path) -> None:
    troubles = {
        "hang in prepare": ("time", "longer than 3 s (--timeout)"),
        "sleep in write": ("time", "longer than 3 s (--timeout)"),
        "crash in prepare": ("crash", "ended unexpectedly (SIGSEGV)"),
        "exit in write": ("crash", "ended unexpectedly (exit code 3)"),
        "ask in prepare": ("memory", "more memory than it may have"),
        "eat in write": ("memory", "more than 0.8 GB of memory (--memory)"),
        "raise in write": ("internal", "internal error: ZeroDivisionError: one"),
        "raise in network": ("internal", "internal error: ZeroDivisionError: one"),
        "input in network": ("input", "It cannot be used"),
        "input in prepare": ("input", "It cannot be used"),
        "refuse in check": ("gate size", "It is too small."),
    }
    contents: list[object] = []
    for number, what in enumerate(troubles):
        contents += [what, number]
    cases = told(tmp_path / "cases", *contents)
    ended = run(cases, out, timeout_s=3)
    assert (ended.predicted, ended.skipped, ended.failed) == (len(troubles), 0, len(troubles))
    assert list(values(out)) == [f"P{2 * n + 1}" for n in range(len(troubles))]
    assert list(values(out).values()) == [repr(2.0 * n) for n in range(len(troubles))]
    found = failures(out)
    assert list(found) == [f"P{2 * n}" for n in range(len(troubles))]
    for (stage, reason), (wanted, words) in zip(found.values(), troubles.values(), strict=True):
        assert stage == wanted and words in reason
    # A refused case has its folder, a failed one has none, and nothing is half done.
    keys = {row["case_key"]: row["stage"] for row in results_in(out).failures()}
    assert {key for key in keys if (out / key).exists()} == {
        key for key, stage in keys.items() if stage == "gate size"
    }
    assert nothing_is_left_over(out)


def test_a_second_run_does_what_failed_and_what_changed_and_nothing_else(
    tmp_path: Path, out: Path
) -> None:
    cases = told(tmp_path / "cases", 1, "crash in prepare", 3, 4)
    run(cases, out)
    told(tmp_path / "cases", 1, 2)  # the first is written again, as it was
    cases[2].path.write_text("33")
    done = {key.name: key.stat().st_mtime_ns for key in out.glob("*/result.json")}
    ended = run(cases, out)
    assert (ended.predicted, ended.skipped, ended.failed) == (2, 2, 0)
    assert list(values(out).items()) == [
        ("P0", "2.0"), ("P1", "4.0"), ("P2", "66.0"), ("P3", "8.0")
    ]  # fmt: skip
    assert failures(out) == {} and done
    assert run(cases, out, system=ToldSystem(["2"])).predicted == 4
    shutil.rmtree(out / results_in(out).predictions()[0]["case_key"])
    assert run(cases, out, workers=0, system=ToldSystem(["2"])).predicted == 1


def test_the_tables_do_not_depend_on_the_number_of_workers(tmp_path: Path, out: Path) -> None:
    contents = [n if n % 4 else "refuse in prepare" for n in range(24)]
    cases = told(tmp_path / "cases", *contents)
    system = ToldSystem()
    assert run(cases, out, workers=3, system=system).predicted == 18
    assert 1 <= max(system.groups) <= system.together
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(out / ".salt", other)
    run(cases, other, workers=0)
    for name in ("predictions.csv", "failures.csv"):
        assert (out / name).read_bytes() == (other / name).read_bytes()
    assert sorted(p.name for p in out.iterdir()) == sorted(p.name for p in other.iterdir())


def test_what_waits_is_bounded_whatever_the_cohorts_size(tmp_path: Path, out: Path) -> None:
    """A network that is slower than the workers: they wait for it, and do not read on."""
    seen = tmp_path / "seen"
    seen.mkdir()
    cases = told(tmp_path / "cases", *(f"mark {seen / str(n)}" for n in range(30)))
    ahead: list[int] = []

    class Slow(ToldSystem):
        together = 1

        def run(self, inputs: Sequence[str]) -> list[float]:
            time.sleep(0.05)
            ahead.append(len(list(seen.iterdir())) - len(ahead))
            return super().run(inputs)

    run(cases, out, system=Slow())
    assert len(ahead) == 30 and 2 <= max(ahead) <= 2 * 3


def test_workers_that_cannot_start_end_the_batch_with_one_line(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken" / "breastpredict_never"
    broken.mkdir(parents=True)
    (broken.parent / "sitecustomize.py").write_text("raise SystemExit(7)")
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    with pytest.raises(InputError, match="end before they begin"):
        run(told(tmp_path / "cases", 1, 2), out)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"workers": -1}, "number of workers"),
        ({"timeout_s": 0.0}, "time limit"),
        ({"timeout_s": float("nan")}, "time limit"),
        ({"memory_gb": 0.1}, "memory limit"),
    ],
)
def test_limits_that_are_none_are_refused(limits: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Limits(**limits)  # type: ignore[arg-type]


# --- The folder ---


SCRIPT = """
import sys
from pathlib import Path
from batch_systems import ToldSystem, Told
from breastpredict.study import Limits, Results
from breastpredict.study.batch import run_cases
cases = [Told(f"P{n}", Path(p)) for n, p in enumerate(sys.argv[2:])]
results = Results(sys.argv[1], ToldSystem.name, ToldSystem.columns)
print(run_cases(cases, ToldSystem(), results, Limits(2).pool(len(cases))))
"""


def begin(cases: Sequence[Told], out: Path) -> subprocess.Popen[str]:
    """A batch in a process of its own."""
    words = [sys.executable, "-c", SCRIPT, str(out), *(str(case.path) for case in cases)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(what: object, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_second_run_is_refused_and_a_dead_ones_lock_is_taken_over(
    tmp_path: Path, out: Path
) -> None:
    cases = told(tmp_path / "cases", 1, 2, "sleep in write", 4)
    first = begin(cases, out)
    try:
        wait_for(lambda: len(list(out.glob("*/result.json"))) >= 2)
        with pytest.raises(InputError) as refused:
            run(cases, out, workers=0)
        words = str(refused.value)
        assert "Another run writes into this results folder" in words
        assert f"process {first.pid}" in words and str(out) in words
        with pytest.raises(InputError, match="Another run"):  # a single case does not wait for it
            results_in(out).predicted("0" * 16, {})
        children = psutil.Process(first.pid).children(recursive=True)
        assert len(children) == 2
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    psutil.wait_procs(children, timeout=10)
    assert not any(child.is_running() for child in children)  # also the one that would never end
    cases[2].path.write_text("3")
    ended = run(cases, out)
    assert ended.predicted + ended.skipped == 4 and ended.skipped >= 1
    assert nothing_is_left_over(out)
    assert list(values(out)) == ["P0", "P1", "P2", "P3"]


def test_single_cases_wait_for_each_other(out: Path) -> None:
    results = results_in(out)

    def write(number: int) -> None:
        results_in(out).predicted(f"{number:016x}", {"patient_id": f"P{number}"})

    with results.opened() as ledger:
        threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        assert list(ledger.rows("predicted")) == []
    for thread in threads:
        thread.join()
    assert sorted(values(out)) == [f"P{n}" for n in range(4)]


def test_without_locks_of_the_file_system_the_named_process_stands_for_the_lock(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alive it holds the lock, dead it does not; of one on another machine nobody can tell."""
    import fcntl

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    results = results_in(out)
    here = socket.gethostname()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for holder, free in ((f"{os.getpid()} {here}", False), (f"{dead.pid} {here}", True),
                         (f"{dead.pid} elsewhere", False)):  # fmt: skip
        (out / ".lock").write_text(f"batch {holder}\n")
        if free:
            results.predicted("0" * 16, {})
            assert (out / ".lock").read_text() == ""
        else:
            with pytest.raises(InputError, match=f"process {holder.replace(' ', ' on ')}"):
                results.predicted("0" * 16, {})


def test_a_results_folder_that_vanishes_ends_the_batch_and_keeps_what_is_done(
    tmp_path: Path, out: Path
) -> None:
    cases = told(tmp_path / "cases", *range(60))
    away = tmp_path / "away"

    def vanish(done: int, total: int, line: str) -> None:
        if done == 10:
            out.rename(away)

    for workers in (2, 0):
        with pytest.raises(OSError, match="results folder is gone"):
            run(cases, out, workers=workers, progress=vanish)
        assert not list(out.glob("*.csv")) and not list(out.glob("*/result.json"))
        shutil.rmtree(out, ignore_errors=True)
        away.rename(out)
        assert len(list(out.glob("*/result.json"))) == 10
        ended = run(cases, out, workers=workers)
        assert (ended.predicted, ended.skipped) == (50, 10) and nothing_is_left_over(out)
        shutil.rmtree(out)


@pytest.mark.parametrize("content", [7, "input in prepare", "refuse in check"])
def test_a_case_folder_that_became_a_link_goes_and_what_it_led_to_stays(
    tmp_path: Path, out: Path, content: object
) -> None:
    """Whether its case is predicted anew, fails or is refused."""
    cases = told(tmp_path / "cases", 1, 2)
    run(cases, out, workers=0)
    key = results_in(out).key("patient", "P0")
    elsewhere = (out / key).rename(tmp_path / "elsewhere")
    (elsewhere / "others.txt").write_text("of somebody else")
    (out / key).symlink_to(elsewhere)
    cases[0].path.write_text(str(content))
    run(cases, out, workers=0)
    assert not (out / key).is_symlink() and nothing_is_left_over(out)
    assert (elsewhere / "others.txt").read_text() == "of somebody else"
    assert (elsewhere / "result.json").is_file()


def test_a_link_that_leads_nowhere_gives_way_to_the_case(tmp_path: Path, out: Path) -> None:
    cases = told(tmp_path / "cases", 1)
    key = results_in(out).key("patient", "P0")
    (out / key).symlink_to(tmp_path / "nowhere")
    assert run(cases, out, workers=0).predicted == 1
    assert not (out / key).is_symlink() and (out / key / "result.json").is_file()
    assert not (tmp_path / "nowhere").exists()


def test_results_of_another_system_are_not_mixed_in(tmp_path: Path, out: Path) -> None:
    run(told(tmp_path / "cases", 1), out, workers=0)
    with pytest.raises(InputError, match=r"was not made by|another system"):
        Results(out).predicted("0" * 16, {})
    shutil.rmtree(out)
    run(told(tmp_path / "cases", "input in prepare"), out, workers=0)
    with pytest.raises(InputError, match="another system \\(told\\)"):
        Results(out).predicted("0" * 16, {})


def test_tables_without_a_ledger_are_kept_and_their_cases_done_again(
    tmp_path: Path, out: Path
) -> None:
    """As an earlier version left them, or where the ledger was removed."""
    cases = told(tmp_path / "cases", 1, "input in prepare", 3)
    run(cases, out, workers=0)
    before = {name: (out / name).read_bytes() for name in ("predictions.csv", "failures.csv")}
    (out / ".ledger.sqlite").unlink()
    assert run(cases[:1], out, workers=0).predicted == 1
    assert {name: (out / name).read_bytes() for name in before} == before


def test_a_damaged_ledger_is_named_with_what_to_do(tmp_path: Path, out: Path) -> None:
    cases = told(tmp_path / "cases", 1, 2)
    run(cases, out, workers=0)
    (out / ".ledger.sqlite").write_bytes(b"no ledger" * 1000)
    with pytest.raises(InputError, match="The ledger of the results folder is damaged") as error:
        run(cases, out, workers=0)
    assert ".ledger.sqlite" in str(error.value) and "Remove it" in str(error.value)


# --- What is said ---


def test_the_pace_tells_cases_per_second_and_the_time_left() -> None:
    now = [0.0]
    pace = Pace(lambda: now[0])
    assert pace.words(10) == ""
    for _ in range(20):
        now[0] += 0.25
        pace.step()
    assert pace.words(40) == "4.0 cases per second, 10 s left"
    assert pace.words(4 * 600) == "4.0 cases per second, 10 min left"
    assert pace.words(0) == "4.0 cases per second"
    for _ in range(60):  # only what was of late counts
        now[0] += 5
        pace.step()
    assert pace.words(3600) == "5.0 s a case, 5.0 h left"


def test_every_case_is_told_of_once_with_the_pace(tmp_path: Path, out: Path) -> None:
    cases = told(tmp_path / "cases", 1, 2, "raise in prepare", 4)
    lines: list[tuple[int, int, str]] = []
    run(cases, out, progress=lambda *said: lines.append(said))
    assert [(done, total) for done, total, _ in lines] == [(n, 4) for n in range(1, 5)]
    assert sum("failed: see failures.csv" in line for _, _, line in lines) == 1
    assert all(
        re.search(r"^[0-9a-f]{16} .*(cases per second|s a case)", line) for *_, line in lines
    )
    assert " left" in lines[0][2] and " left" not in lines[-1][2]


def test_what_a_ledger_holds_is_json_and_no_path(tmp_path: Path, out: Path) -> None:
    """Only what the tables hold, and salted hashes."""
    import sqlite3

    cases = told(tmp_path / "secret-folder", 1)
    run(cases, out, workers=0)
    with sqlite3.connect(out / ".ledger.sqlite") as db:
        ((key, made, stamp, cells),) = db.execute("SELECT key, made_from, stamp, cells FROM cases")
    assert all(re.fullmatch("[0-9a-f]{16}", text) for text in (key, made, stamp))
    assert set(json.loads(cells)) == {"patient_id", "cohort", "value", "case_key"}
    assert b"secret-folder" not in (out / ".ledger.sqlite").read_bytes()
    assert os.fsencode(tmp_path) not in (out / ".ledger.sqlite").read_bytes()
