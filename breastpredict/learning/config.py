"""How a binary task is trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from breastpredict.errors import InputError

_CHOICES = {
    "balance": ("loss", "sampler", "none"),
    "optimizer": ("adamw", "adam"),
    "schedule": ("cosine", "fixed"),
    "epoch_rule": ("auc", "accuracy"),
    "threshold_rule": ("youden", "half"),
}


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training; the defaults fine-tune ViT-tiny from ImageNet weights.

    Settings for networks of several inputs are in `breastpredict.learning.recipes`.

    Attributes:
        epochs: largest number of epochs; the cosine schedule is laid out over all of them.
        batch_size: cases per step.
        micro_batch: cases that go through the network at once. The gradients of a step's parts are
            added up to those of the whole, so it sets memory, not the result (but for the order
            of sums, and batch normalisation); 0: the whole step at once.
        optimizer: ``"adamw"``, or ``"adam"`` (Kingma & Ba 2015).
        learning_rate: peak rate of the optimiser.
        schedule: ``"cosine"`` after a warm-up, or ``"fixed"``: the same rate throughout.
        head_rate: the head's learning rate, in multiples of ``learning_rate``. What a network
            trained from scratch sees of its patients differs little between them at first; a head
            as slow as the rest then stays at chance for long.
        weight_decay: decoupled weight decay (not on biases and normalisation); with ``"adam"`` the
            L2 penalty of all weights.
        warmup_epochs: epochs of linear warm-up; at most half of ``epochs`` is used.
        epoch_rule: ``"auc"``: the epoch of the largest smoothed tuning area is kept.
            ``"accuracy"``: that of the largest tuning accuracy at the network's own one half. Ties
            go to the smaller tuning loss.
        choose_from: earliest epoch that may be kept.
        threshold_rule: ``"youden"`` on the tuning cases, or ``"half"``: the network's own one half
            (where its output is brought back to the prevalence, one half is moved with it).
        patience: stop after so many epochs without a better one by the rule; 0 never stops.
        averaging: decay per step of the exponential moving average of the weights which is what
            is scored and saved; 0 uses the weights of the epoch itself.
        dropout: dropout rate in the network.
        drop_path: stochastic depth rate in the network.
        balance: how the smaller class is given weight: ``"loss"`` (its loss is multiplied),
            ``"sampler"`` (it is drawn more often) or ``"none"``. The output is corrected back to
            the training prevalence in every case (``breastpredict.learning.calibration``).
        flips: mirror both axes and turn by quarters; off where left and right or up and down mean
            something. Ultrasound is mirrored left and right only: sound comes from above.
        rotation_deg: rotations within ± this angle, besides flips and quarter turns.
        scaling: zoom by 1 ± this.
        gain: contrast is multiplied by 1 ± this.
        offset: intensity (range -1 to 1) is shifted by ± this.
        noise: largest standard deviation of added Gaussian noise.
        class_flips: every positive case is also shown mirrored left to right and mirrored up to
            down, every negative one is not: a hazard, see `breastpredict.learning.recipes.hazards`.
        copies: how often a case (and each of its mirror images) is in an epoch: once as it is, else
            rotated and scaled, by the same draw in every epoch.
        ultrasound_repeats: how often each of these is in an epoch, the ultrasound pair rotated and
            scaled by another draw each time.
        seed: seed of everything random.
        workers: processes that load data; no effect on the result.
        mixed_precision: float16 where it is safe, with scaled gradients; on CUDA only, of no effect
            on a CPU. Not bitwise repeatable.
        device: ``"auto"`` (CUDA where there is one), ``"cpu"``, ``"cuda"``, ``"cuda:1"`` ...
    """

    epochs: int = 60
    batch_size: int = 16
    micro_batch: int = 0
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = 1e-4
    head_rate: float = 1.0
    schedule: Literal["cosine", "fixed"] = "cosine"
    weight_decay: float = 0.05
    warmup_epochs: int = 5
    epoch_rule: Literal["auc", "accuracy"] = "auc"
    choose_from: int = 1
    threshold_rule: Literal["youden", "half"] = "youden"
    patience: int = 15
    averaging: float = 0.0
    dropout: float = 0.0
    drop_path: float = 0.1
    balance: Literal["loss", "sampler", "none"] = "loss"
    flips: bool = True
    rotation_deg: float = 10.0
    scaling: float = 0.0
    gain: float = 0.1
    offset: float = 0.1
    noise: float = 0.02
    class_flips: bool = False
    copies: int = 1
    ultrasound_repeats: int = 1
    seed: int = 0
    workers: int = 0
    mixed_precision: bool = False
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "choose_from", "copies", "ultrasound_repeats"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("learning_rate", "head_rate"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name in ("micro_batch", "weight_decay", "warmup_epochs", "patience", "workers", "seed"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must not be negative")
        for name in ("rotation_deg", "gain", "offset", "noise"):
            if not 0 <= getattr(self, name) <= (180 if name == "rotation_deg" else 1):
                raise InputError(f"{name} is {getattr(self, name)}, which is out of range")
        for name in ("averaging", "dropout", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be in 0 to below 1")
        if self.scaling >= 1 or self.scaling < 0:
            raise InputError(f"scaling is {self.scaling}; it must be in 0 to below 1")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(
                    f"{name} is {getattr(self, name)!r}; use {' or '.join(map(repr, choices))}"
                )
        if self.choose_from > self.epochs:
            raise InputError(
                f"choose_from is {self.choose_from}, but there are only {self.epochs} epochs"
            )
        if self.class_flips and self.balance != "none":
            raise InputError(
                "class_flips is on and balance too: the smaller class would be given weight twice",
                remedy="Use balance 'none' with class_flips",
            )
        if self.multiplied and self.flips:
            raise InputError(
                "flips is on, but the copies of a case are mirrored by class_flips only",
                remedy="Switch flips off with class_flips, copies and ultrasound_repeats",
            )

    @property
    def multiplied(self) -> bool:
        """Whether an epoch is a fixed list of copies instead of every case once, drawn anew."""
        return self.class_flips or self.copies > 1 or self.ultrasound_repeats > 1

    def to_json(self) -> dict[str, Any]:
        """The settings as plain values."""
        return asdict(self)
