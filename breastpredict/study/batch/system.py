"""What a system (HER2, pCR) gives to be run on a cohort: work on cases, and a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from breastpredict.errors import GateRefusal


class Case(Protocol):
    """A row of a cohort table. It goes to other processes, so it can be pickled."""

    @property
    def patient_id(self) -> str:
        """The cohort's own; it stands in the tables and nowhere else."""

    @property
    def cohort(self) -> str:
        """Its site."""


class CaseWork(Protocol):
    """Reading and writing of cases: the work of a worker process, without a network.

    It can be pickled and loads no torch. What `open` and `prepare` return stays in the process.
    A `GateRefusal` refuses the case; every other error costs it, and no other.
    """

    def stamp(self, case: Any) -> Iterable[str]:
        """What can be seen of the case's files without reading them: names, sizes, times."""

    def open(self, case: Any) -> Any:
        """The case's headers."""

    def identity(self, case: Any, opened: Any) -> Iterable[str]:
        """What the case's inputs are, wherever they lie and whatever their files are called."""

    def prepare(self, case: Any, opened: Any) -> Any:
        """All that is needed of the case from now on."""

    def check(self, held: Any) -> Any:
        """Ask the gates; what `write` is to be told of it."""

    def inputs(self, held: Any) -> Any:
        """What the network gets of a prepared case."""

    def write(self, held: Any, notes: Any, outputs: Any, folder: Path) -> dict[str, Any]:
        """Write the case's results as ``folder``; its row of predictions.csv.

        Args:
            held: of `prepare`.
            notes: of `check`.
            outputs: the network's.
            folder: not there yet.
        """

    def refuse(self, held: Any | None, refusal: GateRefusal, folder: Path) -> None:
        """Write why the case was refused as ``folder``; ``held`` where it came so far."""


class System(Protocol):
    """A loaded model and how cases are done with it."""

    @property
    def name(self) -> str:
        """Of the results, such as "her2"."""

    @property
    def columns(self) -> Sequence[str]:
        """Of predictions.csv."""

    @property
    def settings(self) -> Sequence[str]:
        """All that results depend on besides the inputs: version, weights, options."""

    @property
    def work(self) -> CaseWork:
        """For the worker processes."""

    @property
    def together(self) -> int:
        """How many cases `run` may get at once."""

    def run(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """The network's outputs for one case or more that wait for it.

        What a case gets must not depend on which others are run with it: which ones wait together
        is chance, and a batch that was killed and goes on must end with the same bytes. On a
        processor, kernels that take other sums for other batch sizes (differences of 1e-7) forbid
        stacking cases into one tensor; see `breastpredict.study.her2_batch`.
        """
