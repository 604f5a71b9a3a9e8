"""Outlining the tumour, and the slice and square that follow from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from .parameters import LARGEST

if TYPE_CHECKING:
    from .panel import Panel

_EFFECTS = (
    "Paint", "Draw", "Erase", "Threshold", "Scissors", "Islands", "Smoothing", "Margin",
    "Level tracing",
)  # fmt: skip


class TumourSection:
    """The sections "Tumour" and "Slice and region"."""

    def __init__(self, ui: Any, panel: Panel) -> None:
        self._ui, self._panel = ui, panel
        self._editor_node: Any = None
        self._center: list[float] | None = None
        ui.segmentEditor.setMRMLScene(slicer.mrmlScene)
        ui.segmentEditor.setEffectNameOrder(_EFFECTS)
        ui.segmentEditor.unorderedEffectsVisible = False
        ui.segmentEditor.segmentationNodeSelectorVisible = False
        ui.segmentEditor.sourceVolumeNodeSelectorVisible = False
        ui.segmentEditor.connect("currentSegmentIDChanged(QString)", self._segment_chosen)
        ui.pointSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._point_list_chosen)
        ui.boxSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._box_chosen)
        for place in (ui.pointPlace, ui.boxPlace):
            place.setMRMLScene(slicer.mrmlScene)
            place.buttonsVisible = False
            place.placeButton().show()
            place.connect("activeMarkupsFiducialPlaceModeChanged(bool)", self._placing)
        ui.pointButton.connect("clicked()", self._from_point)
        ui.boxButton.connect("clicked()", self._from_box)
        ui.drawButton.connect("clicked()", self._draw)
        ui.importEdit.connect("currentPathChanged(QString)", self._file_chosen)
        ui.importButton.connect("clicked()", self._import)
        ui.jumpButton.connect("clicked()", self.jump)

    # Segment Editor

    def enter(self) -> None:
        """The module is shown: the editor gets a node of its own."""
        if self._editor_node is None:
            tag = "HER2Predict.SegmentEditor"
            node = slicer.mrmlScene.GetSingletonNode(tag, "vtkMRMLSegmentEditorNode")
            if node is None:
                node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
                node.UnRegister(None)
                node.SetSingletonTag(tag)
                node = slicer.mrmlScene.AddNode(node)
            self._editor_node = node
        self._ui.segmentEditor.setMRMLSegmentEditorNode(self._editor_node)
        self._show_editor()

    def exit(self) -> None:
        """Another module is shown: no effect may stay active and take the mouse."""
        editor = self._ui.segmentEditor
        if editor.mrmlSegmentEditorNode() is not None:  # after a reload nobody has entered
            editor.setActiveEffect(None)
            editor.setMRMLSegmentEditorNode(None)

    def forget(self) -> None:
        """The scene is about to go."""
        self.exit()
        self._editor_node = None

    def _show_editor(self) -> None:
        editor = self._ui.segmentEditor
        if editor.mrmlSegmentEditorNode() is None:
            return
        segmentation, segment_id, volume = self._panel.outlining.outline
        editor.setSegmentationNode(segmentation)
        editor.setSourceVolumeNode(volume)
        if segmentation is not None and segment_id and editor.currentSegmentID() != segment_id:
            editor.setCurrentSegmentID(segment_id)

    def _segment_chosen(self, segment_id: str) -> None:
        p = self._panel.case.parameters
        if segment_id and p.segmentation is not None and segment_id != p.segmentID:
            p.segmentID = segment_id

    # Delineating

    def _point_list_chosen(self, node: Any) -> None:
        if node is not None and node.GetNumberOfControlPoints() == 0:
            node.SetMaximumNumberOfControlPoints(1)
            node.CreateDefaultDisplayNodes()
            node.GetDisplayNode().SetPointLabelsVisibility(False)
        self._ui.pointPlace.setCurrentNode(node)
        self._panel.case.parameters.point = node

    def _box_chosen(self, node: Any) -> None:
        self._ui.boxPlace.setCurrentNode(node)
        self._panel.case.parameters.box = node

    def _placing(self, placing: bool) -> None:
        if not placing:
            self._panel.refresh()

    def _from_point(self) -> None:
        if self._panel.may_outline_anew():
            self._panel.act(self._panel.outlining.delineate_from_point)

    def _from_box(self) -> None:
        if self._panel.may_outline_anew():
            self._panel.act(self._panel.outlining.delineate_from_box)

    def _draw(self) -> None:
        self._panel.problem = ""
        self._panel.outlining.new_segmentation()
        self.enter()
        self._ui.segmentEditor.setActiveEffectByName("Paint")
        self._panel.refresh()

    def _file_chosen(self, _path: str) -> None:
        self._panel.refresh()

    def _import(self) -> None:
        ui = self._ui
        self._panel.act(self._import_file)
        ui.importEdit.addCurrentPathToHistory()

    def _import_file(self, done: Any, failed: Any) -> None:
        file, order = self._ui.importEdit.currentPath, self._ui.importOrderEdit.text.strip()
        self._panel.case.import_mask(file, done, failed, order=order)

    # Slice and region

    def jump(self) -> None:
        """Show the region's slice in all views."""
        region = self._panel.case.region
        if region is not None:
            node = slicer.vtkMRMLSliceNode
            node.JumpAllSlices(slicer.mrmlScene, *region.center_ras, node.OffsetJumpSlice)

    def refresh(self) -> None:
        """Show the slice, and go there when it is another one than before."""
        ui, case = self._ui, self._panel.case
        region, p = case.region, case.parameters
        for selector, node in ((ui.pointSelector, p.point), (ui.boxSelector, p.box)):
            if selector.currentNode() is not node:
                selector.setCurrentNode(node)
        self._show_editor()
        warnings = self._panel.outlining.tumour_warnings
        ui.tumourNoteLabel.text = "\n".join(warnings)
        ui.tumourNoteLabel.visible = bool(warnings)
        ui.jumpButton.enabled = region is not None
        ui.jumpButton.toolTip = "" if region is not None else case.region_problem
        if region is None:
            ui.sliceLabel.text = case.region_problem
            self._center = None
            return
        rule = _("largest cross-section") if case.parameters.sliceIndex == LARGEST else _("chosen")
        ui.sliceLabel.text = _(
            "Slice {k} ({rule}), {area:.0f} mm²; tumour on slices {first} to {last}, "
            "{volume:.2f} cm³; square of {side:.1f} mm"
        ).format(
            k=region.roi.slice_index,
            rule=rule,
            area=region.area_mm2,
            first=region.first,
            last=region.last,
            volume=region.volume_mm3 / 1000,
            side=region.roi.side_mm,
        )
        if region.center_ras != self._center:
            self._center = region.center_ras
            self.jump()
