"""Training throughput: one epoch of ours against a plain PyTorch loop, same data and model.

The baseline is what a good user would write: an AdamW loop over a DataLoader with the same MONAI
transforms, loss, schedule and clipping, and the tuning loss and AUC after each epoch. Ours also
keeps a checkpoint, a history and repeatable random streams. Both run in this process, in turns,
on the same inputs from the same weights; with augmentation off both must end with the same loss.
Prints the ratio; absolute times depend on the machine.

    python Testing/benchmarks/her2_train.py [--network reduced|tiny] [--cases 160] [--runs 3]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.meta_obj import set_track_meta
from monai.utils.misc import set_determinism
from sklearn.metrics import roc_auc_score
from torch.utils.data import DataLoader, Dataset

from breastpredict.learning import Example, TrainConfig
from breastpredict.learning.data import augmentation
from breastpredict.learning.fitting import fit, warmup_cosine
from breastpredict.models import VIT_REDUCED, VIT_TINY, build_vit

GOAL = 0.9
TOLERANCE = 1e-4  # of the loss of the last epoch, without augmentation
CPU = torch.device("cpu")


def inputs(n: int, size: int, seed: int) -> list[Example]:
    """Random images, half of them with stripes."""
    rng = np.random.default_rng(seed)
    stripes = np.sign(np.sin(np.arange(size) * np.pi / 4))
    images = [rng.normal(0, 0.4, (1, size, size)) + 0.2 * (i % 2) * stripes for i in range(n)]
    return [Example(f"{seed}-{i}", x.astype(np.float32), i % 2) for i, x in enumerate(images)]


class Images(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """What a user writes around a list of arrays."""

    def __init__(self, examples: Sequence[Example], transform: Any = None) -> None:
        self.examples, self.transform = examples, transform

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = torch.from_numpy(self.examples[index].image)
        if self.transform is not None:
            image = self.transform(image)
        return image, torch.tensor([float(self.examples[index].label)])


def baseline(
    model: torch.nn.Module,
    train: Sequence[Example],
    tuning: Sequence[Example],
    config: TrainConfig,
    transform: Any,
) -> float:
    """A plain loop; the tuning loss of the last epoch."""
    loader = DataLoader(Images(train, transform), config.batch_size, shuffle=True)
    judge = DataLoader(Images(tuning), config.batch_size)
    decayed = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim != 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed}, {"params": others, "weight_decay": 0.0}],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
    )
    steps, epochs = len(loader), config.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda s: warmup_cosine(s, min(config.warmup_epochs, epochs // 2) * steps, epochs * steps),
    )
    criterion = torch.nn.BCEWithLogitsLoss()
    loss_of_tuning = 0.0
    for _ in range(epochs):
        model.train()
        for image, label in loader:
            optimizer.zero_grad()
            criterion(model(image), label).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.no_grad():
            logits = torch.cat([model(image) for image, _ in judge])
        labels = torch.tensor([[float(e.label)] for e in tuning])
        loss_of_tuning = float(criterion(logits, labels))
        roc_auc_score(labels[:, 0], logits[:, 0])
    return loss_of_tuning


def product(
    model: torch.nn.Module,
    train: Sequence[Example],
    tuning: Sequence[Example],
    config: TrainConfig,
    folder: Path,
) -> float:
    """Ours; the tuning loss of the last epoch."""
    state = fit(
        model,
        train,
        tuning,
        config,
        folder / "checkpoint.pt",
        settings={},
        resume=False,
        on_epoch=None,
        device=CPU,
    )
    return state.history[-1].tuning_loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=("reduced", "tiny"), default="reduced")
    parser.add_argument("--cases", type=int, default=160)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    set_track_meta(False)
    set_determinism(seed=0)
    network = VIT_TINY if options.network == "tiny" else VIT_REDUCED
    size = int(network["image_size"])
    train, tuning = inputs(options.cases, size, 0), inputs(options.cases // 4, size, 1)
    config = TrainConfig(
        epochs=options.epochs, balance="none", drop_path=0.0, patience=0, device="cpu"
    )
    first = build_vit(**network)
    with tempfile.TemporaryDirectory() as name:
        # All cases in one batch: then the order of the cases does not matter either.
        still = replace(
            config, batch_size=len(train), flips=False, rotation_deg=0, gain=0, offset=0, noise=0
        )
        ours = product(copy.deepcopy(first), train, tuning, still, Path(name))
        theirs = baseline(copy.deepcopy(first), train, tuning, still, None)
        assert abs(ours - theirs) < TOLERANCE, (ours, theirs)
        ratios = []
        for run in range(options.runs + 1):
            begin = time.perf_counter()
            baseline(copy.deepcopy(first), train, tuning, config, augmentation(config))
            middle = time.perf_counter()
            product(copy.deepcopy(first), train, tuning, config, Path(name))
            if run:  # the first one warms up
                ratios.append((middle - begin) / (time.perf_counter() - middle))
    print(
        f"training, {options.network} network, {options.cases} cases: "
        f"{statistics.median(ratios):.2f} of the plain loop's throughput "
        f"(goal {GOAL}; runs {', '.join(f'{r:.2f}' for r in ratios)}); "
        f"loss {ours:.5f} and {theirs:.5f}"
    )


if __name__ == "__main__":
    main()
