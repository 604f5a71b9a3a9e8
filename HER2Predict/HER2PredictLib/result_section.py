"""The result in numbers and words, the map over the phase, and what is kept of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from BreastPredictLib.layers import show_layers
from BreastPredictLib.saving_section import Saving, refused, score_line

from .result_nodes import CLASSES, notes_of

if TYPE_CHECKING:
    from .panel import Panel


class ResultSection:
    """The section "Result"."""

    def __init__(self, ui: Any, panel: Panel) -> None:
        self._ui, self._panel = ui, panel
        self._bars: dict[str, Any] = {}
        self._saving = Saving(ui, panel, "her2-report.html")
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
        if not predicted:
            refused(ui, result)
        else:
            ui.classLabel.text = f"HER2-{result['predicted_class']}"
            ui.scoreLabel.text = "\n".join(map(score_line, result["scores"]))
            ui.resultNoteLabel.text = "\n".join(notes_of(result))
        stale = case.result_is_stale
        ui.staleLabel.visible = stale
        for slider in (ui.opacitySlider, ui.thresholdSlider, ui.colourBox):
            slider.enabled = case.parameters.map is not None

    def show_layers(self) -> None:
        """The phase in all slice views, the map over it."""
        p = self._panel.case.parameters
        if p.early is None:
            return
        is_new = show_layers(p.early, p.map, p.opacity)
        outline = p.segmentation.GetDisplayNode() if p.segmentation is not None else None
        if outline is not None:
            outline.SetVisibility2DFill(p.map is None)  # a filled tumour would hide the map
        if is_new:
            self._panel.tumour.jump()

    def _show_chart(self) -> None:
        chart = self._panel.case.parameters.chart
        slicer.modules.plots.logic().ShowChartInLayout(chart)
