"""Training on the hospital's own cohort."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

if TYPE_CHECKING:
    from .panel import Panel


class TrainSection:
    """The section "Train"."""

    def __init__(self, ui: Any, panel: Panel) -> None:
        self._ui, self._panel = ui, panel
        ui.trainButton.connect("clicked()", self._train)

    def _train(self) -> None:
        self._ui.trainLog.clear()
        if self._panel.install(training=True):
            self._panel.act(self._start)

    def _start(self, done: Any, failed: Any) -> None:
        def trained() -> None:
            self._ui.trainLog.appendPlainText(_("Done. The new run is chosen for predicting."))
            done()

        self._panel.case.train(trained, failed)

    def heard(self, event: dict[str, Any]) -> None:
        """Write a line of progress into the log."""
        task = self._panel.case.tasks.current
        if task is not None and task.name == "training" and event["line"]:
            self._ui.trainLog.appendPlainText(event["line"])

    def refresh(self) -> None:
        """Nothing that its bindings do not show."""
