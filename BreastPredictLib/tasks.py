"""One thing at a time is asked of the child process, and its answer comes to the main thread."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .backend import find_backend


@dataclass
class Task:
    """Something that is under way.

    Attributes:
        name: in words, for the panel.
        number: of the request.
        done: called with the result.
        failed: called with the error, cancelling included.
        heard: the last progress event.
    """

    name: str
    number: int
    done: Callable[[dict[str, Any]], None]
    failed: Callable[[Exception], None]
    heard: dict[str, Any]


class Cancelled(Exception):
    """The user stopped the task."""


class Tasks:
    """The worker process and the task it is at.

    Nothing here waits, except `finish`: whoever owns it calls `poll` now and then from the thread
    that may touch the scene, and only there callbacks run.

    Args:
        owner: name of the module, and of the folder.
        temporary: where the folder is made.

    Attributes:
        current: the task under way, or None.
        folder: where images are exchanged; private, as they show patients, and gone with `close`.
    """

    def __init__(self, owner: str, temporary: str | None = None) -> None:
        find_backend()
        from breastpredict.worker import WorkerClient

        self.worker = WorkerClient()
        self.current: Task | None = None
        if temporary is not None:
            Path(temporary).mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{owner}-", dir=temporary))

    def start(
        self,
        name: str,
        command: str,
        arguments: dict[str, Any],
        done: Callable[[dict[str, Any]], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Ask the worker.

        Raises:
            RuntimeError: it is at something else.
            InputError: it cannot be started.
        """
        if self.current is not None:
            raise RuntimeError(f"Wait for the end of: {self.current.name}")
        self.folder.mkdir(mode=0o700, exist_ok=True)  # a clean-up of old files may have taken it
        number = self.worker.request(command, **arguments)
        self.current = Task(name, number, done, failed, {})

    def poll(self) -> list[dict[str, Any]]:
        """Take what the worker has said; returns the progress events among it."""
        from breastpredict.worker.client import error_of

        heard = []
        for event in self.worker.poll():
            task = self.current
            if task is None or event["id"] != task.number:
                continue
            if event["event"] == "progress":
                task.heard = event
                heard.append(event)
                continue
            self.current = None
            if event["event"] != "done":
                task.failed(error_of(event))
                continue
            try:
                task.done(event["result"])
            except Exception as error:  # the scene is another than when it was asked
                task.failed(error)
        return heard

    def cancel(self) -> None:
        """Kill the worker and all that it started, and tell the task."""
        task, self.current = self.current, None
        if task is None:
            return
        self.worker.kill()
        task.failed(Cancelled(f"Cancelled: {task.name}"))

    def wait(self, start: Callable[..., None], *arguments: Any) -> None:
        """Start something and wait until it has ended; for scripts and tests.

        Args:
            start: called with the arguments, and with what to call when it is done or has failed.
            arguments: for ``start``.

        Raises:
            Exception: what it failed with.
        """
        errors: list[Exception] = []
        start(*arguments, lambda: None, errors.append)
        while self.current is not None:
            self.poll()
            time.sleep(0.01)
        if errors:
            raise errors[0]

    def close(self) -> None:
        """Kill the worker and remove the folder."""
        self.current = None
        self.worker.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
