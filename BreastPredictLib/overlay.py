"""Maps over images: their colours, what of them is shown, and what they remember."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from .backend import RESOURCES

COLOURS = ["Heat", "Viridis"]
"""Names of the colour tables."""
OPACITY, THRESHOLD = 0.6, 0.15
"""What is shown at first: how opaque a map is, and from which share of its largest value on."""

_COLOUR_NODE = "BreastPredict {name}"


def remember(node: Any, facts: dict[str, str]) -> None:
    """Keep where a node comes from as its attributes, which the scene saves."""
    for name, value in facts.items():
        node.SetAttribute(f"BreastPredict.{name}", value)


def provenance(result: dict[str, Any], explained: dict[str, Any]) -> dict[str, str]:
    """What every map remembers.

    Args:
        result: result.json.
        explained: what it says of this map.
    """
    return {
        "Label": explained["label"],
        "Method": explained["method"],
        "ClassAgnostic": str(explained["class_agnostic"]),
        "Software": result["software"],
        "Date": result["date"],
        "Synthetic": result["synthetic_note"] or "no",
        "Note": result["note"],
    }


def colour_node(name: str) -> Any:
    """The colour table of this name; loaded from the shared resources once a scene.

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
    highest = float(np.max(slicer.util.arrayFromVolume(node)))
    highest = highest if highest > 0 else 1.0  # a map may speak against its class everywhere
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0.0, highest)
    display.SetApplyThreshold(True)
    # Of a colour table's opacities a slice view takes only whether they are zero (seen in 5.12; 3D
    # views take all), so the threshold hides more than the table's low end, never less. What is
    # zero, all but the region, never shows.
    lowest = max(threshold * highest, np.finfo(np.float32).tiny)
    display.SetThreshold(lowest, highest)
