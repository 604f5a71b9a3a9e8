"""Widgets that list or choose the segments of a segmentation."""

from __future__ import annotations

from typing import Any, ClassVar

import qt
import slicer

from ..descriptors import memory
from .registry import behaves_as, unwatch, watch

SEGMENT_EVENTS = ("SegmentAdded", "SegmentRemoved", "SegmentModified")


def segment_ids(node: Any) -> list[str]:
    """Segment IDs of a segmentation node, none for anything else."""
    if node is None or not node.IsA("vtkMRMLSegmentationNode"):
        return []
    return list(node.GetSegmentation().GetSegmentIDs())


def watch_segments(standin: Any, node: Any, function: Any) -> None:
    """Call `function(standin, data)` whenever the node's segments change."""
    unwatch(standin, "segments")
    if node is not None and node.IsA("vtkMRMLSegmentationNode"):
        segmentation = node.GetSegmentation()
        for name in SEGMENT_EVENTS:
            event = getattr(slicer.vtkSegmentation, name)
            watch(standin, segmentation, event, function, "segments")


@behaves_as("qMRMLSegmentSelectorWidget")
class SegmentSelector:
    """A segmentation and one or more of its segments."""

    defaults: ClassVar = {"segmentationNodeSelectorVisible": True, "selectNodeUponCreation": True}

    def _begin(self) -> None:
        super()._begin()
        kept = memory(self)
        kept.node, kept.segment, kept.selected, kept.scene = None, "", [], None
        layout = qt.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        kept.box = qt.QComboBox()
        kept.box.connect("activated(int)", self._activated)
        layout.addWidget(kept.box)

    def _do_setMRMLScene(self, scene: Any) -> None:
        memory(self).scene = scene

    def _do_mrmlScene(self) -> Any:
        return memory(self).scene

    def _do_setCurrentNode(self, node: Any) -> None:
        kept = memory(self)
        if isinstance(node, str):
            node = kept.scene.GetNodeByID(node) if node else None
        if node is kept.node:
            return
        kept.node, kept.segment = node, ""
        watch_segments(self, node, lambda selector, _: selector._segments_changed())
        self._announce_node("currentNodeChanged", node)
        ids = segment_ids(node)
        if ids and not self.noneEnabled:
            self._do_setCurrentSegmentID(ids[0])
        self._show()

    _do_setCurrentNodeID = _do_setCurrentNode

    def _segments_changed(self) -> None:
        self._do_setCurrentSegmentID(memory(self).segment)
        self._show()

    def _do_currentNode(self) -> Any:
        return memory(self).node

    def _do_currentNodeID(self) -> str:
        return memory(self).node.GetID() if memory(self).node else ""

    def _do_segmentIDs(self) -> list[str]:
        return segment_ids(memory(self).node)

    def _do_currentSegmentID(self) -> str:
        return str(memory(self).segment)

    def _do_setCurrentSegmentID(self, segment: str) -> None:
        segment = segment if segment in segment_ids(memory(self).node) else ""
        if segment != memory(self).segment:
            memory(self).segment = segment
            self._show()
            self._announce("currentSegmentChanged", segment)

    def _do_selectedSegmentIDs(self) -> list[str]:
        return list(memory(self).selected)

    def _do_setSelectedSegmentIDs(self, segments: list[str]) -> None:
        known = segment_ids(memory(self).node)
        segments = [s for s in segments if s in known]
        if segments != memory(self).selected:
            memory(self).selected = segments
            self._announce("segmentSelectionChanged", segments)

    def _activated(self, index: int) -> None:
        self._do_setCurrentSegmentID(self._do_segmentIDs()[index])

    def _show(self) -> None:
        box, ids = memory(self).box, self._do_segmentIDs()
        blocked = box.blockSignals(True)
        box.clear()
        for segment in ids:
            box.addItem(memory(self).node.GetSegmentation().GetSegment(segment).GetName())
        box.currentIndex = ids.index(memory(self).segment) if memory(self).segment in ids else -1
        box.blockSignals(blocked)


@behaves_as("qMRMLSegmentsTableView")
class SegmentsTableView:
    """A table of segments: colour and name."""

    def _begin(self) -> None:
        super()._begin()
        kept = memory(self)
        kept.node, kept.selected, kept.scene = None, [], None
        kept.table = table = qt.QTableWidget(0, 1)
        table.setHorizontalHeaderLabels(["Name"])
        table.horizontalHeader().setStretchLastSection(True)
        table.setMaximumHeight(110)
        table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
        layout = qt.QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(table)
        table.connect("itemSelectionChanged()", self._picked)

    def _do_setSegmentationNode(self, node: Any) -> None:
        memory(self).node = node
        watch_segments(self, node, lambda view, _: view._show())
        self._show()

    def _do_segmentationNode(self) -> Any:
        return memory(self).node

    def _do_selectedSegmentIDs(self) -> list[str]:
        return list(memory(self).selected)

    def _do_setSelectedSegmentIDs(self, segments: list[str]) -> None:
        known = segment_ids(memory(self).node)
        segments = [s for s in segments if s in known]
        if segments != memory(self).selected:
            memory(self).selected = segments
            self._show()
            self._announce("selectionChanged", qt.QItemSelection(), qt.QItemSelection())

    def _picked(self) -> None:
        ids = segment_ids(memory(self).node)
        rows = {index.row() for index in memory(self).table.selectedIndexes()}
        self._do_setSelectedSegmentIDs([ids[row] for row in sorted(rows) if row < len(ids)])

    def _show(self) -> None:
        table, ids = memory(self).table, segment_ids(memory(self).node)
        blocked = table.blockSignals(True)
        table.setRowCount(len(ids))
        for row, segment_id in enumerate(ids):
            segment = memory(self).node.GetSegmentation().GetSegment(segment_id)
            pixmap = qt.QPixmap(14, 14)
            pixmap.fill(qt.QColor.fromRgbF(*segment.GetColor()))
            item = qt.QTableWidgetItem(qt.QIcon(pixmap), segment.GetName())
            table.setItem(row, 0, item)
            item.setSelected(segment_id in memory(self).selected)
        table.blockSignals(blocked)
