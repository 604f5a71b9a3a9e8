"""The embedded Segment Editor, without its effects' mouse work.

Its state is where Slicer keeps it, in a vtkMRMLSegmentEditorNode: segmentation, source volume,
selected segment, active effect. What a user paints, a test writes into the segmentation node.
"""

from __future__ import annotations

from typing import Any, ClassVar

import qt
import slicer
import vtk

from ..descriptors import memory
from ..standins import made_by_cpp
from .registry import behaves_as, unwatch, watch
from .segments import segment_ids, watch_segments

# Names and order of the effects in Slicer 5.12, without those of extensions.
EFFECTS = [
    "Threshold", "Paint", "Draw", "Erase", "Level tracing", "Grow from seeds",
    "Fill between slices", "Margin", "Hollow", "Smoothing", "Scissors", "Islands",
    "Logical operators", "Mask volume",
]  # fmt: skip


@behaves_as("qSlicerSegmentEditorAbstractEffect")
class Effect:
    """An effect that can be activated and keeps its parameters in the editor's node."""

    def _begin(self) -> None:
        super()._begin()
        memory(self).parameters = {}

    def _do_setParameter(self, name: str, value: Any) -> None:
        memory(self).parameters[name] = str(value)

    def _do_parameter(self, name: str) -> str:
        return str(memory(self).parameters.get(name, ""))


@behaves_as("qMRMLSegmentEditorWidget")
class SegmentEditor:
    """Node selectors, the table of segments and the buttons of the effects."""

    defaults: ClassVar = {
        "segmentationNodeSelectorVisible": True,
        "sourceVolumeNodeSelectorVisible": True,
        "maskingSectionVisible": True,
        "specifyGeometryButtonVisible": True,
        "show3DButtonVisible": True,
        "addRemoveSegmentButtonsVisible": True,
        "autoShowSourceVolumeNode": True,
        "switchToSegmentationsButtonVisible": True,
        "undoEnabled": True,
        "maximumNumberOfUndoStates": 10,
        "unorderedEffectsVisible": True,
    }

    def _begin(self) -> None:
        super()._begin()
        kept = memory(self)
        kept.scene, kept.editor, kept.effects, kept.order = None, None, {}, []
        kept.shown = (None, None, "")  # segmentation, source volume, segment last announced
        kept.segmentations, kept.volumes = slicer.qMRMLNodeComboBox(), slicer.qMRMLNodeComboBox()
        kept.segmentations.nodeTypes = ["vtkMRMLSegmentationNode"]
        kept.volumes.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        for box in (kept.segmentations, kept.volumes):
            box.noneEnabled, box.addEnabled = True, False
        kept.segmentations.connect("currentNodeChanged(vtkMRMLNode*)", self._segmentation_picked)
        kept.volumes.connect("currentNodeChanged(vtkMRMLNode*)", self._volume_picked)
        kept.add, kept.remove = qt.QPushButton("Add"), qt.QPushButton("Remove")
        kept.add.connect("clicked()", self._add_segment)
        kept.remove.connect("clicked()", self._remove_segment)
        kept.table = slicer.qMRMLSegmentsTableView()
        kept.table.connect("selectionChanged(QItemSelection,QItemSelection)", self._segment_picked)
        kept.buttons = qt.QLabel()
        kept.buttons.wordWrap = True
        form = qt.QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        kept.labels = [qt.QLabel("Segmentation:"), qt.QLabel("Source volume:")]
        form.addRow(kept.labels[0], kept.segmentations)
        form.addRow(kept.labels[1], kept.volumes)
        row = qt.QHBoxLayout()
        row.addWidget(kept.add)
        row.addWidget(kept.remove)
        form.addRow(row)
        form.addRow(kept.table)
        form.addRow(kept.buttons)
        self._show()

    # Scene and parameter node

    def _do_setMRMLScene(self, scene: Any) -> None:
        kept = memory(self)
        if scene is kept.scene:
            return
        kept.scene = scene
        for box in (kept.segmentations, kept.volumes):
            box.setMRMLScene(scene)
        self._announce("mrmlSceneChanged", scene)

    def _do_mrmlScene(self) -> Any:
        return memory(self).scene

    def _do_setMRMLSegmentEditorNode(self, node: Any) -> None:
        unwatch(self, "editor")
        memory(self).editor = node
        if node is not None:
            modified = vtk.vtkCommand.ModifiedEvent
            watch(
                self, node, modified, lambda editor, _: editor._do_updateWidgetFromMRML(), "editor"
            )
        self._do_updateWidgetFromMRML()

    def _do_mrmlSegmentEditorNode(self) -> Any:
        return memory(self).editor

    def _needed(self) -> Any:
        """The editor node; as in Slicer nothing can be set without one."""
        if memory(self).editor is None:
            raise RuntimeError("qMRMLSegmentEditorWidget has no segment editor node yet")
        return memory(self).editor

    def _do_updateWidgetFromMRML(self) -> None:
        node, kept = memory(self).editor, memory(self)
        segmentation = node.GetSegmentationNode() if node is not None else None
        volume = node.GetSourceVolumeNode() if node is not None else None
        segment = (node.GetSelectedSegmentID() if node is not None else "") or ""
        old, kept.shown = kept.shown, (segmentation, volume, segment)
        if segmentation is not old[0]:
            watch_segments(self, segmentation, lambda editor, _: editor._segments_changed())
            kept.segmentations.setCurrentNode(segmentation)
            kept.table.setSegmentationNode(segmentation)
            self._announce("segmentationNodeChanged", segmentation)
            self._segments_changed()
        if volume is not old[1]:
            kept.volumes.setCurrentNode(volume)
            self._announce("sourceVolumeNodeChanged", volume)
            self._announce("masterVolumeNodeChanged", volume)
        if segment != old[2]:
            kept.table.setSelectedSegmentIDs([segment] if segment else [])
            self._announce("currentSegmentIDChanged", segment)
        self._show()

    def _segments_changed(self) -> None:
        """A selected segment that is gone gives way to the first one."""
        node = memory(self).editor
        if node is not None:
            ids = segment_ids(node.GetSegmentationNode())
            if (node.GetSelectedSegmentID() or "") not in ids:
                node.SetSelectedSegmentID(ids[0] if ids else None)
        self._show()

    # Nodes

    def _do_setSegmentationNode(self, node: Any) -> None:
        if node is not self._needed().GetSegmentationNode():
            self._needed().SetAndObserveSegmentationNode(node)
            if node is not None and node.GetDisplayNode() is None:
                node.CreateDefaultDisplayNodes()
            self._give_geometry()

    def _do_setSegmentationNodeID(self, node_id: str) -> None:
        self._do_setSegmentationNode(memory(self).scene.GetNodeByID(node_id))

    def _do_segmentationNode(self) -> Any:
        return memory(self).editor.GetSegmentationNode() if memory(self).editor else None

    def _do_segmentationNodeID(self) -> str:
        return self._do_segmentationNode().GetID() if self._do_segmentationNode() else ""

    def _do_setSourceVolumeNode(self, node: Any) -> None:
        if node is not self._needed().GetSourceVolumeNode():
            self._needed().SetAndObserveSourceVolumeNode(node)
            self._give_geometry()

    def _do_setSourceVolumeNodeID(self, node_id: str) -> None:
        self._do_setSourceVolumeNode(memory(self).scene.GetNodeByID(node_id))

    def _do_sourceVolumeNode(self) -> Any:
        return memory(self).editor.GetSourceVolumeNode() if memory(self).editor else None

    def _do_sourceVolumeNodeID(self) -> str:
        return self._do_sourceVolumeNode().GetID() if self._do_sourceVolumeNode() else ""

    def _give_geometry(self) -> None:
        """An empty segmentation takes the source volume's geometry, as the first edit would."""
        segmentation, volume = self._do_segmentationNode(), self._do_sourceVolumeNode()
        if segmentation is not None and volume is not None:
            name = "Reference image geometry"
            if not segmentation.GetSegmentation().GetConversionParameter(name):
                segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)

    # Segments

    def _do_currentSegmentID(self) -> str:
        node = memory(self).editor
        return (node.GetSelectedSegmentID() or "") if node is not None else ""

    def _do_setCurrentSegmentID(self, segment: str) -> None:
        self._needed().SetSelectedSegmentID(segment or None)

    def _segmentation_picked(self, node: Any) -> None:
        if memory(self).editor is not None:
            self._do_setSegmentationNode(node)

    def _volume_picked(self, node: Any) -> None:
        if memory(self).editor is not None:
            self._do_setSourceVolumeNode(node)

    def _segment_picked(self, *_: Any) -> None:
        chosen = memory(self).table.selectedSegmentIDs()
        if chosen and memory(self).editor is not None:
            self._do_setCurrentSegmentID(chosen[0])

    def _add_segment(self) -> None:
        segmentation = self._do_segmentationNode()
        if segmentation is not None:
            self._do_setCurrentSegmentID(segmentation.GetSegmentation().AddEmptySegment())

    def _remove_segment(self) -> None:
        segmentation, segment = self._do_segmentationNode(), self._do_currentSegmentID()
        if segmentation is not None and segment:
            segmentation.GetSegmentation().RemoveSegment(segment)

    # Effects

    def _do_availableEffectNames(self) -> list[str]:
        return list(EFFECTS)

    def _do_effectCount(self) -> int:
        return len(EFFECTS)

    def _do_effectByName(self, name: str) -> Any:
        if name not in EFFECTS:
            return None
        effects = memory(self).effects
        if name not in effects:
            effects[name] = made_by_cpp(slicer.qSlicerSegmentEditorAbstractEffect, self)
            effects[name].name = name
        return effects[name]

    def _do_activeEffect(self) -> Any:
        node = memory(self).editor
        name = node.GetActiveEffectName() if node is not None else ""
        return self._do_effectByName(name) if name else None

    def _do_setActiveEffectByName(self, name: str) -> None:
        if name and name not in EFFECTS:
            raise ValueError(f"the Segment Editor has no effect named '{name}'")
        self._needed().SetActiveEffectName(name)

    def _do_setActiveEffect(self, effect: Any) -> None:
        self._do_setActiveEffectByName(effect.name if effect is not None else "")

    def _do_setEffectNameOrder(self, names: list[str]) -> None:
        memory(self).order = list(names)
        self._show()

    def _do_effectNameOrder(self) -> list[str]:
        return list(memory(self).order)

    # Appearance

    def _set_segmentationNodeSelectorVisible(self, shown: bool) -> None:
        self._keep("segmentationNodeSelectorVisible", shown)
        self._show()

    def _set_sourceVolumeNodeSelectorVisible(self, shown: bool) -> None:
        self._keep("sourceVolumeNodeSelectorVisible", shown)
        self._show()

    def _set_unorderedEffectsVisible(self, shown: bool) -> None:
        self._keep("unorderedEffectsVisible", shown)
        self._show()

    def _show(self) -> None:
        kept = memory(self)
        for index, (box, shown) in enumerate(
            (
                (kept.segmentations, self.segmentationNodeSelectorVisible),
                (kept.volumes, self.sourceVolumeNodeSelectorVisible),
            )
        ):
            box.visible = kept.labels[index].visible = shown
        has_nodes = self._do_segmentationNode() is not None and not self.readOnly
        kept.add.enabled = has_nodes
        kept.remove.enabled = has_nodes and bool(self._do_currentSegmentID())
        ordered = [name for name in kept.order if name in EFFECTS]
        others = [n for n in EFFECTS if n not in ordered] if self.unorderedEffectsVisible else []
        active = kept.editor.GetActiveEffectName() if kept.editor is not None else ""
        names = [f"<b>{n}</b>" if n == active else n for n in [*ordered, *others]]
        kept.buttons.text = "Effects: " + " · ".join(names)
        kept.buttons.enabled = self._do_sourceVolumeNode() is not None and has_nodes
