"""Training on the hospital's own cohort."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

if TYPE_CHECKING:
    from .panel import CasePanel


class TrainSection:
    """The section "Train", with ``trainButton`` and ``trainLog``.

    Args:
        ui: the module's widgets.
        panel: whose case it is.
        train: starts the training; called with what to call when it is done or has failed.
    """

    def __init__(self, ui: Any, panel: CasePanel, train: Callable[..., None]) -> None:
        self._ui, self._panel, self._start_training = ui, panel, train
        ui.trainButton.connect("clicked()", self._train)

    def _train(self) -> None:
        self._ui.trainLog.clear()
        if self._panel.install(training=True):
            self._panel.act(self._start)

    def _start(self, done: Any, failed: Any) -> None:
        def trained() -> None:
            self._ui.trainLog.appendPlainText(_("Done. The new run is chosen for predicting."))
            done()

        self._start_training(trained, failed)

    def heard(self, event: dict[str, Any]) -> None:
        """Write a line of progress into the log."""
        task = self._panel.case.tasks.current
        if task is not None and task.name == "training" and event["line"]:
            self._ui.trainLog.appendPlainText(event["line"])

    def refresh(self) -> None:
        """Nothing that its bindings do not show."""
