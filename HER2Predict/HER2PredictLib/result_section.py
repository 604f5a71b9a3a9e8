"""The result in numbers and words, the map over the phase, and what is kept of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from .result_nodes import CLASSES, save_report, save_to_database

if TYPE_CHECKING:
    from .panel import Panel


class ResultSection:
    """The section "Result"."""

    def __init__(self, ui: Any, panel: Panel) -> None:
        self._ui, self._panel = ui, panel
        self._bars: dict[str, Any] = {}
        ui.saveDicomButton.connect("clicked()", self._save_dicom)
        ui.saveReportButton.connect("clicked()", self._save_report)
        ui.chartButton.connect("clicked()", self._show_chart)
        table = ui.resultTable
        table.setRowCount(len(CLASSES))
        table.horizontalHeader().setSectionResizeMode(2, qt.QHeaderView.Stretch)
        for row, name in enumerate(CLASSES):
            for column, text in enumerate((f"HER2-{name}", "")):
                item = qt.QTableWidgetItem(text)
                item.setFlags(qt.Qt.ItemIsEnabled)
                table.setItem(row, column, item)
            bar = qt.QProgressBar()
            bar.maximum, bar.textVisible = 1000, False
            table.setCellWidget(row, 2, bar)
            self._bars[name] = bar

    def refresh(self) -> None:
        """Show the last result, whether it still holds, and what it must not be taken for."""
        ui, case = self._ui, self._panel.case
        result = case.result
        predicted = result is not None and result["status"] == "predicted"
        ui.resultTable.visible = predicted
        ui.chartButton.enabled = predicted
        ui.chartButton.toolTip = "" if predicted else _("There is no prediction yet.")
        for row, name in enumerate(CLASSES):
            value = result["probabilities"][name] if predicted else 0.0
            ui.resultTable.item(row, 1).setText(f"{value:.3f}" if predicted else "")
            self._bars[name].value = round(1000 * value)
        if result is None:
            ui.classLabel.text = _("No prediction yet")
            ui.scoreLabel.text = ui.resultNoteLabel.text = ""
        elif not predicted:
            ui.classLabel.text = _("Refused")
            ui.scoreLabel.text = result["reason"]
            ui.resultNoteLabel.text = _("Gate '{gate}'. No number is given.").format(
                gate=result["gate"]
            )
        else:
            ui.classLabel.text = f"HER2-{result['predicted_class']}"
            ui.scoreLabel.text = "\n".join(map(_score, result["scores"]))
            ui.resultNoteLabel.text = "\n".join(self._notes(result))
        stale = case.result_is_stale
        ui.staleLabel.visible = stale
        for slider in (ui.opacitySlider, ui.thresholdSlider, ui.colourBox):
            slider.enabled = case.parameters.map is not None

    def _notes(self, result: dict[str, Any]) -> list[str]:
        notes = []
        values = result["probabilities"]
        if values[result["predicted_class"]] < max(values.values()):
            notes.append(_("The class follows from the thresholds, not from the largest value."))
        if result["map"]:
            notes.append(result["map"]["label"])
        notes += [*result["overrides"], *result["warnings"]]
        notes += [result["no_dicom"], result["synthetic_note"], result["note"]]
        return [note for note in notes if note]

    def show_layers(self) -> None:
        """The phase in all slice views, the map over it."""
        p = self._panel.case.parameters
        if p.early is None or slicer.app.layoutManager() is None:
            return
        before = self._background()
        slicer.util.setSliceViewerLayers(
            background=p.early,
            foreground=p.map,
            foregroundOpacity=p.opacity if p.map is not None else 0.0,
            fit=before is not p.early,
            rotateToVolumePlane=before is not p.early,
        )
        outline = p.segmentation.GetDisplayNode() if p.segmentation is not None else None
        if outline is not None:
            outline.SetVisibility2DFill(p.map is None)  # a filled tumour would hide the map
        if before is not p.early:
            self._panel.tumour.jump()

    def _background(self) -> Any:
        for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            return slicer.mrmlScene.GetNodeByID(node.GetBackgroundVolumeID() or "")
        return None

    def _show_chart(self) -> None:
        chart = self._panel.case.parameters.chart
        slicer.modules.plots.logic().ShowChartInLayout(chart)

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
            slicer.util.mainWindow(), _("Save report"), "her2-report.html", "HTML (*.html)"
        )
        if folder is None or not chosen:
            return

        def save() -> str:
            save_report(folder, Path(chosen))
            return _("The report is saved.")

        self._told(save)

    def _told(self, action: Any) -> None:
        try:
            self._panel.problem = action()
        except Exception as error:  # a full disk, a closed database
            self._panel.problem = str(error)
        self._panel.refresh()


def _score(score: dict[str, Any]) -> str:
    sign = "≥" if score["above"] else "<"
    kind = _("probability") if score["calibrated"] else _("score")
    return (
        f"{score['title']}: {kind} {score['score']:.3f} {_('for')} "
        f"{score['points_to'].replace('_', ' ')} {sign} {_('threshold')} {score['threshold']:.3f}"
    )
