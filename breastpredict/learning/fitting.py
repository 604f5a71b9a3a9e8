"""The loop over epochs of one binary task, on MONAI's engines."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.engines.evaluator import SupervisedEvaluator
from monai.engines.trainer import SupervisedTrainer
from monai.engines.utils import IterationEvents
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from breastpredict.errors import InputError
from breastpredict.files import write_text
from breastpredict.learning import checkpoint, network_parts
from breastpredict.learning.calibration import Calibration, calibration_of
from breastpredict.learning.config import TrainConfig
from breastpredict.learning.curve import best_record, judged
from breastpredict.learning.data import (
    DROPOUT,
    Batch,
    plain_loader,
    set_epoch,
    stream_seed,
    training_loader,
)
from breastpredict.learning.examples import (
    EpochRecord,
    LearningCase,
    history_csv,
)
from breastpredict.learning.networks import NamedBatch, NamedInferer, StepInParts, input_names
from breastpredict.learning.recipes import MIRRORS
from breastpredict.stats import roc_auc

GRADIENT_NORM = 1.0
"""Gradients are clipped to this norm: small transformers trained from scratch diverge without."""

OnEpoch = Callable[[EpochRecord], None]


def fit(
    model: nn.Module,
    train: Sequence[LearningCase],
    tuning: Sequence[LearningCase],
    config: TrainConfig,
    path: Path,
    *,
    settings: Mapping[str, Any],
    resume: bool,
    on_epoch: OnEpoch | None,
    device: torch.device,
) -> checkpoint.TrainingState:
    """The loop over epochs; ``path`` holds the state after the last finished one.

    Args:
        model: takes an image [cases, C, S, S], or by keyword the inputs that ``model.inputs``
            names; gives logits [cases, 1].
        train, tuning: patients; never their copies.
        config: settings.
        path: of the checkpoint.
        settings: what else a resumed run must agree with.
        resume: go on from the checkpoint where there is one.
        on_epoch: called after each epoch, once its checkpoint is on disk.
        device: to train on.

    Returns the final state, whose ``best`` are the weights of the best epoch (before calibration).
    """
    unchanging = {k: v for k, v in config.to_json().items() if k not in ("device", "workers")}
    names = _several(model)
    mark = checkpoint.fingerprint(
        {**settings, **unchanging}, {"train": train, "tuning": tuning}, names
    )
    model.to(device)
    loader = training_loader(train, config, names)
    optimizer = network_parts.optimizer_of(model, config)
    steps = len(loader)
    warmup = min(config.warmup_epochs, config.epochs // 2) * steps

    def rate(step: int) -> float:
        fixed = config.schedule == "fixed"
        return 1.0 if fixed else warmup_cosine(step, warmup, config.epochs * steps)

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    average = network_parts.averaged(model, config.averaging) if config.averaging else None
    state = checkpoint.TrainingState(mark)
    if resume and path.is_file():
        state = checkpoint.load(path, mark)
        model.load_state_dict(state.model)
        optimizer.load_state_dict(state.optimizer)
        schedule.load_state_dict(state.scheduler)
        if average is not None and state.average is not None:
            average.load_state_dict(state.average)
    if _finished(state, config):
        return state

    trainer = SupervisedTrainer(
        device=device,
        max_epochs=config.epochs,
        train_data_loader=loader,
        network=model,
        optimizer=optimizer,
        loss_function=_loss(train, config),
        decollate=False,
        amp=config.mixed_precision and device.type == "cuda",
        prepare_batch=NamedBatch(input_names(model)),
        inferer=NamedInferer(),
        iteration_update=StepInParts(config.micro_batch) if config.micro_batch else None,
    )
    trainer.logger.setLevel(logging.CRITICAL)  # what goes wrong is raised; do not print it as well
    trainer.load_state_dict(
        {"epoch": state.epoch, "epoch_length": steps, "max_epochs": config.epochs}
    )
    losses: list[tuple[float, int]] = []

    def start(engine: Engine) -> None:
        losses.clear()
        set_epoch(loader, engine.state.epoch)
        torch.manual_seed(stream_seed(config.seed, DROPOUT, engine.state.epoch))

    def step(engine: Engine) -> None:
        schedule.step()
        if average is not None:
            average.update_parameters(model)
        output: Any = engine.state.output
        losses.append((output["loss"].item(), len(output["label"])))

    def finish(engine: Engine) -> None:
        scored = average.module if average is not None else model
        train_loss = sum(v * n for v, n in losses) / sum(n for _, n in losses)
        if not math.isfinite(train_loss):
            raise InputError(
                f"Training diverged in epoch {engine.state.epoch}: the loss is not a number",
                remedy="Lower the learning rate",
            )
        record = _record(engine.state.epoch, train_loss, scored, tuning, train, config, device)
        record = judged(
            replace(record, learning_rate=float(schedule.get_last_lr()[0])), state.history, config
        )
        state.history.append(record)
        if record.best:
            state.best = {k: v.detach().cpu().clone() for k, v in scored.state_dict().items()}
        state.epoch = record.epoch
        state.model, state.optimizer = model.state_dict(), optimizer.state_dict()
        state.scheduler = schedule.state_dict()
        state.average = None if average is None else average.state_dict()
        checkpoint.save(path, state)
        write_text(path.with_name("history.csv"), history_csv(state.history))
        if on_epoch is not None:
            on_epoch(record)
        if _finished(state, config):
            engine.terminate()

    def clip(_: Engine) -> None:
        if trainer.amp and trainer.scaler is not None:  # gradients are multiplied until here
            trainer.scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)

    trainer.add_event_handler(Events.EPOCH_STARTED, start)
    trainer.add_event_handler(IterationEvents.BACKWARD_COMPLETED, clip)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, step)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, finish)
    trainer.run()
    return state


class BalancedLoss(nn.Module):
    """Binary cross-entropy in which both classes weigh the same in sum.

    ``pos_weight`` alone would balance them too, but shrink the whole loss where positives abound.
    """

    def __init__(self, positive: float, negative: float) -> None:
        super().__init__()
        self.positive, self.negative = positive, negative

    def forward(self, logit: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Mean weighted loss of logits and labels [cases, 1]."""
        weight = label * self.positive + (1 - label) * self.negative
        return nn.functional.binary_cross_entropy_with_logits(logit, label, weight)


def calibration_for(train: Sequence[LearningCase], config: TrainConfig) -> Calibration:
    """How the output of a network trained on these patients is made a probability, or is not."""
    positives = sum(example.label for example in train)
    return calibration_of(
        positives,
        len(train) - positives,
        balanced=config.balance != "none",
        class_copies=len(MIRRORS) if config.class_flips else 1,
    )


def probabilities(
    model: nn.Module, examples: Sequence[LearningCase], device: torch.device, batch_size: int = 1
) -> NDArray[np.float64]:
    """Sigmoid of the network's logit for every example, in order [cases]."""
    if not examples:
        return np.zeros(0)
    loader = plain_loader(examples, batch_size, _several(model))
    logits = torch.from_numpy(_logits(model, loader, device))
    return np.asarray(torch.sigmoid(logits).numpy(), dtype=np.float64)


def warmup_cosine(step: int, warmup: int, total: int) -> float:
    """Share of the peak learning rate: linear rise over ``warmup`` steps, then a half cosine."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


def _several(model: nn.Module) -> tuple[str, ...] | None:
    """Names of the inputs of a network of several; None for one of a single image."""
    return input_names(model) if hasattr(model, "inputs") else None


def _loss(train: Sequence[LearningCase], config: TrainConfig) -> nn.Module:
    if config.balance != "loss":
        return nn.BCEWithLogitsLoss()
    positives = sum(example.label for example in train)
    return BalancedLoss(len(train) / (2 * positives), len(train) / (2 * (len(train) - positives)))


def _logits(
    model: nn.Module, loader: DataLoader[Batch], device: torch.device
) -> NDArray[np.float32]:
    evaluator = SupervisedEvaluator(
        device=device,
        val_data_loader=loader,
        network=model,
        decollate=False,
        prepare_batch=NamedBatch(input_names(model)),
        inferer=NamedInferer(),
    )
    evaluator.logger.setLevel(logging.CRITICAL)
    logits: list[torch.Tensor] = []
    evaluator.add_event_handler(
        Events.ITERATION_COMPLETED,
        lambda engine: logits.append(engine.state.output["pred"].detach().cpu()),
    )
    evaluator.run()
    return np.asarray(torch.cat(logits).reshape(-1).numpy())


def _record(
    epoch: int,
    train_loss: float,
    model: nn.Module,
    tuning: Sequence[LearningCase],
    train: Sequence[LearningCase],
    config: TrainConfig,
    device: torch.device,
) -> EpochRecord:
    loader = plain_loader(tuning, config.micro_batch or config.batch_size, _several(model))
    logits = _logits(model, loader, device).astype(np.float64)
    labels = np.array([example.label for example in tuning], dtype=np.float64)
    z = logits + calibration_for(train, config).logit_shift
    loss = float(np.mean(np.logaddexp(0.0, z) - labels * z))
    accuracy = float(np.mean((logits >= 0) == (labels == 1)))
    area = roc_auc(labels, logits).value
    return EpochRecord(epoch, train_loss, loss, area, 0.0, False, accuracy)


def _finished(state: checkpoint.TrainingState, config: TrainConfig) -> bool:
    if state.epoch >= config.epochs:
        return True
    if not config.patience or state.epoch < config.choose_from:
        return False
    return state.epoch - best_record(state.history).epoch >= config.patience
