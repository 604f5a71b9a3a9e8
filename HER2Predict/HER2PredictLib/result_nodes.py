"""A result as table and chart nodes, and its files into database and report."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import slicer
import vtk

from .study_nodes import put_under_study

CLASSES = ("zero", "low", "positive")


def table_node(node: Any, result: dict[str, Any], opened: dict[str, Any]) -> Any:
    """The three values and both scores as a table; made where there is none."""
    if node is None:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", "HER2 prediction")
        put_under_study(node, opened)
    node.RemoveAllColumns()
    columns = {
        "quantity": [f"HER2-{name}" for name in CLASSES],
        "value": [result["probabilities"][name] for name in CLASSES],
        "threshold": ["" for _ in CLASSES],
    }
    for score in result["scores"]:
        columns["quantity"].append(
            f"{score['title']}: score for {score['points_to'].replace('_', ' ')}"
        )
        columns["value"].append(score["score"])
        columns["threshold"].append(f"{score['threshold']:.4f}")
    for name, values in columns.items():
        array = vtk.vtkDoubleArray() if name == "value" else vtk.vtkStringArray()
        array.SetName(name)
        for value in values:
            array.InsertNextValue(value)
        node.AddColumn(array)
    node.SetAttribute("BreastPredict.PredictedClass", result["predicted_class"])
    node.SetAttribute("BreastPredict.Note", result["note"])
    return node


def chart_node(node: Any, table: Any) -> Any:
    """A bar chart of the table's values; made where there is none."""
    if node is None:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotChartNode", "HER2 prediction")
        series = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", "Values")
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeBar)
        series.SetLabelColumnName("quantity")
        series.SetYColumnName("value")
        series.SetColor(0.86, 0.32, 0.23)
        node.AddAndObservePlotSeriesNodeID(series.GetID())
        node.SetTitle("HER2 prediction (research use only)")
        node.SetYAxisTitle("value")
        node.SetYAxisRangeAuto(False)
        node.SetYAxisRange(0.0, 1.0)
        node.SetLegendVisibility(False)
    node.GetNthPlotSeriesNode(0).SetAndObserveTableNodeID(table.GetID())
    return node


def remove_chart(node: Any) -> None:
    """Remove a chart with its series."""
    for n in reversed(range(node.GetNumberOfPlotSeriesNodes())):
        slicer.mrmlScene.RemoveNode(node.GetNthPlotSeriesNode(n))
    slicer.mrmlScene.RemoveNode(node)


def save_to_database(folder: Path) -> int:
    """Index the DICOM files of a result into the open database, as copies; returns how many.

    Raises:
        RuntimeError: no database is open, there is no DICOM to save, or it was not taken.
    """
    import pydicom
    from DICOMLib import DICOMUtils

    database = slicer.dicomDatabase
    if database is None or not database.isOpen:
        raise RuntimeError("No DICOM database is open: open the DICOM module once.")
    files = sorted(folder.glob("*.dcm"))
    if not files:
        raise RuntimeError("This result has no DICOM files.")
    # The folder is a temporary one: the database gets its own copies.
    if not DICOMUtils.importDicom(str(folder), database, copyFiles=True):
        raise RuntimeError("The DICOM database did not take the files.")
    for file in files:
        uid = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[0x00080018])
        if not database.fileForInstance(str(uid.SOPInstanceUID)):
            raise RuntimeError(f"The DICOM database did not take {file.name}.")
    return len(files)


def save_report(folder: Path, target: Path) -> None:
    """Copy the report, which holds its pictures, to where the user wants it.

    Raises:
        OSError: it cannot be written there.
    """
    from breastpredict.files import write_atomic

    with write_atomic(target) as temporary:
        shutil.copyfile(folder / "report.html", temporary)
