"""What is to be done of a batch and what was: the one place where results come to count.

Whoever works on cases writes into a folder beside; from there a finished case is moved to its place
before the ledger says that it is there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from breastpredict.errors import BreastPredictError
from breastpredict.study.batch.pace import Pace
from breastpredict.study.batch.station import Answer, Job
from breastpredict.study.batch.system import Case
from breastpredict.study.ledger import Ledger
from breastpredict.study.results import Results

Progress = Callable[[int, int, str], None]
"""Called with cases done, cases in all, and a line that names cases by key only."""

_STAGING = ".staging-"
_TABLES_S = 15.0
_TABLES_SHARE = 20  # writing the tables takes at most one part in this many of the time


@dataclass(frozen=True)
class BatchResult:
    """How a batch went.

    Attributes:
        predicted: cases done now.
        skipped: found done already.
        failed: failed or refused.
        seconds: stage → time, summed over processes: "read", "network", "write", "record".
    """

    predicted: int
    skipped: int
    failed: int
    seconds: dict[str, float] = field(default_factory=dict, compare=False)


@contextlib.contextmanager
def staging_folder(folder: Path) -> Iterator[Path]:
    """A folder beside the results that is gone afterwards, as those of killed runs are."""
    for left in folder.glob(f"{_STAGING}*"):
        shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=_STAGING, dir=folder))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


class Course:
    """What is to be done, and what was."""

    def __init__(
        self,
        cases: Sequence[Case],
        results: Results,
        ledger: Ledger,
        staging: Path,
        progress: Progress | None,
    ) -> None:
        self._results = results
        self._ledger = ledger
        self._staging = staging
        self._progress = progress
        keys = [results.key("patient", case.patient_id) for case in cases]
        ledger.register(keys)
        there = ledger.predictions()
        self.folder = results.folder
        self.pending: deque[Job] = deque()
        for key, case in zip(keys, cases, strict=True):
            entry = there.get(key)
            whole = (self.folder / key / "result.json").is_file()
            known = (entry.stamp, entry.made_from) if entry is not None and whole else None
            self.pending.append(Job(key, case, known))
        self.total = len(keys)
        self._known = sum(job.known is not None for job in self.pending)
        self._counts: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._pace = Pace()
        self._tables_at, self._tables_s = time.monotonic(), 0.0

    @property
    def done(self) -> int:
        """Cases that need nothing more."""
        return self._counts.total()

    def result(self) -> BatchResult:
        """How it went."""
        counts = self._counts
        return BatchResult(
            counts["predicted"], counts["skipped"], counts["failed"], dict(self._seconds)
        )

    def spent(self, stage: str, seconds: float) -> None:
        """Time that a stage took."""
        self._seconds[stage] += seconds

    def same(self, job: Job, answer: Answer) -> None:
        """What is there is what would be made."""
        assert job.known is not None
        if answer.stamp != job.known[0]:
            self._ledger.restamp(job.key, answer.stamp)
        self._said(job, "skipped", "done already")

    def written(self, job: Job, prepared: Answer, answer: Answer) -> None:
        """Put a written case in its place."""
        row = {"patient_id": job.case.patient_id, "cohort": job.case.cohort, **answer.content}
        with self._recording():
            self._place(job.key)
            self._ledger.record(job.key, "predicted", row, prepared.made_from, prepared.stamp)
            self._said(job, "predicted", "predicted")

    def failed(self, job: Job, stage: str, reason: str) -> None:
        """Record a failure, or a refusal that was written.

        A case that failed keeps no folder of an earlier run: its numbers would look current.
        """
        row = {"patient_id": job.case.patient_id, "cohort": job.case.cohort}
        with self._recording():
            self._ledger.check()
            if stage.startswith("gate"):
                self._place(job.key)
            else:
                _remove(self.folder / job.key)
                _remove(self._staging / job.key)
            self._ledger.record(job.key, "failed", {**row, "stage": stage, "reason": reason})
            self._said(job, "failed", "failed: see failures.csv")

    def tables(self) -> None:
        """Let the tables follow, now and then."""
        now = time.monotonic()
        if now - self._tables_at > max(_TABLES_S, _TABLES_SHARE * self._tables_s):
            self._results.write_tables(self._ledger)
            self._tables_at = time.monotonic()
            self._tables_s = self._tables_at - now

    @contextlib.contextmanager
    def _recording(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.spent("record", time.perf_counter() - start)
        self.tables()

    def _place(self, key: str) -> None:
        """Move a case's folder from where it was written to where it counts."""
        self._ledger.check()
        target, old = self.folder / key, self._staging / f"{key}-old"
        if target.exists() or target.is_symlink():  # also one that leads nowhere
            # Between the two moves nothing that is there counts; a kill here does the case again.
            self._ledger.record(key, "")
            os.replace(target, old)
        os.replace(self._staging / key, target)
        shutil.rmtree(old, ignore_errors=True)

    def _said(self, job: Job, what: str, words: str) -> None:
        self._counts[what] += 1
        self._known -= job.known is not None
        if what != "skipped":
            self._pace.step()
        if self._progress is not None:
            pace = self._pace.words(self.total - self.done - self._known)
            line = f"{job.key} {words}" + (f" ({pace})" if pace else "")
            self._progress(self.done, self.total, line)


def _remove(folder: Path) -> None:
    """A case's folder is there no more; of a link to another place only the link goes."""
    if folder.is_symlink():
        with contextlib.suppress(OSError):
            folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)


def raise_disk(answer: Answer, folder: Path) -> None:
    """End the batch where no case can be written any more.

    Raises:
        OSError: of the results folder.
    """
    if answer.kind == "disk":
        raise OSError(answer.number, answer.reason, str(folder))


def network_reason(error: BaseException) -> tuple[str, str]:
    """Stage and reason of what the network raised for a case."""
    if isinstance(error, BreastPredictError):
        return "input", str(error)
    return "internal", f"internal error: {type(error).__name__}: {error}".splitlines()[0]
