"""A small system for batches, whose cases do what their files say: also hang, crash and eat memory.

Worker processes import it by name, so its folder must be on their PYTHONPATH.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from breastpredict.errors import GateRefusal, InputError


@dataclass(frozen=True)
class Told:
    """A case: a file that holds a number, or what is to happen, with the step it happens in."""

    patient_id: str
    path: Path
    cohort: str = "SITE"


def told(folder: Path, *contents: object) -> list[Told]:
    """A case for each text."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = []
    for number, content in enumerate(contents):
        path = folder / f"{number}.txt"
        path.write_text(str(content))
        cases.append(Told(f"P{number}", path))
    return cases


def _happen(content: str, step: str) -> None:
    """What the file says for this step, for real."""
    what, _, when = content.partition(" in ")
    if when != step:
        return
    if what == "hang":  # inside of C, so that no other thread of the process gets a turn
        re.match(r"(a+)+$", "a" * 64 + "b")
    elif what == "sleep":
        time.sleep(1000)
    elif what == "crash":
        ctypes.string_at(0)
    elif what == "kill":  # the process that started this one
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(1000)
    elif what.startswith("kill ") and not Path(what.removeprefix("kill ")).exists():  # once
        Path(what.removeprefix("kill ")).touch()
        _happen(f"kill in {step}", step)
    elif what == "exit":
        os._exit(3)
    elif what == "ask":  # too much at once
        np.ones(1 << 28)  # 2 GB
    elif what == "eat":  # little by little, where no limit of the system sees it
        hoard = mmap.mmap(-1, 1 << 31)
        for start in range(0, len(hoard), 1 << 20):
            hoard[start : start + (1 << 20)] = b"x" * (1 << 20)
        time.sleep(1000)
    elif what == "raise":
        raise ZeroDivisionError("one\ntwo")
    elif what == "input":
        raise InputError("It cannot be used")
    elif what == "refuse":
        raise GateRefusal("size", "It is too small.")


class ToldWork:
    """Reads the file, writes a folder."""

    def stamp(self, case: Told) -> Iterator[str]:
        stat = case.path.stat()
        yield f"{stat.st_size} {stat.st_mtime_ns}"

    def open(self, case: Told) -> str:
        return case.path.read_text()

    def identity(self, case: Told, opened: str) -> Iterator[str]:
        yield opened

    def prepare(self, case: Told, opened: str) -> str:
        if opened.startswith("mark "):
            Path(opened.removeprefix("mark ")).touch()
        _happen(opened, "prepare")
        return opened

    def check(self, held: str) -> str:
        _happen(held, "check")
        return "checked"

    def inputs(self, held: str) -> str:
        return held

    def write(self, held: str, notes: str, outputs: float, folder: Path) -> dict[str, Any]:
        folder.mkdir()
        (folder / "part").write_text("half")
        _happen(held, "write")
        (folder / "result.json").write_text(json.dumps({"value": outputs, "notes": notes}))
        return {"value": repr(outputs)}

    def refuse(self, held: str | None, refusal: GateRefusal, folder: Path) -> None:
        folder.mkdir()
        (folder / "result.json").write_text(json.dumps({"status": "refused", "held": held}))


class ToldSystem:
    """Doubles numbers."""

    name = "told"
    columns = "patient_id case_key cohort value".split()
    together = 4

    def __init__(self, settings: Sequence[str] = ("1",)) -> None:
        self.settings = list(settings)
        self.work = ToldWork()
        self.groups: list[int] = []

    def run(self, inputs: Sequence[str]) -> list[float]:
        self.groups.append(len(inputs))
        for content in inputs:
            _happen(content, "network")
        return [2.0 * float(text) if text.replace(".", "").isdigit() else 0.0 for text in inputs]
