"""What goes into a training and what comes out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CaseSet = Literal["train", "tuning", "validation"]
"""The three sets of a training cohort. ``train``: weights are fitted on it. ``tuning``: the inner
part of the 80 % on which the epoch and the threshold are chosen. ``validation``: the 20 % that is
only reported."""


@dataclass(frozen=True)
class BinaryTask:
    """A two-class question and the names of its answers; the score points to ``positive``."""

    name: str
    positive: str
    negative: str


@dataclass(frozen=True)
class Example:
    """One patient's image for one task.

    Attributes:
        key: the patient; unique among examples.
        image: float32 [channels, size, size] in [-1, 1].
        label: 1 = the task's positive class, 0 = its negative class.
        stratum: what splits keep in proportion; the label when empty.
    """

    key: str
    image: NDArray[np.float32]
    label: int
    stratum: str = ""


@dataclass(frozen=True)
class CaseScore:
    """The score of one case by the saved model: a probability at the training prevalence."""

    key: str
    set: CaseSet
    label: int
    score: float


@dataclass(frozen=True)
class EpochRecord:
    """One finished epoch, as shown to the user and kept in ``history.csv``.

    Attributes:
        epoch: from 1.
        train_loss: mean (balanced) loss over the training cases, as augmented.
        tuning_loss: mean plain loss over the tuning cases, at the training prevalence.
        tuning_auc: area under the ROC curve of the tuning cases.
        learning_rate: rate of the epoch's last step.
        best: whether this epoch is the best so far.
    """

    epoch: int
    train_loss: float
    tuning_loss: float
    tuning_auc: float
    learning_rate: float
    best: bool

    def line(self, epochs: int) -> str:
        """One line for the log."""
        return (
            f"epoch {self.epoch}/{epochs}  loss {self.train_loss:.3f}  "
            f"tuning loss {self.tuning_loss:.3f}  tuning AUC {self.tuning_auc:.3f}"
            + ("  best" if self.best else "")
        )


def history_csv(history: Sequence[EpochRecord]) -> str:
    """The records as a CSV table with a header."""
    lines = [",".join(field.name for field in fields(EpochRecord))]
    lines += [",".join(map(str, asdict(record).values())) for record in history]
    return "\n".join(lines) + "\n"
