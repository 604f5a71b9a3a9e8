"""Widgets that place markups; a test clicks with `Harness.click`."""

from __future__ import annotations

from typing import Any, ClassVar

import qt
import slicer

from ..descriptors import memory
from .registry import behaves_as, unwatch, watch


@behaves_as("qSlicerMarkupsPlaceWidget")
class MarkupsPlaceWidget:
    """The place button: puts the application into place mode for its node."""

    defaults: ClassVar = {"buttonsVisible": True, "deleteAllControlPointsOptionVisible": True}

    def _begin(self) -> None:
        super()._begin()
        kept = memory(self)
        kept.scene, kept.node = None, None
        kept.button = qt.QToolButton()
        kept.button.text = "Place"
        kept.button.checkable = True
        kept.button.connect("clicked(bool)", self._set_placeModeEnabled)
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(kept.button)

    def _do_setMRMLScene(self, scene: Any) -> None:
        memory(self).scene = scene
        unwatch(self)
        if scene is not None:
            event = slicer.vtkMRMLInteractionNode.InteractionModeChangedEvent
            watch(self, self._do_interactionNode(), event, lambda w, _: w._mode_changed())

    def _do_setCurrentNode(self, node: Any) -> None:
        if node is not memory(self).node and self.placeModeEnabled:
            self.placeModeEnabled = False
        memory(self).node = node
        memory(self).button.enabled = node is not None

    def _do_currentNode(self) -> Any:
        return memory(self).node

    def _do_currentMarkupsNode(self) -> Any:
        return memory(self).node

    def _do_interactionNode(self) -> Any:
        return slicer.app.applicationLogic().GetInteractionNode()

    def _do_selectionNode(self) -> Any:
        return slicer.app.applicationLogic().GetSelectionNode()

    def _do_placeButton(self) -> Any:
        return memory(self).button

    def _get_currentNodeActive(self) -> bool:
        node = memory(self).node
        return node is not None and self._do_selectionNode().GetActivePlaceNodeID() == node.GetID()

    def _set_currentNodeActive(self, active: bool) -> None:
        node, selection = memory(self).node, self._do_selectionNode()
        if active and node is not None:
            selection.SetReferenceActivePlaceNodeClassName(node.GetClassName())
            selection.SetActivePlaceNodeID(node.GetID())
        elif self._get_currentNodeActive():
            selection.SetActivePlaceNodeID(None)

    def _get_placeModeEnabled(self) -> bool:
        mode = self._do_interactionNode().GetCurrentInteractionMode()
        return self._get_currentNodeActive() and mode == slicer.vtkMRMLInteractionNode.Place

    def _set_placeModeEnabled(self, enable: bool) -> None:
        if enable == self._get_placeModeEnabled() or memory(self).node is None:
            return
        interaction = self._do_interactionNode()
        if enable:
            self._set_currentNodeActive(True)
            interaction.SetPlaceModePersistence(int(self.placeModePersistency))
            interaction.SetCurrentInteractionMode(slicer.vtkMRMLInteractionNode.Place)
        else:
            interaction.SetCurrentInteractionMode(slicer.vtkMRMLInteractionNode.ViewTransform)

    def _do_deleteAllPoints(self) -> None:
        memory(self).node.RemoveAllControlPoints()

    def _do_deleteLastPoint(self) -> None:
        node = memory(self).node
        if node.GetNumberOfControlPoints():
            node.RemoveNthControlPoint(node.GetNumberOfControlPoints() - 1)

    def _mode_changed(self) -> None:
        enabled = self._get_placeModeEnabled()
        memory(self).button.checked = enabled
        self._announce("activeMarkupsPlaceModeChanged", enabled)
        self._announce("activeMarkupsFiducialPlaceModeChanged", enabled)


@behaves_as("qSlicerSimpleMarkupsWidget")
class SimpleMarkupsWidget:
    """A node selector with a place widget, for lists of points."""

    defaults: ClassVar = {
        "nodeSelectorVisible": True,
        "optionsVisible": True,
        "jumpToSliceEnabled": False,
    }

    def _begin(self) -> None:
        super()._begin()
        kept = memory(self)
        kept.selector, kept.place = slicer.qMRMLNodeComboBox(), slicer.qSlicerMarkupsPlaceWidget()
        kept.selector.nodeTypes = ["vtkMRMLMarkupsFiducialNode"]
        kept.selector.noneEnabled = True
        kept.selector.connect("currentNodeChanged(vtkMRMLNode*)", self._node_changed)
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(kept.selector)
        layout.addWidget(kept.place)

    def _do_setMRMLScene(self, scene: Any) -> None:
        memory(self).selector.setMRMLScene(scene)
        memory(self).place.setMRMLScene(scene)

    def _do_setCurrentNode(self, node: Any) -> None:
        memory(self).selector.setCurrentNode(node)

    def _do_currentNode(self) -> Any:
        return memory(self).selector.currentNode()

    def _do_setNodeBaseName(self, name: str) -> None:
        memory(self).selector.baseName = name

    def _do_markupsPlaceWidget(self) -> Any:
        return memory(self).place

    def _do_markupsSelectorComboBox(self) -> Any:
        return memory(self).selector

    def _do_placeActive(self, place: bool) -> None:
        memory(self).place.placeModeEnabled = place

    def _set_nodeSelectorVisible(self, shown: bool) -> None:
        self._keep("nodeSelectorVisible", shown)
        memory(self).selector.visible = shown

    def _node_changed(self, node: Any) -> None:
        memory(self).place.setCurrentNode(node)
        if node is not None and self.enterPlaceModeOnNodeChange:
            memory(self).place.placeModeEnabled = True
        self._announce("markupsNodeChanged")
        self._announce("markupsFiducialNodeChanged")
