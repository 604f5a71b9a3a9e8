"""A network's logit as the score a bundle stands for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breastpredict.errors import InputError
from breastpredict.learning.recalibration import Recalibration


@dataclass(frozen=True)
class TaskScore:
    """One task's output.

    Attributes:
        task: its name.
        points_to: the class a high score speaks for.
        score: from 0 to 1.
        threshold: chosen on training data or, after a recalibration, on local patients; positive
            means score >= threshold.
        calibrated: the score is corrected to the training prevalence, or fitted to local patients,
            and may be called a probability there.
        calibration: what made score and threshold what they are, in words.
        above: score >= threshold.
    """

    task: str
    points_to: str
    score: float
    threshold: float
    calibrated: bool
    calibration: str = ""

    @property
    def above(self) -> bool:
        return self.score >= self.threshold


def score_of(logit: float, block: Mapping[str, Any], folder: Path) -> TaskScore:
    """The score of a bundle's network.

    Args:
        logit: what the network gave.
        block: the bundle's own part of its metadata.
        folder: of the bundle, for the error.

    Raises:
        InputError: the logit is not finite, or the bundle's recalibration is damaged.
    """
    if not math.isfinite(logit):
        raise InputError("The model gave no finite number", path=folder)
    local = Recalibration.from_block(block)
    if local is not None:
        logit = local.logit(logit)
    return TaskScore(
        task=str(block["task"]),
        points_to=str(block["positive_class"]),
        score=1.0 / (1.0 + math.exp(-logit)) if logit > -700 else 0.0,
        threshold=float(block["threshold"]),
        calibrated=block.get("calibration", {}).get("probability") is True,
        calibration=local.words if local is not None else "",
    )
