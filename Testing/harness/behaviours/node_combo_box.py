"""The node selectors."""

from __future__ import annotations

from typing import Any, ClassVar

import qt
import slicer
import vtk

from ..descriptors import memory
from .registry import behaves_as, remembered, unwatch, watch

Scene = slicer.vtkMRMLScene


@behaves_as("qMRMLNodeComboBox")
class NodeComboBox:
    """Offers the scene's nodes of some types and holds the chosen one.

    As in C++: a node that is added later is not chosen by itself; when the chosen node goes, the
    last remaining one follows unless `None` may be chosen.
    """

    defaults: ClassVar = {
        "addEnabled": True,
        "removeEnabled": True,
        "showChildNodeTypes": True,
        "selectNodeUponCreation": True,
        "noneDisplay": "None",
        "interactionNodeSingletonTag": "Singleton",
    }

    def _begin(self) -> None:
        super()._begin()
        kept = memory(self)
        kept.node, kept.attributes, kept.scene, kept.requested = None, [], None, None
        kept.box = box = qt.QComboBox()
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(box)
        box.connect("activated(int)", self._activated)

    # The nodes it offers

    def _offers(self, node: Any) -> bool:
        if node is None or (node.GetHideFromEditors() and not self.showHidden):
            return False
        if node.GetClassName() in self.hideChildNodeTypes:
            return False
        children = self.showChildNodeTypes
        if not any(node.IsA(t) if children else node.GetClassName() == t for t in self.nodeTypes):
            return False
        for kind, name, wanted in memory(self).attributes:
            if node.IsA(kind):
                value = node.GetAttribute(name)
                if value is None or (wanted is not None and value != str(wanted)):
                    return False
        return True

    def _nodes(self) -> list[Any]:
        scene = memory(self).scene
        count = 0 if scene is None else scene.GetNumberOfNodes()
        return [n for n in map(scene.GetNthNode, range(count)) if self._offers(n)] if count else []

    # The scene

    def _do_setMRMLScene(self, scene: Any) -> None:
        kept = memory(self)
        if scene is kept.scene:
            return
        unwatch(self)
        kept.scene = scene
        if scene is not None:
            removing = Scene.NodeAboutToBeRemovedEvent
            watch(self, scene, Scene.NodeAddedEvent, NodeComboBox._added, node=True)
            watch(self, scene, removing, NodeComboBox._removing, node=True)
            watch(self, scene, Scene.NodeRemovedEvent, lambda box, _: box._show())
            for event in (Scene.EndBatchProcessEvent, Scene.EndCloseEvent):
                watch(self, scene, event, lambda box, _: box._refresh())
        requested, kept.requested = kept.requested, None
        if requested is not None and scene is not None:
            self._do_setCurrentNode(requested)
        self._refresh()

    def _do_mrmlScene(self) -> Any:
        return memory(self).scene

    def _added(self, node: Any) -> None:
        if not memory(self).scene.IsBatchProcessing() and self._offers(node):
            self._show()
            self._announce("nodeAdded", node)

    def _removing(self, node: Any) -> None:
        if not self._offers(node):
            return
        self._announce("nodeAboutToBeRemoved", node)
        if memory(self).node is node:
            others = [n for n in self._nodes() if n is not node]
            self._choose(others[-1] if others and not self.noneEnabled else None)

    def _refresh(self) -> None:
        nodes = self._nodes()
        if memory(self).node not in nodes:
            self._choose(nodes[0] if nodes and not self.noneEnabled else None)
        self._show()

    # The chosen node

    def _choose(self, node: Any) -> None:
        node = node if self._offers(node) else None
        if node is memory(self).node:
            return
        unwatch(self, "node")
        memory(self).node = node
        if node is not None:
            watch(self, node, vtk.vtkCommand.ModifiedEvent, lambda box, _: box._show(), "node")
        self._show()
        self._announce_node("currentNodeChanged", node)
        self._announce("currentNodeIDChanged", node.GetID() if node else "")

    def _do_setCurrentNode(self, node: Any) -> None:
        kept = memory(self)
        if kept.scene is None:
            kept.requested = node
            return
        if isinstance(node, str):
            node = kept.scene.GetNodeByID(node) if node else None
        self._choose(node)

    _do_setCurrentNodeID = _do_setCurrentNode
    _set_currentNodeID = _do_setCurrentNode
    _set_currentNodeId = _do_setCurrentNode

    def _do_currentNode(self) -> Any:
        return memory(self).node

    def _get_currentNodeID(self) -> str:
        return memory(self).node.GetID() if memory(self).node else ""

    _get_currentNodeId = _get_currentNodeID

    def _do_currentNodeId(self) -> str:
        return self._get_currentNodeID()

    def _do_setCurrentNodeIndex(self, index: int) -> None:
        self._choose(self._do_nodeFromIndex(index))

    def _do_nodeFromIndex(self, index: int) -> Any:
        nodes = self._nodes()
        return nodes[index] if 0 <= index < len(nodes) else None

    def _do_nodeCount(self) -> int:
        return len(self._nodes())

    def _do_removeCurrentNode(self) -> None:
        memory(self).scene.RemoveNode(memory(self).node)

    def _do_addNode(self, kind: str | None = None) -> Any:
        kept = memory(self)
        kind = kind or (self.nodeTypes[0] if self.nodeTypes else None)
        if kind not in self.nodeTypes:
            return None
        node = kept.scene.CreateNodeByClass(kind)
        node.UnRegister(None)
        node.SetName(kept.scene.GenerateUniqueName(self.baseName or node.GetNodeTagName()))
        for owner, name, value in kept.attributes:
            if owner == kind and value is not None:
                node.SetAttribute(name, str(value))
        node = kept.scene.AddNode(node)
        if self.selectNodeUponCreation:
            self._choose(node)
        self._announce("nodeAddedByUser", node)
        return node

    # Filters

    def _do_addAttribute(self, kind: str, name: str, value: Any = None) -> None:
        memory(self).attributes.append((kind, name, value))
        self._refresh()

    def _do_removeAttribute(self, kind: str, name: str) -> None:
        kept = memory(self)
        kept.attributes = [a for a in kept.attributes if a[:2] != (kind, name)]
        self._refresh()

    def _set_nodeTypes(self, kinds: list[str]) -> None:
        self._filter("nodeTypes", kinds)

    def _set_showChildNodeTypes(self, value: bool) -> None:
        self._filter("showChildNodeTypes", value)

    def _set_noneEnabled(self, value: bool) -> None:
        self._filter("noneEnabled", value)

    def _set_showHidden(self, value: bool) -> None:
        self._filter("showHidden", value)

    def _set_hideChildNodeTypes(self, kinds: list[str]) -> None:
        self._filter("hideChildNodeTypes", kinds)

    def _filter(self, name: str, value: Any) -> None:
        memory(self).values[name] = value
        self._refresh()

    # The inner combo box

    def _entries(self) -> list[tuple[str, Any]]:
        entries: list[tuple[str, Any]] = [(n.GetName() or "", n) for n in self._nodes()]
        return [(self.noneDisplay, None), *entries] if self.noneEnabled else entries

    def _activated(self, index: int) -> None:
        self._choose(self._entries()[index][1])

    def _show(self) -> None:
        box, entries = memory(self).box, self._entries()
        blocked = box.blockSignals(True)
        box.clear()
        for name, _ in entries:
            box.addItem(name)
        nodes = [node for _, node in entries]
        box.currentIndex = nodes.index(memory(self).node) if memory(self).node in nodes else -1
        box.blockSignals(blocked)


@behaves_as("qMRMLColorTableComboBox")
class ColorTableComboBox:
    """Offers colour tables and procedural colours, the built-in ones too."""

    defaults: ClassVar = {
        "nodeTypes": ["vtkMRMLColorTableNode", "vtkMRMLProceduralColorNode"],
        "showHidden": True,
        "addEnabled": False,
        "removeEnabled": False,
    }


@behaves_as("qMRMLCheckableNodeComboBox")
class CheckableNodeComboBox:
    """Lets several nodes be checked."""

    def _checked(self) -> list[Any]:
        return [n for n in self._nodes() if n in remembered(self, "checked", [])]

    def _check(self, node: Any, on: bool) -> None:
        checked = memory(self).__dict__.setdefault("checked", [])
        if (node in checked) != on:
            (checked.append if on else checked.remove)(node)
            self._announce("checkedNodesChanged")

    def _do_check(self, node: Any) -> None:
        self._check(node, True)

    def _do_uncheck(self, node: Any) -> None:
        self._check(node, False)

    def _do_checkedNodes(self) -> list[Any]:
        return self._checked()

    def _do_uncheckedNodes(self) -> list[Any]:
        return [n for n in self._nodes() if n not in self._checked()]

    def _do_noneChecked(self) -> bool:
        return not self._checked()

    def _do_allChecked(self) -> bool:
        return not self._do_uncheckedNodes()
