"""What Slicer only prints becomes a failure: exceptions in slots, ERROR records, VTK's errors."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any


class Failures(logging.Handler):
    """Collects failures between `start` and `stop`; a test may expect some of them."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._found: list[str] = []
        self._hook: Any = None
        self._thread_hook: Any = None
        self._vtk: Any = None

    def start(self) -> None:
        self._hook, sys.excepthook = sys.excepthook, self._exception
        self._thread_hook, threading.excepthook = threading.excepthook, self._in_thread
        logging.getLogger().addHandler(self)
        self._listen_to_vtk()
        self._found.clear()

    def stop(self) -> None:
        sys.excepthook, threading.excepthook = self._hook, self._thread_hook
        logging.getLogger().removeHandler(self)

    @property
    def found(self) -> list[str]:
        """All failures so far that nobody expected."""
        if self._vtk is not None:
            entries = self._vtk.GetOutput().split("\n\n\n")
            self._found += [entry for entry in entries if entry.startswith("ERROR")]
            self._listen_to_vtk()
        return self._found

    def _listen_to_vtk(self) -> None:
        import vtk

        self._vtk = vtk.vtkStringOutputWindow()
        vtk.vtkOutputWindow.SetInstance(self._vtk)

    def emit(self, record: logging.LogRecord) -> None:
        self._found.append(f"logged as {record.levelname}: {record.getMessage()}")

    def _exception(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        self._found.append("".join(traceback.format_exception(kind, error, trace)))

    def _in_thread(self, arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            self._exception(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)

    @contextmanager
    def expected(self, *texts: str) -> Iterator[None]:
        """Failures inside that contain one of the texts are as they should be; each must come."""
        before = len(self.found)
        yield
        new = self.found[before:]
        missing = [t for t in texts if not any(t in failure for failure in new)]
        if missing:
            raise AssertionError(f"expected a failure saying {missing}, got {new or 'none'}")
        self._found[before:] = [f for f in new if not any(t in f for t in texts)]

    @contextmanager
    def allowed(self, *texts: str) -> Iterator[None]:
        """Failures inside that contain one of the texts may come."""
        before = len(self.found)
        yield
        new = self.found[before:]
        self._found[before:] = [f for f in new if not any(t in f for t in texts)]

    def check(self) -> None:
        """Raise if anything unexpected was found."""
        found = list(self.found)
        self._found.clear()
        if found:
            raise AssertionError("Slicer would only print this:\n\n" + "\n".join(found))
