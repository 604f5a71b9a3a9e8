"""What goes into a training and what comes out of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from breastpredict.errors import InputError

_T = TypeVar("_T")
Array = NDArray[np.float32] | NDArray[np.uint8]

CaseSet = Literal["train", "tuning", "validation"]
"""The three sets of a training cohort. ``train``: weights are fitted on it. ``tuning``: the inner
part of the 80 % on which the epoch and the threshold are chosen. ``validation``: the 20 % that is
only reported."""

ScoredSet = Literal["train", "tuning", "validation", "apart"]
"""The same and ``apart``: a cohort of another kind (multifocal cancers), held out as a whole."""

IMAGE = "image"
"""Name of the input of a network that takes a single image."""

PATHOLOGY = "pathology"
ULTRASOUND = ("us0", "us1")
"""Names of the inputs of a network that takes several; every other name is a plain vector."""


@dataclass(frozen=True)
class BinaryTask:
    """A two-class question and the names of its answers; the score points to ``positive``."""

    name: str
    positive: str
    negative: str


class LearningCase(Protocol):
    """One patient of a task: what training needs to know."""

    @property
    def key(self) -> str:
        """The patient; unique among cases."""

    @property
    def label(self) -> int:
        """1 = the task's positive class, 0 = its negative class."""

    @property
    def stratum(self) -> str:
        """What splits keep in proportion; the label when empty."""

    def inputs(self, names: Collection[str] | None = None) -> Mapping[str, Array]:
        """The named arrays as they are kept; all of them where no names are given."""


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

    def inputs(self, names: Collection[str] | None = None) -> Mapping[str, Array]:
        """The image, by its name."""
        return _chosen({IMAGE: self.image}, names)


@dataclass(frozen=True)
class MultiInputExample:
    """One patient's several inputs for one task, in memory or on disk.

    An array is uint8 (0 to 255, which the network gets as -1 to 1, see `network_array`) or float32
    as the network takes it. A path is a ``.npy`` file of such an array: it is opened when the case
    is asked for and not kept, so a cohort need not fit into memory. An ultrasound image may be kept
    in one channel, [1, S, S]; the network gets three equal ones.

    Attributes:
        key: the patient; unique among examples.
        sources: input name → array or file. ``pathology`` [9, 3, S, S], ``us0`` and ``us1``
            [3 or 1, S, S], ``clinical`` [n] float32.
        label: 1 = the task's positive class, 0 = its negative class.
        stratum: what splits keep in proportion; the label when empty.
    """

    key: str
    sources: Mapping[str, Array | Path]
    label: int
    stratum: str = ""

    def inputs(self, names: Collection[str] | None = None) -> Mapping[str, Array]:
        """The named arrays; only their files are opened.

        Raises:
            InputError: the case lacks an input, or a file is not there, damaged or of another type.
        """
        return {
            name: _opened(source) if isinstance(source, Path) else source
            for name, source in _chosen(self.sources, names).items()
        }


def network_array(name: str, array: Array) -> NDArray[np.float32]:
    """A kept array as the network takes it: float32, a copy where it is not so already.

    uint8 v becomes v / 127.5 - 1; an ultrasound image of one channel gets three equal ones. Whoever
    predicts must use this as well.
    """
    if array.dtype == np.uint8:
        found = array.astype(np.float32) / np.float32(127.5) - np.float32(1)
    else:
        found = np.ascontiguousarray(array, dtype=np.float32)
        if not found.flags.writeable:  # mapped from a file: torch wants memory of its own
            found = found.copy()
    if name in ULTRASOUND and found.ndim == 3 and len(found) == 1:
        found = np.repeat(found, 3, axis=0)
    return found


def _chosen(sources: Mapping[str, _T], names: Collection[str] | None) -> Mapping[str, _T]:
    if names is None:
        return sources
    missing = [name for name in names if name not in sources]
    if missing:
        raise InputError(
            f"A case lacks the input(s) {', '.join(missing)} that the network takes",
            remedy="Train the variant of the network without them, or leave the case out",
        )
    return {name: sources[name] for name in names}


def _opened(path: Path) -> Array:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError("The prepared input cannot be read", path=path) from error
    if array.dtype not in (np.uint8, np.float32):
        raise InputError(f"The prepared input is {array.dtype}, not uint8 or float32", path=path)
    found: Array = array
    return found


@dataclass(frozen=True)
class CaseScore:
    """The score of one case by the saved model: a probability at the training prevalence.

    A plain score where the calibration says that it is no probability.
    """

    key: str
    set: ScoredSet
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
        tuning_accuracy: share of the tuning cases on the right side of the network's own one half,
            before its output is brought back to the prevalence.
    """

    epoch: int
    train_loss: float
    tuning_loss: float
    tuning_auc: float
    learning_rate: float
    best: bool
    tuning_accuracy: float

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
