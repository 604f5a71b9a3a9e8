"""Figures of a reader study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from breastpredict.reader.analysis import EXCELLENT, GOOD, ComparisonResult, PairResult
from breastpredict.study.drawing import (
    BLUE,
    GREEN,
    GREY,
    VERMILION,
    Drawing,
    drawn,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MEASURES = (
    ("dice", "Dice"),
    ("surface_dice", "Surface Dice"),
    ("hausdorff95_mm", "Hausdorff 95 % in mm"),
)
_ALTMAN = {"shape_volume_mm3": ("Volume", "mm³"), "shape_diameter_mm": ("Diameter", "mm")}


def coefficients(result: ComparisonResult) -> Drawing:
    """ICC(A,1) of every feature with its limits, against both marks."""
    shown = [found for found in result.iccs if found.table is not None]
    with new_figure((7.6, 1.0 + 0.235 * max(len(shown), 1))) as figure:
        axes = figure.add_subplot()
        for mark, line in ((GOOD, "--"), (EXCELLENT, ":")):
            axes.axvline(mark, color=GREY, linewidth=1, linestyle=line)
        for place, found in enumerate(shown):
            assert found.table is not None
            row = found.table["ICC2"]
            colour, shape = {
                "excellent": (GREEN, "s"),
                "good": (BLUE, "o"),
                "all readings equal": (GREEN, "D"),
            }.get(found.verdict, (VERMILION, "^"))
            if math.isfinite(row.low):
                axes.plot([row.low, row.high], [place, place], color=colour, linewidth=1.5)
            axes.plot(row.estimate, place, shape, color=colour, markersize=4.5)
        labels = [f"{found.family}: {found.title}" for found in shown]
        axes.set_yticks(range(len(shown)), labels)
        axes.tick_params(axis="y", length=0, labelsize=8)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        lows = [f.table["ICC2"].low for f in shown if f.table is not None]
        lowest = min([value for value in lows if math.isfinite(value)], default=0.0)
        axes.set_xlim(max(-1.0, min(0.0, lowest)) - 0.02, 1.02)
        axes.set_xlabel(
            f"ICC(A,1) with 95 % interval; lines at {GOOD:g} and {EXCELLENT:g} for the lower limit"
        )
        axes.spines["left"].set_visible(False)
        return drawn(figure)


def overlaps(pairs: Sequence[PairResult]) -> Drawing:
    """Each case's overlap and distance, pair by pair, with the median."""
    with new_figure((9.6, 0.9 + 0.55 * len(pairs))) as figure:
        grid = figure.subplots(1, len(_MEASURES), squeeze=False)[0]
        for axes, (measure, label) in zip(grid, _MEASURES, strict=True):
            _strip(axes, [pair.values(measure) for pair in pairs])
            axes.set_xlabel(label)
            if measure != "hausdorff95_mm":
                axes.set_xlim(-0.02, 1.02)
            else:
                axes.set_xlim(left=0)
            axes.set_yticks(range(len(pairs)), [pair.name for pair in pairs])
            axes.set_ylim(len(pairs) - 0.5, -0.5)
            if axes is not grid[0]:
                axes.set_yticks([])
        return drawn(figure)


def _strip(axes: Axes, values: Sequence[NDArray[np.float64]]) -> None:
    for place, found in enumerate(values):
        # Spread evenly in the order of the values: no chance, and neighbours lie apart.
        rank = np.argsort(np.argsort(found)) * 0.618 % 1
        axes.plot(
            found, place + 0.5 * (rank - 0.5), "o", color=BLUE, alpha=0.6, markersize=4,
            markeredgewidth=0,
        )  # fmt: skip
        if found.size:
            middle = float(np.median(found))
            axes.plot([middle, middle], [place - 0.32, place + 0.32], color=VERMILION, linewidth=2)


def limits(pair: PairResult) -> Drawing | None:
    """Bland–Altman plots of volume and diameter; None where there are too few cases."""
    shown = [(name, found) for name, found in pair.altman.items() if name in _ALTMAN]
    if not shown:
        return None
    with new_figure((4.8 * len(shown), 3.5)) as figure:
        grid = figure.subplots(1, len(shown), squeeze=False)[0]
        for axes, (feature, found) in zip(grid, shown, strict=True):
            name, unit = _ALTMAN[feature]
            axes.axhline(0, color="#AAAAAA", linewidth=0.8)
            for value, line in (
                (found.bias, "-"),
                (found.lower, "--"),
                (found.upper, "--"),
            ):
                axes.axhspan(value.low, value.high, color=VERMILION, alpha=0.12, linewidth=0)
                axes.axhline(value.value, color=VERMILION, linestyle=line, linewidth=1.2)
            axes.plot(found.means, found.differences, "o", color=BLUE, markersize=4.5, alpha=0.75,
                      markeredgewidth=0)  # fmt: skip
            axes.set_title(f"{name}, n = {found.n}")
            axes.set_xlabel(f"Mean of both in {unit}")
            axes.set_ylabel(f"Difference in {unit}")
        return drawn(figure)
