"""A panel: sections over one case, one task at a time, and a state that is always explained."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

import qt
import vtk
from slicer.i18n import tr as _

from .case import PredictedCase
from .packages import install_requirements, missing_requirements, torch_is_installed
from .tasks import Cancelled

_POLL_MS = 50
_SETTLED_MS = 200


class Section(Protocol):
    """A part of the panel."""

    def refresh(self) -> None:
        """Show the case as it is."""


class CasePanel(ABC):
    """What a module's widget class hands everything to.

    The widgets that it needs by these names: ``applyButton`` and ``cancelButton``, ``taskFrame``
    with ``progressBar`` and ``taskLabel``, and ``problemLabel``.

    Args:
        ui: the module's widgets by name.
        case: what is shown.

    Attributes:
        name: of the module.
        buttons: name of an action → that of its button.
        path_edits: names of the widgets that show paths of the parameters.
        sections: the panel's parts; set by the module's own panel.
        problem: the last error in words, shown until the next action.
    """

    name: ClassVar[str]
    buttons: ClassVar[dict[str, str]]
    path_edits: ClassVar[tuple[str, ...]] = ()

    def __init__(self, ui: Any, case: PredictedCase) -> None:
        self.ui, self.case = ui, case
        self.problem = ""
        self.sections: tuple[Section, ...] = ()
        self._missing: tuple[tuple[str, ...], tuple[str, ...]] | None = None
        self._observed: list[tuple[Any, int]] = []
        self._seen: dict[str, Any] = {}
        self._poll, self._settle = qt.QTimer(), qt.QTimer()
        self._poll.setInterval(_POLL_MS)
        self._poll.connect("timeout()", self.poll)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLED_MS)
        self._settle.connect("timeout()", self.settle)
        ui.cancelButton.connect("clicked()", self.cancel)

    # Of each module

    @abstractmethod
    def watched(self) -> dict[str, Any]:
        """What of the parameters the panel follows: name → value."""

    @abstractmethod
    def changed(self, before: dict[str, Any], now: dict[str, Any]) -> None:
        """Follow what changed of it; ``before`` is empty when a scene is first shown."""

    @abstractmethod
    def update_inputs(self) -> None:
        """Find again what follows from the scene, for it may be another one."""

    @abstractmethod
    def show_layers(self) -> None:
        """Show image and map in the views."""

    @abstractmethod
    def reasons(self) -> dict[str, str]:
        """Action → why its button cannot be pressed; empty where it can."""

    @abstractmethod
    def enter(self) -> None:
        """The module is shown."""

    @abstractmethod
    def exit(self) -> None:
        """Another module is shown."""

    @abstractmethod
    def forget(self) -> None:
        """The scene is about to go."""

    @abstractmethod
    def heard(self, event: dict[str, Any]) -> None:
        """The child process has said how far it is."""

    # Case and scene

    def observe(self) -> None:
        """Follow the parameters, and show them."""
        self.unobserve()
        self.watch(
            self.case.parameters.parameterNode,
            vtk.vtkCommand.ModifiedEvent,
            self._parameters_changed,
        )
        self.update_inputs()
        self._parameters_changed()

    def unobserve(self) -> None:
        """Follow nothing: the scene is about to go."""
        self._settle.stop()
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed, self._seen = [], {}

    def close(self) -> None:
        """The widgets are about to go: no timer and no node may reach for them."""
        self.exit()
        self.unobserve()
        self._poll.stop()

    def watch(self, node: Any, event: int, callback: Any) -> None:
        """Call back on an event of a node, as long as the panel follows the scene."""
        self._observed.append((node, node.AddObserver(event, callback)))

    def wait_to_settle(self, *_args: Any) -> None:
        """The user draws or drags, and many events come: what they lead to is looked for once."""
        self._settle.start()

    def settle(self) -> None:
        """What the user edits has come to rest: find again what follows from it."""
        self._settle.stop()
        self.update_inputs()
        self.refresh()

    def _parameters_changed(self, *_args: Any) -> None:
        now = self.watched()
        before, self._seen = self._seen, now
        self.changed(before, now)
        self.refresh()

    # Tasks

    def act(self, action: Any, *arguments: Any) -> None:
        """Start something of the case; an error is shown, and nothing else happens."""
        self.problem = ""
        try:
            action(*arguments, done=self.show_layers, failed=self._failed)
        except Exception as error:  # from here on the user is told, whatever it is
            self._failed(error)
        else:
            self._poll.start()
        self.refresh()

    def _failed(self, error: Exception) -> None:
        self.problem = _("Cancelled.") if isinstance(error, Cancelled) else str(error)
        if not isinstance(error, Cancelled):
            # The message may name a file, and with it a patient: the log gets the kind only.
            logging.info("%s: %s", self.name, type(error).__name__)

    def poll(self) -> None:
        """Take what the child process has said."""
        heard = self.case.tasks.poll()
        for event in heard:
            self.heard(event)
        if self.case.tasks.current is None:
            self._poll.stop()
        if heard or self.case.tasks.current is None:
            self.refresh()

    def cancel(self) -> None:
        """Kill what is under way."""
        self.case.tasks.cancel()
        self._poll.stop()
        self.refresh()

    def install(self, training: bool = False) -> bool:
        """Install what is missing, on the user's request; False where that failed."""
        if not self.missing(training):
            return True
        try:
            install_requirements(self.name, training)
        except Exception as error:  # pip, the network, a refusal
            self._failed(error)
        self._missing = None
        self.refresh()
        return not self.missing(training)

    def missing(self, training: bool = False) -> tuple[str, ...]:
        """What must be installed before predicting, or training."""
        if self._missing is None or bool(self._missing[0]) == torch_is_installed():
            found = (tuple(missing_requirements()), tuple(missing_requirements(True)))
            self._missing = found
        return self._missing[int(training)]

    # State

    def refresh(self) -> None:
        """Show everything as it is: enabled or not, and why not."""
        ui, why = self.ui, self.reasons()
        task = self.case.tasks.current
        predicting = task is not None and task.name == "predicting"
        for name, widget_name in self.buttons.items():
            button = getattr(ui, widget_name)
            if name == "predict" and predicting:
                button.enabled, button.text, button.toolTip = True, _("Cancel"), _("Stop now.")
                continue
            button.enabled = not why[name]
            button.toolTip = why[name]
        if not predicting:
            ui.applyButton.text = _("Apply")
        self._show_task()
        ui.problemLabel.text = self.problem
        ui.problemLabel.visible = bool(self.problem)
        for name in self.path_edits:
            edit = getattr(ui, name)
            if edit.currentPath == ".":  # how an empty path comes back from the parameters
                edit.currentPath = ""
        for section in self.sections:
            section.refresh()

    def _show_task(self) -> None:
        ui, task = self.ui, self.case.tasks.current
        ui.taskFrame.visible = task is not None
        if task is None:
            return
        heard = task.heard
        ui.progressBar.maximum = heard.get("total", 0)
        ui.progressBar.value = heard.get("done", 0)
        line = heard.get("line", "")
        ui.taskLabel.text = f"{task.name.capitalize()}: {line}" if line else task.name.capitalize()
