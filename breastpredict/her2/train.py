"""Training the HER2 cascade from a cohort.

Rows whose split is ``external`` or ``test`` are never read. The others are the pool. It is split
8:2 by patient, stratified by HER2 class, unless rows marked ``validation`` say it already. Both
tasks use the same split, so no patient fits one task and judges the other. Inside the 80 % one
fifth is set apart (``tuning``) for early stopping and the thresholds; see
``breastpredict.learning.training``.

Importing this module does not import torch; training does.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from breastpredict.errors import BreastPredictError, InputError
from breastpredict.her2.cases import CLASSES, Her2Case, Her2Class, label_of
from breastpredict.her2.roi_policy import RoiPolicy
from breastpredict.her2.train_cache import Crop, crop_of
from breastpredict.her2.train_config import Her2TrainConfig
from breastpredict.her2.train_files import Her2Run, read_run, write_scores, write_split
from breastpredict.her2.train_folds import out_of_fold_rows
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
from breastpredict.learning.split import check_disjoint, stratified_folds, stratified_split

if TYPE_CHECKING:
    from breastpredict.learning.training import BinaryRun

__all__ = [
    "LOW_VS_POSITIVE",
    "TASKS",
    "ZERO_VS_REST",
    "CaseFailure",
    "Her2Run",
    "Her2TrainConfig",
    "TaskResult",
    "read_run",
    "train_her2",
]

Progress = Callable[[str, int, int, str], None]
"""Called with the stage, what is done of it, its total, and a line for the log."""

ZERO_VS_REST = BinaryTask("her2_zero_vs_rest", positive="low_or_positive", negative="zero")
LOW_VS_POSITIVE = BinaryTask("her2_low_vs_positive", positive="low", negative="positive")
TASKS = (ZERO_VS_REST, LOW_VS_POSITIVE)

HOLDOUT_FRACTION = 0.2
TUNING_FRACTION = 0.2

_UNTOUCHED = ("external", "test")
_POOL = ("", "train", "validation")
_SETS: tuple[CaseSet, ...] = ("train", "tuning", "validation")


@dataclass(frozen=True)
class _Prepared:
    case: Her2Case
    crop: Crop


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
    say = progress or _silent
    pool = _pool(cases)
    _check_counts([c.her2 for c in pool], config.minimum_per_class, "Add patients of these classes")
    policy = config.policy
    split = _split(pool, config.seed)
    folds = _folds(pool, config)
    synthetic = _synthetic(pool)
    description = _description(pool, split, config, training, synthetic)
    out = Path(out)
    network = _network(config.preset)
    # Before a run is begun and a cohort is read for an hour: are there the weights to start from?
    # A finished run does not need them.
    start = "" if resume else _starting_weights(network, config.initial_weights)
    if open_run(out, description, resume=resume):
        return read_run(out)
    write_split(out, _split_rows(pool, split))
    say("weights", 1, 1, start or _starting_weights(network, config.initial_weights))
    size = int(network["image_size"])
    prepared, failures = _prepare(pool, out / "crops", size, policy, say)
    write_failures(out, failures)
    _check_counts(
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
            lambda task: _members(task, prepared),
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


@dataclass(frozen=True)
class PreparedPool:
    """The usable patients of a cohort, as `prepare_pool` gives them.

    Attributes:
        split: patient → set.
        failures: patients that could not be used.
    """

    split: Mapping[str, CaseSet]
    failures: Sequence[CaseFailure]
    _prepared: Sequence[_Prepared]

    def examples(self, task: BinaryTask) -> list[Example]:
        """The patients of a task."""
        return _members(task, self._prepared)[0]


def prepare_pool(
    cases: Sequence[Her2Case],
    cache: Path,
    config: Her2TrainConfig,
    progress: Progress | None = None,
) -> PreparedPool:
    """Split and read a cohort as `train_her2` does, without training.

    Args:
        cases: the cohort.
        cache: folder for the inputs.
        config: its preset, region, seed and count of patients.
        progress: called along the way.

    Raises:
        InputError: as `train_her2`.
    """
    pool = _pool(cases)
    split = _split(pool, config.seed)
    size = int(_network(config.preset)["image_size"])
    prepared, failures = _prepare(pool, cache, size, config.policy, progress or _silent)
    _check_counts(
        [p.case.her2 for p in prepared], config.minimum_per_class, "Add patients of these classes"
    )
    return PreparedPool(split, failures, prepared)


def _pool(cases: Sequence[Her2Case]) -> list[Her2Case]:
    """The rows to train on, after the guards against leakage."""
    unknown = sorted({c.split for c in cases} - {*_POOL, *_UNTOUCHED})
    if unknown:
        raise InputError(
            f"The split column holds {', '.join(map(repr, unknown))}",
            remedy="Use train, validation, external, test or leave it empty",
        )
    pool = [c for c in cases if c.split in _POOL]
    if not pool:
        raise InputError(
            "The cohort has no row to train on", remedy="All rows are marked external or test"
        )
    unmarked = sorted({c.cohort for c in pool if not c.split})
    if len(unmarked) > 1:
        raise InputError(
            f"Rows of {len(unmarked)} cohorts have no split, so it is unclear which are external",
            remedy="Mark them train, validation, external or test in the split column",
        )
    untouched = [c.patient_id for c in cases if c.split in _UNTOUCHED]
    check_disjoint(
        {
            "train": [c.patient_id for c in pool if c.split != "validation"],
            "validation": [c.patient_id for c in pool if c.split == "validation"],
            "external or test": list(dict.fromkeys(untouched)),
        }
    )
    return pool


def _split(pool: Sequence[Her2Case], seed: int) -> dict[str, CaseSet]:
    """Set of every patient of the pool who has a HER2 class."""
    classes = {c.patient_id: c.her2 for c in pool if c.her2 is not None}
    given = {c.patient_id for c in pool if c.split == "validation"}
    validation = given or stratified_split(classes, HOLDOUT_FRACTION, seed=seed)
    inner = {patient: her2 for patient, her2 in classes.items() if patient not in validation}
    tuning = stratified_split(inner, TUNING_FRACTION, seed=seed + 1)
    return {
        patient: "validation"
        if patient in validation
        else "tuning"
        if patient in tuning
        else "train"
        for patient in classes
    }


def _folds(pool: Sequence[Her2Case], config: Her2TrainConfig) -> dict[str, int]:
    """Fold of every patient of the pool who has a HER2 class; empty without cross-validation."""
    if not config.folds:
        return {}
    classes = {c.patient_id: str(c.her2) for c in pool if c.her2 is not None}
    return stratified_folds(classes, config.folds, seed=config.seed + 2)


def _prepare(
    pool: Sequence[Her2Case], folder: Path, image_size: int, policy: RoiPolicy, say: Progress
) -> tuple[list[_Prepared], list[CaseFailure]]:
    prepared: list[_Prepared] = []
    failures: list[CaseFailure] = []
    for done, case in enumerate(pool, start=1):
        try:
            if case.her2 is None:
                raise InputError(
                    "IHC and ISH give no HER2 class", remedy="IHC 2+ needs an ISH result"
                )
            prepared.append(_Prepared(case, crop_of(case, folder, image_size, policy)))
            line = f"read case {done}/{len(pool)}"
        except BreastPredictError as error:
            failures.append(CaseFailure(case.patient_id, str(error)))
            line = f"case {done}/{len(pool)} cannot be used: see failures.csv"
        say("read", done, len(pool), line)
    return prepared, failures


def _check_counts(classes: Sequence[Her2Class | None], minimum: int, remedy: str) -> None:
    counts = Counter(classes)
    few = [f"{name} {counts[name]}" for name in CLASSES if counts[name] < minimum]
    if few:
        raise InputError(
            f"Too few usable patients to train ({', '.join(few)}; at least {minimum} per class)",
            remedy=remedy,
        )


def _train_task(
    task: BinaryTask,
    prepared: Sequence[_Prepared],
    split: Mapping[str, CaseSet],
    out: Path,
    config: Her2TrainConfig,
    network: Mapping[str, Any],
    metadata: Mapping[str, Any],
    say: Progress,
) -> BinaryRun:
    from breastpredict.learning.training import train_binary

    examples: dict[CaseSet, list[Example]] = {name: [] for name in _SETS}
    for example in _members(task, prepared)[0]:
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


def _members(
    task: BinaryTask, prepared: Sequence[_Prepared]
) -> tuple[list[Example], list[Example]]:
    """The task's examples, and the other patients' images, whose label is of no meaning."""
    inside: list[Example] = []
    outside: list[Example] = []
    for p in prepared:
        label = label_of(task.name, p.case.her2)
        members = outside if label is None else inside
        her2 = str(p.case.her2)
        members.append(Example(p.case.patient_id, p.crop.image, label or 0, her2))
    return inside, outside


def _sites(prepared: Sequence[_Prepared]) -> dict[str, dict[str, int]]:
    """Usable patients of each site and class."""
    counts = Counter((p.case.cohort, str(p.case.her2)) for p in prepared)
    return {
        site: {her2: counts[(site, her2)] for her2 in CLASSES}
        for site in sorted({p.case.cohort for p in prepared})
    }


def _network(preset: str) -> dict[str, Any]:
    from breastpredict.models import VIT_REDUCED, VIT_TINY

    return dict(VIT_TINY if preset == "tiny" else VIT_REDUCED)


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
    return {name: {her2: counts[(name, her2)] for her2 in CLASSES} for name in _SETS}


def _silent(stage: str, done: int, total: int, line: str) -> None:
    pass
