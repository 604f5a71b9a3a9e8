"""Modal dialogs that never block: the test queued an answer, or the call raises."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any


class UnansweredDialog(RuntimeError):
    """A modal dialog was opened and the test had queued no answer; Slicer would wait here."""


@dataclass(frozen=True)
class Asked:
    """A dialog that was opened: which call, and what it said to the user."""

    call: str
    text: str


class Dialogs:
    """The answers a test queues and the dialogs that took them, in order.

    `opened` lists the addresses handed to the desktop, which opens nothing.
    """

    def __init__(self) -> None:
        self._answers: deque[Any] = deque()
        self.asked: list[Asked] = []
        self.opened: list[str] = []

    def answer(self, *values: Any) -> None:
        """Queue what the next dialogs return, e.g. `qt.QMessageBox.Ok` or a file name."""
        self._answers.extend(values)

    @property
    def unused(self) -> list[Any]:
        """Answers that no dialog has asked for yet."""
        return list(self._answers)

    def clear(self) -> None:
        self._answers.clear()
        self.asked.clear()
        self.opened.clear()

    def ask(self, call: str, text: str) -> Any:
        """Record the dialog and return its answer."""
        self.asked.append(Asked(call, text))
        if not self._answers:
            raise UnansweredDialog(f"{call} would block, saying: {text or '(nothing)'}")
        return self._answers.popleft()


def _shown_text(dialog: Any) -> str:
    parts = [getattr(dialog, name, "") for name in ("text", "labelText", "informativeText")]
    return " ".join(p for p in parts if isinstance(p, str) and p) or str(dialog.windowTitle)


def install(qt: ModuleType, dialogs: Dialogs) -> None:
    """Replace everything in `qt` that opens a modal dialog."""

    def executes(name: str) -> Callable[..., Any]:
        return lambda self: dialogs.ask(f"{name}.exec()", _shown_text(self))

    def static(name: str) -> Callable[..., Any]:
        return staticmethod(
            lambda *args: dialogs.ask(name, " ".join(a for a in args if isinstance(a, str)))
        )

    for name in ("QDialog", "QMessageBox", "QFileDialog", "QInputDialog", "QProgressDialog"):
        for method in ("exec", "exec_"):
            setattr(getattr(qt, name), method, executes(name))
    static_calls = {
        "QMessageBox": "question warning information critical about",
        "QInputDialog": "getText getItem getInt getDouble getMultiLineText",
        "QFileDialog": "getOpenFileName getOpenFileNames getSaveFileName getExistingDirectory",
        "QColorDialog": "getColor",
    }
    for name, methods in static_calls.items():
        for method in methods.split():
            setattr(getattr(qt, name), method, static(f"{name}.{method}()"))

    def open_url(url: Any) -> bool:
        dialogs.opened.append(url.toString())
        return True

    qt.QDesktopServices.openUrl = staticmethod(open_url)
    # A menu's exec() blocks as well.
    for method in ("exec", "exec_"):
        setattr(qt.QMenu, method, lambda self, *args: dialogs.ask("QMenu.exec()", self.title))
