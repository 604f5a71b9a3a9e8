"""The result in numbers and words, the maps over the images, and what is kept of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from BreastPredictLib.layers import show_in_view, side_by_side
from BreastPredictLib.saving_section import Saving, refused, score_line

from .image_nodes import IMAGES
from .regions import VIEWS
from .result_nodes import notes_of, values_of

if TYPE_CHECKING:
    from .panel import Panel

_LAYOUT = 20711
"""Number of the layout; Slicer's own are far below, extensions choose freely."""

_CORNERS = {"us0": "US-0", "us1": "US-1", "pathology": "H&amp;E"}


class ResultSection:
    """The section "Result", and the views."""

    def __init__(self, ui: Any, panel: Panel) -> None:
        self._ui, self._panel = ui, panel
        self._saving = Saving(ui, panel, "pcr-report.html")
        ui.chartButton.connect("clicked()", self._show_chart)
        ui.resultTable.horizontalHeader().setSectionResizeMode(2, qt.QHeaderView.Stretch)
        ui.resultTable.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.ResizeToContents)

    def refresh(self) -> None:
        """Show the last result, whether it still holds, and what it must not be taken for."""
        ui, case = self._ui, self._panel.case
        result = case.result
        predicted = result is not None and result["status"] == "predicted"
        ui.resultTable.visible = predicted
        ui.chartButton.enabled = predicted
        ui.chartButton.toolTip = "" if predicted else _("There is no prediction yet.")
        self._show_values(values_of(result) if predicted and result is not None else {})
        if not predicted or result is None:
            refused(ui, result)
        else:
            ui.classLabel.text = (
                _("Complete response expected")
                if result["expected"]
                else _("Complete response not expected")
            )
            ui.scoreLabel.text = self._score(result)
            ui.resultNoteLabel.text = "\n".join(notes_of(result))
        ui.staleLabel.visible = case.result_is_stale
        maps = case.maps
        for widget in (ui.opacitySlider, ui.thresholdSlider, ui.colourBox, ui.methodBox):
            widget.enabled = bool(maps)
        shown = [
            one["label"]
            for one in (result["maps"] if predicted and result is not None else [])
            if one["method"] == case.parameters.method
        ]
        ui.mapLabel.text = "\n".join(shown)

    def _show_values(self, values: dict[str, float]) -> None:
        table = self._ui.resultTable
        table.setRowCount(len(values))
        for row, (name, value) in enumerate(values.items()):
            for column, text in enumerate((name, f"{value:.3f}")):
                item = qt.QTableWidgetItem(text)
                item.setFlags(qt.Qt.ItemIsEnabled)
                table.setItem(row, column, item)
            bar = qt.QProgressBar()
            bar.maximum, bar.textVisible = 1000, False
            bar.value = round(1000 * value)
            table.setCellWidget(row, 2, bar)

    def _score(self, result: dict[str, Any]) -> str:
        line = score_line(
            {
                **result,
                "title": _("Variant '{name}'").format(name=result["variant"]),
                "score": result["probability"],
                "above": result["expected"],
                "points_to": _("complete response"),
            }
        )
        if result["baseline"] is None:
            return line
        return (
            line + "\n" + _("Clinical variables only: {value:.3f}").format(value=result["baseline"])
        )

    # Views

    def turn_to_layout(self) -> None:
        """US-0, US-1 and biopsy beside each other."""
        side_by_side(_LAYOUT, {VIEWS[name]: corner for name, corner in _CORNERS.items()})
        self.show_layers()

    def show_layers(self) -> None:
        """Each image in its view, its map over it."""
        case = self._panel.case
        p = case.parameters
        if all(getattr(p, image) is None for image in IMAGES.values()):
            return
        for name, image in IMAGES.items():
            show_in_view(VIEWS[name], getattr(p, image), case.map_of(name), p.opacity)

    def _show_chart(self) -> None:
        chart = self._panel.case.parameters.chart
        slicer.modules.plots.logic().ShowChartInLayout(chart)
