"""Choosing an item of the subject hierarchy; the items are the real node's."""

from __future__ import annotations

from typing import Any

import qt
import slicer
import vtk

from ..descriptors import memory
from .registry import behaves_as, remembered, unwatch, watch

Hierarchy = slicer.vtkMRMLSubjectHierarchyNode
ITEM_EVENTS = ("Added", "Removed", "Modified", "Reparented")


class ItemChooser:
    """Holds the scene and the current item."""

    def _begin(self) -> None:
        super()._begin()
        kept = memory(self)
        kept.scene, kept.item = None, 0

    def _do_setMRMLScene(self, scene: Any) -> None:
        if remembered(self, "scene") is scene:
            return
        unwatch(self)
        memory(self).scene, memory(self).item = scene, 0
        hierarchy = self._do_subjectHierarchyNode()
        if hierarchy is not None:
            for name in ITEM_EVENTS:
                event = getattr(Hierarchy, f"SubjectHierarchyItem{name}Event")
                watch(self, hierarchy, event, lambda chooser, _: chooser._items_changed())
        self._show()

    def _do_mrmlScene(self) -> Any:
        return remembered(self, "scene")

    def _do_subjectHierarchyNode(self) -> Any:
        scene = remembered(self, "scene")
        return Hierarchy.GetSubjectHierarchyNode(scene) if scene is not None else None

    def _items_changed(self) -> None:
        item, hierarchy = memory(self).item, self._do_subjectHierarchyNode()
        if item and (hierarchy is None or not hierarchy.GetItemName(item)):
            self._do_setCurrentItem(0)
        self._show()

    def _do_setCurrentItem(self, item: int) -> None:
        hierarchy = self._do_subjectHierarchyNode()
        node = hierarchy.GetItemDataNode(item) if hierarchy is not None and item else None
        if node is not None and self.nodeTypes and not any(map(node.IsA, self.nodeTypes)):
            item, node = 0, None
        if item == memory(self).item:
            return
        memory(self).item = item
        self._show()
        self._announce("currentItemChanged", item)
        self._announce("currentItemsChanged", [item] if item else [])
        self._announce("currentNodeChanged", node)

    def _do_setCurrentNode(self, node: Any) -> None:
        hierarchy = self._do_subjectHierarchyNode()
        found = hierarchy is not None and node is not None
        self._do_setCurrentItem(hierarchy.GetItemByDataNode(node) if found else 0)

    def _do_currentItem(self) -> int:
        return int(memory(self).item)

    def _do_currentNode(self) -> Any:
        item = memory(self).item
        return self._do_subjectHierarchyNode().GetItemDataNode(item) if item else None

    def _items(self) -> list[int]:
        hierarchy = self._do_subjectHierarchyNode()
        if hierarchy is None:
            return []
        ids = vtk.vtkIdList()
        hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), ids, True)
        return [ids.GetId(i) for i in range(ids.GetNumberOfIds())]

    def _show(self) -> None:
        """Nothing to show here."""


@behaves_as("qMRMLSubjectHierarchyComboBox")
class HierarchyComboBox(ItemChooser):
    """The combo box."""

    def _do_clearSelection(self) -> None:
        self._do_setCurrentItem(0)


@behaves_as("qMRMLSubjectHierarchyTreeView")
class HierarchyTreeView(ItemChooser):
    """The tree, shown with names only."""

    def clearSelection(self) -> None:
        self._do_setCurrentItem(0)

    def _show(self) -> None:
        hierarchy = self._do_subjectHierarchyNode()
        model = qt.QStandardItemModel()
        model.setHorizontalHeaderLabels(["Node"])
        rows: dict[int, Any] = {}
        for item in self._items():
            parent = rows.get(hierarchy.GetItemParent(item), model.invisibleRootItem())
            rows[item] = qt.QStandardItem(hierarchy.GetItemName(item))
            parent.appendRow(rows[item])
        memory(self).model = model
        self.setModel(model)
        self.expandAll()
