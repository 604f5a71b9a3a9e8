"""What can be chosen of a pCR training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from breastpredict.errors import InputError
from breastpredict.learning.config import TrainConfig
from breastpredict.learning.recipes import recipe
from breastpredict.models.pcr_network import (
    COMPARATORS,
    PCR_PRESETS,
    PCR_VARIANTS,
    pcr_variant,
)
from breastpredict.pcr.clinical import NAMES, one_hot_names
from breastpredict.pcr.policy import DEFAULT_POLICY, PcrPolicy

ClinicalKind = Literal["ordinal", "one-hot", "selected"]
CLINICAL_KINDS: tuple[ClinicalKind, ...] = get_args(ClinicalKind)

_REDUCED: dict[str, Any] = {
    "epochs": 40,
    "patience": 12,
    "learning_rate": 1e-3,
    "head_rate": 10.0,
    "micro_batch": 0,
}
"""The small network needs larger steps, and fits a processor's memory with a whole batch.

With the head as slow as the encoders the clinical variables' four weights hardly move in so few
steps, and pathology, whose patients look alike to a fresh encoder, stays at chance.
"""

_GIVEN = (
    *("epochs", "batch_size", "micro_batch", "learning_rate", "patience", "balance", "flips"),
    *("rotation_deg", "scaling", "gain", "offset", "noise"),
)


@dataclass(frozen=True)
class PcrTrainConfig:
    """Settings of a run; None where the recipe decides.

    Attributes:
        preset: name of a network, see `breastpredict.models.pcr_network.PCR_PRESETS`.
        variants: names of `PCR_VARIANTS`; each becomes a bundle. A patient who lacks an input needs
            a variant that was trained without it.
        recipe: "ours" or "paper", see `breastpredict.learning.recipes`.
        weights: what the networks start from: "imagenet", "none" or a file; None: ImageNet for the
            comparators, random for SE-CrossT, for which there are no public weights.
        clinical: how the network gets the clinical variables: "ordinal" (the paper's four numbers),
            "one-hot", or "selected": those of the four that pass univariate and multivariable
            tests on the training patients; the paper's own choice saw its test patients.
        policy: which regions.
        minimum_per_class: fewer usable patients of a class are refused.
    """

    preset: str = "se-crosst-t"
    variants: tuple[str, ...] = ("full",)
    recipe: str = "ours"
    weights: str | Path | None = None
    clinical: ClinicalKind = "ordinal"
    policy: PcrPolicy = DEFAULT_POLICY
    epochs: int | None = None
    batch_size: int | None = None
    micro_batch: int | None = None
    learning_rate: float | None = None
    patience: int | None = None
    balance: Literal["loss", "sampler", "none"] | None = None
    flips: bool | None = None
    rotation_deg: float | None = None
    scaling: float | None = None
    gain: float | None = None
    offset: float | None = None
    noise: float | None = None
    mixed_precision: bool = False
    seed: int = 0
    workers: int = 0
    device: str = "auto"
    minimum_per_class: int = 10

    def __post_init__(self) -> None:
        if self.preset not in PCR_PRESETS:
            raise InputError(
                f"There is no network preset {self.preset!r}",
                remedy=f"Use one of {', '.join(PCR_PRESETS)}",
            )
        if not self.variants or len(set(self.variants)) < len(self.variants):
            raise InputError("Name at least one variant, and each once")
        for name in self.variants:
            if name not in PCR_VARIANTS:
                raise InputError(
                    f"There is no variant {name!r}", remedy=f"Use of {', '.join(PCR_VARIANTS)}"
                )
            if "se_ratio" in PCR_VARIANTS[name] and self.comparator:
                raise InputError(f"The variant {name!r} is of SE-CrossT, not of {self.preset}")
        if self.micro_batch and PCR_PRESETS[self.preset]["head_norm"]:
            raise InputError(
                f"The network {self.preset!r} normalises over a whole step of cases",
                remedy="Leave micro_batch out",
            )
        if self.clinical not in CLINICAL_KINDS:
            raise InputError(
                f"clinical is {self.clinical!r}", remedy=f"Use one of {', '.join(CLINICAL_KINDS)}"
            )
        self.training()  # says now what is out of range

    @property
    def comparator(self) -> bool:
        """One of the paper's five other networks."""
        return PCR_PRESETS[self.preset]["architecture"] in COMPARATORS

    @property
    def initial_weights(self) -> str | Path:
        """What the networks start from."""
        if self.weights is not None:
            return self.weights
        return "imagenet" if self.comparator else "none"

    def training(self) -> TrainConfig:
        """The settings of each variant's training: the recipe's with what was given.

        Raises:
            InputError: no such recipe, or a value out of range.
        """
        given = {name: value for name in _GIVEN if (value := getattr(self, name)) is not None}
        small = _REDUCED if self.preset == "reduced" and self.recipe == "ours" else {}
        if self.recipe == "paper" and "epochs" in given:
            # The paper keeps one of the last third; fewer epochs keep the rule.
            given["choose_from"] = min(41, max(1, given["epochs"] * 2 // 3 + 1))
        return recipe(
            self.recipe,
            **{
                **small,
                **given,
                "seed": self.seed,
                "workers": self.workers,
                "mixed_precision": self.mixed_precision,
                "device": self.device,
            },
        )

    def network(self, variant: str, selected: tuple[str, ...] = NAMES) -> dict[str, Any]:
        """The description of a variant's network.

        Args:
            variant: of `variants`.
            selected: the clinical variables that were selected, where they are.

        Raises:
            InputError: nothing is left that the network could take.
        """
        changes: Mapping[str, Any] = PCR_VARIANTS[variant]
        base = PCR_PRESETS[self.preset]
        takes_clinical = "clinical" in changes.get("modalities", base["modalities"])
        names = one_hot_names() if self.clinical == "one-hot" else selected
        return pcr_variant(base, **changes, **({"clinical": names} if takes_clinical else {}))
