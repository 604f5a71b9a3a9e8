"""What a training run says of the patients of an evaluation: whom it has seen, and its cuts."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scipy.special import expit, logit

from breastpredict.errors import InputError
from breastpredict.learning.evaluation import Threshold
from breastpredict.learning.recalibration import Recalibration
from breastpredict.learning.run_files import read_split

LOCAL = "local validation"
"""Set of the patients that a recalibration was fitted to."""
Rows = list[dict[str, str]]


@dataclass(frozen=True)
class ToldRun:
    """What the training run says; empty mappings where it does not.

    Attributes:
        blocks: task or variant → the bundle's own metadata.
        sets: patient → set of the training.
        scores: patient → task → score of the final model and its threshold.
        out_of_fold: task → patient → score of the model of the folds without that patient.
        rows: of scores.csv.
    """

    blocks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sets: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, Mapping[str, tuple[float, float]]] = field(default_factory=dict)
    out_of_fold: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    rows: Rows = field(default_factory=list, repr=False)


def run_not_named(warnings: list[str]) -> ToldRun:
    """Nothing is known of the training, which becomes a warning."""
    warnings.append(
        "No training run was named (--model), so whom the model has seen is taken from the "
        "split column: external, test and validation rows count as unseen. Where that is "
        "wrong, every number here is too good."
    )
    return ToldRun()


def read_told_run(
    folder: Path,
    blocks: Mapping[str, Mapping[str, Any]],
    read_scores: Callable[[Path], Rows],
    warnings: list[str],
    out_of_fold: str = "",
) -> ToldRun:
    """Read the tables of a run; what is not known of it becomes a warning.

    Args:
        folder: of the run.
        blocks: task or variant → metadata of its bundle.
        read_scores: reader of the system's scores.csv.
        warnings: grows.
        out_of_fold: the set of cross-validated scores, where the system has them.

    Raises:
        InputError: damaged files.
    """
    local = dict.fromkeys(_local_patients(folder), LOCAL)
    if not (folder / "split.csv").is_file():
        warnings.append(
            "The model comes without its split.csv, so whom it has seen is taken from the split "
            "column: external, test and validation rows count as unseen."
        )
        return ToldRun(blocks, local)
    sets = read_split(folder)
    scores: dict[str, dict[str, tuple[float, float]]] = {}
    folds: dict[str, dict[str, float]] = {task: {} for task in blocks}
    path = folder / "scores.csv"
    rows = read_scores(path) if path.is_file() else []
    try:
        for row in rows:
            patient, task, score = row["patient_id"], row["task"], float(row["score"])
            if out_of_fold and row["set"] == out_of_fold:
                folds[task][patient] = score
            else:
                scores.setdefault(patient, {})[task] = (score, float(row["threshold"]))
    except (ValueError, KeyError) as error:
        raise InputError("The scores of the training run are damaged", path=path) from error
    return ToldRun(blocks, {**sets, **local}, scores, folds, rows)


def _local_patients(folder: Path) -> list[str]:
    """Patients that a recalibration was fitted to."""
    path = folder / "local_validation.csv"
    if not path.is_file():
        return []
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return [row["patient_id"] for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise InputError("The list of local patients is damaged", path=path) from error


def trained_thresholds(told: ToldRun) -> dict[str, Threshold]:
    """Where the model cut before its recalibration; scaling keeps the order, the cut moves along.

    A case is at or above the one on the recalibrated score just where its own score was at or
    above the trained threshold.
    """
    out = {}
    for task, block in told.blocks.items():
        local = Recalibration.from_block(block)
        trained = block.get("local_validation", {}).get("trained_threshold")
        if local is None or trained is None:
            continue
        cut = float(expit(local.logit(float(logit(trained)))))
        if cut != float(block["threshold"]):
            out[task] = Threshold(cut, f"as trained ({float(trained):.3f}), before recalibration")
    return out
