"""From balanced training back to the prevalence of the training cases.

Weighting the positive class by ``w`` (in the loss or by drawing it ``w`` times as often) multiplies
the odds the network learns by ``w``. Subtracting ``log w`` from the logit undoes it (prior shift:
King & Zeng, Political Analysis 2001;9:137, eq. 7; Saerens et al., Neural Comput 2002;14:21, eq. 4):

    logit p(y=1|x) at prevalence q  =  logit learnt at prevalence p  +  logit(q) − logit(p)

The shift is written into the bias of the network's last layer, so that whoever runs the saved model
gets the probability. It corrects the prevalence, not over-confidence: see the calibration plots.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from breastpredict.errors import InputError


@dataclass(frozen=True)
class Calibration:
    """How the network's logit was made a probability at the training prevalence.

    Attributes:
        method: ``"prior-shift"``, ``"none needed"`` when training was not balanced, or ``"none
            possible"`` when only one class was shown in transformed copies.
        prevalence: share of the positive class among the training cases.
        trained_prevalence: share the network saw, by loss weight or by sampling.
        logit_shift: what was added to the logit.
        applied_in: where: the bias of the last layer.
        probability: the output may be called a probability (at ``prevalence``).
        reference: source of the formula.
    """

    method: str
    prevalence: float
    trained_prevalence: float
    logit_shift: float
    applied_in: str = "bias of the last layer"
    probability: bool = True
    reference: str = "King & Zeng 2001, doi:10.1093/oxfordjournals.pan.a004868"

    def to_json(self) -> dict[str, Any]:
        """As written into the bundle's metadata."""
        return asdict(self)


def prior_shift(trained_prevalence: float, prevalence: float) -> float:
    """What to add to a logit learnt at one prevalence so that it holds at another.

    Raises:
        InputError: a prevalence is not strictly between 0 and 1.
    """
    for value in (trained_prevalence, prevalence):
        if not 0 < value < 1:
            raise InputError(f"A prevalence of {value} cannot be shifted; it must be in (0, 1)")
    return math.log(prevalence / (1 - prevalence)) - math.log(
        trained_prevalence / (1 - trained_prevalence)
    )


def calibration_of(
    positives: int, negatives: int, *, balanced: bool, class_copies: int = 1
) -> Calibration:
    """The calibration of a network trained on so many cases.

    Args:
        positives, negatives: patients.
        balanced: by loss weight or sampling, to one half.
        class_copies: how often each positive case was shown for one showing of a negative one, by
            transforms that the others never got. Then nothing is shifted and the output is called a
            score: a network that tells the transformed cases has learnt the true prevalence among
            the others, one that does not has learnt odds times ``class_copies``.
    """
    prevalence = positives / (positives + negatives)
    if class_copies > 1:
        shown = class_copies * positives / (class_copies * positives + negatives)
        return Calibration("none possible", prevalence, shown, 0.0, probability=False)
    if not balanced:
        return Calibration("none needed", prevalence, prevalence, 0.0)
    return Calibration("prior-shift", prevalence, 0.5, prior_shift(0.5, prevalence))
