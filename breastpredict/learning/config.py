"""How a binary task is trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from breastpredict.errors import InputError


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training; the defaults fine-tune ViT-tiny from ImageNet weights.

    Attributes:
        epochs: largest number of epochs; the cosine schedule is laid out over all of them.
        batch_size: cases per step.
        learning_rate: peak rate of AdamW.
        weight_decay: decoupled weight decay (not on biases and normalisation).
        warmup_epochs: epochs of linear warm-up; at most half of ``epochs`` is used.
        patience: stop after so many epochs without a better (smoothed) tuning AUC; 0 never stops.
        averaging: decay per step of the exponential moving average of the weights which is what
            is scored and saved; 0 uses the weights of the epoch itself.
        dropout: dropout rate in the network.
        drop_path: stochastic depth rate in the network.
        balance: how the smaller class is given weight: ``"loss"`` (its loss is multiplied),
            ``"sampler"`` (it is drawn more often) or ``"none"``. The output is corrected back to
            the training prevalence in every case (``breastpredict.learning.calibration``).
        flips: mirror both axes and turn by quarters; off where left and right or up and down mean
            something.
        rotation_deg: rotations within ± this angle, besides flips and quarter turns.
        gain: contrast is multiplied by 1 ± this.
        offset: intensity (range -1 to 1) is shifted by ± this.
        noise: largest standard deviation of added Gaussian noise.
        seed: seed of everything random.
        workers: processes that load data; no effect on the result.
        mixed_precision: float16 where it is safe, with scaled gradients; on CUDA only, of no effect
            on a CPU. Not bitwise repeatable.
        device: ``"auto"`` (CUDA where there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"`` ...
    """

    epochs: int = 60
    batch_size: int = 16
    learning_rate: float = 1e-4
    weight_decay: float = 0.05
    warmup_epochs: int = 5
    patience: int = 15
    averaging: float = 0.0
    dropout: float = 0.0
    drop_path: float = 0.1
    balance: Literal["loss", "sampler", "none"] = "loss"
    flips: bool = True
    rotation_deg: float = 10.0
    gain: float = 0.1
    offset: float = 0.1
    noise: float = 0.02
    seed: int = 0
    workers: int = 0
    mixed_precision: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not self.learning_rate > 0:
            raise InputError(f"learning_rate is {self.learning_rate}; it must be above 0")
        for name in ("weight_decay", "warmup_epochs", "patience", "workers", "seed"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must not be negative")
        for name in ("rotation_deg", "gain", "offset", "noise"):
            if not 0 <= getattr(self, name) <= (180 if name == "rotation_deg" else 1):
                raise InputError(f"{name} is {getattr(self, name)}, which is out of range")
        for name in ("averaging", "dropout", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be in 0 to below 1")
        if self.balance not in ("loss", "sampler", "none"):
            raise InputError(f"balance is {self.balance!r}; use 'loss', 'sampler' or 'none'")

    def to_json(self) -> dict[str, Any]:
        """The settings as plain values."""
        return asdict(self)
