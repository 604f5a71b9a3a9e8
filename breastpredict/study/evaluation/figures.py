"""Figures of an evaluation, one panel a cohort. No two curves differ in colour alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten, wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from breastpredict.learning.evaluation import CohortResult, MarkerResult
from breastpredict.learning.ordered import OrderedResult
from breastpredict.stats import SubgroupRow
from breastpredict.study.drawing import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Drawing,
    drawn,
    new_figure,
    title,
    words,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_STYLES: tuple[tuple[str, Any], ...] = (
    (BLUE, "-"),
    (VERMILION, "--"),
    (GREEN, "-."),
    (PURPLE, ":"),
    (ORANGE, (0, (8, 2))),
    (SKY, (0, (3, 1, 1, 1, 1, 1))),
    (GREY, (0, (1, 3))),
    ("black", (0, (8, 2, 1, 2))),
)
"""Of the markers, in their order: colour and dashes."""
_CLASS_STYLES = ((VERMILION, "--", "s"), (BLUE, "-", "o"))
"""Of the negative and the positive class."""
_PANEL = (3.65, 3.1)  # inches; three stand side by side on a page
_COLUMNS = 3
_DOTS = 80  # so many cases and fewer are drawn one by one
_BELOW = 0.42  # inches from the axes down to the legend: ticks and label stand between


def roc(cohorts: Sequence[CohortResult], names: Sequence[str], *, height: float = 4.2) -> Drawing:
    """ROC curves of the named markers, the model's with its band and its operating point.

    Args:
        cohorts: a panel each.
        names: of the markers.
        height: of a panel in inches; many names need more room below the curves.
    """

    def panel(axes: Axes, cohort: CohortResult) -> None:
        axes.plot([0, 1], [0, 1], color="#AAAAAA", linewidth=0.8)
        for marker, (colour, line) in _curves(cohort, names):
            if marker.roc is None or marker.auc is None:
                continue
            if marker.band is not None:
                band = marker.band
                axes.fill_between(
                    band.false_positive_rate, band.low, band.high, color=colour, alpha=0.15, lw=0
                )
            false, true, _ = marker.roc
            label = f"{marker.marker}: {words(marker.auc)}"
            axes.plot(false, true, linestyle=line, color=colour, linewidth=1.7, label=label)
            if marker.metrics is not None:
                axes.plot(
                    1 - marker.metrics.specificity.value,
                    marker.metrics.sensitivity.value,
                    "o",
                    color=colour,
                    markeredgecolor="white",
                    markersize=6,
                )
        _unit(axes)
        axes.set_xlabel("1 − specificity")
        axes.set_ylabel("Sensitivity")
        _legend(axes)

    return _panels(cohorts, panel, height=height)


def confusion(cohorts: Sequence[CohortResult], negative: str, positive: str) -> Drawing:
    """The model's confusion matrices at its threshold."""

    def panel(axes: Axes, cohort: CohortResult) -> None:
        found = cohort.markers[0].metrics
        if found is None:
            _nothing(axes, "no threshold or one class only")
            return
        _matrix(axes, np.array([[found.tn, found.fp], [found.fn, found.tp]]), (negative, positive))

    return _panels(cohorts, panel, height=2.9)


def ordered_confusion(results: Sequence[OrderedResult]) -> Drawing:
    """Confusion matrices of the ordered classes."""

    def panel(axes: Axes, result: Any) -> None:
        _matrix(axes, result.confusion, result.classes)

    return _panels(results, panel, height=3.3)


def calibration(cohorts: Sequence[CohortResult]) -> Drawing:
    """The model's reliability curves with Wilson limits, and how its scores are spread."""

    def panel(axes: Axes, cohort: CohortResult) -> None:
        found = cohort.markers[0].calibration
        if found is None:
            _nothing(axes, "one class only")
            return
        axes.plot([0, 1], [0, 1], color="#AAAAAA", linewidth=0.8)
        sides = np.clip(
            [found.observed - found.low, found.high - found.observed], 0, None
        )  # rounding may leave −1e-17
        axes.errorbar(
            found.expected,
            found.observed,
            yerr=sides,
            fmt="o-",
            color=BLUE,
            ecolor=BLUE,
            elinewidth=0.8,
            capsize=2,
            markersize=4,
            linewidth=1.2,
        )
        _unit(axes)
        axes.set_xlabel(
            "Predicted probability\n"
            f"intercept {words(found.intercept, 2)}\nslope {words(found.slope, 2)}\n"
            f"Brier {words(found.brier)}"
        )
        axes.set_ylabel("Observed share")

    return _panels(cohorts, panel, height=4.2)


def decision(cohorts: Sequence[CohortResult], names: Sequence[str]) -> Drawing:
    """Decision curves of the markers whose score is a probability."""

    def panel(axes: Axes, cohort: CohortResult) -> None:
        first = True
        top = 0.05
        for marker, (colour, line) in _curves(cohort, names):
            curve = marker.decision
            if curve is None:
                continue
            if first:
                axes.plot(curve.threshold, curve.all, color="#999999", lw=1.2, label="Treat all")
                axes.axhline(0, color="black", linewidth=0.9, label="Treat none")
                top = max(top, float(curve.all.max()))
                first = False
            top = max(top, float(curve.model.max()))
            axes.plot(
                curve.threshold,
                curve.model,
                linestyle=line,
                color=colour,
                lw=1.7,
                label=marker.marker,
            )
        if first:
            _nothing(axes, "no probability, or one class only")
            return
        axes.set_xlim(0, 1)
        axes.set_ylim(-0.25 * top, 1.1 * top)
        _steady(axes)
        axes.set_xlabel("Threshold probability")
        axes.set_ylabel("Net benefit")
        _legend(axes)

    return _panels(cohorts, panel, height=4.2)


@dataclass(frozen=True)
class Spread:
    """The scores of one cohort: [cases] each."""

    cohort: str
    labels: Bools
    scores: Floats
    threshold: float | None


def scores(spreads: Sequence[Spread], negative: str, positive: str, what: str) -> Drawing:
    """Scores by true class: each case where they are few, else shares in bins."""

    def panel(axes: Axes, spread: Any) -> None:
        few = spread.labels.size <= _DOTS
        bins = np.linspace(0, 1, 26)
        for place, (name, own) in enumerate(
            ((negative, ~spread.labels), (positive, spread.labels))
        ):
            colour, line, shape = _CLASS_STYLES[place]
            values = spread.scores[own]
            label = f"{name} (n = {values.size})"
            if few:
                # Spread evenly in the order of the scores: no chance, and neighbours lie apart.
                rank = np.argsort(np.argsort(values)) * 0.618 % 1
                axes.plot(
                    values,
                    place + 0.7 * (rank - 0.5),
                    shape,
                    color=colour,
                    alpha=0.75,
                    markersize=4.5,
                    markeredgewidth=0,
                    label=label,
                )
            elif values.size:
                shares = np.histogram(values, bins)[0] / values.size
                axes.stairs(shares, bins, color=colour, alpha=0.2, fill=True)
                axes.stairs(shares, bins, color=colour, linestyle=line, linewidth=1.5, label=label)
        if spread.threshold is not None:
            axes.axvline(spread.threshold, color="black", linewidth=1, linestyle=":",
                         label=f"threshold {spread.threshold:.3f}")  # fmt: skip
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel(what)
        if few:
            axes.set_yticks([])
            axes.set_ylim(-0.6, 1.6)
            axes.spines["left"].set_visible(False)
        else:
            axes.set_ylim(bottom=0)
            axes.set_ylabel("Share of the class")
            _steady(axes)
        _legend(axes)

    return _panels(spreads, panel, height=3.6)


def subgroups(found: Mapping[str, Sequence[SubgroupRow]]) -> Drawing:
    """AUC of the model in subgroups, with limits."""
    rows: list[tuple[str, SubgroupRow | None]] = []
    for variable, members in found.items():
        rows.append((variable, None))
        rows += [("   " + _short(str(row.group)), row) for row in members]
    with new_figure((7.4, 0.9 + 0.32 * len(rows))) as figure:
        axes = figure.add_subplot()
        axes.axvline(0.5, color="#AAAAAA", linewidth=0.8)
        ticks = []
        for place, (name, row) in enumerate(rows):
            if row is None:
                ticks.append(name)
                continue
            ticks.append(f"{name}  (n = {row.n}, {row.events} positive)")
            if math.isfinite(row.auc.value):
                axes.plot([row.auc.low, row.auc.high], [place, place], color=BLUE, linewidth=1.5)
                axes.plot(row.auc.value, place, "s", color=BLUE, markersize=5)
            text = words(row.auc) if math.isfinite(row.auc.value) else "one class only"
            axes.text(1.03, place, text, va="center", transform=axes.get_yaxis_transform())
        axes.set_yticks(range(len(rows)), ticks, ha="left")
        axes.tick_params(axis="y", length=0, pad=190)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel("AUC (95 % interval)")
        axes.spines["left"].set_visible(False)
        return drawn(figure)


def _panels(cohorts: Sequence[Any], draw: Callable[[Axes, Any], None], *, height: float) -> Drawing:
    """A grid of panels; each is titled with its cohort."""
    columns = min(len(cohorts), _COLUMNS)
    rows = -(-len(cohorts) // columns)
    with new_figure((max(columns, 1.15) * _PANEL[0], rows * height)) as figure:
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, cohort in zip(grid, cohorts, strict=False):
            n = f"\nn = {cohort.n}" if hasattr(cohort, "n") else ""
            positives = getattr(cohort, "positives", None)
            of = f", {positives} positive" if positives is not None else ""
            axes.set_title(title(cohort.cohort) + n + of)
            draw(axes, cohort)
        for axes in grid[len(cohorts) :]:
            axes.set_axis_off()
        return drawn(figure)


def _curves(
    cohort: CohortResult, names: Sequence[str]
) -> Iterator[tuple[MarkerResult, tuple[str, Any]]]:
    """The markers to draw; a name keeps its style in every panel."""
    for marker in cohort.markers:
        if marker.marker in names:
            yield marker, _STYLES[list(names).index(marker.marker) % len(_STYLES)]


def _matrix(axes: Axes, counts: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Counts and shares of the row; the shade is the share."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (i, j), count in np.ndenumerate(counts):
        axes.text(
            j,
            i,
            f"{count}\n{100 * shares[i, j]:.0f} %",
            ha="center",
            va="center",
            color="white" if shares[i, j] > 0.55 else "black",
        )
    labels = ["\n".join(wrap(name, 9)) for name in classes]
    axes.set_xticks(range(len(classes)), labels)
    axes.set_yticks(range(len(classes)), labels)
    axes.set_xlabel("Predicted")
    axes.set_ylabel("True")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _unit(axes: Axes) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])


def _steady(axes: Axes) -> None:
    """Labels of one width, so that other ticks after the layout need no other room."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.2f}".replace("-", "−")))


def _legend(axes: Axes) -> None:
    """Below the axes, where no curve can run through it."""
    from matplotlib.transforms import ScaledTranslation

    if axes.get_legend_handles_labels()[0]:
        # In inches: a share of the axes' height would move while the layout is found.
        figure = axes.get_figure()
        assert figure is not None
        below = ScaledTranslation(0, -_BELOW, figure.dpi_scale_trans)
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, 0),
            bbox_transform=axes.transAxes + below,
            handlelength=2.4,
        )
    else:
        _nothing(axes, "one class only")


def _nothing(axes: Axes, reason: str) -> None:
    axes.text(0.5, 0.5, f"not available:\n{reason}", ha="center", va="center", color=GREY,
              transform=axes.transAxes)  # fmt: skip


def _short(text: str) -> str:
    return shorten(text, 24, placeholder=" …")
