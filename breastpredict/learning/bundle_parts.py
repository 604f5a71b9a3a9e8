"""What a bundle's own configurations are made of, besides MONAI's parts.

A training in several processes does what one process does: a batch of one epoch is shared among
the processes, every case goes to exactly one of them, and each process's loss counts by its share
of the batch. So the weights agree but for the order of sums.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from torch import nn
from torch.utils.data import Sampler

from breastpredict.errors import InputError
from breastpredict.files import write_text
from breastpredict.learning.data import DROPOUT, EpochSampler, ExampleDataset, stream_seed
from breastpredict.learning.examples import Example
from breastpredict.learning.fitting import BalancedLoss, warmup_cosine
from breastpredict.learning.recalibration import Recalibration
from breastpredict.stats import binary_metrics, roc_auc

__all__ = [
    "CaseLog",
    "EpochStreams",
    "RankBatches",
    "SaveEvaluation",
    "ShareOfBatch",
    "balanced_loss",
    "rate",
    "recalibrated",
    "starting_network",
    "trained_network",
]


def starting_network(bundle_root: str, start: str) -> nn.Module:
    """The bundle's network in training mode.

    Args:
        bundle_root: the bundle.
        start: ``"bundle"``: from its weights; else as `breastpredict.models.initialise` takes it.
    """
    from breastpredict.learning.network_parts import xavier_initialise
    from breastpredict.models import build_vit, initialise, load_bundle, read_bundle_metadata

    if start == "bundle":
        network: nn.Module = load_bundle(Path(bundle_root)).model.train()
        return network
    model = build_vit(**read_bundle_metadata(Path(bundle_root))["breastpredict"]["network"])
    if initialise(model, start).source == "none":
        xavier_initialise(model)
    return model


def trained_network(bundle_root: str, checkpoint: str) -> nn.Module:
    """The bundle's network, with the weights of a checkpoint of train.json where one is given.

    Raises:
        InputError: the checkpoint cannot be used.
    """
    from breastpredict.models import load_bundle

    model: nn.Module = load_bundle(Path(bundle_root)).model
    if checkpoint:
        try:
            model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True))
        except Exception as error:  # torch raises many kinds for what is not a plain state dict
            raise InputError("The checkpoint cannot be used", path=checkpoint) from error
    return model.eval()


def recalibrated(bundle_root: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The logit as the bundle's recalibration has it; as it is, where there is none."""
    from breastpredict.models import read_bundle_metadata

    local = Recalibration.from_block(read_bundle_metadata(Path(bundle_root))["breastpredict"])
    if local is None:
        return lambda logit: logit
    return lambda logit: local.slope * logit + local.intercept


class RankBatches(Sampler[list[int]]):
    """One process's part of every batch of an epoch.

    Args:
        labels: of the cases.
        batch_size: cases per step of all processes together.
        seed: of the order.
        balanced: draw both classes equally often, instead of every case once.
        rank: of this process.
        world: number of processes.

    Raises:
        InputError: fewer cases or a smaller batch than processes.
    """

    def __init__(
        self,
        labels: Sequence[int],
        batch_size: int,
        seed: int,
        balanced: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if min(len(labels), batch_size) < world:
            raise InputError(
                f"{len(labels)} cases in batches of {batch_size} for {world} processes"
            )
        self._order = EpochSampler(labels, balanced=balanced, seed=seed)
        self._size, self._rank, self._world = batch_size, rank, world

    @property
    def epoch(self) -> int:
        """Whose order is given next."""
        return self._order.epoch

    @epoch.setter
    def epoch(self, value: int) -> None:
        self._order.epoch = value

    def __len__(self) -> int:
        return len(self._starts())

    def __iter__(self) -> Iterator[list[int]]:
        order = list(self._order)
        starts = self._starts()
        for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
            yield order[start:stop][self._rank :: self._world]

    def _starts(self) -> list[int]:
        starts = list(range(0, len(self._order), self._size))
        # A last batch of fewer cases than processes would leave one without: the one before has it.
        if len(starts) > 1 and len(self._order) - starts[-1] < self._world:
            starts.pop()
        return starts


class ShareOfBatch(nn.Module):
    """A mean loss weighted by this process's share of the batch.

    Averaging gradients over processes, as DistributedDataParallel does, then gives the gradient of
    the mean over the whole batch, also where the shares differ.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logit: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """The loss of logits and labels [cases, 1]."""
        value: torch.Tensor = self.loss(logit, label)
        if not torch.distributed.is_initialized():
            return value
        total = torch.tensor(float(len(label)), device=label.device)
        torch.distributed.all_reduce(total)
        return value * (len(label) * torch.distributed.get_world_size() / total)


def balanced_loss(examples: Sequence[Example]) -> nn.Module:
    """Cross-entropy in which both classes of these cases weigh the same."""
    n, positives = len(examples), sum(example.label for example in examples)
    return ShareOfBatch(BalancedLoss(n / (2 * positives), n / (2 * (n - positives))))


def rate(epochs: int, steps: int, warmup_epochs: int) -> Callable[[int], float]:
    """Share of the peak learning rate by step, for LambdaLR."""
    warmup = min(warmup_epochs, epochs // 2) * steps
    return lambda step: warmup_cosine(step, warmup, epochs * steps)


class EpochStreams:
    """Handler: every epoch starts its random streams anew, and gradients are clipped."""

    def __init__(
        self, dataset: ExampleDataset, batches: RankBatches, seed: int, gradient_norm: float
    ) -> None:
        self._dataset, self._batches = dataset, batches
        self._seed, self._norm = seed, gradient_norm

    def attach(self, engine: Engine) -> None:
        """To a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self._clip)

    def _start(self, engine: Engine) -> None:
        self._dataset.epoch = self._batches.epoch = engine.state.epoch
        torch.manual_seed(stream_seed(self._seed, DROPOUT, engine.state.epoch))

    def _clip(self, engine: Any) -> None:
        if engine.amp and engine.scaler is not None:
            engine.scaler.unscale_(engine.optimizer)
        torch.nn.utils.clip_grad_norm_(engine.network.parameters(), self._norm)


class CaseLog:
    """Handler: which cases this process saw in which epoch, as ``cases-rank<N>.csv``."""

    def __init__(self, folder: str | os.PathLike[str], examples: Sequence[Example]) -> None:
        self._folder, self._examples = Path(folder), examples
        self._lines = ["epoch,step,case"]

    def attach(self, engine: Engine) -> None:
        """To a trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _step(self, engine: Engine) -> None:
        batch: Any = engine.state.batch
        for index in batch["index"].tolist():
            key = self._examples[index].key
            self._lines.append(f"{engine.state.epoch},{engine.state.iteration},{key}")

    def _write(self, _: Engine) -> None:
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        write_text(self._folder / f"cases-rank{rank}.csv", "\n".join(self._lines) + "\n")


class SaveEvaluation:
    """Handler: ``scores.csv`` (case, label, score) and ``evaluation.json`` of an evaluator.

    The evaluator gives probabilities. The threshold is the bundle's own.
    """

    def __init__(
        self, folder: str | os.PathLike[str], examples: Sequence[Example], bundle_root: str
    ) -> None:
        from breastpredict.models import read_bundle_metadata

        block: Mapping[str, Any] = read_bundle_metadata(Path(bundle_root))["breastpredict"]
        self._folder, self._examples = Path(folder), examples
        self._threshold = float(block["threshold"])
        self._found: dict[int, float] = {}

    def attach(self, engine: Engine) -> None:
        """To an evaluator."""
        engine.add_event_handler(Events.STARTED, lambda _: self._found.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _step(self, engine: Engine) -> None:
        batch: Any = engine.state.batch  # by now a list with an entry per case
        outputs: Any = engine.state.output
        for case, output in zip(batch, outputs, strict=True):
            self._found[int(case["index"])] = float(output["pred"])

    def _write(self, _: Engine) -> None:
        rows = [(self._examples[i], score) for i, score in sorted(self._found.items())]
        labels = np.array([example.label for example, _ in rows])
        scores = np.array([score for _, score in rows])
        cut = binary_metrics(labels, scores, self._threshold)
        values = {
            "n": len(rows),
            "auc": roc_auc(labels, scores)._asdict(),
            "brier": float(np.mean((scores - labels) ** 2)),
            "threshold": self._threshold,
            "sensitivity": cut.sensitivity._asdict(),
            "specificity": cut.specificity._asdict(),
        }
        text = "".join(f"{e.key},{e.label},{score!r}\n" for e, score in rows)
        write_text(self._folder / "scores.csv", f"case,label,score\n{text}")
        write_text(self._folder / "evaluation.json", json.dumps(values, indent=2) + "\n")
