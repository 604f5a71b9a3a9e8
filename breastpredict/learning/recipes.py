"""How a network of ultrasound, pathology and clinical variables is trained: two recipes.

``"ours"`` (the default) treats both classes alike: every case is augmented anew in every epoch,
ultrasound is mirrored left to right only and US-0 together with US-1, pathology patches are
mirrored and turned by quarters each for itself (a slide has no upright, and the network takes the
mean over patches). The smaller class gets weight in the loss, and the output is brought back to the
prevalence.

``"paper"`` is the paper's (papers.md B6, B9; reference/models.md §A): cases with pathologic
complete response are multiplied by mirroring (as they are, left to right, up to down), all of that
five times by rotation and scaling, and each of these four times with the ultrasound pair
transformed anew; Adam at a fixed rate; of epochs 41 to 60 the one with the best tuning accuracy is
kept. The paper does not say its threshold: an accuracy without one is that at one half, so one half
it is. It does not say its batch either, nor how large the scaling is (10 % here, as the rotation's
10 degrees). It is offered to repeat the paper, not because it is sound: `hazards` says why.

Copies are of patients, not patients: they are seen in training and nowhere else. Scores, areas,
intervals and counts are per patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from breastpredict.errors import InputError
from breastpredict.learning.config import TrainConfig

Mirror = Literal["none", "horizontal", "vertical"]
MIRRORS: tuple[Mirror, ...] = ("none", "horizontal", "vertical")

RECIPES: dict[str, TrainConfig] = {
    "ours": TrainConfig(
        epochs=100,
        batch_size=16,
        micro_batch=2,
        learning_rate=3e-4,
        patience=20,
        scaling=0.1,
    ),
    "paper": TrainConfig(
        epochs=60,
        batch_size=16,
        micro_batch=2,
        optimizer="adam",
        learning_rate=1e-3,
        schedule="fixed",
        weight_decay=0.0,
        warmup_epochs=0,
        epoch_rule="accuracy",
        choose_from=41,
        threshold_rule="half",
        patience=0,
        balance="none",
        flips=False,
        rotation_deg=10.0,
        scaling=0.1,
        gain=0.0,
        offset=0.0,
        noise=0.0,
        class_flips=True,
        copies=5,
        ultrasound_repeats=4,
    ),
}


def recipe(name: str, **changes: Any) -> TrainConfig:
    """The settings of a recipe with some of them changed.

    Raises:
        InputError: no such recipe, or a value out of range.
    """
    if name not in RECIPES:
        raise InputError(
            f"There is no recipe {name!r}", remedy=f"Use {' or '.join(map(repr, RECIPES))}"
        )
    return replace(RECIPES[name], **changes)


@dataclass(frozen=True)
class Copy:
    """One item of an epoch: a patient's inputs, transformed in a fixed way.

    Attributes:
        case: which patient, by place.
        mirror: of all images.
        copy: 0 as they are; from 1: rotated and scaled, pathology and ultrasound each by its draw.
        repeat: 0 as ``copy`` says; from 1: the ultrasound pair rotated and scaled by another draw.
    """

    case: int
    mirror: Mirror = "none"
    copy: int = 0
    repeat: int = 0


def copies_of(
    labels: Sequence[int], config: TrainConfig, *, ultrasound: bool = True
) -> tuple[Copy, ...]:
    """The items of an epoch: every patient once, or multiplied as the settings say.

    With the paper's 105 cases with and 286 without response: 105·3 + 286 = 601, ×5 = 3005, ×4 =
    12 020, the paper's own numbers.

    Args:
        labels: of the training patients, in order.
        config: ``class_flips``, ``copies``, ``ultrasound_repeats``.
        ultrasound: the network takes ultrasound; else nothing is repeated for it.
    """
    repeats = config.ultrasound_repeats if ultrasound else 1
    return tuple(
        Copy(case, mirror, copy, repeat)
        for case, label in enumerate(labels)
        for mirror in (MIRRORS if config.class_flips and label else MIRRORS[:1])
        for copy in range(config.copies)
        for repeat in range(repeats)
    )


def hazards(config: TrainConfig, *, tuning_cases: int = 0, ultrasound: bool = True) -> list[str]:
    """What may be wrong with a model trained so, one sentence each; for the log and the card.

    Args:
        config: the settings.
        tuning_cases: their number, where it is known.
        ultrasound: the network takes ultrasound.
    """
    found = []
    if config.class_flips:
        found.append(
            "Only cases of the positive class are mirrored in training: the network can learn "
            "orientation instead of disease, and its output is a score, not a probability."
        )
        if ultrasound:
            found.append(
                "Ultrasound is mirrored up to down: there is no such image, because sound comes "
                "from above and shadows fall below."
            )
    if config.epoch_rule == "accuracy":
        step = f" ({100 / tuning_cases:.1f} % with {tuning_cases} cases)" if tuning_cases else ""
        found.append(
            "The epoch is chosen by tuning accuracy, which moves in steps of one patient"
            f"{step}: differences between epochs are mostly luck."
        )
    if config.multiplied:
        found.append(
            "Copies of cases are shown in training. They and patches are not patients: every "
            "count, score and interval here is by patient."
        )
    return found
