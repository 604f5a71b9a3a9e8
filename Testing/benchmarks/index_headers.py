"""Reading the headers of a DCE study of 6 phases × 160 slices.

Baseline: what everybody writes, ``pydicom.dcmread(path, stop_before_pixels=True)`` in a loop, and
the values that indexing needs taken from the data set. Both run in this process, in turns, on files
that are in the page cache; the values must be equal. Prints the ratio of the medians.

    python Testing/benchmarks/index_headers.py [--slices 160] [--matrix 64] [--runs 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.multival import MultiValue

from breastpredict.dicom.headers import KEYWORDS, read_headers
from breastpredict.phantom import write_dce

Values = list[dict[str, str]]


def make_input(folder: Path, slices: int, matrix: int) -> list[Path]:
    """Six phases, one series each."""
    rng = np.random.default_rng(0)
    phases = [
        sitk.GetImageFromArray(rng.integers(0, 900, (slices, matrix, matrix)).astype(np.uint16))
        for _ in range(6)
    ]
    write_dce(folder, phases, layout="siemens", times_s=[-60, 30, 120, 210, 300, 390])
    return sorted(folder.rglob("*.dcm"))


def baseline(paths: list[Path]) -> Values:
    """A loop over pydicom."""
    found = []
    for path in paths:
        data = pydicom.dcmread(path, stop_before_pixels=True)
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


def timed(function: Callable[[list[Path]], Values], paths: list[Path]) -> tuple[float, Values]:
    """Seconds and the result."""
    start = time.perf_counter()
    found = function(paths)
    return time.perf_counter() - start, found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--slices", type=int, default=160)
    parser.add_argument("--matrix", type=int, default=64)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = make_input(Path(folder) / "study", arguments.slices, arguments.matrix)
        baseline(paths), product(paths)  # files into the page cache, dictionaries built
        slow, fast = [], []
        for _ in range(arguments.runs):
            seconds, expected = timed(baseline, paths)
            slow.append(seconds)
            seconds, found = timed(product, paths)
            fast.append(seconds)
            if found != expected:
                pairs = zip(found, expected, strict=True)
                first = next((a, b) for a, b in pairs if a != b)
                raise SystemExit(f"the headers differ: {first}")
    result = {
        "files": len(paths),
        "runs": arguments.runs,
        "baseline_s": round(statistics.median(slow), 4),
        "product_s": round(statistics.median(fast), 4),
        "ratio": round(statistics.median(slow) / statistics.median(fast), 2),
    }
    print(json.dumps(result))
    print(f"read_headers is {result['ratio']} times as fast as a pydicom loop; equal values")


if __name__ == "__main__":
    main()
