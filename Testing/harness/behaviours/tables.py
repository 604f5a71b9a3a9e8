"""Views of tables and plots, drawn simply."""

from __future__ import annotations

from typing import Any

import qt
import slicer
import vtk

from ..descriptors import memory
from .registry import behaves_as, remembered, unwatch, watch

MODIFIED = vtk.vtkCommand.ModifiedEvent


@behaves_as("qMRMLTableView")
class TableView:
    """Shows a vtkMRMLTableNode; the first row or column may serve as header."""

    def _do_setMRMLScene(self, scene: Any) -> None:
        memory(self).scene = scene
        self._announce("mrmlSceneChanged", scene)

    def _do_mrmlScene(self) -> Any:
        return remembered(self, "scene")

    def _do_setMRMLTableNode(self, node: Any) -> None:
        unwatch(self, "table")
        memory(self).node = node
        if node is not None:
            watch(self, node, MODIFIED, lambda view, _: view._show(), "table")
        self._show()

    def _do_mrmlTableNode(self) -> Any:
        return remembered(self, "node")

    def _show(self) -> None:
        node = remembered(self, "node")
        model = qt.QStandardItemModel()
        table = node.GetTable() if node is not None else None
        columns = table.GetNumberOfColumns() if table is not None else 0
        for row in range(table.GetNumberOfRows() if columns else 0):
            texts = [table.GetValue(row, column).ToString() for column in range(columns)]
            model.appendRow([qt.QStandardItem(text) for text in texts])
        model.setHorizontalHeaderLabels([table.GetColumnName(c) or "" for c in range(columns)])
        memory(self).model = model
        self.setModel(model)


@behaves_as("qMRMLPlotView")
class PlotView:
    """Draws the bars or points of the chart that the plot view node shows."""

    def _begin(self) -> None:
        super()._begin()
        memory(self).view_node = None
        self.setMinimumHeight(120)

    def _do_setMRMLScene(self, scene: Any) -> None:
        memory(self).scene = scene
        self._announce("mrmlSceneChanged", scene)

    def _do_setMRMLPlotViewNode(self, node: Any) -> None:
        unwatch(self, "plot")
        memory(self).view_node = node
        if node is not None:
            watch(self, node, MODIFIED, lambda view, _: view.update(), "plot")
        self.update()

    def _series(self) -> list[tuple[list[float], Any]]:
        """Values and colour of every series of the chart."""
        node = memory(self).view_node
        chart = node.GetPlotChartNode() if node is not None else None
        shown = []
        for index in range(chart.GetNumberOfPlotSeriesNodes() if chart is not None else 0):
            series = chart.GetNthPlotSeriesNode(index)
            table = series.GetTableNode().GetTable()
            column = table.GetColumnByName(series.GetYColumnName())
            values = [column.GetVariantValue(r).ToDouble() for r in range(table.GetNumberOfRows())]
            shown.append((values, qt.QColor.fromRgbF(*series.GetColor())))
        return shown

    def paintEvent(self, event: Any) -> None:
        painter = qt.QPainter(self)
        painter.fillRect(self.rect, qt.Qt.white)
        series = self._series()
        highest = max((v for values, _ in series for v in values), default=0) or 1
        for values, color in series:
            step = self.width / max(len(values), 1)
            for index, value in enumerate(values):
                height = int((self.height - 20) * max(value, 0) / highest)
                left, top = int(index * step + step / 4), self.height - height
                painter.fillRect(left, top, max(int(step / 2), 1), height, color)
        painter.end()


@behaves_as("qMRMLPlotWidget")
class PlotWidget:
    """A plot view with its controller."""

    def _begin(self) -> None:
        super()._begin()
        memory(self).view = slicer.qMRMLPlotView()
        layout = qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(memory(self).view)

    def _do_setMRMLPlotViewNode(self, node: Any) -> None:
        memory(self).view.setMRMLPlotViewNode(node)

    def _do_mrmlPlotViewNode(self) -> Any:
        return memory(memory(self).view).view_node

    def _do_plotView(self) -> Any:
        return memory(self).view
