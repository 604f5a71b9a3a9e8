"""A case from its files to its folder, by one worker process and one network: part of a cluster.

What is here runs in a worker of the cluster. The model stays in the process from case to case and
from batch to batch; reading and writing are done in a child process, under the same limits as on
one machine, so that a case that hangs or crashes costs itself and not the worker.
"""

from __future__ import annotations

import contextlib
import hashlib
import queue
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from breastpredict import __version__
from breastpredict.errors import BreastPredictError
from breastpredict.study.batch.course import network_reason
from breastpredict.study.batch.network import score
from breastpredict.study.batch.pool import Event, Pool, lost
from breastpredict.study.batch.station import Answer, Job, Station
from breastpredict.study.batch.system import System
from breastpredict.study.results import Results

PROBE = ".here"


@dataclass(frozen=True)
class Task:
    """What a worker must know of a batch, the same for all its cases.

    Attributes:
        name: of the batch.
        system: loads the model.
        settings: `settings_of` it, as the batch's own process has loaded it.
        out: the results folder.
        results: system and columns of it.
        staging: where to write, in a folder of one's own.
        timeout_s, memory: see `breastpredict.study.batch.pool.Pool`.
        modules: what the child process needs.
    """

    name: str
    system: Callable[[], System]
    settings: str
    out: Path
    results: tuple[str, tuple[str, ...]]
    staging: Path
    timeout_s: float
    memory: int
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Done:
    """What came of a case.

    Attributes:
        answer: of its last step.
        stamp, made_from: see `breastpredict.study.ledger.Entry`.
        folder: below the staging folder, where the case's folder was written.
        seconds: stage → time.
        trouble: why this worker can do no case at all, in words; then there is no answer.
    """

    answer: Answer | None
    stamp: str = ""
    made_from: str = ""
    folder: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    trouble: str = ""


def settings_of(system: System) -> str:
    """All that results depend on besides the inputs, as one hash."""
    return hashlib.sha256("\0".join(system.settings).encode()).hexdigest()


def do(task: Task, job: Job) -> Done:
    """Do a case in this process. It never raises: what is raised here is logged with the case."""
    try:
        place = _place_for(task)
    except (BreastPredictError, OSError) as error:
        return Done(None, trouble=str(error))
    if place.trouble:
        return Done(None, trouble=place.trouble)
    try:
        return place.do(job)
    except (BreastPredictError, OSError) as error:
        return Done(None, trouble=str(error))


def sees(staging: Path, secret: str) -> bool:
    """Whether this process sees the same staging folder as the batch's own."""
    with contextlib.suppress(OSError):
        return (staging / PROBE).read_text() == secret
    return False


def leave(name: str) -> None:
    """End a batch's child processes here. The model stays, for the next batch."""
    with _places_lock:
        if _places and _places[0].task.name == name:
            _places[0].close()


class _Place:
    """A worker process of the cluster, as far as a batch goes."""

    def __init__(self, task: Task, system: System) -> None:
        self.task = task
        self.system = system
        self.trouble = ""
        self._network = threading.Lock()  # maps are taken from hooks, one case at a time
        self._idle: queue.SimpleQueue[_Desk] = queue.SimpleQueue()
        self._closed = False
        if settings_of(system) != task.settings:
            self.trouble = "It has another model, or another version of BreastPredict"
        elif not task.staging.is_dir():
            self.trouble = "It does not see the results folder, which all must share"

    def do(self, job: Job) -> Done:
        """Do a case; as many at once as the worker has threads."""
        try:
            desk = self._idle.get_nowait()
        except queue.Empty:
            desk = _Desk(self.task, self.system)
        try:
            done = desk.do(job, self._network)
        except BaseException:
            desk.close()
            raise
        self._idle.put(desk)
        if self._closed:
            self.close()
        return done

    def close(self) -> None:
        """End the child processes that are idle; the others follow."""
        self._closed = True
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()


_places: list[_Place] = []
_places_lock = threading.Lock()


def _place_for(task: Task) -> _Place:
    """The place of this batch. One that another batch had gives its model where it is the same."""
    with _places_lock:
        if _places and _places[0].task.name == task.name:
            return _places[0]
        system = None
        if _places:
            old = _places.pop()
            old.close()
            if old.task.settings == task.settings and not old.trouble:
                system = old.system
        _places.append(_Place(task, system or task.system()))
        return _places[0]


class _Desk:
    """A child process and a staging folder of its own.

    A worker that was given up for lost may go on for a while; nobody else writes where it writes,
    and what it writes nobody takes.
    """

    def __init__(self, task: Task, system: System) -> None:
        self._system = system
        self._staging = Path(tempfile.mkdtemp(prefix="desk-", dir=task.staging))
        self._staging.chmod(task.staging.stat().st_mode & 0o777)
        results = Results(task.out, *task.results)
        self._station = Station(system.work, results.key, system.settings, self._staging)
        self._pool = Pool(1, task.timeout_s, task.memory, task.modules)
        self._pool.begin(self._station)

    def close(self) -> None:
        self._pool.close()

    def do(self, job: Job, network: threading.Lock) -> Done:
        """Read, score and write."""
        prepared = self._step("prepare", job)
        done = Done(
            replace(prepared, content=None),
            prepared.stamp,
            prepared.made_from,
            self._staging.name,
            {"read": prepared.seconds},
        )
        if prepared.kind != "prepared":
            return done
        with network:
            (scored,) = score(self._system, [(job, prepared.content)])
        seconds = {**done.seconds, "network": scored.seconds}
        if isinstance(scored.outputs, Exception):
            self._pool.forget(self._pool.workers[0], job)
            failed = Answer("failed", *network_reason(scored.outputs))
            return replace(done, answer=failed, seconds=seconds)
        answer = self._step("write", job, scored.outputs)
        return replace(done, answer=answer, seconds={**seconds, "write": answer.seconds})

    def _step(self, name: str, job: Job, *more: object) -> Answer:
        """A step of the child process; where it ends instead, another one takes its place."""
        given = False
        while True:
            worker = self._pool.workers[0]
            if not given and worker.idle:
                self._pool.step(worker, name, job, *more)
                given = True
            with contextlib.suppress(queue.Empty):
                event: Event = self._pool.events.get(timeout=0.2 if given else 0.05)
                of, answer = event
                if answer is None:
                    self._pool.replace(of)
                    if given:
                        return Answer("failed", *lost(of))
                elif of.doomed is None:
                    of.job = None
                    return answer
            self._pool.watch()


def versions(packages: Sequence[str]) -> dict[str, str]:
    """BreastPredict and packages → their version in this process."""
    found = {"BreastPredict": __version__}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found
