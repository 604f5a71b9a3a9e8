"""Training one binary task on MONAI's engines.

What is chosen where: weights are fitted on ``train``; the epoch (largest area under the ROC curve,
ties by smaller loss) and the threshold (Youden) are chosen on ``tuning``, both inside the 80 %;
``validation``, the 20 %, is scored once at the end and only reported. The tuning scores are
therefore slightly optimistic, the validation scores are not.
"""

from __future__ import annotations

import logging
import math
import platform
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data.meta_obj import get_track_meta, set_track_meta
from monai.engines.evaluator import SupervisedEvaluator
from monai.engines.trainer import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.utils.misc import set_determinism
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader

from breastpredict import __version__
from breastpredict.errors import InputError
from breastpredict.files import write_text
from breastpredict.learning import checkpoint, network_parts
from breastpredict.learning.calibration import Calibration, calibration_of
from breastpredict.learning.config import TrainConfig
from breastpredict.learning.data import (
    DROPOUT,
    Batch,
    plain_loader,
    set_epoch,
    stream_seed,
    training_loader,
)
from breastpredict.learning.examples import (
    BinaryTask,
    CaseScore,
    CaseSet,
    EpochRecord,
    Example,
    history_csv,
)
from breastpredict.learning.split import check_disjoint, strata_of, stratified_split
from breastpredict.models import build_vit, initialise, save_bundle
from breastpredict.stats import Estimate, roc_auc, youden_threshold

TUNING_FRACTION = 0.2
"""Share of the 80 % on which the epoch and the threshold are chosen."""

GRADIENT_NORM = 1.0
"""Gradients are clipped to this norm: small transformers trained from scratch diverge without."""

OnEpoch = Callable[[EpochRecord], None]


@dataclass(frozen=True)
class BinaryRun:
    """A trained task.

    Attributes:
        task: its name and classes.
        bundle: folder of the saved model.
        threshold: on the probability; positive means at least this.
        calibration: how the probability was made.
        scores: of every case, by the saved model.
        auc: area under the ROC curve of each set that has both classes.
        history: one record per epoch.
    """

    task: BinaryTask
    bundle: Path
    threshold: float
    calibration: Calibration
    scores: tuple[CaseScore, ...]
    auc: Mapping[CaseSet, Estimate]
    history: tuple[EpochRecord, ...]


def train_binary(
    examples: Sequence[Example],
    holdout: Sequence[Example],
    task: BinaryTask,
    run_dir: Path,
    *,
    network: Mapping[str, Any],
    weights: str | Path = "imagenet",
    config: TrainConfig | None = None,
    tuning: Collection[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    resume: bool = False,
    on_epoch: OnEpoch | None = None,
) -> BinaryRun:
    """Train, choose epoch and threshold, calibrate, score every case, save the bundle.

    Args:
        examples: the 80 %.
        holdout: the 20 %, scored at the end and used for nothing else; may be empty.
        task: name and classes.
        run_dir: the bundle goes to ``run_dir/<task>``, the state after each epoch to
            ``run_dir/training/<task>/checkpoint.pt``.
        network: what ``build_vit`` builds.
        weights: what ``initialise`` starts from: ``"imagenet"``, ``"none"`` or a file.
        config: settings.
        tuning: keys of the examples set apart inside the 80 %; by default a stratified
            ``TUNING_FRACTION`` of them.
        metadata: further entries of the bundle's ``breastpredict`` block.
        resume: go on from the checkpoint where there is one; at most one epoch is repeated. On one
            machine the result is bitwise that of an uninterrupted run.
        on_epoch: called after each epoch, once its checkpoint is on disk.

    Raises:
        InputError: a class is missing from a set, a patient is on two sides, the images are not of
            the network's size, the checkpoint is of another configuration, the device is absent.
    """
    config = config or TrainConfig()
    sets = _sets(examples, holdout, tuning, config.seed)
    _check_images(sets, network)
    device = _device(config.device)
    before = get_track_meta()
    set_determinism(seed=config.seed)
    set_track_meta(False)  # plain tensors: the images carry no geometry here
    try:
        return _train(
            sets, task, run_dir, network, weights, config, metadata or {}, resume, on_epoch, device
        )
    finally:
        set_track_meta(before)
        set_determinism(seed=None)


def _train(
    sets: Mapping[CaseSet, Sequence[Example]],
    task: BinaryTask,
    run_dir: Path,
    network: Mapping[str, Any],
    weights: str | Path,
    config: TrainConfig,
    metadata: Mapping[str, Any],
    resume: bool,
    on_epoch: OnEpoch | None,
    device: torch.device,
) -> BinaryRun:
    model = build_vit(**network)
    initialisation = initialise(model, weights)
    network_parts.set_regularisation(model, config.dropout, config.drop_path)
    state = fit(
        model,
        sets["train"],
        sets["tuning"],
        config,
        run_dir / "training" / task.name / "checkpoint.pt",
        settings={"task": task.name, "network": dict(network), "weights": str(weights)},
        resume=resume,
        on_epoch=on_epoch,
        device=device,
    )
    model.load_state_dict(state.best)
    labels = np.array([example.label for example in sets["train"]])
    calibration = calibration_of(
        int(labels.sum()), int((1 - labels).sum()), balanced=config.balance != "none"
    )
    network_parts.shift_logit(model, calibration.logit_shift)
    scores = tuple(
        CaseScore(example.key, name, example.label, float(score))
        for name, members in sets.items()
        # One case at a time, as predicting does: batches differ in the last bits.
        for example, score in zip(members, probabilities(model, members, device), strict=True)
    )
    chosen_on = [s for s in scores if s.set == "tuning"]
    threshold = youden_threshold([s.label for s in chosen_on], [s.score for s in chosen_on])
    auc = _areas(scores)
    bundle = run_dir / task.name
    save_bundle(
        bundle,
        model.cpu(),
        network=dict(network),
        metadata={
            "task": task.name,
            "positive_class": task.positive,
            "negative_class": task.negative,
            "network": dict(network),
            "threshold": threshold,
            "threshold_rule": "Youden on the tuning cases; positive means score >= threshold",
            "prevalence": calibration.prevalence,
            "calibration": calibration.to_json(),
            "counts": {name: _counts(members) for name, members in sets.items()},
            "auc": {name: area._asdict() for name, area in auc.items()},
            "seed": config.seed,
            "config": config.to_json(),
            "epochs_trained": state.epoch,
            "best_epoch": _best(state.history).epoch,
            "initialisation": _plain(initialisation),
            "device": device.type,
            "threads": torch.get_num_threads(),
            "versions": versions(),
            **metadata,
        },
    )
    return BinaryRun(task, bundle, threshold, calibration, scores, auc, tuple(state.history))


def fit(
    model: nn.Module,
    train: Sequence[Example],
    tuning: Sequence[Example],
    config: TrainConfig,
    path: Path,
    *,
    settings: Mapping[str, Any],
    resume: bool,
    on_epoch: OnEpoch | None,
    device: torch.device,
) -> checkpoint.TrainingState:
    """The loop over epochs; ``path`` holds the state after the last finished one.

    Returns the final state, whose ``best`` are the weights of the best epoch (before calibration).
    """
    unchanging = {k: v for k, v in config.to_json().items() if k not in ("device", "workers")}
    mark = checkpoint.fingerprint({**settings, **unchanging}, {"train": train, "tuning": tuning})
    model.to(device)
    loader = training_loader(train, config)
    optimizer = network_parts.adamw(model, config)
    steps = len(loader)
    warmup = min(config.warmup_epochs, config.epochs // 2) * steps
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: warmup_cosine(step, warmup, config.epochs * steps)
    )
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
        record = _judged(record, float(schedule.get_last_lr()[0]), state.history)
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


def probabilities(
    model: nn.Module, examples: Sequence[Example], device: torch.device, batch_size: int = 1
) -> NDArray[np.float64]:
    """Sigmoid of the network's logit for every example, in order [cases]."""
    if not examples:
        return np.zeros(0)
    logits = torch.from_numpy(_logits(model, plain_loader(examples, batch_size), device))
    return np.asarray(torch.sigmoid(logits).numpy(), dtype=np.float64)


def warmup_cosine(step: int, warmup: int, total: int) -> float:
    """Share of the peak learning rate: linear rise over ``warmup`` steps, then a half cosine."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))


def versions() -> dict[str, str]:
    """Versions that the trained weights may depend on."""
    names = ("torch", "monai", "timm", "numpy")
    return {
        "breastpredict": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def _sets(
    examples: Sequence[Example],
    holdout: Sequence[Example],
    tuning: Collection[str] | None,
    seed: int,
) -> dict[CaseSet, list[Example]]:
    keys = [example.key for example in examples]
    check_disjoint({"training": keys, "validation": [example.key for example in holdout]})
    if tuning is None:
        strata = strata_of(keys, [e.label for e in examples], [e.stratum for e in examples])
        tuning = stratified_split(strata, TUNING_FRACTION, seed=seed)
    sets: dict[CaseSet, list[Example]] = {
        "train": [example for example in examples if example.key not in tuning],
        "tuning": [example for example in examples if example.key in tuning],
        "validation": list(holdout),
    }
    for name in ("train", "tuning"):
        labels = {example.label for example in sets[name]}
        if labels != {0, 1}:
            raise InputError(
                f"The {name} set needs cases of both classes (labels 0 and 1); it has "
                f"{sorted(labels) or 'none'}",
                remedy="Add cases of the missing class",
            )
    return sets


def _check_images(sets: Mapping[CaseSet, Sequence[Example]], network: Mapping[str, Any]) -> None:
    size = int(network["image_size"])
    expected = (int(network.get("in_channels", 1)), size, size)
    for members in sets.values():
        for example in members:
            if example.image.shape != expected or not np.isfinite(example.image).all():
                raise InputError(
                    f"An image of shape {example.image.shape} does not fit the network, which "
                    f"takes finite values of shape {expected}"
                )


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"There is no device {name!r}", remedy="Use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("This machine offers no CUDA device", remedy="Use --device cpu")
    return device


def _loss(train: Sequence[Example], config: TrainConfig) -> nn.Module:
    if config.balance != "loss":
        return nn.BCEWithLogitsLoss()
    positives = sum(example.label for example in train)
    return BalancedLoss(len(train) / (2 * positives), len(train) / (2 * (len(train) - positives)))


def _logits(
    model: nn.Module, loader: DataLoader[Batch], device: torch.device
) -> NDArray[np.float32]:
    evaluator = SupervisedEvaluator(
        device=device, val_data_loader=loader, network=model, decollate=False
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
    tuning: Sequence[Example],
    train: Sequence[Example],
    config: TrainConfig,
    device: torch.device,
) -> EpochRecord:
    logits = _logits(model, plain_loader(tuning, config.batch_size), device).astype(np.float64)
    labels = np.array([example.label for example in tuning], dtype=np.float64)
    positives = sum(example.label for example in train)
    shift = calibration_of(
        positives, len(train) - positives, balanced=config.balance != "none"
    ).logit_shift
    z = logits + shift
    loss = float(np.mean(np.logaddexp(0.0, z) - labels * z))
    return EpochRecord(epoch, train_loss, loss, roc_auc(labels, logits).value, 0.0, False)


def _judged(record: EpochRecord, rate: float, history: Sequence[EpochRecord]) -> EpochRecord:
    best = not history or _merit(record) > _merit(_best(history))
    return EpochRecord(
        record.epoch, record.train_loss, record.tuning_loss, record.tuning_auc, rate, best
    )


def _merit(record: EpochRecord) -> tuple[float, float]:
    return record.tuning_auc, -record.tuning_loss


def _best(history: Sequence[EpochRecord]) -> EpochRecord:
    return next(record for record in reversed(history) if record.best)


def _finished(state: checkpoint.TrainingState, config: TrainConfig) -> bool:
    if state.epoch >= config.epochs:
        return True
    waited = state.epoch - _best(state.history).epoch if state.history else 0
    return bool(config.patience) and waited >= config.patience


def _areas(scores: Sequence[CaseScore]) -> dict[CaseSet, Estimate]:
    areas: dict[CaseSet, Estimate] = {}
    names: tuple[CaseSet, ...] = ("train", "tuning", "validation")
    for name in names:
        members = [s for s in scores if s.set == name]
        if {s.label for s in members} == {0, 1}:
            areas[name] = roc_auc([s.label for s in members], [s.score for s in members])
    return areas


def _counts(members: Sequence[Example]) -> dict[str, int]:
    positives = sum(example.label for example in members)
    return {"positive": positives, "negative": len(members) - positives}


def _plain(record: Any) -> Any:
    """A dataclass of plain values as a dictionary."""
    if hasattr(record, "__dataclass_fields__"):
        return {
            k: str(v) if isinstance(v, Path) else v
            for k, v in ((f, getattr(record, f)) for f in record.__dataclass_fields__)
        }
    return record
