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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from breastpredict.errors import BreastPredictError, InputError
from breastpredict.her2.cases import CLASSES, Her2Case, Her2Class
from breastpredict.her2.train_cache import Crop, crop_of
from breastpredict.her2.train_files import (
    CaseFailure,
    Her2Run,
    TaskResult,
    open_run,
    read_run,
    write_failures,
    write_run,
    write_scores,
    write_split,
)
from breastpredict.learning.config import TrainConfig
from breastpredict.learning.examples import BinaryTask, CaseSet, EpochRecord, Example
from breastpredict.learning.ranges import training_ranges
from breastpredict.learning.split import check_disjoint, stratified_split

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

_PRESETS = {
    "tiny": TrainConfig(),
    # From random weights and few cases: long, averaged, at every angle.
    "reduced": TrainConfig(
        epochs=80,
        batch_size=16,
        learning_rate=1e-3,
        warmup_epochs=8,
        patience=0,
        averaging=0.98,
        drop_path=0.0,
        rotation_deg=180.0,
        gain=0.05,
        offset=0.0,
        noise=0.0,
    ),
}


@dataclass(frozen=True)
class Her2TrainConfig:
    """Settings of a HER2 training. None means the preset's own value.

    Attributes:
        preset: ``"tiny"``: ViT-tiny at 224 pixels, the paper's network. ``"reduced"``: a small ViT
            at 64 pixels for demonstrations and tests.
        weights: ``"imagenet"``, ``"none"`` or a safetensors file; by default ImageNet for
            ``tiny`` and none for ``reduced``, for which there are no such weights.
        epochs, batch_size, learning_rate, patience: see ``TrainConfig``.
        seed: seed of splits, initialisation and training.
        workers: processes that load batches; no effect on the result.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``.
        minimum_per_class: fewest usable patients of each HER2 class in the pool.
    """

    preset: Literal["tiny", "reduced"] = "tiny"
    weights: str | Path | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    patience: int | None = None
    seed: int = 0
    workers: int = 0
    device: str = "auto"
    minimum_per_class: int = 5

    def training(self) -> TrainConfig:
        """The settings of each task's training: the preset's with what was given.

        Raises:
            InputError: unknown preset, or a value out of range.
        """
        if self.preset not in _PRESETS:
            raise InputError(
                f"There is no network preset {self.preset!r}", remedy="Use 'tiny' or 'reduced'"
            )
        names = ("epochs", "batch_size", "learning_rate", "patience")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        return replace(
            _PRESETS[self.preset],
            seed=self.seed,
            workers=self.workers,
            device=self.device,
            **given,
        )

    @property
    def initial_weights(self) -> str | Path:
        """What the network starts from."""
        if self.weights is not None:
            return self.weights
        return "imagenet" if self.preset == "tiny" else "none"


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
    epochs. A case that cannot be prepared is a failure with a reason; training goes on without it.

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
    split = _split(pool, config.seed)
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
    prepared, failures = _prepare(pool, out / "crops", int(network["image_size"]), say)
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
    }
    runs = [
        _train_task(task, prepared, split, out, config, network, metadata, say) for task in TASKS
    ]
    write_scores(out, _score_rows(runs, {p.case.patient_id: p.case for p in prepared}))
    write_run(
        out,
        description,
        finished=True,
        tasks=[asdict(_result(run)) for run in runs],
        counts=_counts([p.case for p in prepared], split),
    )
    for task in TASKS:  # the bundles hold the weights; the state of the optimiser is done with
        (out / "training" / task.name / "checkpoint.pt").unlink(missing_ok=True)
    shutil.rmtree(out / "crops", ignore_errors=True)
    return read_run(out)


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


def _prepare(
    pool: Sequence[Her2Case], folder: Path, image_size: int, say: Progress
) -> tuple[list[_Prepared], list[CaseFailure]]:
    prepared: list[_Prepared] = []
    failures: list[CaseFailure] = []
    for done, case in enumerate(pool, start=1):
        try:
            if case.her2 is None:
                raise InputError(
                    "IHC and ISH give no HER2 class", remedy="IHC 2+ needs an ISH result"
                )
            prepared.append(_Prepared(case, crop_of(case, folder, image_size)))
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
    for p in prepared:
        label = _label(task, str(p.case.her2))
        if label is not None:
            example = Example(p.case.patient_id, p.crop.image, label, str(p.case.her2))
            examples[split[p.case.patient_id]].append(example)
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


def _label(task: BinaryTask, her2: str) -> int | None:
    """1 for the task's positive class, 0 for its negative, None for a case outside the task."""
    if task is ZERO_VS_REST:
        return int(her2 != "zero")
    return {"low": 1, "positive": 0}.get(her2)


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
