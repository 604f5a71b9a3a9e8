"""A scene bundle (.mrb) for every predicted case of a batch, to be looked at in Slicer.

Bundles are made when the batch has ended, one case after the other, from its results and the
images it was given. A bundle lies in its case's folder: where the case is done again, the folder is
another one and the bundle of the old result is gone with it. So what is there is of what is there,
and only what is missing has to be made.

Images are read by the child process that the modules' panels use. Nobody is named: no node says
whose images they are, and no file name does.
"""

from __future__ import annotations

import errno
import importlib
import json
import os
import re
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer

from .bundles import BundleError, save_bundle
from .tasks import Tasks

_LIBRARIES = {"her2": "HER2PredictLib", "pcr": "PCRPredictLib"}
_WHERE = re.compile(r" \[.*\]")  # paths often hold the patient's name


@dataclass(frozen=True)
class Predicted:
    """A predicted case that is to be shown.

    Attributes:
        key: the case's.
        case: as the cohort has it.
        folder: of its results.
        result: result.json.
        run: folder of the trained bundles.
        scratch: an empty folder for images, which is removed.
        ask: asks the child process: a command and its arguments; what it answers.
    """

    key: str
    case: Any
    folder: Path
    result: dict[str, Any]
    run: Path
    scratch: Path
    ask: Callable[..., dict[str, Any]]

    @property
    def patient(self) -> dict[str, str]:
        """Whose images they are, as `hierarchy.study_item` takes it: the case, by its key."""
        nobody = dict.fromkeys(("PatientBirthDate", "StudyDate", "StudyDescription"), "")
        return {**nobody, "PatientName": f"Case {self.key}", "PatientID": self.key}


def write_scenes(system: str, words: Sequence[str]) -> int:
    """Make the bundles that are missing, after a batch.

    A case whose bundle cannot be made costs a line on standard error and no other case. While it
    goes on, no other run writes into the results folder.

    Args:
        system: "her2" or "pcr".
        words: the batch's own command line, from "batch" on.

    Returns:
        the exit code: 1 where a bundle could not be made.

    Raises:
        InputError: the cohort or the results cannot be read, or another run writes there.
        OSError: the results folder is full or gone. What is made stays.
    """
    from breastpredict.cli import options_of
    from breastpredict.cli.progress import Steps
    from breastpredict.study.batch.course import staging_folder

    library = importlib.import_module(f"{_LIBRARIES[system]}.review_scene")
    options = options_of([system, *words])
    cases = library.cases_of(options)
    results = library.results_of(options.out)
    say = Steps("scenes", options.quiet)
    failed = 0
    with results.opened("batch") as ledger, staging_folder(results.folder) as staging:
        predicted = ledger.predictions()
        keyed = [(results.key("patient", case.patient_id), case) for case in cases]
        wanted = [(key, case) for key, case in keyed if key in predicted]
        tasks = Tasks(library.__name__, str(staging))
        try:
            for number, (key, case) in enumerate(wanted):
                say(number, len(wanted), key)
                try:
                    _make(library.fill, key, case, results.folder, options, staging, tasks)
                except Exception as error:  # one case must not end the others, whatever it is
                    _raise_disk(staging, results.folder)
                    failed += 1
                    if options.debug:
                        traceback.print_exc()
                    line = f"breastpredict: error: no scene of case {key}: {_words(error)}"
                    print(line, file=sys.stderr, flush=True)
                finally:
                    slicer.mrmlScene.Clear()
            say(len(wanted), len(wanted), "done")
        finally:
            tasks.close()
    return 1 if failed else 0


def _make(
    fill: Callable[[Predicted], None],
    key: str,
    case: Any,
    out: Path,
    options: Any,
    staging: Path,
    tasks: Tasks,
) -> None:
    """One bundle, unless it is there."""
    folder = out / key
    target = folder / f"{key}.mrb"
    if folder.is_symlink():
        raise BundleError("its folder is a symbolic link")
    if target.is_file():
        return
    slicer.mrmlScene.Clear()
    scratch = tasks.folder / key
    scratch.mkdir(parents=True, mode=0o700)
    result = json.loads((folder / "result.json").read_text("utf-8"))

    def ask(command: str, **arguments: Any) -> dict[str, Any]:
        return _answer(tasks, options.timeout, command, arguments)

    try:
        fill(Predicted(key, case, folder, result, options.model, scratch, ask))
        made = staging / target.name
        save_bundle(made)
        os.replace(made, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _answer(tasks: Tasks, seconds: float, command: str, arguments: dict[str, Any]) -> Any:
    """What the child process says, within the batch's time limit.

    Raises:
        Exception: what it failed with, or Cancelled.
    """
    answers: list[Any] = []
    errors: list[Exception] = []
    tasks.start("reading", command, arguments, answers.append, errors.append)
    end = time.monotonic() + seconds
    while tasks.current is not None:
        tasks.poll()
        if tasks.current is not None and time.monotonic() > end:
            tasks.cancel()
            raise TimeoutError(f"reading took more than {seconds:g} s")
        time.sleep(0.005)
    if errors:
        raise errors[0]
    return answers[0]


def _raise_disk(staging: Path, folder: Path) -> None:
    """End where nothing can be written any more.

    Raises:
        OSError: of the results folder.
    """
    from breastpredict.study.batch.station import disk_trouble

    trouble = disk_trouble(staging)
    if trouble is not None:
        raise OSError(*trouble, str(folder))


def _words(error: Exception) -> str:
    """What went wrong, in one line that names no file."""
    from breastpredict.errors import BreastPredictError

    if isinstance(error, MemoryError):
        return "there is not enough memory"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{os.strerror(error.errno)} ({errno.errorcode.get(error.errno, error.errno)})"
    text = _WHERE.sub("", str(error)) or type(error).__name__
    if not isinstance(error, (BreastPredictError, BundleError, TimeoutError)):
        text = f"internal error: {type(error).__name__}: {text}"
    return "".join(letter if letter.isprintable() else " " for letter in text)
