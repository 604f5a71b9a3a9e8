"""How a HER2 training is set up: two presets and what may be changed of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from breastpredict.errors import InputError
from breastpredict.her2.roi_policy import RoiKind, RoiPolicy
from breastpredict.imaging.roi import DEFAULT_MARGIN
from breastpredict.learning.config import TrainConfig

_GIVEN = (
    "epochs batch_size learning_rate patience balance flips rotation_deg gain offset noise"
).split()

_PRESETS = {
    "tiny": TrainConfig(),
    # From random weights and few cases: long, averaged, at every angle.
    "reduced": TrainConfig(
        epochs=80,
        batch_size=16,
        learning_rate=1e-3,
        warmup_epochs=8,
        patience=0,
        averaging=0.98,
        drop_path=0.0,
        rotation_deg=180.0,
        gain=0.05,
        offset=0.0,
        noise=0.0,
    ),
}


@dataclass(frozen=True)
class Her2TrainConfig:
    """Settings of a HER2 training. None means the preset's own value.

    Attributes:
        preset: ``"tiny"``: ViT-tiny at 224 pixels, the paper's network. ``"reduced"``: a small ViT
            at 64 pixels for demonstrations and tests.
        weights: ``"imagenet"``, ``"none"`` or a safetensors file; by default ImageNet for
            ``tiny`` and none for ``reduced``, for which there are no such weights.
        epochs, batch_size, learning_rate, patience, balance, flips, rotation_deg, gain, offset,
            noise, mixed_precision: see ``TrainConfig``.
        roi, margin: what of the slice the network sees, see `RoiPolicy`; predicting repeats it.
        folds: cross-validate in so many folds as well; 0 for none.
        seed: seed of splits, initialisation and training.
        workers: processes that load batches; no effect on the result.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``.
        minimum_per_class: fewest usable patients of each HER2 class in the pool.
    """

    preset: Literal["tiny", "reduced"] = "tiny"
    weights: str | Path | None = None
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    patience: int | None = None
    balance: Literal["loss", "sampler", "none"] | None = None
    flips: bool | None = None
    rotation_deg: float | None = None
    gain: float | None = None
    offset: float | None = None
    noise: float | None = None
    mixed_precision: bool = False
    roi: RoiKind = "square"
    margin: float = DEFAULT_MARGIN
    folds: int = 0
    seed: int = 0
    workers: int = 0
    device: str = "auto"
    minimum_per_class: int = 5

    def training(self) -> TrainConfig:
        """The settings of each task's training: the preset's with what was given.

        Raises:
            InputError: unknown preset, or a value out of range.
        """
        if self.preset not in _PRESETS:
            raise InputError(
                f"There is no network preset {self.preset!r}", remedy="Use 'tiny' or 'reduced'"
            )
        given = {name: value for name in _GIVEN if (value := getattr(self, name)) is not None}
        return replace(
            _PRESETS[self.preset],
            seed=self.seed,
            workers=self.workers,
            mixed_precision=self.mixed_precision,
            device=self.device,
            **given,
        )

    @property
    def policy(self) -> RoiPolicy:
        """What of the slice the network sees; InputError where there is no such."""
        return RoiPolicy(self.roi, self.margin)

    @property
    def network(self) -> dict[str, Any]:
        """The network's description, as `breastpredict.models.build_vit` takes it."""
        from breastpredict.models import VIT_REDUCED, VIT_TINY

        return dict(VIT_TINY if self.preset == "tiny" else VIT_REDUCED)

    @property
    def initial_weights(self) -> str | Path:
        """What the network starts from."""
        if self.weights is not None:
            return self.weights
        return "imagenet" if self.preset == "tiny" else "none"
