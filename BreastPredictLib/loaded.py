"""What lies in the scene already and may be an input."""

from __future__ import annotations

from typing import Any

import slicer


def volumes_of_sequence(sequence: Any) -> list[Any]:
    """The scalar volumes of a sequence node, in its order; those of vectors are of them."""
    nodes = [sequence.GetNthDataNode(n) for n in range(sequence.GetNumberOfDataNodes())]
    return [node for node in nodes if node is not None and node.IsA("vtkMRMLScalarVolumeNode")]


def volumes_of_scene() -> list[Any]:
    """The volumes of the scene, those of sequences too; no label maps."""
    volumes = [
        volume
        for volume in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if not volume.IsA("vtkMRMLLabelMapVolumeNode")
    ]
    for sequence in slicer.util.getNodesByClass("vtkMRMLSequenceNode"):
        volumes += volumes_of_sequence(sequence)
    return volumes
