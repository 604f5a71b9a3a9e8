"""Where cases are read and written: inside a worker process, or in the batch's own."""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from breastpredict.errors import BreastPredictError, GateRefusal, reason_of
from breastpredict.study.batch.system import CaseWork

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_LEAST_FREE = 1 << 24
"""Bytes on a disk that passes for full: libraries do not always say why they could not write."""


@dataclass(frozen=True)
class Job:
    """A case on its way.

    Attributes:
        key: the case's.
        case: of the system.
        known: ``(stamp, made_from)`` of a result that is there.
    """

    key: str
    case: Any
    known: tuple[str, str] | None = None


@dataclass(frozen=True)
class Answer:
    """What came of a step.

    Attributes:
        kind: "same" (what is there is what would be made), "prepared", "written", "refused" or
            "failed"; "disk" where no case can be written any more.
        stage, reason: of a failure or refusal.
        content: the network's inputs of a prepared case, the row of a written one.
        stamp, made_from: see `breastpredict.study.ledger.Entry`.
        number: the operating system's, of "disk".
        seconds: that it took.
    """

    kind: Literal["same", "prepared", "written", "refused", "failed", "disk"]
    stage: str = ""
    reason: str = ""
    content: Any = None
    stamp: str = ""
    made_from: str = ""
    number: int = 0
    seconds: float = 0.0


def disk_trouble(staging: Path) -> tuple[int, str] | None:
    """Why nothing more can be written there, as number and words; None where that is not seen."""
    if not staging.is_dir():
        return errno.ENOENT, "The results folder is gone"
    if shutil.disk_usage(staging).free < _LEAST_FREE:
        return errno.ENOSPC, "No space left on device"
    return None


class Station:
    """Prepares cases, keeps them while the network works, and writes them.

    Args:
        work: the system's.
        key: hashes texts with the results folder's salt.
        settings: of the system.
        staging: where results are written; the batch puts them in their place.
    """

    def __init__(
        self, work: CaseWork, key: Callable[..., str], settings: Sequence[str], staging: Path
    ) -> None:
        self._work = work
        self._key = key
        self._settings = tuple(settings)
        self._staging = staging
        self._held: dict[str, tuple[Any, Any]] = {}

    def prepare(self, job: Job) -> Answer:
        """Read a case, unless what is there was made from the same."""
        return self._timed(self._prepare, job)

    def write(self, job: Job, outputs: Any) -> Answer:
        """Write a prepared case; it is not kept any longer."""
        return self._timed(self._write, job, outputs)

    def forget(self, job: Job) -> None:
        """A prepared case is not wanted any more."""
        self._held.pop(job.key, None)

    def _prepare(self, job: Job) -> Answer:
        stamp = self._key(*self._settings, "stamp", *self._work.stamp(job.case))
        if job.known is not None and job.known[0] == stamp:
            return Answer("same", stamp=stamp)
        held = None
        try:
            opened = self._work.open(job.case)
            identity = self._work.identity(job.case, opened)
            made_from = self._key(*self._settings, *identity)
            if job.known is not None and job.known[1] == made_from:
                return Answer("same", stamp=stamp)
            held = self._work.prepare(job.case, opened)
            notes = self._work.check(held)
        except GateRefusal as refusal:
            self._work.refuse(held, refusal, self._staging / job.key)
            return Answer("refused", stage=f"gate {refusal.gate}", reason=refusal.reason)
        self._held[job.key] = (held, notes)
        return Answer("prepared", content=self._work.inputs(held), stamp=stamp, made_from=made_from)

    def _write(self, job: Job, outputs: Any) -> Answer:
        held, notes = self._held.pop(job.key)
        row = self._work.write(held, notes, outputs, self._staging / job.key)
        return Answer("written", content=row)

    def _timed(self, step: Callable[..., Answer], *arguments: Any) -> Answer:
        start = time.perf_counter()
        try:
            answer = step(*arguments)
        except Exception as error:  # one case must not end the batch, whatever is wrong with it
            answer = self._failed(error)
        return replace(answer, seconds=time.perf_counter() - start)

    def _failed(self, error: Exception) -> Answer:
        if isinstance(error, BreastPredictError):
            return Answer("failed", "input", str(error))
        if isinstance(error, MemoryError):
            return Answer("failed", "memory", "The case needs more memory than it may have")
        if isinstance(error, OSError) and error.errno in _FULL:
            return Answer("disk", "files", error.strerror or "", number=error.errno or 0)
        trouble = disk_trouble(self._staging)
        if trouble is not None:
            return Answer("disk", "files", trouble[1], number=trouble[0])
        if isinstance(error, OSError):
            return Answer("failed", "files", reason_of(error))
        reason = f"internal error: {type(error).__name__}: {error}".splitlines()[0]
        return Answer("failed", "internal", reason)
