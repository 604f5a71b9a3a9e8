"""The files of a pCR training run; see `breastpredict.learning.run_files`."""

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
    "label",
    "score",
    "threshold",
    "above",
)
"""``set`` is train, tuning, validation or apart (the multifocal cohort)."""


@dataclass(frozen=True)
class PcrRun:
    """A finished training.

    Attributes:
        folder: the run folder.
        synthetic: trained on phantoms: a result of it means nothing for patients.
        tasks: one a variant.
        counts: patients per set and outcome.
        failures: patients that could not be used, or not by every variant.
    """

    folder: Path
    synthetic: bool
    tasks: tuple[TaskResult, ...]
    counts: Mapping[str, Mapping[str, int]]
    failures: tuple[CaseFailure, ...]


def read_run(folder: Path) -> PcrRun:
    """The finished run in a folder.

    Raises:
        InputError: there is none, or it is not finished.
    """
    content = read_finished(folder)
    return PcrRun(
        folder,
        bool(content["synthetic"]),
        tuple(TaskResult(**task) for task in content["tasks"]),
        content["counts"],
        read_failures(folder),
    )


def write_split(folder: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write split.csv: patient_id, cohort, pcr, set."""
    write_table(folder / "split.csv", ("patient_id", "cohort", "pcr", "set"), rows)


def write_scores(folder: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write scores.csv, one row per variant and patient; see ``SCORE_COLUMNS``."""
    write_table(folder / "scores.csv", SCORE_COLUMNS, rows)


def read_scores(path: Path) -> list[dict[str, str]]:
    """The rows of a scores.csv.

    Raises:
        InputError: it is damaged or has other columns.
    """
    return run_files.read_scores(path, SCORE_COLUMNS)


def write_local_patients(folder: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write local_validation.csv: the patients a recalibration was fitted to."""
    write_table(folder / "local_validation.csv", ("patient_id", "cohort", "pcr"), rows)
