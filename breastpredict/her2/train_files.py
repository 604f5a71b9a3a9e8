"""The files of a HER2 training run; see `breastpredict.learning.run_files`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breastpredict.learning import run_files
from breastpredict.learning.run_files import (
    CaseFailure,
    TaskResult,
    read_failures,
    read_finished,
    write_table,
)

SCORE_COLUMNS = (
    "task",
    "points_to",
    "patient_id",
    "set",
    "out_of_sample",
    "her2",
    "label",
    "score",
    "threshold",
    "above",
    "fold",
)
"""``set`` is train, tuning or validation for the final models' scores, and out-of-fold for those of
the cross-validation, which alone may serve analyses of training patients; ``fold`` is empty for the
former, and ``label`` for a patient outside of the task."""


@dataclass(frozen=True)
class Her2Run:
    """A finished training.

    Attributes:
        folder: the run folder.
        synthetic: trained on phantoms: a result of it means nothing for patients.
        tasks: both tasks, zero versus rest first.
        counts: patients per set and HER2 class.
        failures: cases that could not be used.
    """

    folder: Path
    synthetic: bool
    tasks: tuple[TaskResult, ...]
    counts: Mapping[str, Mapping[str, int]]
    failures: tuple[CaseFailure, ...]


def read_run(folder: Path) -> Her2Run:
    """The finished run in a folder.

    Raises:
        InputError: there is none, or it is not finished.
    """
    content = read_finished(folder)
    return Her2Run(
        folder,
        bool(content["synthetic"]),
        tuple(TaskResult(**task) for task in content["tasks"]),
        content["counts"],
        read_failures(folder),
    )


def write_split(folder: Path, rows: Iterable[Mapping[str, str]]) -> None:
    """Write split.csv: patient_id, cohort, her2, set."""
    write_table(folder / "split.csv", ("patient_id", "cohort", "her2", "set"), rows)


def write_scores(folder: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write scores.csv, one row per task and patient; see ``SCORE_COLUMNS``."""
    write_table(folder / "scores.csv", SCORE_COLUMNS, rows)


def read_scores(path: Path) -> list[dict[str, str]]:
    """The rows of a scores.csv.

    Raises:
        InputError: it is damaged or has other columns.
    """
    return run_files.read_scores(path, SCORE_COLUMNS)


def write_local_patients(folder: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write local_validation.csv: the patients a recalibration was fitted to."""
    write_table(folder / "local_validation.csv", ("patient_id", "cohort", "her2"), rows)
