"""Results as table and chart nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer
import vtk


def table_node(name: str, columns: dict[str, Sequence[str] | Sequence[float]]) -> Any:
    """A new table node; a column of numbers holds doubles, any other text."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
    node.RemoveAllColumns()
    for title, values in columns.items():
        is_text = any(isinstance(value, str) for value in values)
        array = vtk.vtkStringArray() if is_text else vtk.vtkDoubleArray()
        array.SetName(title)
        for value in values:
            array.InsertNextValue(value)
        node.AddColumn(array)
    return node


def bar_chart(name: str, table: Any, labels: str, values: str) -> Any:
    """A new bar chart of a table's column of values from 0 to 1."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode", name)
    series = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", "Values")
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeBar)
    series.SetLabelColumnName(labels)
    series.SetYColumnName(values)
    series.SetColor(0.86, 0.32, 0.23)
    series.SetAndObserveTableNodeID(table.GetID())
    node.AddAndObservePlotSeriesNodeID(series.GetID())
    node.SetTitle(f"{name} (research use only)")
    node.SetYAxisTitle(values)
    node.SetYAxisRangeAuto(False)
    node.SetYAxisRange(0.0, 1.0)
    node.SetLegendVisibility(False)
    return node


def remove_chart(node: Any) -> None:
    """Remove a chart with its series."""
    for n in reversed(range(node.GetNumberOfPlotSeriesNodes())):
        slicer.mrmlScene.RemoveNode(node.GetNthPlotSeriesNode(n))
    slicer.mrmlScene.RemoveNode(node)
