"""What the stand-ins do: facts read from the C++ classes, as far as a module's panel needs them.

A behaviour class is mixed into the stand-in of the same contract class. Inside, `_get_x`, `_set_x`
and `_do_x` imitate property and method x, and `_begin` sets up. The inner Qt widgets are there so
that a panel can be used by its parts and that a picture of it shows what a user would see.
"""

from __future__ import annotations

from .registry import REGISTRY, behaves_as

__all__ = ["REGISTRY", "behaves_as", "load_all"]


def load_all() -> dict[str, type]:
    """All behaviours by the name of the class they imitate. Needs `qt`, `slicer` and `vtk`."""
    from . import (  # noqa: F401
        buttons,
        markups,
        node_combo_box,
        numbers,
        paths,
        scene_widgets,
        segment_editor,
        segments,
        subject_hierarchy,
        tables,
    )

    return REGISTRY
