"""A HER2 batch killed (SIGKILL) twenty times at random moments ends as one that never stopped.

Every batch is the command line in a process of its own. The moments are uniform over the time that
the batch would still need for its cases, a few of them while it starts. After each kill nothing
that the ledger counts may be half done: every prediction in it must have a whole folder that equals
the uninterrupted one. At the end all files must be equal, byte for byte but for dates, times and
new UIDs.

    python Testing/prove/batch_kills.py [--kills 20] [--cases 40]
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from evidence import record

from breastpredict.phantom import make_her2_phantom, write_random_run
from breastpredict.study import Results
from breastpredict.study.ledger import Ledger

sys.path.append(str(Path(__file__).resolve().parents[1] / "Python"))
from batch_outputs import outputs_of

SEED = 909


def batch(table: Path, run: Path, out: Path) -> subprocess.Popen[bytes]:
    """The command line, begun."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "breastpredict", "her2", "batch", str(table), "--quiet"),
            *("--model", str(run), "--out", str(out), "--workers", "2"),
        ],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def counted(out: Path) -> list[str]:
    """The case keys that the ledger of a killed batch counts as predicted."""
    if not (out / ".ledger.sqlite").is_file():
        return []
    ledger = Ledger(out / ".ledger.sqlite", "her2")
    try:
        return list(ledger.predictions())
    finally:
        ledger.close()


def broken(keys: list[str], out: Path, wanted: dict[str, str]) -> int:
    """How many of the cases are not as in the uninterrupted run."""
    return sum(
        {f"{key}/{name}": digest for name, digest in outputs_of(out / key).items()}
        != {name: digest for name, digest in wanted.items() if name.startswith(f"{key}/")}
        for key in keys
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--cases", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = make_her2_phantom(folder / "cohort", {"SITE-B": options.cases}, seed=SEED)
        run = write_random_run(folder / "run")
        start = time.monotonic()
        process = batch(table, run, folder / "whole")
        while process.poll() is None and not list(folder.glob("whole/*/report.html")):
            time.sleep(0.02)
        first = time.monotonic() - start
        code = process.wait()
        rest = time.monotonic() - start - first
        wanted = outputs_of(folder / "whole")
        out = folder / "out"
        out.mkdir()
        shutil.copy(folder / "whole" / ".salt", out)
        rng = random.Random(SEED)
        each: list[dict[str, float]] = []
        while len(each) < options.kills:
            before = len(counted(out))
            process = batch(table, run, out)
            begun = time.monotonic()
            left = 1 - before / options.cases
            time.sleep(first * rng.uniform(0.7, 1.0) + rest * left * rng.uniform(0.0, 1.0))
            process.send_signal(signal.SIGKILL)
            ended = process.wait()
            keys = counted(out)
            if ended == -signal.SIGKILL:
                each.append(
                    {
                        "after_s": round(time.monotonic() - begun, 2),
                        "done_before": before,
                        "done_after": len(keys),
                        "broken": broken(keys, out, wanted),
                    }
                )
                print("kill", len(each), each[-1], flush=True)
            if len(keys) > 0.8 * options.cases and len(each) < options.kills:
                shutil.rmtree(out)  # begin again: little is left to be killed
                out.mkdir()
                shutil.copy(folder / "whole" / ".salt", out)
        last = batch(table, run, out).wait()
        found = outputs_of(out)
        rows = len(Results(out).predictions())
    record(
        "batch_kills",
        {
            "no case that the ledger counts was half done after any kill": all(
                one["broken"] == 0 for one in each
            ),
            "resumed, every file equals the uninterrupted run's but for dates and new UIDs": found
            == wanted,
            "every exit code is that of the uninterrupted run": code == last,
        },
        {
            "cases": options.cases,
            "predicted": rows,
            "seed": SEED,
            "files": len(wanted),
            "uninterrupted_s": round(first + rest, 1),
            "kills": each,
        },
    )


if __name__ == "__main__":
    main()
