"""Worker processes of a batch, each doing one step at a time, watched and replaced."""

from __future__ import annotations

import contextlib
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psutil

from breastpredict import processes
from breastpredict.errors import InputError
from breastpredict.study.batch.frames import read_frame, write_frame
from breastpredict.study.batch.station import Answer, Job, Station

_ONE_THREAD = {
    name: "1"
    for name in (
        "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
    )
}  # fmt: skip
"""A worker is busy with its own case; more threads each would only get in each other's way."""

_LOOK_S = 0.25
_START_S = 120.0


@dataclass
class Worker:
    """A worker process.

    Attributes:
        process: it, or None before it is started.
        job: the case of the step it does now.
        held: cases that it has prepared.
        waiting: prepared cases whose outputs are there, to be written.
        doomed: why it was killed: stage and reason.
    """

    process: subprocess.Popen[bytes]
    ready: bool = False
    job: Job | None = None
    since: float = 0.0
    held: dict[str, Job] = field(default_factory=dict)
    waiting: deque[tuple[Job, Any]] = field(default_factory=deque)
    doomed: tuple[str, str] | None = None

    @property
    def idle(self) -> bool:
        """Whether it may be given a step."""
        return self.ready and self.job is None and self.doomed is None


Event = tuple[Worker, Answer | None]
"""An answer of a worker, or None: it has ended."""


class Pool:
    """Worker processes.

    Args:
        workers: how many.
        timeout_s: a step that takes longer is killed.
        memory: bytes; a worker that has more is killed.
        modules: what workers will need, imported while they wait for `begin`.

    Attributes:
        workers: they, in no order.
        events: what they answer; others may put in here what they want to be heard beside.
    """

    def __init__(
        self, workers: int, timeout_s: float, memory: int, modules: Sequence[str] = ()
    ) -> None:
        self._timeout_s = timeout_s
        self._memory = memory
        self.events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._modules = tuple(modules)
        self._station: Station | None = None
        self._looked = 0.0
        self._failed = 0
        self.workers: list[Worker] = []
        # What workers unpack, and a killed one leaves, goes with the pool.
        self._temporary = tempfile.mkdtemp(prefix="breastpredict-")
        self._environment = {
            **_ONE_THREAD,
            **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), self._temporary),
        }
        try:
            for _ in range(workers):
                self._start()
        except BaseException:
            self.close()
            raise

    def begin(self, station: Station) -> None:
        """Give every worker the station it is to be; those started later get it too."""
        self._station = station
        for worker in self.workers:
            worker.since = time.monotonic()
            self._send(worker, (station, self._memory))

    def step(self, worker: Worker, name: str, job: Job, *more: Any) -> None:
        """Let an idle worker do a step: "prepare" or "write"."""
        worker.job, worker.since = job, time.monotonic()
        self._send(worker, (name, (job, *more)))

    def forget(self, worker: Worker, job: Job) -> None:
        """Let a worker forget a case that it has prepared."""
        self._send(worker, ("forget", (job,)))

    def replace(self, worker: Worker) -> None:
        """Start another worker in the place of one that has ended.

        Raises:
            InputError: workers end before they begin.
        """
        self.workers.remove(worker)
        self._failed = 0 if worker.ready else self._failed + 1
        if self._failed > len(self.workers) + 1:
            raise InputError(
                "The worker processes of the batch end before they begin",
                remedy="Set BREASTPREDICT_DEBUG=1 to see why, or try --workers 0",
            )
        self._start()

    def watch(self) -> None:
        """Kill the workers that take too long or too much; their end comes as an event."""
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        for worker in self.workers:
            if worker.doomed is not None:
                continue
            limit = self._timeout_s if worker.ready else _START_S
            if (worker.job is not None or not worker.ready) and now - worker.since > limit:
                words = f"The case took longer than {limit:g} s (--timeout)"
                self._doom(worker, "time", words)
            elif worker.job is not None and _resident(worker.process.pid) > self._memory:
                words = f"The case took more than {self._memory / 1e9:g} GB of memory (--memory)"
                self._doom(worker, "memory", words)

    def close(self) -> None:
        """End all of them."""
        for worker in self.workers:
            processes.kill(worker.process)
        self.workers = []
        shutil.rmtree(self._temporary, ignore_errors=True)

    def _doom(self, worker: Worker, stage: str, reason: str) -> None:
        worker.doomed = (stage, reason)
        processes.kill(worker.process)

    def _start(self) -> None:
        command = [processes.python(), "-m", "breastpredict.study.batch.child", *self._modules]
        worker = Worker(processes.start(command, self._environment), since=time.monotonic())
        self.workers.append(worker)
        threading.Thread(target=self._hear, args=(worker,), daemon=True).start()
        if self._station is not None:
            self._send(worker, (self._station, self._memory))

    def _send(self, worker: Worker, message: Any) -> None:
        assert worker.process.stdin is not None
        with contextlib.suppress(OSError):  # it has just ended: that comes as an event
            write_frame(worker.process.stdin, message)  # type: ignore[arg-type]

    def _hear(self, worker: Worker) -> None:
        stream = worker.process.stdout
        assert stream is not None
        with contextlib.suppress(EOFError, OSError):
            if read_frame(stream) == "ready":  # type: ignore[arg-type]
                worker.ready = True
                while True:
                    self.events.put((worker, read_frame(stream)))  # type: ignore[arg-type]
        worker.process.wait()
        self.events.put((worker, None))


def lost(worker: Worker) -> tuple[str, str]:
    """Why a worker that has ended lost its case: stage and reason."""
    how = _ending(worker.process)
    words = f"The process that worked on the case ended unexpectedly ({how})"
    return worker.doomed or ("crash", words)


def _ending(process: subprocess.Popen[bytes]) -> str:
    """How a process ended, in words."""
    code = process.wait()
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _resident(pid: int) -> int:
    """Bytes in memory of a process and what it started (PythonSlicer starts the real Python)."""
    found = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                found += one.memory_info().rss
    return found
