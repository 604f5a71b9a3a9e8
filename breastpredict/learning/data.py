"""Examples as batches, augmented reproducibly.

Every draw depends on (seed, epoch, case) alone: not on the batch, the worker or what came before.
So a run that is killed and resumed sees the same data as one that was not, and the number of
loading processes does not change the result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms.compose import Compose
from monai.transforms.intensity.array import (
    RandGaussianNoise,
    RandScaleIntensity,
    RandShiftIntensity,
)
from monai.transforms.spatial.array import RandFlip, RandRotate, RandRotate90
from monai.transforms.transform import Randomizable
from monai.utils.misc import MAX_SEED
from torch.utils.data import DataLoader, Dataset, Sampler

from breastpredict.learning.config import TrainConfig
from breastpredict.learning.examples import Example

Batch = dict[str, torch.Tensor]

ORDER, AUGMENTATION, DROPOUT = range(3)
"""The purposes random numbers are drawn for; each has its own stream."""


def augmentation(config: TrainConfig) -> Compose:
    """Both flips, quarter turns, small rotations and intensity jitter of one image [C, S, S]."""
    steps: list[Any] = []
    if config.flips:
        steps += [
            RandFlip(prob=0.5, spatial_axis=0),
            RandFlip(prob=0.5, spatial_axis=1),
            RandRotate90(prob=0.5, max_k=3),
        ]
    if config.rotation_deg > 0:
        angle = math.radians(config.rotation_deg)
        steps.append(RandRotate(range_x=angle, prob=0.5, padding_mode="reflection"))
    if config.gain > 0:
        steps.append(RandScaleIntensity(factors=config.gain, prob=0.5))
    if config.offset > 0:
        steps.append(RandShiftIntensity(offsets=config.offset, prob=0.5))
    if config.noise > 0:
        steps.append(RandGaussianNoise(prob=0.5, std=config.noise))
    return Compose(steps)


class ExampleDataset(Dataset[Batch]):
    """Examples as MONAI's engines take them: ``image`` [C, S, S] and ``label`` [1], float32.

    ``index`` says which example it is.
    """

    def __init__(
        self, examples: Sequence[Example], augment: Compose | None = None, *, seed: int = 0
    ) -> None:
        self.examples = examples
        self.augment = augment
        if augment is not None:
            augment.set_random_state(seed=0)  # gives every step a state of its own
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Batch:
        example = self.examples[index]
        image = torch.from_numpy(np.ascontiguousarray(example.image, dtype=np.float32))
        if self.augment is not None:
            reseed(self.augment, stream_seed(self.seed, AUGMENTATION, self.epoch, index))
            image = torch.as_tensor(self.augment(image))
        label = torch.tensor([float(example.label)])
        return {"image": image, "label": label, "index": torch.tensor(index)}


class EpochSampler(Sampler[int]):
    """The order of an epoch: every case once, or both classes equally often (with replacement)."""

    def __init__(self, labels: Sequence[int], *, balanced: bool, seed: int) -> None:
        self.labels = torch.tensor(labels)
        self.balanced = balanced
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[int]:
        draw = torch.Generator().manual_seed(stream_seed(self.seed, ORDER, self.epoch))
        if not self.balanced:
            return iter(torch.randperm(len(self), generator=draw).tolist())
        counts = torch.bincount(self.labels, minlength=2)
        weights = 1.0 / counts[self.labels]
        return iter(torch.multinomial(weights, len(self), True, generator=draw).tolist())


def training_loader(examples: Sequence[Example], config: TrainConfig) -> DataLoader[Batch]:
    """Augmented batches; call ``set_epoch`` before each epoch."""
    labels = [example.label for example in examples]
    balanced = config.balance == "sampler"
    return DataLoader(
        ExampleDataset(examples, augmentation(config), seed=config.seed),
        batch_size=config.batch_size,
        sampler=EpochSampler(labels, balanced=balanced, seed=config.seed),
        num_workers=config.workers,
        generator=torch.Generator().manual_seed(config.seed),  # leaves the global stream alone
    )


def set_epoch(loader: DataLoader[Batch], epoch: int) -> None:
    """Choose the epoch whose order and augmentation the loader gives next."""
    assert isinstance(loader.dataset, ExampleDataset)
    assert isinstance(loader.sampler, EpochSampler)
    loader.dataset.epoch = epoch
    loader.sampler.epoch = epoch


def plain_loader(examples: Sequence[Example], batch_size: int) -> DataLoader[Batch]:
    """Batches in order, as they are."""
    return DataLoader(
        ExampleDataset(examples),
        batch_size=batch_size,
        generator=torch.Generator().manual_seed(0),
    )


def reseed(augment: Compose, seed: int) -> None:
    """What ``augment.set_random_state(seed)`` does, in a thirtieth of the time.

    MONAI makes new states, which draw entropy before they take the seed; here those that are there
    (``set_random_state`` was called once) take it.
    """
    augment.R.seed(seed)
    for step in augment.transforms:
        if isinstance(step, Randomizable):
            own = int(augment.R.randint(MAX_SEED, dtype="uint32"))
            if type(step).set_random_state is Randomizable.set_random_state:
                step.R.seed(own)
            else:
                step.set_random_state(seed=own)


def stream_seed(*parts: int) -> int:
    """A 32-bit seed for one stream of random numbers, well mixed from its coordinates."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
