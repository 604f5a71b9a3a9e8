"""The course of a batch: worker processes read and write, the network runs, one process records.

Only this process changes what the results folder counts: workers write into a folder beside, from
which a finished case is moved to its place before the ledger says that it is there. So a batch that
is killed, and even workers that outlive it for a moment, leave nothing that is half done.

What waits is bounded: a worker holds at most `_HELD` prepared cases, whatever the cohort's size.
"""

from __future__ import annotations

import contextlib
import os
import queue
from collections.abc import Sequence
from dataclasses import dataclass

from breastpredict.errors import InputError
from breastpredict.study.batch.course import (
    BatchResult,
    Course,
    Progress,
    network_reason,
    raise_disk,
    staging_folder,
)
from breastpredict.study.batch.network import Network, Scored, score
from breastpredict.study.batch.pool import Pool, Worker, lost
from breastpredict.study.batch.station import Answer, Station
from breastpredict.study.batch.system import Case, System
from breastpredict.study.results import Results

_HELD = 3
_MOST = 8


@dataclass(frozen=True)
class Limits:
    """What a batch may use.

    Attributes:
        workers: processes that read and write cases; 0 for none: then all is done in this process,
            one case after the other, and the other limits cannot be kept. None: one for each
            processor core, at most 8.
        timeout_s: seconds that reading a case, or writing it, may take.
        memory_gb: GB that a worker process may have.
    """

    workers: int | None = None
    timeout_s: float = 600.0
    memory_gb: float = 4.0

    def __post_init__(self) -> None:
        if self.workers is not None and not 0 <= self.workers <= 256:
            raise InputError("The number of workers must lie between 0 and 256")
        if not self.timeout_s > 0:
            raise InputError("The time limit must be above 0 s")
        if not self.memory_gb >= 0.5:
            raise InputError("The memory limit must be at least 0.5 GB")

    def processes(self, cases: int) -> int:
        """How many worker processes to start."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        wanted = min(cores or 1, _MOST) if self.workers is None else self.workers
        return min(wanted, cases)

    def pool(self, cases: int, *modules: str) -> Pool | None:
        """The worker processes, which begin to start now; None for none.

        Args:
            cases: how many there are: there is no worker without one.
            modules: what workers will need.
        """
        workers = self.processes(cases)
        if workers == 0:
            return None
        return Pool(workers, self.timeout_s, int(self.memory_gb * 1e9), modules)


def run_cases(
    cases: Sequence[Case],
    system: System,
    results: Results,
    pool: Pool | None,
    progress: Progress | None = None,
) -> BatchResult:
    """Do every case that is missing, failed or changed.

    Args:
        cases: of the system; one a patient.
        system: with its model.
        results: of the same system.
        pool: see `Limits.pool`; closed at the end. None: all in this process.
        progress: what to say.

    Raises:
        InputError: another run writes into the folder, or workers cannot be started.
        OSError: the results folder is full or gone. What is done stays.
    """
    try:
        with results.opened("batch") as ledger, staging_folder(results.folder) as staging:
            station = Station(system.work, results.key, system.settings, staging)
            course = Course(cases, results, ledger, staging, progress)
            if pool is None:
                _alone(course, station, system)
            else:
                pool.begin(station)
                with Network(system, pool.events) as network:
                    _Crew(course, pool, network).run()
                pool.close()  # before the folder that they write into goes
            return course.result()
    finally:
        if pool is not None:
            pool.close()


def _alone(course: Course, station: Station, system: System) -> None:
    """All in this process, one case after the other."""
    while course.pending:
        job = course.pending.popleft()
        prepared = station.prepare(job)
        course.spent("read", prepared.seconds)
        raise_disk(prepared, course.folder)
        if prepared.kind == "same":
            course.same(job, prepared)
            continue
        if prepared.kind != "prepared":
            course.failed(job, prepared.stage, prepared.reason)
            continue
        (scored,) = score(system, [(job, prepared.content)])
        course.spent("network", scored.seconds)
        if isinstance(scored.outputs, Exception):
            station.forget(job)
            course.failed(job, *network_reason(scored.outputs))
            continue
        answer = station.write(job, scored.outputs)
        course.spent("write", answer.seconds)
        raise_disk(answer, course.folder)
        if answer.kind == "written":
            course.written(job, prepared, answer)
        else:
            course.failed(job, answer.stage, answer.reason)


class _Crew:
    """The same with worker processes, all at once."""

    def __init__(self, course: Course, pool: Pool, network: Network) -> None:
        self._course = course
        self._pool = pool
        self._network = network
        self._prepared: dict[str, Answer] = {}

    def run(self) -> None:
        """Until nothing is left to be done."""
        while self._course.done < self._course.total:
            for worker in self._pool.workers:
                if worker.idle:
                    self._feed(worker)
            with contextlib.suppress(queue.Empty):
                event = self._pool.events.get(timeout=0.2)
                if isinstance(event, Scored):
                    self._scored(event)
                else:
                    self._answered(*event)
            self._pool.watch()

    def _feed(self, worker: Worker) -> None:
        """Give an idle worker something to do, if there is anything."""
        if worker.waiting:
            job, outputs = worker.waiting.popleft()
            self._pool.step(worker, "write", job, outputs)
        elif self._course.pending and len(worker.held) < _HELD:
            self._pool.step(worker, "prepare", self._course.pending.popleft())

    def _scored(self, scored: Scored) -> None:
        worker, job = scored.token
        self._course.spent("network", scored.seconds)
        if worker not in self._pool.workers or job.key not in worker.held:
            return  # its worker has ended, and another one prepares the case again
        if isinstance(scored.outputs, Exception):
            del worker.held[job.key], self._prepared[job.key]
            self._pool.forget(worker, job)
            self._course.failed(job, *network_reason(scored.outputs))
        else:
            worker.waiting.append((job, scored.outputs))

    def _answered(self, worker: Worker, answer: Answer | None) -> None:
        if answer is None:
            self._ended(worker)
            return
        job, worker.job = worker.job, None
        if job is None or worker.doomed is not None:
            # It was killed for this case before it could say that it had finished.
            worker.job = job
            return
        writing = job.key in worker.held
        self._course.spent("write" if writing else "read", answer.seconds)
        raise_disk(answer, self._course.folder)
        if answer.kind == "prepared":
            worker.held[job.key] = job
            self._prepared[job.key] = Answer("same", stamp=answer.stamp, made_from=answer.made_from)
            self._network.put((worker, job), answer.content)
            return
        worker.held.pop(job.key, None)
        prepared = self._prepared.pop(job.key, answer)
        if answer.kind == "same":
            self._course.same(job, answer)
        elif answer.kind == "written":
            self._course.written(job, prepared, answer)
        else:
            self._course.failed(job, answer.stage, answer.reason)

    def _ended(self, worker: Worker) -> None:
        """A worker's case is lost; those that it held are prepared again by others."""
        job = worker.job
        for other in reversed(list(worker.held.values())):
            if job is None or other.key != job.key:
                self._course.pending.appendleft(other)
        self._pool.replace(worker)
        if job is not None:
            self._prepared.pop(job.key, None)
            self._course.failed(job, *lost(worker))
