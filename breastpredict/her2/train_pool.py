"""Whom the HER2 cascade is trained on: the pool, its split and folds, and the usable patients.

Rows whose split is ``external`` or ``test`` are never read. The others are the pool. It is split
8:2 by patient, stratified by HER2 class, unless rows marked ``validation`` say it already. Both
tasks use the same split, so no patient fits one task and judges the other. Inside the 80 % one
fifth is set apart (``tuning``) for early stopping and the thresholds; see
``breastpredict.learning.training``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from breastpredict.errors import BreastPredictError, InputError
from breastpredict.her2.cases import CLASSES, Her2Case, Her2Class, label_of
from breastpredict.her2.roi_policy import RoiPolicy
from breastpredict.her2.train_cache import Crop, crop_of
from breastpredict.her2.train_config import Her2TrainConfig
from breastpredict.learning.examples import BinaryTask, CaseSet, Example
from breastpredict.learning.run_files import CaseFailure
from breastpredict.learning.split import check_disjoint, stratified_folds, stratified_split

Progress = Callable[[str, int, int, str], None]
"""Called with the stage, what is done of it, its total, and a line for the log."""

ZERO_VS_REST = BinaryTask("her2_zero_vs_rest", positive="low_or_positive", negative="zero")
LOW_VS_POSITIVE = BinaryTask("her2_low_vs_positive", positive="low", negative="positive")
TASKS = (ZERO_VS_REST, LOW_VS_POSITIVE)

HOLDOUT_FRACTION = 0.2
TUNING_FRACTION = 0.2

_UNTOUCHED = ("external", "test")
_POOL = ("", "train", "validation")
SETS: tuple[CaseSet, ...] = ("train", "tuning", "validation")


@dataclass(frozen=True)
class Prepared:
    """A usable patient and the network's input."""

    case: Her2Case
    crop: Crop


@dataclass(frozen=True)
class PreparedPool:
    """The usable patients of a cohort, as `prepare_pool` gives them.

    Attributes:
        split: patient → set.
        failures: patients that could not be used.
    """

    split: Mapping[str, CaseSet]
    failures: Sequence[CaseFailure]
    _prepared: Sequence[Prepared]

    def examples(self, task: BinaryTask) -> list[Example]:
        """The patients of a task."""
        return members_of(task, self._prepared)[0]


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
    pool = pool_of(cases)
    split = split_of(pool, config.seed)
    size = int(config.network["image_size"])
    prepared, failures = prepare_cases(pool, cache, size, config.policy, progress or silent)
    check_counts(
        [p.case.her2 for p in prepared], config.minimum_per_class, "Add patients of these classes"
    )
    return PreparedPool(split, failures, prepared)


def pool_of(cases: Sequence[Her2Case]) -> list[Her2Case]:
    """The rows to train on, after the guards against leakage.

    Raises:
        InputError: no such rows, splits that say nothing of them, or a patient on two sides.
    """
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


def split_of(pool: Sequence[Her2Case], seed: int) -> dict[str, CaseSet]:
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


def folds_of(pool: Sequence[Her2Case], config: Her2TrainConfig) -> dict[str, int]:
    """Fold of every patient of the pool who has a HER2 class; empty without cross-validation."""
    if not config.folds:
        return {}
    classes = {c.patient_id: str(c.her2) for c in pool if c.her2 is not None}
    return stratified_folds(classes, config.folds, seed=config.seed + 2)


def prepare_cases(
    pool: Sequence[Her2Case], folder: Path, image_size: int, policy: RoiPolicy, say: Progress
) -> tuple[list[Prepared], list[CaseFailure]]:
    """The network's inputs of the pool; a patient that cannot be used is a failure with a reason.

    Args:
        pool: the patients.
        folder: for the inputs.
        image_size: S of ``[1, S, S]``.
        policy: what of the slice the network sees.
        say: called along the way.
    """
    prepared: list[Prepared] = []
    failures: list[CaseFailure] = []
    for done, case in enumerate(pool, start=1):
        try:
            if case.her2 is None:
                raise InputError(
                    "IHC and ISH give no HER2 class", remedy="IHC 2+ needs an ISH result"
                )
            prepared.append(Prepared(case, crop_of(case, folder, image_size, policy)))
            line = f"read case {done}/{len(pool)}"
        except BreastPredictError as error:
            failures.append(CaseFailure(case.patient_id, str(error)))
            line = f"case {done}/{len(pool)} cannot be used: see failures.csv"
        say("read", done, len(pool), line)
    return prepared, failures


def check_counts(classes: Sequence[Her2Class | None], minimum: int, remedy: str) -> None:
    """Raise InputError where a class has fewer patients than ``minimum``."""
    counts = Counter(classes)
    few = [f"{name} {counts[name]}" for name in CLASSES if counts[name] < minimum]
    if few:
        raise InputError(
            f"Too few usable patients to train ({', '.join(few)}; at least {minimum} per class)",
            remedy=remedy,
        )


def members_of(
    task: BinaryTask, prepared: Sequence[Prepared]
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


def silent(stage: str, done: int, total: int, line: str) -> None:
    """Progress that is told to nobody."""
