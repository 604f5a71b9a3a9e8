"""Leakage: every way in which a patient who judges a model could have helped to make it."""

from __future__ import annotations

import csv
import itertools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from breastpredict.errors import InputError
from breastpredict.her2 import Her2Case, Her2TrainConfig, train_her2
from breastpredict.learning import BinaryTask, Example, TrainConfig, stratified_folds
from breastpredict.phantom import make_her2_phantom
from breastpredict.study import read_cohort

pytest.importorskip("torch")

from breastpredict.learning import training as trainer
from breastpredict.learning.crossval import FoldScore, check_out_of_fold, train_fold

pytestmark = pytest.mark.usefixtures("one_thread")

TASKS = ("her2_zero_vs_rest", "her2_low_vs_positive")
TASK = BinaryTask("odd_vs_even", positive="odd", negative="even")
NETWORK = {
    "architecture": "vit_tiny_patch16_224",
    "image_size": 16,
    "patch_size": 4,
    "width": 24,
    "depth": 2,
    "heads": 2,
    "in_channels": 1,
}
QUICK = Her2TrainConfig(preset="reduced", epochs=1, device="cpu", minimum_per_class=3)


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> list[Her2Case]:
    """30 patients of one site, none of them marked."""
    table = make_her2_phantom(
        tmp_path_factory.mktemp("leakage"),
        {"SITE-A": 30},
        seed=3,
        matrix=48,
        slices=8,
        phases=2,
        workers=1,
    )
    return [case for case in read_cohort(table) if case.split == ""]


@pytest.fixture(scope="module")
def folded(
    cohort: list[Her2Case], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[tuple[set[str], set[str]]]]:
    """A run with three folds, and who was on which side of every training in it."""
    sides: list[tuple[set[str], set[str]]] = []
    real = trainer.train_binary

    def watched(examples: Sequence[Example], holdout: Sequence[Example], *a: Any, **k: Any) -> Any:
        sides.append(({e.key for e in examples}, {e.key for e in holdout}))
        return real(examples, holdout, *a, **k)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "train_binary", watched)
        patch.setattr("breastpredict.learning.crossval.train_binary", watched)
        out = tmp_path_factory.mktemp("runs") / "run"
        train_her2(cohort, out, replace(QUICK, folds=3))
    return out, sides


# --- Cross-validation ---


def test_folds_are_stratified_and_do_not_depend_on_the_order_of_rows() -> None:
    strata = {f"p{i}": "zero low positive".split()[i % 3] for i in range(50)}
    folds = stratified_folds(strata, 5, seed=1)
    assert folds == stratified_folds(dict(reversed(strata.items())), 5, seed=1)
    assert folds != stratified_folds(strata, 5, seed=2)
    assert set(Counter(folds.values()).values()) == {10}
    for name in set(strata.values()):
        sizes = Counter(folds[p] for p in strata if strata[p] == name)
        assert max(sizes.values()) - min(sizes.values()) <= 1


@pytest.mark.parametrize("number", [1, 4])
def test_folds_that_cannot_be_are_refused(number: int) -> None:
    with pytest.raises(InputError, match="fold"):
        stratified_folds({"a": "x", "b": "x", "c": "x"}, number, seed=0)


def test_every_patient_has_one_out_of_fold_score_per_task(
    folded: tuple[Path, Any], cohort: list[Her2Case]
) -> None:
    found = [row for row in rows(folded[0] / "scores.csv") if row["set"] == "out-of-fold"]
    pool = sorted(case.patient_id for case in cohort)
    for task in TASKS:
        assert sorted(row["patient_id"] for row in found if row["task"] == task) == pool
    for row in found:
        assert row["out_of_sample"] == "1" and row["fold"] in "123"
        assert (row["label"] == "") == (row["task"] == TASKS[1] and row["her2"] == "zero")
        assert row["above"] == str(int(float(row["score"]) >= float(row["threshold"])))
    final = [row for row in rows(folded[0] / "scores.csv") if row["set"] != "out-of-fold"]
    assert all(row["fold"] == "" for row in final) and len(final) > len(pool)
    assert not (folded[0] / "folds").exists()


def test_no_fold_is_scored_by_a_model_that_saw_it(folded: tuple[Path, Any]) -> None:
    out, sides = folded
    assert len(sides) == 2 + 3 * 2  # the final models, and two tasks in each fold
    fold_of = {
        row["patient_id"]: int(row["fold"])
        for row in rows(out / "scores.csv")
        if row["set"] == "out-of-fold"
    }
    for number, (seen, judged) in enumerate(sides[2:]):
        fold = number // 2 + 1
        assert not seen & judged
        assert {fold_of[p] for p in judged} == {fold}
        assert fold not in {fold_of[p] for p in seen}


def noise(n: int) -> list[Example]:
    """Images that tell nothing of their label, but can be learnt by heart."""
    rng = np.random.default_rng(2)
    images = rng.normal(0, 0.5, (n, 1, 16, 16)).astype(np.float32)
    return [Example(f"p{i}", image, i % 2) for i, image in enumerate(images)]


def test_what_is_learnt_by_heart_does_not_help_out_of_fold(tmp_path: Path) -> None:
    """The behaviour itself: in sample all is known, out of fold nothing is."""
    from breastpredict.stats import roc_auc

    examples = noise(48)
    folds = stratified_folds({e.key: str(e.label) for e in examples}, 3, seed=0)
    config = TrainConfig(
        epochs=25, batch_size=8, learning_rate=3e-3, warmup_epochs=2, patience=0, device="cpu",
        flips=False, rotation_deg=0, gain=0, offset=0, noise=0, drop_path=0,
    )  # fmt: skip
    scores: list[FoldScore] = []
    common: dict[str, Any] = {"network": NETWORK, "weights": "none", "config": config}
    for fold in (1, 2, 3):
        scores += train_fold(
            fold, folds, examples, [], TASK, tmp_path / str(fold), synthetic=True, **common
        )
    check_out_of_fold(scores, folds)
    tuning = [e.key for e in examples if folds[e.key] == 1]
    seen = trainer.train_binary(
        examples, [], TASK, tmp_path / "all", tuning=tuning, synthetic=True, training_data={},
        **common,
    )  # fmt: skip
    outside = roc_auc([int(s.label or 0) for s in scores], [s.score for s in scores])
    assert outside.low < 0.5 < outside.high
    assert seen.auc["train"].value > max(0.85, outside.high)


def test_a_patient_scored_twice_or_by_another_fold_is_found() -> None:
    folds = {"a": 1, "b": 2}
    fine = [FoldScore("a", 1, 1, 0.5, 0.5), FoldScore("b", 2, 0, 0.5, 0.5)]
    check_out_of_fold(fine, folds)
    for wrong in (fine[:1], [*fine, fine[0]], [replace(fine[0], fold=2), fine[1]]):
        with pytest.raises(InputError, match="exactly once"):
            check_out_of_fold(wrong, folds)


def test_a_killed_cross_validation_goes_on_and_trains_no_finished_fold_again(
    cohort: list[Her2Case], folded: tuple[Path, Any], tmp_path: Path
) -> None:
    def kill(stage: str, done: int, total: int, line: str) -> None:
        if stage.startswith("fold 2 her2_low"):
            raise KeyboardInterrupt

    config = replace(QUICK, folds=3)
    with pytest.raises(KeyboardInterrupt):
        train_her2(cohort, tmp_path / "run", config, kill)
    stages: list[str] = []
    train_her2(
        cohort, tmp_path / "run", config, lambda stage, *_: stages.append(stage), resume=True
    )
    trained = {stage for stage in stages if stage.startswith("fold")}
    assert trained == {f"fold 3 {task}" for task in TASKS}
    assert rows(tmp_path / "run" / "scores.csv") == rows(folded[0] / "scores.csv")


def test_the_final_models_do_not_depend_on_cross_validating(
    cohort: list[Her2Case], folded: tuple[Path, Any], tmp_path: Path
) -> None:
    train_her2(cohort, tmp_path / "run", QUICK)
    for task in TASKS:
        name = Path(task) / "models" / "model.safetensors"
        assert (tmp_path / "run" / name).read_bytes() == (folded[0] / name).read_bytes()


# --- The 20 % and the external patients ---


def of_the_model(run: Path) -> dict[str, Any]:
    """Everything a bundle says that the held-out patients must not change."""
    found = {}
    for task in TASKS:
        block = json.loads((run / task / "configs" / "metadata.json").read_text())["breastpredict"]
        names = ("weights_sha256", "threshold", "calibration", "prevalence", "training_data")
        found[task] = {name: block[name] for name in names}
    return found


def test_the_held_out_patients_decide_nothing_about_the_model(
    cohort: list[Her2Case], tmp_path: Path
) -> None:
    """Weights, threshold, calibration and the ranges of the gates stay, bit for bit, when the 20 %
    and the external patients are others, of another class."""
    held = {case.patient_id for case in cohort[::5]}
    marked = [
        replace(case, split="validation" if case.patient_id in held else "train") for case in cohort
    ]
    table = make_her2_phantom(
        tmp_path / "other", {"SITE-A": 6}, seed=9, matrix=64, slices=8, phases=2, workers=1
    )  # of smaller pixels than any other
    others = itertools.cycle(read_cohort(table))

    def swapped(case: Her2Case) -> Her2Case:
        if case.split != "validation":
            return case
        other = next(others)
        changed = "zero" if case.her2 != "zero" else "positive"
        return replace(case, study=other.study, segmentation=other.segmentation, her2=changed)

    strangers = [
        replace(case, patient_id=f"X{i}", split=split, study=Path("absent"))
        for i, (case, split) in enumerate(zip(cohort[:2], ("external", "test"), strict=True))
    ]
    config = replace(QUICK, epochs=2)
    train_her2(marked, tmp_path / "a", config)
    train_her2([*map(swapped, marked), *strangers], tmp_path / "b", config)
    assert of_the_model(tmp_path / "a") == of_the_model(tmp_path / "b")
    for task in TASKS:  # what the epoch is chosen by
        made = [tmp_path / run / "training" / task / "history.csv" for run in "ab"]
        assert made[0].read_text() == made[1].read_text()

    def scores(run: str) -> list[str]:
        found = rows(tmp_path / run / "scores.csv")
        return [row["score"] for row in found if row["set"] == "validation"]

    assert sorted(scores("a")) != sorted(scores("b"))  # they were others indeed


def test_a_patients_input_is_made_of_that_patient_alone(
    cohort: list[Her2Case], tmp_path: Path
) -> None:
    """No mean, scale or selection over the cohort: each crop is what it is without the others."""
    from breastpredict.her2.train import TASKS as BINARY
    from breastpredict.her2.train import prepare_pool

    def images(cases: Sequence[Her2Case], name: str) -> dict[str, bytes]:
        pool = prepare_pool(cases, tmp_path / name, QUICK)
        return {e.key: e.image.tobytes() for e in pool.examples(BINARY[0])}

    every, some = images(cohort, "every"), images(cohort[6:], "some")
    assert len(some) == len(cohort) - 6 and some.items() <= every.items()


Change = Callable[[Her2Case], Her2Case]


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("external", "both train and external"),
        ("test", "both train and external or test"),
        ("validation", "both train and validation"),
        ("", "twice in train"),
    ],
)
def test_a_patient_on_two_sides_is_refused_and_not_named(
    cohort: list[Her2Case], tmp_path: Path, split: str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        train_her2([*cohort, replace(cohort[0], split=split)], tmp_path / "run", QUICK)
    assert cohort[0].patient_id not in str(caught.value)
