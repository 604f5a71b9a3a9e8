"""Cross-validation of a binary task: a score of every patient by a model that never saw them.

A fold's model is trained on the patients outside of the fold exactly as the final model is, its
epoch and threshold chosen on an inner part of those. Survival and gene analyses of training
patients may use only these out-of-fold scores.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from breastpredict.errors import InputError
from breastpredict.learning.config import TrainConfig
from breastpredict.learning.examples import BinaryTask, EpochRecord, LearningCase
from breastpredict.learning.fitting import probabilities
from breastpredict.learning.split import check_disjoint
from breastpredict.learning.training import device_of, train_binary

OnFoldEpoch = Callable[[int, EpochRecord], None]


@dataclass(frozen=True)
class FoldScore:
    """One patient's out-of-fold score.

    Attributes:
        key: the patient.
        fold: from 1; its model was trained on the patients of the other folds.
        label: 1 or 0; None for a patient outside of the task, whom the fold's model scores too.
        score: a probability at the prevalence of the fold's training cases, or a plain score where
            the fold's calibration says so.
        threshold: of the fold's model.
    """

    key: str
    fold: int
    label: int | None
    score: float
    threshold: float


def train_fold(
    fold: int,
    folds: Mapping[str, int],
    examples: Sequence[LearningCase],
    others: Sequence[LearningCase],
    task: BinaryTask,
    folder: Path,
    *,
    network: Mapping[str, Any],
    weights: str | Path,
    config: TrainConfig,
    synthetic: bool,
    on_epoch: OnFoldEpoch | None = None,
) -> tuple[FoldScore, ...]:
    """Train on all other folds and score this one.

    Args:
        fold: which, from 1.
        folds: patient → fold, of every example.
        examples: of the whole pool, with labels.
        others: patients of the pool outside of the task: scored, never trained on; their label is
            not looked at.
        task, network, weights, config, synthetic: as `train_binary`.
        folder: the fold's own; keeps the state after each epoch, so a killed fold goes on. The
            fold's weights are removed once its patients are scored.
        on_epoch: called with the fold and the epoch.

    Raises:
        InputError: a patient without a fold or twice; as `train_binary`.
    """
    check_disjoint({"the task": [e.key for e in examples], "others": [e.key for e in others]})
    if not all(example.key in folds for example in [*examples, *others]):
        raise InputError("Some patients belong to no fold")
    inside = [e for e in examples if folds[e.key] == fold]
    outside = [e for e in examples if folds[e.key] != fold]
    run = train_binary(
        outside,
        inside,
        task,
        folder,
        network=network,
        weights=weights,
        config=config,
        synthetic=synthetic,
        training_data={},
        resume=True,
        figure=False,
        on_epoch=None if on_epoch is None else lambda record: on_epoch(fold, record),
    )
    scores = [
        FoldScore(s.key, fold, s.label, s.score, run.threshold)
        for s in run.scores
        if s.set == "validation"
    ]
    extra = [e for e in others if folds[e.key] == fold]
    if extra:
        from breastpredict.models import load_bundle

        device = device_of(config.device)
        model: torch.nn.Module = load_bundle(run.bundle, str(device)).model
        found = probabilities(model, extra, device)
        scores += [
            FoldScore(e.key, fold, None, float(p), run.threshold)
            for e, p in zip(extra, found, strict=True)
        ]
    shutil.rmtree(run.bundle)
    return tuple(scores)


def check_out_of_fold(scores: Sequence[FoldScore], folds: Mapping[str, int]) -> None:
    """Every patient has exactly one score, by the model of the fold they are in.

    Raises:
        InputError: otherwise.
    """
    found = {score.key: score.fold for score in scores}
    if len(found) != len(scores) or found != dict(folds):
        raise InputError("The out-of-fold scores do not cover every patient exactly once")
