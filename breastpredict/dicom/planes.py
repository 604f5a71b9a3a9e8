"""Parallel planes at known levels as the slices of an evenly spaced stack."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

MAXIMUM_SLICES = 4096
_ON_SLOT = 0.1  # of the slice distance: how far a plane may lie off its slice
_OVERRULED = 5.0  # times what is stated: planes that lie farther apart are but few of the slices
_SAME_PLACE_MM = 0.01


def even_slots(
    levels: NDArray[np.float64], stated: Iterable[float] = (), alone: float | None = None
) -> tuple[float, NDArray[np.int64]] | None:
    """The slice distance of planes, and each plane's slice, counted from the lowest.

    Planes may be missing between others, or lie at the same place. Three planes or more tell their
    distance by themselves, if the usual distance of neighbours explains all levels; else the first
    of the stated distances that does is taken.

    Args:
        levels: of each plane along their normal in mm.
        stated: distances that a file states, which may be wrong.
        alone: what to take for planes that all lie at one place when nothing is stated.

    Returns:
        None where the planes are not evenly spaced, or lie at one place and nothing is stated.
    """
    along = levels - levels.min()
    span = float(along.max())
    gaps = np.diff(np.unique(along))
    gaps = gaps[gaps > _SAME_PLACE_MM]
    if len(gaps) == 0:
        step = next((value for value in stated if value > 0), alone)
        return None if step is None else (step, np.zeros(len(levels), np.int64))
    usual = float(np.median(gaps[gaps < 1.5 * gaps.min()]))
    positive = [value for value in stated if value > 0]
    tried = [*positive, usual]
    if len(gaps) > 1 and all(usual <= _OVERRULED * value for value in positive):
        tried.insert(0, usual)
    for candidate in tried:
        if span > MAXIMUM_SLICES * candidate:
            continue
        step = _refined(np.unique(along), candidate)
        if step is not None:
            return step, np.round(along / step).astype(np.int64)
    return None


def _refined(levels: NDArray[np.float64], step: float) -> float | None:
    """The distance that a rough one becomes on the way from the lowest plane to the highest.

    Levels are written with few digits: over many slices a step that is off by a little would be off
    by a whole slice. None where a gap is no multiple of it.
    """
    slot, below = 0, levels[0]
    for level in levels[1:]:
        gap = float(level - below)
        if gap > _SAME_PLACE_MM:
            count = round(gap / step)
            if count < 1 or abs(gap - count * step) > _ON_SLOT * step:
                return None
            slot, below = slot + count, level
            step = float(level - levels[0]) / slot
    return step
