"""The layout manager and its slice widgets; there are no 3D views."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from ..behaviours.registry import behaves_as
from ..descriptors import memory
from .state import running


@behaves_as("qMRMLLayoutManager")
class LayoutManager:
    """Red, green and yellow."""

    def _do_sliceViewNames(self) -> list[str]:
        return list(running().slices)

    def _do_sliceWidget(self, name: str) -> Any:
        if name not in running().slices:
            return None
        widgets = memory(self).__dict__.setdefault("slice_widgets", {})
        if name not in widgets:
            widgets[name] = slicer.qMRMLSliceWidget()
            memory(widgets[name]).logic = running().slices[name]
        return widgets[name]

    def _do_mrmlSliceLogics(self) -> Any:
        return running().slice_logics

    def _do_mrmlViewLogics(self) -> Any:
        return running().view_logics

    def _do_layoutLogic(self) -> Any:
        return running().layout_logic

    def _do_mrmlScene(self) -> Any:
        return running().scene

    def _get_layout(self) -> int:
        return int(running().layout_logic.GetLayoutNode().GetViewArrangement())

    def _set_layout(self, layout: int) -> None:
        running().layout_logic.GetLayoutNode().SetViewArrangement(layout)
        self._announce("layoutChanged", layout)

    def _do_setLayout(self, layout: int) -> None:
        self._set_layout(layout)

    def _do_resetSliceViews(self) -> None:
        for logic in running().slices.values():
            logic.FitSliceToBackground()


@behaves_as("qMRMLSliceWidget")
class SliceWidget:
    """One slice view; made by the layout manager."""

    def _do_sliceLogic(self) -> Any:
        return memory(self).logic

    _do_logic = _do_sliceLogic

    def _do_mrmlSliceNode(self) -> Any:
        return memory(self).logic.GetSliceNode()

    _do_mrmlAbstractViewNode = _do_mrmlSliceNode

    def _do_mrmlSliceCompositeNode(self) -> Any:
        return memory(self).logic.GetSliceCompositeNode()

    def _do_fitSliceToBackground(self) -> None:
        memory(self).logic.FitSliceToBackground()

    def _do_sliceView(self) -> Any:
        if not hasattr(memory(self), "view"):
            memory(self).view = slicer.qMRMLSliceView()
            memory(memory(self).view).logic = memory(self).logic
        return memory(self).view

    def _get_sliceViewName(self) -> str:
        return str(memory(self).logic.GetSliceNode().GetLayoutName())

    def _get_sliceOrientation(self) -> str:
        return str(memory(self).logic.GetSliceNode().GetOrientation())

    def _set_sliceOrientation(self, orientation: str) -> None:
        memory(self).logic.GetSliceNode().SetOrientation(orientation)


@behaves_as("qMRMLSliceView")
class SliceViewWidget:
    """The part of a slice widget that shows the slice."""

    def _do_mrmlSliceNode(self) -> Any:
        return memory(self).logic.GetSliceNode()

    def _do_convertXYZToRAS(self, xyz: list[float]) -> list[float]:
        matrix = self._do_mrmlSliceNode().GetXYToRAS()
        return list(matrix.MultiplyPoint((*xyz, 1.0))[:3])

    def _do_convertRASToXYZ(self, ras: list[float]) -> list[float]:
        inverse = vtk.vtkMatrix4x4()
        inverse.DeepCopy(self._do_mrmlSliceNode().GetXYToRAS())
        inverse.Invert()
        return list(inverse.MultiplyPoint((*ras, 1.0))[:3])
