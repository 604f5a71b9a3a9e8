"""Keeping a result: into the DICOM database, and as a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from .database import save_to_database
from .report import save_report

if TYPE_CHECKING:
    from .panel import CasePanel


class Saving:
    """The buttons ``saveDicomButton`` and ``saveReportButton``.

    Args:
        ui: the module's widgets.
        panel: whose case it is.
        report: name that is offered for the report.
    """

    def __init__(self, ui: Any, panel: CasePanel, report: str) -> None:
        self._panel, self._report = panel, report
        ui.saveDicomButton.connect("clicked()", self._save_dicom)
        ui.saveReportButton.connect("clicked()", self._save_report)

    def _save_dicom(self) -> None:
        folder = self._panel.case.result_folder
        if folder is not None:
            self._told(
                lambda: _("{n} DICOM objects are in the database.").format(
                    n=save_to_database(folder)
                )
            )

    def _save_report(self) -> None:
        folder = self._panel.case.result_folder
        chosen = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(), _("Save report"), self._report, "HTML (*.html)"
        )
        if folder is None or not chosen:
            return

        def save() -> str:
            save_report(folder, Path(chosen))
            return _("The report is saved.")

        self._told(save)

    def _told(self, action: Callable[[], str]) -> None:
        try:
            self._panel.problem = action()
        except Exception as error:  # a full disk, a closed database
            self._panel.problem = str(error)
        self._panel.refresh()


def refused(ui: Any, result: dict[str, Any] | None) -> None:
    """Say in ``classLabel``, ``scoreLabel`` and ``resultNoteLabel`` why there is no number."""
    if result is None:
        ui.classLabel.text = _("No prediction yet")
        ui.scoreLabel.text = ui.resultNoteLabel.text = ""
    else:
        ui.classLabel.text = _("Refused")
        ui.scoreLabel.text = result["reason"]
        ui.resultNoteLabel.text = _("Gate '{gate}'. No number is given.").format(
            gate=result["gate"]
        )


def score_line(score: dict[str, Any]) -> str:
    """A score with the class it points to and its threshold, as result.json has it."""
    sign = "≥" if score["above"] else "<"
    kind = _("probability") if score["calibrated"] else _("score")
    return (
        f"{score['title']}: {kind} {score['score']:.3f} {_('for')} "
        f"{score['points_to'].replace('_', ' ')} {sign} {_('threshold')} {score['threshold']:.3f}"
    )
