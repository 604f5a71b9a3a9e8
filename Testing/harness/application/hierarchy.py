"""Subject-hierarchy items for nodes: in Slicer its Qt plugins make and remove them."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

Hierarchy = slicer.vtkMRMLSubjectHierarchyNode
SHOWN = (
    "vtkMRMLDisplayableNode", "vtkMRMLTableNode", "vtkMRMLTextNode", "vtkMRMLPlotChartNode",
    "vtkMRMLSequenceNode", "vtkMRMLColorTableNode",
)  # fmt: skip
NOT_SHOWN = ("vtkMRMLAnnotationHierarchyNode", "vtkMRMLCameraNode")


def belongs(node: Any) -> bool:
    """Whether a plugin of Slicer's would own this node."""
    if node.GetHideFromEditors() or any(map(node.IsA, NOT_SHOWN)):
        return False
    if node.IsA("vtkMRMLColorTableNode") and node.GetSingletonTag():
        return False
    return any(map(node.IsA, SHOWN))


def follow(scene: Any) -> None:
    """Keep items in step with the scene's nodes from now on."""

    def add(node: Any) -> None:
        hierarchy = Hierarchy.GetSubjectHierarchyNode(scene)
        if hierarchy is not None and belongs(node) and not hierarchy.GetItemByDataNode(node):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    @vtk.calldata_type(vtk.VTK_OBJECT)  # type: ignore[untyped-decorator]
    def added(caller: Any, event: str, node: Any) -> None:
        # A loaded scene brings its own items; nodes without one get theirs when it is complete.
        if not scene.IsImporting() and not scene.IsRestoring():
            add(node)

    def imported(caller: Any, event: str) -> None:
        for index in range(scene.GetNumberOfNodes()):
            add(scene.GetNthNode(index))

    @vtk.calldata_type(vtk.VTK_OBJECT)  # type: ignore[untyped-decorator]
    def removing(caller: Any, event: str, node: Any) -> None:
        if scene.IsClosing() or node.IsA("vtkMRMLSubjectHierarchyNode"):
            return
        hierarchy = Hierarchy.GetSubjectHierarchyNode(scene)
        item = hierarchy.GetItemByDataNode(node) if hierarchy is not None else 0
        if item:
            hierarchy.RemoveItem(item, False, False)

    scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, added)
    scene.AddObserver(slicer.vtkMRMLScene.EndImportEvent, imported)
    scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, removing)
