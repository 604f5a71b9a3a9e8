"""The other end of ``breastpredict worker``: starts it, asks, hears, kills it.

Needs the standard library only. Made for an application with an event loop: nothing here blocks,
except `WorkerClient.wait`.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from breastpredict import processes
from breastpredict.errors import BreastPredictError, GateRefusal

Event = dict[str, Any]


class WorkerGone(BreastPredictError):
    """The process ended in the middle of a request."""


def worker_command() -> list[str]:
    """The command line of the worker: with PythonSlicer inside of Slicer, else this Python."""
    return [processes.python(), "-m", "breastpredict", "worker", "--die-with-parent"]


class WorkerClient:
    """One worker process, started on the first request and kept until it is killed.

    Attributes:
        events: answers that came and were not taken yet.
    """

    def __init__(self, command: Sequence[str] | None = None) -> None:
        self._command = list(command or worker_command())
        self._process: subprocess.Popen[bytes] | None = None
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._number = 0
        self._open: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.poll() is None

    @property
    def busy(self) -> bool:
        """Whether a request waits for its answer."""
        return bool(self._open)

    @property
    def pid(self) -> int | None:
        """Of the process."""
        return None if self._process is None else self._process.pid

    def request(self, command: str, **arguments: Any) -> int:
        """Ask; returns the request's number, which its answers carry.

        Paths mean what they mean in this process now: the worker may have been started in another
        folder.

        Raises:
            InputError: the process cannot be started.
        """
        if not self.running:
            self._start()
        self._number += 1
        asked = {"id": self._number, "command": command, "arguments": arguments}
        with contextlib.suppress(OSError):  # it was removed: only whole paths mean anything
            asked["folder"] = os.getcwd()
        process = self._process
        assert process is not None and process.stdin is not None
        self._open[self._number] = process
        with contextlib.suppress(OSError):  # it died just now: `poll` says so
            process.stdin.write(json.dumps(asked).encode() + b"\n")
            process.stdin.flush()
        return self._number

    def poll(self) -> list[Event]:
        """The answers that came since the last call.

        When the process has ended, every request that it left unanswered gets
        ``{"event": "gone", "reason": ...}``.
        """
        found = []
        while not self._events.empty():
            event = self._events.get()
            if event["event"] in ("done", "failed", "gone"):
                if event["id"] not in self._open:
                    continue  # of a request that was killed
                del self._open[event["id"]]
            elif event["id"] not in self._open:
                continue
            found.append(event)
        return found

    def wait(
        self,
        number: int,
        progress: Callable[[Event], None] | None = None,
    ) -> dict[str, Any]:
        """Wait for one request; returns its result. For scripts and tests.

        Args:
            number: as `request` returned it.
            progress: called with every progress event.

        Raises:
            GateRefusal, InputError: as the backend raised it.
            WorkerGone: the process ended, or failed inside.
        """
        while True:
            for event in self.poll():
                if event["id"] != number:
                    continue
                if event["event"] == "progress":
                    if progress is not None:
                        progress(event)
                elif event["event"] == "done":
                    result: dict[str, Any] = event["result"]
                    return result
                else:
                    raise error_of(event)
            if number not in self._open:
                raise WorkerGone("The request was cancelled")
            time.sleep(0.01)

    def kill(self) -> None:
        """End the process and all that it started; open requests are forgotten."""
        self._open.clear()
        process, self._process = self._process, None
        if process is not None:
            processes.kill(process)

    def _start(self) -> None:
        self._process = processes.start(self._command)
        threading.Thread(target=self._hear, args=(self._process,), daemon=True).start()

    def _hear(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with contextlib.suppress(ValueError):
                self._events.put(json.loads(line))
        code = process.wait()
        for number in [number for number, of in self._open.copy().items() if of is process]:
            reason = f"The worker process ended unexpectedly (exit code {code})"
            self._events.put({"id": number, "event": "gone", "reason": reason})


def error_of(event: Event) -> BreastPredictError:
    """The exception that a "failed" or "gone" event stands for."""
    if event.get("kind") == "refused":
        return GateRefusal(event["gate"], event["reason"])
    if event.get("kind") == "input":
        return Answered(event["reason"])
    return WorkerGone(event["reason"])


class Answered(BreastPredictError):
    """An error that the worker has put into its line already."""
