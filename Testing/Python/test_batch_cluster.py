"""A batch on a Dask cluster ends with the files of a batch on one machine, whatever workers do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from batch_outputs import outputs_of
from batch_systems import ToldSystem, told
from cli_runs import command, environment, make_cohort, make_mask, truncate
from pcr_runs import PcrTrained

from breastpredict import __version__
from breastpredict.errors import InputError
from breastpredict.study import Limits, Results, read_cohort, run_batch
from breastpredict.study.batch import Cluster, run_cases, run_on_cluster
from breastpredict.study.batch.cluster import SAME
from breastpredict.study.pcr_batch import run_pcr_batch

pytestmark = pytest.mark.usefixtures("one_thread")
HERE = Path(__file__).resolve().parent
DASK = "from distributed.cli.dask_{0} import main; main()"


class Farm:
    """A scheduler and workers, each a process of its own."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self._environment = {**environment(), "PYTHONPATH": str(HERE), **settings}
        self.workers: list[subprocess.Popen[bytes]] = []
        self._file = folder / "scheduler.json"
        words = ("--port", "0", "--scheduler-file", str(self._file))
        self._scheduler = self._start("scheduler", "", words)

    @property
    def cluster(self) -> Cluster:
        deadline = time.monotonic() + 60
        while not self._file.is_file() and time.monotonic() < deadline:
            time.sleep(0.05)
        return Cluster(str(self._file), timeout_s=60)

    def grow(self, workers: int = 1, *, after: str = "", before: Sequence[str] = ()) -> None:
        """Start workers, after some Python, or before: inside another command; wait for them."""
        for _ in range(workers):
            words = (
                *("--scheduler-file", str(self._file), "--nthreads", "1", "--no-nanny"),
                *("--local-directory", str(self.folder / f"local{len(self.workers)}")),
            )
            self.workers.append(self._start("worker", after, words, before))
        with self.cluster.connected() as client:
            client.wait_for_workers(len(self.alive), timeout=60)

    @property
    def alive(self) -> list[subprocess.Popen[bytes]]:
        return [worker for worker in self.workers if worker.poll() is None]

    def shrink(self) -> None:
        """End all workers; the scheduler knows it afterwards."""
        for worker in self.alive:
            worker.kill()
            worker.wait()
        with self.cluster.connected() as client:
            deadline = time.monotonic() + 30
            while client.nthreads() and time.monotonic() < deadline:
                time.sleep(0.05)

    def close(self) -> None:
        for process in (*self.alive, self._scheduler):
            process.kill()
            process.wait()

    def _start(
        self, what: str, after: str, words: Sequence[str], before: Sequence[str] = ()
    ) -> subprocess.Popen[bytes]:
        python = (sys.executable, "-c", f"{after}\n{DASK.format(what)}")
        log = open(self.folder / f"{what}{len(self.workers)}.log", "wb")  # noqa: SIM115
        with log:
            return subprocess.Popen(
                [*before, *python, *words, "--host", "127.0.0.1", "--no-dashboard"],
                stdout=log, stderr=log, env=self._environment,
            )  # fmt: skip


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    made = Farm(tmp_path_factory.mktemp("farm"))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def path_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker processes of a local run find the system of these tests."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))


def results_in(out: Path) -> Results:
    return Results(out, ToldSystem.name, ToldSystem.columns)


def run(
    farm: Farm, contents: Sequence[object], folder: Path, out: Path, settings: str = "1"
) -> tuple[int, int, int]:
    """Predicted, skipped and failed of a batch on the cluster."""
    cases = told(folder, *contents)
    load = partial(ToldSystem, [settings])
    limits = Limits(timeout_s=5, memory_gb=0.8)
    done = run_on_cluster(cases, load, load(), results_in(out), farm.cluster, limits)
    return done.predicted, done.skipped, done.failed


# --- The same as on one machine ---


def test_a_worker_killed_midway_costs_nothing_and_the_files_are_those_of_one_machine(
    farm: Farm, tiny_run: Path, tmp_path: Path
) -> None:
    table = make_cohort(tmp_path / "cohort", [f"MRN-{number}" for number in range(7)])
    tiny = (slice(4, 5), slice(18, 20), slice(22, 24))
    make_mask(table.parent / "mask2.nrrd", table.parent / "study2", tiny)
    truncate(table.parent / "mask5.nrrd", 200)
    cases, local, out = read_cohort(table), tmp_path / "local", tmp_path / "out"
    run_batch(cases, tiny_run, local, limits=Limits(workers=0))
    out.mkdir()
    shutil.copy(local / ".salt", out)  # the same salt gives the same keys
    farm.grow(2)
    lines: list[str] = []

    def kill_one(done: int, total: int, line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            farm.alive[0].kill()

    done = run_batch(cases, tiny_run, out, progress=kill_one, cluster=farm.cluster)
    assert (done.predicted, done.skipped, done.failed) == (5, 0, 2)
    assert len(lines) == 7 and len(farm.alive) == 1 and not any("MRN" in line for line in lines)
    assert outputs_of(out) == outputs_of(local)
    assert not list(out.glob(".staging-*"))
    again = run_batch(cases, tiny_run, out, cluster=farm.cluster)
    assert (again.predicted, again.skipped, again.failed) == (0, 5, 2)
    # Each knows the other's results again.
    at_home = run_batch(cases, tiny_run, out, limits=Limits(workers=0))
    assert (at_home.predicted, at_home.skipped, at_home.failed) == (0, 5, 2)
    farm.shrink()


def test_pcr_patients_go_the_same_way(farm: Farm, pcr_trained: PcrTrained, tmp_path: Path) -> None:
    cases, local, out = pcr_trained.fitted()[:3], tmp_path / "local", tmp_path / "out"
    one = run_pcr_batch(cases, pcr_trained.run, local, explain=(), limits=Limits(workers=0))
    out.mkdir()
    shutil.copy(local / ".salt", out)
    farm.grow()
    done = run_pcr_batch(cases, pcr_trained.run, out, explain=(), cluster=farm.cluster)
    assert (done.predicted, done.failed) == (one.predicted, one.failed) == (3, 0)
    assert outputs_of(out) == outputs_of(local)
    farm.shrink()


def test_the_trouble_of_a_case_is_that_of_one_machine_and_a_dying_worker_is_none(
    farm: Farm, tmp_path: Path
) -> None:
    """One worker dies while it reads a case, another while it writes one, in every such run."""
    contents = [
        *(1, f"kill {tmp_path / 'once'} in prepare", "hang in prepare", 2, "crash in write"),
        *("raise in network", "refuse in check", f"kill {tmp_path / 'twice'} in write", 3),
        *("eat in prepare", "input in network", 4),
    ]
    farm.grow(3)
    out, local = tmp_path / "out", tmp_path / "local"
    assert run(farm, contents, tmp_path / "cases", out) == (6, 0, 6)
    assert (tmp_path / "once").exists() and (tmp_path / "twice").exists()
    assert len(farm.alive) == 1
    local.mkdir()
    shutil.copy(out / ".salt", local)
    pool = Limits(2, 5, 0.8).pool(len(contents))
    run_cases(told(tmp_path / "cases", *contents), ToldSystem(), results_in(local), pool)
    assert outputs_of(out) == outputs_of(local)
    assert not list(out.glob(".staging-*"))
    # The worker that is left does another batch: with other settings all is done anew.
    assert run(farm, [5, 6], tmp_path / "cases", out) == (2, 0, 0)
    assert run(farm, [5, 6], tmp_path / "cases", out) == (0, 2, 0)
    assert run(farm, [5, 6], tmp_path / "cases", out, settings="2") == (2, 0, 0)
    farm.shrink()


def test_a_case_that_kills_every_worker_costs_itself_and_not_those_behind_it(
    tmp_path: Path,
) -> None:
    farm = Farm(tmp_path, DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")
    try:
        farm.grow(3)
        contents = ["kill in prepare", 1, 2, 3, 4, 5, 6, 7]
        assert run(farm, contents, tmp_path / "cases", tmp_path / "out") == (7, 0, 1)
        (row,) = results_in(tmp_path / "out").failures()
        assert row["stage"] == "crash" and "has died" in row["reason"]
    finally:
        farm.close()


def test_a_case_whose_answer_died_with_its_worker_is_done_again(farm: Farm, tmp_path: Path) -> None:
    done = [tmp_path / f"done{number}" for number in range(3)]
    farm.grow(3)
    seen: list[str] = []

    def kill_all(*_: object) -> None:
        seen.append("")
        if len(seen) == 1:  # the first is taken: the others end meanwhile, and are taken together
            deadline = time.monotonic() + 30
            while not all(path.exists() for path in done) and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(1.0)
        elif len(seen) == 2:  # the last one's answer is known to be ready, and not taken yet
            farm.shrink()
            farm.grow()

    cases = told(tmp_path / "cases", *(f"mark {path}" for path in done))
    results = results_in(tmp_path / "out")
    load = partial(ToldSystem, ["1"])
    result = run_on_cluster(cases, load, load(), results, farm.cluster, progress=kill_all)
    assert (result.predicted, result.failed) == (3, 0) and len(seen) == 3
    farm.shrink()


# --- What is refused, in one line ---


def test_workers_of_another_version_are_refused_also_when_they_come_later(
    farm: Farm, tmp_path: Path
) -> None:
    other = "import breastpredict; breastpredict.__version__ = '0.0.1'"
    farm.grow(after=other)
    with pytest.raises(InputError, match=f"has BreastPredict 0.0.1, here is {__version__}"):
        run(farm, [1], tmp_path / "cases", tmp_path / "out")
    farm.shrink()
    farm.grow(after="import sys; sys.modules['breastpredict.study.batch.desk'] = None")
    with pytest.raises(InputError, match=f"or none. Install {__version__}, as here"):
        run(farm, [1], tmp_path / "cases", tmp_path / "out")
    farm.shrink()
    # A worker that loads something else than this process did, as one of another model would.
    farm.grow()
    load = partial(ToldSystem, ["another model"])
    results, cases = results_in(tmp_path / "out"), told(tmp_path / "cases", 1)
    with pytest.raises(InputError, match="cannot do its part: It has another model"):
        run_on_cluster(cases, load, ToldSystem(), results, farm.cluster)
    assert not results.predictions() and not list((tmp_path / "out").glob(".staging-*"))
    farm.shrink()


def test_a_worker_that_does_not_see_the_results_folder_is_refused(
    farm: Farm, tmp_path: Path
) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"]).returncode:
        pytest.skip("needs a mount of its own: unshare -rm")
    out = tmp_path / "out"
    out.mkdir()
    hide = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs tmpfs "$0" && exec "$@"', str(out))
    farm.grow(before=hide)
    with pytest.raises(InputError, match="does not see the results folder") as refused:
        run(farm, [1], tmp_path / "cases", out)
    assert str(out) in str(refused.value)
    farm.shrink()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("tcp://127.0.0.1:9", "No Dask scheduler answers at tcp://127.0.0.1:9. Start one"),
        ("nonsense", "takes the address of a scheduler, such as tcp://node:8786"),
        ("", "takes the address of a scheduler"),
        (__file__, "takes the address of a scheduler"),
    ],
)  # fmt: skip
def test_an_address_where_no_scheduler_is_gives_one_line(
    address: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError) as refused, Cluster(address, timeout_s=0.5).connected():
        pass
    assert words in str(refused.value)
    written = capfd.readouterr()
    assert written.out == written.err == ""


def test_without_dask_it_says_what_to_install(
    tiny_run: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = make_cohort(tmp_path / "cohort", ["P"])
    given = (
        "her2",
        "batch",
        table,
        "--model",
        tiny_run,
        "--out",
        tmp_path / "out",
        "--dask",
        "x:1",
    )
    ended = command(capfd, *given, "--workers", "2")
    assert ended.code == 2 and "--workers does not go with --dask" in ended.line
    monkeypatch.setitem(sys.modules, "distributed", None)
    ended = command(capfd, *given)
    assert ended.code == 2 and 'pip install "breastpredict[dask]"' in ended.line
    assert os.listdir(tmp_path / "out") in ([], [".salt"])


def test_a_scheduler_that_goes_away_ends_the_batch_and_what_is_done_stays(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    try:
        farm.grow()
        out, load = tmp_path / "out", ToldSystem
        cases = told(tmp_path / "cases", 1, 2, "sleep in prepare")
        results = results_in(out)

        def end_it(done: int, total: int, line: str) -> None:
            if done == 2:
                farm.close()

        cluster = replace(farm.cluster, timeout_s=3)  # so long does it look for it again
        with pytest.raises(InputError, match="The Dask scheduler has gone away"):
            run_on_cluster(cases, load, load(), results, cluster, progress=end_it)
        assert len(results.predictions()) == 2
        pool = Limits(1, 2, 0.8).pool(3)
        done = run_cases(cases, ToldSystem(), results, pool)
        assert (done.predicted, done.skipped, done.failed) == (0, 2, 1)
        assert not list(out.glob(".staging-*"))
    finally:
        farm.close()


def test_the_manual_names_what_must_be_the_same(repository: Path) -> None:
    page = (repository / "Docs" / "cluster.md").read_text("utf-8")
    assert all(re.search(rf"\b{package}\b", page) for package in SAME)
