"""A batch on a Dask cluster: its workers do the cases, this process records.

The results folder lies on a file system that all share. Only this process holds its lock and its
ledger, and it takes what a worker has written only when the scheduler says that the case is done;
a case whose worker died goes to another one. So results appear whole or not at all here, too.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import secrets
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breastpredict import __version__
from breastpredict.errors import InputError
from breastpredict.study.batch import desk
from breastpredict.study.batch.course import (
    BatchResult,
    Course,
    Progress,
    raise_disk,
    staging_folder,
)
from breastpredict.study.batch.engine import Limits
from breastpredict.study.batch.station import Answer, Job
from breastpredict.study.batch.system import Case, System
from breastpredict.study.results import Results

_ADDRESS = re.compile(r"(?:[a-z]+://)?(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+):\d{1,5}")
_AHEAD = 2  # cases given to the cluster for each thread of it, so that none waits for us
_LOOK_S = 2.0
_SHARED_S = 60.0  # a network file system may show what another machine wrote only after a while
SAME = ("numpy", "scipy", "SimpleITK", "pydicom", "highdicom", "pillow", "torch", "timm")
"""Packages that results depend on."""


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster that runs already.

    Attributes:
        address: of its scheduler, such as ``tcp://node:8786``, or the scheduler's file.
        timeout_s: how long to wait for an answer.
    """

    address: str
    timeout_s: float = 15.0

    @contextlib.contextmanager
    def connected(self) -> Iterator[Any]:
        """A client of the scheduler.

        Raises:
            InputError: Dask is not installed, or no scheduler answers.
        """
        try:
            import distributed
        except ImportError as error:
            raise InputError(
                "A batch on a cluster needs the package distributed",
                remedy='Install it with: pip install "breastpredict[dask]"',
            ) from error
        address = self._address()
        with _quiet():
            try:
                client = distributed.Client(address, timeout=self.timeout_s, set_as_default=False)
            except (OSError, ValueError) as error:
                raise InputError(
                    f"No Dask scheduler answers at {address}",
                    remedy="Start one with: dask scheduler",
                ) from error
            try:
                with client.as_current():
                    yield client
            finally:
                client.close(timeout=5)

    def _address(self) -> str:
        """The scheduler's; its file (``--scheduler-file``) is JSON that holds it."""
        given, path = self.address.strip(), None
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if Path(given).is_file():
                path, given = given, ""
                given = str(json.loads(Path(path).read_text("utf-8"))["address"])
        if not _ADDRESS.fullmatch(given):
            raise InputError(
                "--dask takes the address of a scheduler, such as tcp://node:8786, or its file",
                path=path,
            )
        return given


def run_on_cluster(
    cases: Sequence[Case],
    load: Callable[[], System],
    system: System,
    results: Results,
    cluster: Cluster,
    limits: Limits | None = None,
    progress: Progress | None = None,
    modules: Sequence[str] = (),
) -> BatchResult:
    """Do every case that is missing, failed or changed, on the workers of a cluster.

    Args:
        cases: of the system; one a patient. Their paths are absolute.
        load: makes the system in a worker; it is pickled, and its paths are absolute.
        system: as it is here.
        results: of the same system, in a folder that the workers see, too.
        cluster: it runs already; workers may come and go.
        limits: of the time and memory of a case.
        progress: what to say.
        modules: what reading and writing need.

    Raises:
        InputError: no scheduler; a worker that has another version or model, or does not see the
            folder; another run writes into the folder.
        OSError: the results folder is full or gone. What is done stays.
    """
    limits = limits or Limits()
    if limits.workers is not None:
        raise InputError("--workers does not go with --dask: a cluster has its own")
    with (
        cluster.connected() as client,
        results.opened("batch") as ledger,
        staging_folder(results.folder) as staging,
    ):
        task = desk.Task(
            secrets.token_hex(8),
            load,
            desk.settings_of(system),
            results.folder.resolve(),
            (system.name, tuple(system.columns)),
            staging.resolve(),
            limits.timeout_s,
            int(limits.memory_gb * 1e9),
            tuple(modules),
        )
        course = Course(cases, results, ledger, staging, progress)
        try:
            _check_workers(client, staging)
            _Remote(course, client, task).run()
        finally:
            with contextlib.suppress(Exception):  # it may be gone: that was said
                client.run(desk.leave, task.name, on_error="ignore")
        return course.result()


class _Remote:
    """Cases on their way to the cluster and back."""

    def __init__(self, course: Course, client: Any, task: desk.Task) -> None:
        self._course = course
        self._client = client
        self._task = task
        self._running: dict[Any, Job] = {}
        self._suspects: deque[Job] = deque()
        self._alone: Job | None = None
        self._room, self._looked = 1, float("-inf")

    def run(self) -> None:
        """Until nothing is left to be done."""
        from distributed import wait

        try:
            while self._course.pending or self._running or self._suspects:
                self._give()
                with contextlib.suppress(TimeoutError):
                    ended, _ = wait(
                        list(self._running), timeout=_LOOK_S, return_when="FIRST_COMPLETED"
                    )
                    for future in ended:
                        self._take(future, self._running.pop(future))
        except (CancelledError, OSError) as error:
            if isinstance(error, OSError) and not _of_the_network(error):
                raise
            raise InputError(
                "The Dask scheduler has gone away",
                remedy="What is done is kept: the same command goes on from there",
            ) from error
        finally:
            with contextlib.suppress(Exception):
                self._client.cancel(list(self._running), force=True)

    def _give(self) -> None:
        """Keep every thread of the cluster busy, and no more: what waits is bounded."""
        if time.monotonic() - self._looked > _LOOK_S:
            self._looked = time.monotonic()
            # None yet: some clusters start workers only when there is something to do.
            self._room = _AHEAD * max(1, sum(self._client.nthreads().values()))
        while self._course.pending and len(self._running) < self._room:
            self._submit(self._course.pending.popleft())
        if self._suspects and not self._running:
            self._alone = self._suspects.popleft()
            self._submit(self._alone, "-alone")

    def _submit(self, job: Job, how: str = "") -> None:
        name = (
            f"breastpredict-{self._task.name}-{job.key}{how}"  # the key says nothing of a patient
        )
        self._running[self._client.submit(desk.do, self._task, job, key=name)] = job

    def _take(self, future: Any, job: Job) -> None:
        from distributed import KilledWorker

        status = future.status
        if status in ("lost", "pending"):
            # The worker that held the answer has died since: the scheduler has it done again.
            self._running[future] = job
            return
        if status != "finished":
            error = future.exception() if status == "error" else CancelledError()
            if isinstance(error, KilledWorker):
                if job is not self._alone:
                    # It may only have waited behind the one that did it: both again, each alone.
                    self._suspects.append(job)
                    return
                words = "Every worker of the cluster that was given the case has died"
                self._course.failed(job, "crash", words)
                return
            if isinstance(error, CancelledError):
                raise error
            reason = f"internal error: {type(error).__name__}: {error}".splitlines()[0]
            self._course.failed(job, "internal", reason)
            return
        done: desk.Done = future.result()
        if done.answer is None:
            raise InputError(f"A worker of the cluster cannot do its part: {done.trouble}")
        answer = done.answer
        for stage, seconds in done.seconds.items():
            self._course.spent(stage, seconds)
        raise_disk(answer, self._course.folder)
        if answer.kind in ("written", "refused"):
            _bring(self._task.staging, done.folder, job.key)
        if answer.kind == "written":
            prepared = Answer("prepared", stamp=done.stamp, made_from=done.made_from)
            self._course.written(job, prepared, answer)
        elif answer.kind == "same":
            self._course.same(job, answer)
        else:
            self._course.failed(job, answer.stage, answer.reason)


def _bring(staging: Path, folder: str, key: str) -> None:
    """Move what a worker wrote to where the course takes it from."""
    deadline = time.monotonic() + _SHARED_S
    while True:
        try:
            os.replace(staging / folder / key, staging / key)
            return
        except FileNotFoundError:
            if time.monotonic() > deadline or not staging.is_dir():
                raise
            time.sleep(0.5)


def _check_workers(client: Any, staging: Path) -> None:
    """Refuse workers whose results would not be those of this machine.

    Workers that come later are asked when they get their first case.
    """
    if not client.nthreads():
        return
    secret = secrets.token_hex(8)
    (staging / desk.PROBE).write_text(secret)
    here = desk.versions(SAME)
    for address, found in client.run(desk.versions, SAME, on_error="return").items():
        if isinstance(found, Exception):
            raise InputError(
                f"The worker at {address} has another version of BreastPredict, or none",
                remedy=f"Install {__version__}, as here",
            )
        for package, version in here.items():
            if found[package] != version:
                raise InputError(
                    f"The worker at {address} has {package} {found[package]}, here is {version}",
                    remedy="Results must not depend on where a case is done: install the same",
                )
    for address, seen in client.run(desk.sees, staging.resolve(), secret).items():
        if not seen:
            raise InputError(
                f"The worker at {address} does not see the results folder",
                path=staging.parent,
                remedy="It must lie on a file system that all machines share",
            )


def _of_the_network(error: OSError) -> bool:
    """Whether an error is of a connection, not of a file: Dask's own have no number."""
    return isinstance(error, ConnectionError | TimeoutError) or error.errno is None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Dask logs what we say in one line, and names cases by what they are called with."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="distributed")
            yield
    finally:
        logger.setLevel(before)
