"""The map of a prediction as a volume over the phase, and its colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from .backend import RESOURCES
from .geometry import add_volume
from .study_nodes import put_under_study

_COLOUR_NODE = "BreastPredict {name}"


def map_volume(file: str, phase: Any, result: dict[str, Any], opened: dict[str, Any]) -> Any:
    """A new scalar volume in the phase's own geometry: the map on its slice, zero elsewhere.

    Provenance is kept as attributes of the node, which the scene saves.

    Args:
        file: the map's slice as the backend wrote it.
        phase: the volume it belongs to.
        result: result.json.
        opened: the open study.
    """
    import SimpleITK as sitk

    from .geometry import geometry_of

    plane = sitk.GetArrayFromImage(sitk.ReadImage(file))
    whole = np.zeros(slicer.util.arrayFromVolume(phase).shape, np.float32)
    whole[result["slice_index"]] = plane[0]
    kind = result["map"]["method"]
    node = add_volume(f"{kind.capitalize()} map", whole, geometry_of(phase))
    attributes = {
        "Label": result["map"]["label"],
        "Method": kind,
        "Task": result["map"]["task"],
        "ClassAgnostic": str(result["map"]["class_agnostic"]),
        "PredictedClass": result["predicted_class"],
        "Phase": f"{result['phase']}: {result['phase_reason']}",
        "SliceIndex": str(result["slice_index"]),
        "Software": result["software"],
        "Date": result["date"],
        "Synthetic": result["synthetic_note"] or "no",
        "Note": result["note"],
        **{f"WeightsSHA256.{task}": value for task, value in result["weights_sha256"].items()},
    }
    for name, value in attributes.items():
        node.SetAttribute(f"BreastPredict.{name}", value)
    put_under_study(node, opened)
    return node


def colour_node(name: str) -> Any:
    """The colour table of this name; loaded from the module's resources once a scene.

    Its low end is transparent: the image shows where the map says nothing.
    """
    wanted = _COLOUR_NODE.format(name=name)
    for node in slicer.util.getNodesByClass("vtkMRMLColorTableNode"):
        if node.GetName() == wanted:
            return node
    rows = np.loadtxt(RESOURCES / "ColorTables" / f"{name}.csv", delimiter=",", skiprows=1)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLColorTableNode", wanted)
    node.SetTypeToUser()
    node.SetHideFromEditors(False)
    node.SetNumberOfColors(len(rows))
    for index, (red, green, blue, opacity) in enumerate(rows):
        node.SetColor(index, f"{index / (len(rows) - 1):.3f}", red, green, blue, opacity)
    node.SetAttribute("Category", "BreastPredict")
    return node


def show_map(node: Any, colour: str, threshold: float) -> None:
    """Set colours and what is left out of a map.

    Args:
        node: the map.
        colour: name of the colour table.
        threshold: share of the map's maximum below which nothing is shown.
    """
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(colour_node(colour).GetID())
    highest = float(np.max(slicer.util.arrayFromVolume(node))) or 1.0
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0.0, highest)
    display.SetApplyThreshold(True)
    # Of a colour table's opacities a slice view takes only whether they are zero (seen in 5.12; 3D
    # views take all), so the threshold hides more than the table's low end, never less. What is
    # zero, all but the region, never shows.
    lowest = max(threshold * highest, np.finfo(np.float32).tiny)
    display.SetThreshold(lowest, highest)
