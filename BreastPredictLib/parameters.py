"""About parameters of a case that both modules remember in the scene."""

from __future__ import annotations

from pathlib import Path


def is_set(path: Path) -> bool:
    """Whether a path was chosen: an empty one is kept as the current folder."""
    return str(path) not in ("", ".")
