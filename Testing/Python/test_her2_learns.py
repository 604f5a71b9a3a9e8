"""A small version of the proofs in Testing/prove: what is learnt, and that nothing leaks."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from breastpredict.her2 import (
    Her2Case,
    Her2Model,
    Her2TrainConfig,
    PreparedCase,
    prepare_case,
    train_her2,
)
from breastpredict.study import read_cohort

sys.path.insert(0, str(Path(__file__).parents[1] / "prove"))
from her2_phantom import TASKS, aucs, blanked, exchanged, external, scores
from label_shuffles import shuffled

CONFIG = Her2TrainConfig(preset="reduced", weights="none", epochs=60, device="cpu", seed=7)
Prepared = list[PreparedCase]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def cases(learnt_cohort: Path) -> list[Her2Case]:
    return read_cohort(learnt_cohort)


@pytest.fixture(scope="module")
def prepared(cases: list[Her2Case]) -> Prepared:
    return [
        prepare_case(case.study, image_size=64, segmentation=case.segmentation)
        for case in external(cases)
    ]


@pytest.fixture(scope="module")
def model(learnt_run: Path) -> Her2Model:
    return Her2Model.load(learnt_run)


def test_the_external_cohorts_are_told_apart_in_both_tasks(
    cases: list[Her2Case], prepared: Prepared, model: Her2Model
) -> None:
    found = aucs(external(cases), scores(model, prepared))
    assert all(found[task]["auc"] > 0.7 for task in TASKS), found


def test_without_the_lesion_nothing_is_told_apart(
    cases: list[Her2Case], prepared: Prepared, model: Her2Model
) -> None:
    found = aucs(external(cases), scores(model, blanked(prepared)))
    assert all(found[task]["low"] <= 0.5 <= found[task]["high"] for task in TASKS), found


def test_a_case_with_anothers_lesion_scores_like_the_other(
    prepared: Prepared, model: Her2Model
) -> None:
    half = len(prepared) // 2
    real = scores(model, prepared)
    swapped = scores(model, [exchanged(prepared[i], prepared[i + half])[0] for i in range(half)])
    for task in (0, 1):
        donor = np.corrcoef(swapped[:, task], real[half : 2 * half, task])[0, 1]
        own = np.corrcoef(swapped[:, task], real[:half, task])[0, 1]
        assert donor > own


def test_shuffled_labels_leave_nothing_to_learn(
    cases: list[Her2Case], prepared: Prepared, tmp_path: Path
) -> None:
    permuted = shuffled(cases, 3)
    train_her2(permuted, tmp_path / "run", CONFIG)
    found = aucs(external(permuted), scores(Her2Model.load(tmp_path / "run"), prepared))
    assert all(abs(found[task]["auc"] - 0.5) < 0.25 for task in TASKS), found
