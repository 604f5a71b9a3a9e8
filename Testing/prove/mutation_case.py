"""One damaged case: read, classified, compared with what the sound input gives.

Run as a program it is a worker: a case a line on stdin (JSON), its outcome a line on stdout.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import resource
import shutil
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from mutation_kinds import damage

from breastpredict.errors import BreastPredictError
from breastpredict.her2.inputs import PreparedCase, prepare_case

ADDRESS_SPACE = 2500 * 2**20
"""What a worker may ask for beyond what its imports took."""

GROWTH = 300 * 2**20
"""The most a case may take: the inputs are of 100 kilobytes, a bomb's bound is 100 megabytes."""

SOUND = ("refused", "equal", "changed as it may", "noticed")
DEFECTS = ("traceback", "wrong success", "timeout", "memory", "crash", "left behind")


@dataclass(frozen=True)
class Outcome:
    """What became of a case: one of `SOUND` or `DEFECTS`, what was done, and what was said."""

    kind: str
    what: str
    said: str
    found: dict[str, Any]


def run_case(
    original: Path, base: dict[str, Any], kind: str, seed: int, truth: dict[str, Any] | None
) -> Outcome:
    """Damage a copy of a base and prepare the case.

    Args:
        original: the base's folder; not touched.
        base: the fields of `mutation_bases.Base`.
        kind, seed: of the damage.
        truth: what the sound base gives; None: this is it.
    """
    around = Path(tempfile.mkdtemp(prefix="mutation-"))
    try:
        folder = around / "case"
        shutil.copytree(original, folder, copy_function=os.link)
        mask = folder / base["mask"]
        done = damage(folder, mask, base["name"], kind, seed)
        with _own_temporary(around / "temporary") as temporary:
            found, error, grown = _prepared(folder, base)
            outcome, said = _judged(found, error, truth, done.may_change)
            if error is not None:
                _released(error)
            left = sorted(os.listdir(temporary))
        escaped = sorted(set(os.listdir(around)) - {"case", "temporary"})
    finally:
        shutil.rmtree(around, ignore_errors=True)
    if grown > GROWTH:
        outcome, said = "memory", f"{grown >> 20} MB taken; {said}"
    elif left or escaped:
        outcome, said = "left behind", f"{left + escaped}; {said}"
    return Outcome(outcome, done.what, said.replace(str(around), ""), found or {})


@contextmanager
def _own_temporary(folder: Path) -> Iterator[Path]:
    """Temporary files go into a folder of their own, so that what is left can be seen."""
    folder.mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = before


def _prepared(
    folder: Path, base: dict[str, Any]
) -> tuple[dict[str, Any] | None, Exception | None, int]:
    """What was found, or the error; and by how many bytes the process grew."""
    found, caught = None, None
    before = _peak(reset=True)
    try:
        case = prepare_case(
            folder / base["study"],
            image_size=32,
            segmentation=folder / base["mask"],
            mask_order=base["order"],
        )
        found = _seen(case)
        del case
    except Exception as error:
        caught = error
    grown = _peak() - before
    if caught is not None and _wants_memory(caught):
        grown = max(grown, ADDRESS_SPACE)
    gc.collect()
    return found, caught, grown


def _released(error: BaseException) -> None:
    """Let go of what the frames of an error and of its causes hold: archives lie in some."""
    for one in _causes(error):
        traceback.clear_frames(one.__traceback__)
    gc.collect()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _peak(reset: bool = False) -> int:
    """The most memory held since the last reset, bytes (Linux)."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _wants_memory(error: BaseException) -> bool:
    """Whether an error, or what caused it, is a want of memory."""
    return any(isinstance(one, MemoryError) or "bad_alloc" in str(one) for one in _causes(error))


def _seen(case: PreparedCase) -> dict[str, Any]:
    """What counts of a prepared case, and everything that was said of it."""
    grid = case.phase.geometry
    numbers = np.array([*grid.spacing, *grid.origin, *grid.direction], float)
    k, j, i = case.mask.start
    sound = np.isfinite(case.image).all() and np.abs(case.image).max() <= 1
    return {
        "geometry": [list(grid.size), np.round(numbers, 6).tolist()],
        "phase": [case.phase.index, [phase.role for phase in case.acquisition.phases]],
        "pixels": _hash(case.image),
        "mask": [[k, j, i], _hash(case.mask.inside), case.slice.index],
        "sound": bool(sound and np.isfinite(numbers).all() and max(grid.spacing) < 1000),
        "notices": sorted(
            {
                *case.warnings,
                *case.study.notes,
                *(rejected.reason for rejected in case.study.rejected),
            }
        ),
    }


def _hash(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


_FOLLOWS = {
    "geometry": {"pixels", "mask", "phase"},
    "phase": {"pixels"},
    "mask": {"pixels"},
    "pixels": set(),
}
"""What changes with each."""


def _judged(
    found: dict[str, Any] | None,
    error: Exception | None,
    truth: dict[str, Any] | None,
    may_change: frozenset[str],
) -> tuple[str, str]:
    if error is not None:
        if not isinstance(error, BreastPredictError):
            return "traceback", "".join(traceback.format_exception(error))[-1500:]
        text = str(error)
        unnamed = getattr(error, "path", "") is None and "is constant" not in text
        if len(text.splitlines()) != 1 or len(text) > 2000 or not text.isprintable():
            return "traceback", f"the reason is no line of text: {text!r:.500}"
        return "refused", text + (" (names no file)" if unnamed else "")
    assert found is not None
    if truth is None:
        return "equal", ""
    differs = {name for name in _FOLLOWS if found[name] != truth[name]}
    allowed = set(may_change).union(*(_FOLLOWS[name] for name in may_change))
    news = sorted(set(found["notices"]) - set(truth["notices"]))
    said = "; ".join(news)
    if not found["sound"]:
        return "wrong success", f"numbers that are none; {said}"
    if not differs:
        return "equal", said
    if differs <= allowed:
        return "changed as it may", f"{sorted(differs)}; {said}"
    if news:
        return "noticed", f"{sorted(differs)}; {said}"
    return "wrong success", f"{sorted(differs - allowed)} changed, and nothing is said"


# --- The worker ---


def _answer_all(printed: BinaryIO) -> None:
    """Answer cases; what libraries print goes into a file, in which tracebacks are looked for."""
    answers = os.fdopen(os.dup(1), "w")
    for stream in (1, 2):
        os.dup2(printed.fileno(), stream)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESS_SPACE, used + ADDRESS_SPACE))
    for line in sys.stdin:
        given = json.loads(line)
        outcome = run_case(
            Path(given["folder"]), given["base"], given["kind"], given["seed"], given["truth"]
        )
        sys.stdout.flush()
        sys.stderr.flush()
        printed.seek(0)
        text = printed.read().decode("utf-8", "replace")
        printed.seek(0)
        printed.truncate()
        kind, said = outcome.kind, outcome.said
        if "Traceback (most recent call last)" in text and kind in SOUND:
            kind, said = "traceback", text[-1500:]
        answers.write(
            json.dumps({"kind": kind, "what": outcome.what, "said": said, "found": outcome.found})
            + "\n"
        )
        answers.flush()


if __name__ == "__main__":
    assert "torch" not in sys.modules
    with tempfile.TemporaryFile("w+b") as file:
        _answer_all(file)
