"""A network and its several inputs on MONAI's engines.

A network of one image (HER2) is called with it. A network of several says their names in
``network.inputs`` and is called with keywords: ``network(pathology=…, us0=…, clinical=…)``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from monai.engines.utils import IterationEvents
from monai.inferers.inferer import Inferer
from torch import nn

from breastpredict.learning import network_parts
from breastpredict.learning.config import TrainConfig
from breastpredict.learning.examples import IMAGE
from breastpredict.models import WeightsRecord, initialise
from breastpredict.models.build import build_network
from breastpredict.models.network import system_of

Inputs = dict[str, torch.Tensor]


def starting_network(
    description: Mapping[str, Any], weights: str | Path, config: TrainConfig
) -> tuple[nn.Module, WeightsRecord]:
    """The network of a description with the weights that training starts from.

    Without given weights a ViT gets `network_parts.xavier_initialise`; every other network keeps
    those it was built with.

    Raises:
        InputError: no such network, or weights that are not there or not of this network.
    """
    model = build_network(description)
    record = initialise(model, weights)
    if record.source == "none" and system_of(description) == "her2":
        network_parts.xavier_initialise(model)
    network_parts.set_regularisation(model, config.dropout, config.drop_path)
    return model, record


def input_names(model: nn.Module) -> tuple[str, ...]:
    """What the network takes."""
    return tuple(getattr(model, "inputs", (IMAGE,)))


def call(model: nn.Module, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The logits [cases, 1] of a batch of named inputs; those it does not take are left aside."""
    names = getattr(model, "inputs", None)
    found: torch.Tensor = (
        model(inputs[IMAGE]) if names is None else model(**{name: inputs[name] for name in names})
    )
    return found


class NamedInferer(Inferer):
    """MONAI's inferer for named inputs."""

    def __call__(self, inputs: Any, network: Any, *args: Any, **kwargs: Any) -> Any:
        """See `call`."""
        return call(network, inputs)


class NamedBatch:
    """MONAI's prepare-batch for named inputs: ({name: tensor}, label) on the device."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = tuple(names)

    def __call__(
        self,
        batch: Mapping[str, torch.Tensor],
        device: torch.device | str | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Inputs, torch.Tensor]:
        """The parts of a loader's batch."""

        def moved(name: str) -> torch.Tensor:
            return batch[name].to(device=device, non_blocking=non_blocking, **kwargs)

        return {name: moved(name) for name in self._names}, moved("label")


class StepInParts:
    """One step of a SupervisedTrainer whose batch goes through the network in parts.

    MONAI's ``accumulation_steps`` makes several steps one; its last, shorter group then weighs too
    little, and rate, clipping and averaging would have to be told which of its steps are real. Here
    a batch is one step, each part's loss counts by its share of the cases, and the gradient is that
    of the whole batch.
    """

    def __init__(self, size: int) -> None:
        self._size = size

    def __call__(self, engine: Any, batch: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """As `SupervisedTrainer._iteration`; the prediction is that of all parts."""
        device, label = engine.state.device, batch["label"]
        engine.network.train()
        engine.optimizer.zero_grad(set_to_none=engine.optim_set_to_none)
        engine.state.output = {"image": None, "label": label.to(device)}
        total, logits = torch.zeros((), device=device), []
        for part in _parts(batch, self._size):
            inputs, targets = engine.prepare_batch(part, device, engine.non_blocking)
            half = torch.autocast("cuda", **engine.amp_kwargs) if engine.amp else nullcontext()
            with half:
                logit = engine.inferer(inputs, engine.network)
                loss = engine.loss_function(logit, targets) * (len(targets) / len(label))
            (engine.scaler.scale(loss) if engine.amp else loss).backward()
            total += loss.detach()
            logits.append(logit.detach())
        engine.state.output.update(pred=torch.cat(logits), loss=total)
        engine.fire_event(IterationEvents.BACKWARD_COMPLETED)
        if engine.amp:
            engine.scaler.step(engine.optimizer)
            engine.scaler.update()
        else:
            engine.optimizer.step()
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        output: dict[str, Any] = engine.state.output
        return output


def _parts(batch: Mapping[str, torch.Tensor], size: int) -> Iterator[dict[str, torch.Tensor]]:
    for start in range(0, len(batch["label"]), size):
        yield {name: values[start : start + size] for name, values in batch.items()}
