"""A whole HER2 batch against one ``predict`` process per case; where its time goes; its memory.

- Throughput: ``her2 batch`` of a cohort of phantoms, over the same cases by one ``her2 predict``
  process each, as a shell loop would do it (extrapolated from the first ``--loop`` cases). Both
  with two ViT-tiny networks of random weights; the scores must be equal to the last bit.
- Stages: seconds of reading, network, writing and recording, summed over processes.
- Memory: the highest resident memory of the batch's own process and of its largest worker, at 50
  and at 500 cases (``--cases``, ``--many``). The many repeat the studies of the few under other
  patient identifiers, by hard links.
- The network stage alone is measured in her2_network.py.

    python Testing/benchmarks/batch.py [--cases 50] [--many 500] [--loop 5] [--workers N]
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from breastpredict.models import VIT_TINY
from breastpredict.phantom import make_her2_phantom, write_random_run
from breastpredict.study import Results, read_cohort


def many(table: Path, out: Path, count: int) -> Path:
    """A cohort of ``count`` patients: the table's studies again and again, by hard links."""
    with open(table, encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    study, mask = head.index("study"), head.index("segmentation")
    out.mkdir()
    lines = []
    for number in range(count):
        row = list(rows[number % len(rows)])
        row[head.index("patient_id")] = f"P{number:05}"
        for column in (study, mask):
            source = table.parent / row[column]
            target = out / f"{number:05}-{source.name}"
            for path in (source, *source.rglob("*")) if source.is_dir() else (source,):
                here = target / path.relative_to(source) if source.is_dir() else target
                if path.is_dir():
                    here.mkdir()
                else:
                    os.link(path, here)
            row[column] = target.name
        lines.append(row)
    with open(out / "COHORT.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([head, *lines])
    return out / "COHORT.csv"


class Peak(threading.Thread):
    """The highest resident memory of a process and of its largest child, MB."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(pid)
        self.own = self.worker = 0.0

    def run(self) -> None:
        while self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE:
            try:
                self.own = max(self.own, self._process.memory_info().rss / 1e6)
                for child in self._process.children():
                    if "batch.child" not in " ".join(child.cmdline()):
                        continue  # it is still the copy of this process that it began as
                    self.worker = max(self.worker, child.memory_info().rss / 1e6)
            except psutil.Error:
                pass
            time.sleep(0.05)


CHILD = """
import json, sys
from pathlib import Path
from breastpredict.study import Limits, read_cohort, run_batch
table, run, out, workers = sys.argv[1:]
done = run_batch(read_cohort(table), run, out, limits=Limits(int(workers) if workers else None))
print(json.dumps([done.predicted, done.failed, done.seconds]))
"""


def batch(table: Path, run: Path, out: Path, workers: str) -> dict[str, object]:
    """A batch in a process of its own, as ``her2 batch`` runs it, and what it took."""
    start = time.perf_counter()
    words = [sys.executable, "-c", CHILD, str(table), str(run), str(out), workers]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    peak = Peak(process.pid)
    peak.start()
    said, _ = process.communicate()
    if process.returncode:
        raise SystemExit("the batch failed")
    predicted, failed, seconds = json.loads(said.splitlines()[-1])
    wall = time.perf_counter() - start
    peak.join()
    return {
        "wall": wall, "predicted": predicted, "failed": failed, "stages": seconds,
        "own": peak.own, "worker": peak.worker,
    }  # fmt: skip


def loop(table: Path, run: Path, out: Path, count: int) -> tuple[float, list[str]]:
    """Seconds a case by one process each, and the first scores."""
    scores = []
    start = time.perf_counter()
    for number, case in enumerate(read_cohort(table)[:count]):
        subprocess.run(
            [
                *(sys.executable, "-m", "breastpredict", "her2", "predict", str(case.study)),
                *("--segmentation", str(case.segmentation), "--model", str(run)),
                *("--out", str(out / str(number))),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (row,) = Results(out / str(number)).predictions()
        scores.append(row["task1_score"])
    return (time.perf_counter() - start) / count, scores


def report(name: str, found: dict[str, object]) -> None:
    stages: dict[str, float] = found["stages"]  # type: ignore[assignment]
    total = sum(stages.values())
    shares = ", ".join(f"{stage} {value / total:.0%}" for stage, value in stages.items())
    print(
        f"{name}: {found['wall']:.1f} s, {found['predicted']} predicted, {found['failed']} failed; "
        f"work by stage: {shares}; peak memory: {found['own']:.0f} MB, "
        f"largest worker {found['worker']:.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=50)
    parser.add_argument("--many", type=int, default=500)
    parser.add_argument("--loop", type=int, default=5)
    parser.add_argument("--workers", default="", help="as her2 batch takes them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = make_her2_phantom(folder / "cohort", {"SITE-B": options.cases}, seed=5)
        run = write_random_run(folder / "run", network=VIT_TINY)
        few = batch(table, run, folder / "few", options.workers)
        alone, scores = loop(table, run, folder / "alone", options.loop)
        rows = Results(folder / "few").predictions()
        assert [row["task1_score"] for row in rows[: options.loop]] == scores
        report(f"{options.cases} cases", few)
        wall: float = few["wall"]  # type: ignore[assignment]
        print(
            f"one predict process a case: {alone:.2f} s a case, the batch "
            f"{wall / options.cases:.2f} s: {alone * options.cases / wall:.1f} times as fast"
        )
        big = many(table, folder / "many", options.many)
        found = batch(big, run, folder / "results", options.workers)
        report(f"{options.many} cases", found)
        for which in ("own", "worker"):
            growth = found[which] - few[which]  # type: ignore[operator]
            print(f"memory of the {which} process: {growth:+.0f} MB from {options.cases} cases on")


if __name__ == "__main__":
    main()
