"""What must be read with a result that leaves the panel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

from .hierarchy import put_under_study


def add_notes(lines: Sequence[str], key: str, opened: dict[str, Any]) -> Any:
    """A text node beside the result, called "Research use only".

    Args:
        lines: the result and what must not be forgotten of it.
        key: the case's.
        opened: the study it is put under, see `hierarchy.study_item`.
    """
    from breastpredict import RESEARCH_USE_ONLY

    kept = dict.fromkeys(line for line in lines if line)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", "Research use only")
    node.SetText("\n".join([RESEARCH_USE_ONLY, f"Case {key}", *kept]))
    put_under_study(node, opened)
    return node
