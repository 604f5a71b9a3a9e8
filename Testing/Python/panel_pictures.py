"""What a user sees of a module in the harness, as pixels for the pictures in Docs/."""

from __future__ import annotations

from typing import Any

import numpy as np
from harness import Harness

WIDTH = 460
VIEW = (430, 430)


def whole_panel(app: Harness, module: Any) -> np.ndarray:
    """The whole panel as it looks."""
    return app.grab(module.widgetRepresentation(), width=WIDTH)


def part_of_panel(app: Harness, module: Any, ui: Any, *names: str) -> np.ndarray:
    """Parts of the panel as they look, one below the other."""
    whole_panel(app, module)  # lays it out
    module.widgetRepresentation().show()
    parts = [app.grab(getattr(ui, name), width=WIDTH) for name in names]
    width = max(part.shape[1] for part in parts)
    padded = [np.pad(p, ((0, 0), (0, width - p.shape[1]), (0, 0)), "edge") for p in parts]
    return np.concatenate(padded)


def slice_view(app: Harness, name: str = "Red", size: tuple[int, int] = VIEW) -> np.ndarray:
    """A slice view as it looks, the whole volume in it."""
    view = app.view(name, size)
    offset = view.node.GetSliceOffset()
    view.logic.FitSliceToBackground()
    view.node.SetSliceOffset(offset)
    picture: np.ndarray = view.image()
    return picture[..., :3]
