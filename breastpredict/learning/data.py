"""Examples as batches, augmented reproducibly.

Every draw depends on (seed, epoch, case) alone: not on the batch, the worker or what came before.
So a run that is killed and resumed sees the same data as one that was not, and the number of
loading processes does not change the result.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch
from monai.transforms.compose import Compose
from torch.utils.data import DataLoader, Dataset, Sampler

from breastpredict.learning.augment import (
    AUGMENTATION,
    DROPOUT,
    ORDER,
    CaseAugmentation,
    augmentation,
    reseed,
    stream_seed,
)
from breastpredict.learning.config import TrainConfig
from breastpredict.learning.examples import IMAGE, ULTRASOUND, LearningCase, network_array
from breastpredict.learning.recipes import Copy, copies_of

__all__ = [
    "DROPOUT",
    "ORDER",
    "Batch",
    "EpochSampler",
    "ExampleDataset",
    "augmentation",
    "plain_loader",
    "reseed",
    "set_epoch",
    "stream_seed",
    "training_loader",
]

Batch = dict[str, torch.Tensor]


class ExampleDataset(Dataset[Batch]):
    """Examples as MONAI's engines take them: the named inputs and ``label`` [1], float32.

    ``index`` says which item it is.

    Args:
        examples: the cases; files of theirs are read item by item.
        augment: of a single image, or of all inputs of a case.
        seed: of the augmentation.
        names: inputs to give; all where left out.
        items: the items of an epoch where they are not every case once; need a `CaseAugmentation`.
    """

    def __init__(
        self,
        examples: Sequence[LearningCase],
        augment: Compose | CaseAugmentation | None = None,
        *,
        seed: int = 0,
        names: Collection[str] | None = None,
        items: Sequence[Copy] | None = None,
    ) -> None:
        self.examples = examples
        self.augment = augment
        if isinstance(augment, Compose):
            augment.set_random_state(seed=0)  # gives every step a state of its own
        self.seed = seed
        self.names = names
        self.items = [Copy(case) for case in range(len(examples))] if items is None else items
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Batch:
        item = self.items[index]
        example = self.examples[item.case]
        inputs = {
            name: torch.from_numpy(network_array(name, array))
            for name, array in example.inputs(self.names).items()
        }
        if isinstance(self.augment, Compose):
            reseed(self.augment, stream_seed(self.seed, AUGMENTATION, self.epoch, index))
            inputs[IMAGE] = torch.as_tensor(self.augment(inputs[IMAGE]))
        elif self.augment is not None:
            inputs = self.augment(inputs, item, self.epoch)
        label = torch.tensor([float(example.label)])
        return {**inputs, "label": label, "index": torch.tensor(index)}


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


def training_loader(
    examples: Sequence[LearningCase],
    config: TrainConfig,
    names: Collection[str] | None = None,
) -> DataLoader[Batch]:
    """Augmented batches; call ``set_epoch`` before each epoch.

    Args:
        examples: the training patients.
        config: settings; may show each patient several times in an epoch.
        names: what the network takes; None for a single image.
    """
    labels = [example.label for example in examples]
    ultrasound = names is not None and any(name in names for name in ULTRASOUND)
    items = copies_of(labels, config, ultrasound=ultrasound)
    single = names is None and not config.multiplied
    return DataLoader(
        ExampleDataset(
            examples,
            augmentation(config) if single else CaseAugmentation(config),
            seed=config.seed,
            names=names,
            items=items,
        ),
        batch_size=config.batch_size,
        sampler=EpochSampler(
            [labels[item.case] for item in items],
            balanced=config.balance == "sampler",
            seed=config.seed,
        ),
        num_workers=config.workers,
        generator=torch.Generator().manual_seed(config.seed),  # leaves the global stream alone
    )


def set_epoch(loader: DataLoader[Batch], epoch: int) -> None:
    """Choose the epoch whose order and augmentation the loader gives next."""
    assert isinstance(loader.dataset, ExampleDataset)
    assert isinstance(loader.sampler, EpochSampler)
    loader.dataset.epoch = epoch
    loader.sampler.epoch = epoch


def plain_loader(
    examples: Sequence[LearningCase], batch_size: int, names: Collection[str] | None = None
) -> DataLoader[Batch]:
    """Batches in order, every patient once, as they are."""
    return DataLoader(
        ExampleDataset(examples, names=names),
        batch_size=batch_size,
        generator=torch.Generator().manual_seed(0),
    )
