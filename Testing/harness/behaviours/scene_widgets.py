"""Widgets that hold the scene."""

from __future__ import annotations

from typing import Any

from ..descriptors import memory
from .registry import behaves_as, remembered


class HoldsScene:
    """Keeps the scene it is given, and announces it to what is connected in the .ui file."""

    def _do_setMRMLScene(self, scene: Any) -> None:
        if remembered(self, "scene") is not scene:
            memory(self).scene = scene
            self._announce("mrmlSceneChanged", scene)


@behaves_as("qSlicerWidget")
class SlicerWidget(HoldsScene):
    """Base of module panels; does not tell its scene."""


@behaves_as("qMRMLWidget")
class MRMLWidget(HoldsScene):
    """Base of MRML widgets."""

    def _do_mrmlScene(self) -> Any:
        return remembered(self, "scene")
