"""Cross-validation of the HER2 cascade: out-of-fold scores of every patient of the pool.

A finished fold is kept as ``folds/<fold>/scores.csv`` and not trained again when a killed run goes
on. The folds' models serve for nothing else and are not kept.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from breastpredict.errors import InputError
from breastpredict.her2.train_files import SCORE_COLUMNS, read_scores, write_scores
from breastpredict.learning.config import TrainConfig
from breastpredict.learning.examples import BinaryTask, EpochRecord, Example

Progress = Callable[[str, int, int, str], None]
FoldExamples = Callable[[BinaryTask], tuple[Sequence[Example], Sequence[Example]]]
"""Task → its examples, and those of the pool's other patients."""

OUT_OF_FOLD = "out-of-fold"


def out_of_fold_rows(
    tasks: Sequence[BinaryTask],
    folds: Mapping[str, int],
    her2: Mapping[str, str],
    examples: FoldExamples,
    out: Path,
    *,
    network: Mapping[str, Any],
    weights: str | Path,
    config: TrainConfig,
    synthetic: bool,
    say: Progress,
) -> list[dict[str, Any]]:
    """Rows of scores.csv with the set ``out-of-fold``: one per task and patient.

    Args:
        tasks: both.
        folds: usable patient → fold, from 1; the same in both tasks.
        her2: patient → class.
        examples: see `FoldExamples`.
        out: the run folder.
        network, weights, config, synthetic: as the final models'.
        say: called along the way.

    Raises:
        InputError: as training; a patient was not scored exactly once.
    """
    from breastpredict.learning.crossval import FoldScore, check_out_of_fold, train_fold

    rows: list[dict[str, Any]] = []
    for fold in range(1, max(folds.values()) + 1):
        folder = out / "folds" / str(fold)
        members = {patient for patient, number in folds.items() if number == fold}
        kept = _finished(folder / "scores.csv", members, tasks)
        if kept is not None:
            rows += kept
            continue
        found: list[dict[str, Any]] = []
        for task in tasks:
            stage = f"fold {fold} {task.name}"

            def epoch_done(_: int, record: EpochRecord, stage: str = stage) -> None:
                line = f"{stage}  {record.line(config.epochs)}"
                say(stage, record.epoch, config.epochs, line)

            own, others = examples(task)
            scores = train_fold(
                fold,
                folds,
                own,
                others,
                task,
                folder,
                network=network,
                weights=weights,
                config=config,
                synthetic=synthetic,
                on_epoch=epoch_done,
            )
            found += [_row(task, score, her2[score.key]) for score in scores]
        write_scores(folder, found)
        shutil.rmtree(folder / "training", ignore_errors=True)
        rows += found
    for task in tasks:
        check_out_of_fold(
            [
                FoldScore(str(r["patient_id"]), int(r["fold"]), None, 0.0, 0.0)
                for r in rows
                if r["task"] == task.name
            ],
            folds,
        )
    return rows


def _row(task: BinaryTask, score: Any, her2: str) -> dict[str, Any]:
    return {
        "task": task.name,
        "points_to": task.positive,
        "patient_id": score.key,
        "set": OUT_OF_FOLD,
        "out_of_sample": 1,
        "her2": her2,
        "label": "" if score.label is None else score.label,
        "score": score.score,
        "threshold": score.threshold,
        "above": int(score.score >= score.threshold),
        "fold": score.fold,
    }


def _finished(
    path: Path, members: set[str], tasks: Sequence[BinaryTask]
) -> list[dict[str, Any]] | None:
    """The rows of a finished fold; None where it is not, or other patients were in it."""
    if not path.is_file():
        return None
    try:
        rows = read_scores(path)
    except InputError:
        return None
    found = sorted((row["task"], row["patient_id"]) for row in rows)
    if found != sorted((task.name, patient) for task in tasks for patient in members):
        return None
    return [{name: row[name] for name in SCORE_COLUMNS} for row in rows]
