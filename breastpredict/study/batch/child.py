"""A worker process of a batch: ``python -m breastpredict.study.batch.child [MODULE ...]``.

Reads steps from its standard input and answers on its standard output, see `frames`. It ends when
its input ends: with the batch, however that ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import signal
import sys
import threading
from importlib import import_module
from typing import Any, BinaryIO

from breastpredict.study.batch.frames import read_frame, write_frame

_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Serve until there is nobody to serve."""
    _die_with_parent()
    steps, answers = _streams()
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(steps, messages), daemon=True).start()
    for module in sys.argv[1:]:
        import_module(module)
    station, memory = messages.get()
    write_frame(answers, "ready")
    _limit_memory(memory)
    while True:
        step, arguments = messages.get()
        answer = getattr(station, step)(*arguments)
        if answer is not None:
            write_frame(answers, answer)


def _streams() -> tuple[BinaryIO, BinaryIO]:
    """The two ends. What libraries print, from C++ too, goes to standard error instead."""
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return open(0, "rb", closefd=False), answers


def _read(steps: BinaryIO, messages: queue.SimpleQueue[Any]) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            messages.put(read_frame(steps))
    os._exit(0)


def _die_with_parent() -> None:
    """Where the system can do it: a step that never ends must not outlive a killed batch."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit_memory(limit: int) -> None:
    """Let a request for too much memory fail at once; the batch watches what is really used."""
    if sys.platform == "linux":
        import resource

        with contextlib.suppress(ValueError, OSError):
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


if __name__ == "__main__":
    sys.exit(main())
