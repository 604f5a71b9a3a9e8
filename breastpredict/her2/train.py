"""Training the HER2 cascade from a cohort.

See `train_pool` for whom it is trained on.

Importing this module does not import torch; training does.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breastpredict.her2.cases import CLASSES, Her2Case
from breastpredict.her2.train_config import Her2TrainConfig
from breastpredict.her2.train_files import Her2Run, read_run, write_scores, write_split
from breastpredict.her2.train_folds import out_of_fold_rows
from breastpredict.her2.train_pool import (
    LOW_VS_POSITIVE,
    SETS,
    TASKS,
    ZERO_VS_REST,
    Prepared,
    PreparedPool,
    Progress,
    check_counts,
    folds_of,
    members_of,
    pool_of,
    prepare_cases,
    prepare_pool,
    silent,
    split_of,
)
from breastpredict.learning.config import TrainConfig
from breastpredict.learning.examples import BinaryTask, CaseSet, EpochRecord, Example
from breastpredict.learning.ranges import training_ranges
from breastpredict.learning.run_files import (
    CaseFailure,
    TaskResult,
    open_run,
    write_failures,
    write_run,
)

if TYPE_CHECKING:
    from breastpredict.learning.training import BinaryRun

__all__ = [
    "LOW_VS_POSITIVE",
    "TASKS",
    "ZERO_VS_REST",
    "CaseFailure",
    "Her2Run",
    "Her2TrainConfig",
    "PreparedPool",
    "TaskResult",
    "prepare_pool",
    "read_run",
    "train_her2",
]


def train_her2(
    cases: Sequence[Her2Case],
    out: Path,
    config: Her2TrainConfig | None = None,
    progress: Progress | None = None,
    *,
    resume: bool = False,
) -> Her2Run:
    """Train both tasks of the cascade and write the run folder.

    The folder then holds a bundle per task, ``run.json``, ``split.csv``, ``scores.csv`` (the score
    of every case by the final models, with its set and whether it is out of sample) and
    ``failures.csv``; ``crops/`` keeps the network inputs and ``training/<task>/history.csv`` the
    epochs, from which ``learning_curve.csv`` and, with matplotlib, a figure are made. With
    ``config.folds`` the scores also hold one ``out-of-fold`` row per task and patient of the pool.
    A case that cannot be prepared is a failure with a reason; training goes on without it.

    Args:
        cases: the cohort.
        out: run folder, new or empty; with ``resume`` one that holds this run.
        config: settings.
        progress: called along the way.
        resume: go on where a killed run stopped; a finished run is returned as it is.

    Raises:
        InputError: no usable cohort, a patient on two sides of the split, too few patients of a
            class, a run folder that holds something else.
    """
    config = config or Her2TrainConfig()
    training = config.training()
    say = progress or silent
    pool = pool_of(cases)
    check_counts([c.her2 for c in pool], config.minimum_per_class, "Add patients of these classes")
    policy = config.policy
    split = split_of(pool, config.seed)
    folds = folds_of(pool, config)
    synthetic = _synthetic(pool)
    description = _description(pool, split, config, training, synthetic)
    out = Path(out)
    network = config.network
    # Before a run is begun and a cohort is read for an hour: are there the weights to start from?
    # A finished run does not need them.
    start = "" if resume else _starting_weights(network, config.initial_weights)
    if open_run(out, description, resume=resume):
        return read_run(out)
    write_split(out, _split_rows(pool, split))
    say("weights", 1, 1, start or _starting_weights(network, config.initial_weights))
    size = int(network["image_size"])
    prepared, failures = prepare_cases(pool, out / "crops", size, policy, say)
    write_failures(out, failures)
    check_counts(
        [p.case.her2 for p in prepared],
        config.minimum_per_class,
        "See failures.csv in the run folder for cases that could not be used",
    )
    metadata = {
        "synthetic": synthetic,
        "training_data": training_ranges(
            [p.crop.features for p in prepared if split[p.case.patient_id] != "validation"]
        ),
        "about": {
            "input": policy.to_json(),
            "input_words": policy.words,
            "sites": _sites(prepared),
            "split_rule": description["split"]["rule"],
        },
    }
    runs = [
        _train_task(task, prepared, split, out, config, network, metadata, say) for task in TASKS
    ]
    rows = _score_rows(runs, {p.case.patient_id: p.case for p in prepared})
    if folds:
        rows += out_of_fold_rows(
            TASKS,
            {p.case.patient_id: folds[p.case.patient_id] for p in prepared},
            {p.case.patient_id: str(p.case.her2) for p in prepared},
            lambda task: members_of(task, prepared),
            out,
            network=network,
            weights=config.initial_weights,
            config=training,
            synthetic=synthetic,
            say=say,
        )
    write_scores(out, rows)
    write_run(
        out,
        description,
        finished=True,
        tasks=[asdict(_result(run)) for run in runs],
        counts=_counts([p.case for p in prepared], split),
    )
    for task in TASKS:  # the bundles hold the weights; the state of the optimiser is done with
        (out / "training" / task.name / "checkpoint.pt").unlink(missing_ok=True)
    for folder in ("crops", "folds"):
        shutil.rmtree(out / folder, ignore_errors=True)
    return read_run(out)


def _train_task(
    task: BinaryTask,
    prepared: Sequence[Prepared],
    split: Mapping[str, CaseSet],
    out: Path,
    config: Her2TrainConfig,
    network: Mapping[str, Any],
    metadata: Mapping[str, Any],
    say: Progress,
) -> BinaryRun:
    from breastpredict.learning.training import train_binary

    examples: dict[CaseSet, list[Example]] = {name: [] for name in SETS}
    for example in members_of(task, prepared)[0]:
        examples[split[example.key]].append(example)
    settings = config.training()

    def epoch_done(record: EpochRecord) -> None:
        say(
            task.name, record.epoch, settings.epochs, f"{task.name}  {record.line(settings.epochs)}"
        )

    return train_binary(
        [*examples["train"], *examples["tuning"]],
        examples["validation"],
        task,
        out,
        network=network,
        weights=config.initial_weights,
        config=settings,
        tuning={example.key for example in examples["tuning"]},
        **metadata,
        resume=True,  # the run folder was found to be this run's
        on_epoch=epoch_done,
    )


def _sites(prepared: Sequence[Prepared]) -> dict[str, dict[str, int]]:
    """Usable patients of each site and class."""
    counts = Counter((p.case.cohort, str(p.case.her2)) for p in prepared)
    return {
        site: {her2: counts[(site, her2)] for her2 in CLASSES}
        for site in sorted({p.case.cohort for p in prepared})
    }


def _starting_weights(network: Mapping[str, Any], weights: str | Path) -> str:
    from breastpredict.models import build_vit, initialise

    record = initialise(build_vit(**network), weights)
    return record.warning or f"starting from {record.description}"


def _synthetic(pool: Sequence[Her2Case]) -> bool:
    """Whether any case is a phantom, as the cohort's own ``synthetic`` column says."""
    words = {str(c.extra.get("synthetic", "")).strip().lower() for c in pool}
    return bool(words & {"1", "true", "yes", "y"})


def _description(
    pool: Sequence[Her2Case],
    split: Mapping[str, CaseSet],
    config: Her2TrainConfig,
    training: TrainConfig,
    synthetic: bool,
) -> dict[str, Any]:
    """What defines the run; a resumed run must have the same."""
    rows = sorted((c.patient_id, c.cohort, c.split, str(c.her2)) for c in pool)
    settings = {k: v for k, v in training.to_json().items() if k not in ("device", "workers")}
    return {
        "synthetic": synthetic,
        "config": {
            "preset": config.preset,
            "weights": str(config.initial_weights),
            "minimum_per_class": config.minimum_per_class,
            **config.policy.to_json(),
            "folds": config.folds,
            **settings,
        },
        "cases": hashlib.sha256(json.dumps(rows).encode()).hexdigest(),
        "split": {
            "rule": "validation as marked in the cohort"
            if any(c.split == "validation" for c in pool)
            else "8:2 by patient, stratified by HER2 class",
            "tuning": "one fifth of the remaining, stratified: early stopping and thresholds",
            "patients": dict(sorted(Counter(split.values()).items())),
        },
    }


def _split_rows(pool: Sequence[Her2Case], split: Mapping[str, CaseSet]) -> list[dict[str, str]]:
    return [
        {
            "patient_id": c.patient_id,
            "cohort": c.cohort,
            "her2": str(c.her2),
            "set": split[c.patient_id],
        }
        for c in pool
        if c.patient_id in split
    ]


def _score_rows(
    runs: Sequence[BinaryRun], cases: Mapping[str, Her2Case]
) -> list[dict[str, str | int | float]]:
    return [
        {
            "task": run.task.name,
            "points_to": run.task.positive,
            "patient_id": score.key,
            "set": score.set,
            "out_of_sample": int(score.set != "train"),
            "her2": str(cases[score.key].her2),
            "label": score.label,
            "score": score.score,
            "threshold": run.threshold,
            "above": int(score.score >= run.threshold),
            "fold": "",
        }
        for run in runs
        for score in run.scores
    ]


def _result(run: BinaryRun) -> TaskResult:
    return TaskResult(
        run.task.name,
        run.task.positive,
        run.threshold,
        run.calibration.prevalence,
        len(run.history),
        {name: area._asdict() for name, area in run.auc.items()},
    )


def _counts(cases: Sequence[Her2Case], split: Mapping[str, CaseSet]) -> dict[str, dict[str, int]]:
    counts = Counter((split[c.patient_id], str(c.her2)) for c in cases)
    return {name: {her2: counts[(name, her2)] for her2 in CLASSES} for name in SETS}
