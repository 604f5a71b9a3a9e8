"""Reading the headers of a DCE study of 6 phases × 160 slices, and what they make together.

Baseline: what everybody writes, ``pydicom.dcmread(path, stop_before_pixels=True)`` in a loop; once
as it is, and once with the values that indexing needs taken from the data sets, which must be
equal to ours. All runs alternate in this process, on files that are in the page cache. Printed as
ratios of medians:

- ``read_headers`` against the loop, without and with the values;
- ``index_folder``, that is headers, phases, times, and the few pixels that tell pre from post,
  against the loop alone;
- ``breastpredict inspect`` on 1000 files against a script with the loop, both as processes from
  their start to their end, and its seconds: at most 2 on a warm disk;
- peak memory of ``index_folder`` above that of the libraries, for the study and for four times as
  many files: what an acquisition holds, not what was read of it, must decide.

    python Testing/benchmarks/index_headers.py [--slices 160] [--matrix 64] [--runs 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.multival import MultiValue

from breastpredict.dicom import index_folder
from breastpredict.dicom.headers import KEYWORDS, read_headers
from breastpredict.phantom import write_dce

Values = list[dict[str, str]]
PHASES = 6
LOOP = """
import sys
from pathlib import Path
import pydicom
for path in sorted(Path(sys.argv[1]).rglob("*.dcm")):
    pydicom.dcmread(path, stop_before_pixels=True)
"""
PEAK = """
import sys
from pathlib import Path
from breastpredict.dicom import index_folder
Path("/proc/self/clear_refs").write_text("5")  # forget the peak of importing the libraries
def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
before = peak()
studies = index_folder(sys.argv[1])
assert sum(len(a.phases) for s in studies for a in s.dce) == int(sys.argv[2])
print(peak() - before)
"""


def make_input(folder: Path, slices: int, matrix: int) -> list[Path]:
    """Six phases, one series each; the block in the middle enhances."""
    rng = np.random.default_rng(0)
    phases = []
    for phase in range(PHASES):
        values = rng.integers(400, 500, (slices, matrix, matrix))
        if phase:
            values[:, matrix // 4 : matrix // 2, matrix // 4 : matrix // 2] *= 2
        phases.append(sitk.GetImageFromArray(values.astype(np.uint16)))
    write_dce(folder, phases, layout="siemens", times_s=[-60, 30, 120, 210, 300, 390])
    return sorted(folder.rglob("*.dcm"))


def loop(paths: list[Path]) -> list[pydicom.Dataset]:
    """A loop over pydicom; nothing is asked of what it gives."""
    return [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]


def loop_with_values(paths: list[Path]) -> Values:
    """The same, and the values."""
    found = []
    for data in loop(paths):
        values = {}
        for keyword in KEYWORDS:
            source = data.file_meta if keyword == "TransferSyntaxUID" else data
            value = source.get(keyword)
            if value is not None and value != "":
                parts = value if isinstance(value, MultiValue) else [value]
                values[keyword] = "\\".join(str(part).strip() for part in parts)
        found.append(values)
    return found


def product(paths: list[Path]) -> Values:
    """What ``read_study`` does first."""
    return [
        {keyword: header.text(keyword) for keyword in KEYWORDS if header.text(keyword)}
        for header in read_headers(paths)
        if header is not None
    ]


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds and the result."""
    start = time.perf_counter()
    found = function()
    return time.perf_counter() - start, found


def process(*command: str) -> tuple[float, str]:
    """Seconds of a Python process, and what it printed."""
    seconds, run = timed(
        lambda: subprocess.run(
            [sys.executable, *command], check=True, capture_output=True, text=True
        )
    )
    return seconds, run.stdout


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--slices", type=int, default=160)
    parser.add_argument("--matrix", type=int, default=64)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "study"
        paths = make_input(folder, arguments.slices, arguments.matrix)
        steps: dict[str, Callable[[], Any]] = {
            "loop": lambda: loop(paths),
            "loop_with_values": lambda: loop_with_values(paths),
            "read_headers": lambda: product(paths),
            "index_folder": lambda: index_folder(folder),
        }
        results = {name: step() for name, step in steps.items()}  # files into the page cache
        if results["read_headers"] != results["loop_with_values"]:
            pairs = zip(results["read_headers"], results["loop_with_values"], strict=True)
            raise SystemExit(f"the headers differ: {next((a, b) for a, b in pairs if a != b)}")
        (study,) = results["index_folder"]
        if [len(a.phases) for a in study.dce] != [PHASES] or study.dce[0].chosen != 2:
            raise SystemExit("the study was not grouped")
        taken: dict[str, list[float]] = {name: [] for name in steps}
        for _ in range(arguments.runs):
            for name, step in steps.items():
                taken[name].append(timed(step)[0])
        seconds = {name: statistics.median(values) for name, values in taken.items()}
        large = Path(temporary) / "large"
        make_input(large, 4 * arguments.slices, arguments.matrix)
        peaks = [
            float(process("-c", PEAK, str(where), str(PHASES))[1]) for where in (folder, large)
        ]
        thousand = Path(temporary) / "thousand"
        make_input(thousand, 1000 // PHASES + 1, arguments.matrix)
        shown = [process("-m", "breastpredict", "inspect", str(thousand))[0] for _ in range(3)]
        bare = [process("-c", LOOP, str(thousand))[0] for _ in range(3)]
    inspect_s = statistics.median(shown)
    result = {
        "files": len(paths),
        "runs": arguments.runs,
        **{f"{name}_s": round(value, 4) for name, value in seconds.items()},
        "headers_ratio": round(seconds["loop"] / seconds["read_headers"], 2),
        "headers_with_values_ratio": round(
            seconds["loop_with_values"] / seconds["read_headers"], 2
        ),
        "index_ratio": round(seconds["loop"] / seconds["index_folder"], 2),
        "inspect_1000_s": round(inspect_s, 3),
        "inspect_ratio": round(statistics.median(bare) / inspect_s, 2),
        "peak_mb": [round(peak, 1) for peak in peaks],
    }
    print(json.dumps(result))
    print(
        f"headers {result['headers_ratio']} times as fast as a pydicom loop, the whole index "
        f"{result['index_ratio']} times; equal values. inspect of 1000 files: {inspect_s:.2f} s, "
        f"{result['inspect_ratio']} times as fast as a script with the loop. Peak memory: "
        f"{peaks[0]:.0f} MB for {len(paths)} files, {peaks[1]:.0f} MB for {4 * len(paths)}"
    )


if __name__ == "__main__":
    main()
