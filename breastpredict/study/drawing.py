"""What every figure of a report shares. Matplotlib is imported only when drawing.

Colours are those of Okabe & Ito (Color Universal Design, 2008). Letters are drawn as outlines, so a
figure looks the same wherever it is opened.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import shorten, wrap
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from breastpredict.errors import InputError
from breastpredict.stats import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, VERMILION, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#555555"
ORANGE, SKY = "#E69F00", "#56B4E9"

_TITLE = 34  # letters of a title's line
_PNG_DPI = 150
_PAD = 0.12  # inches around each panel: the layout is found in one pass and may err by a few pixels
_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "breastpredict",  # the same figure is the same file
    "text.parse_math": False,  # a cohort's name may hold a $
}


@dataclass(frozen=True)
class Drawing:
    """A figure as files."""

    svg: str
    png: bytes


@contextmanager
def new_figure(size: tuple[float, float]) -> Iterator[Figure]:
    """An empty figure in inches, in the style of the reports.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(
            "The report's figures need matplotlib", remedy="pip install 'breastpredict[reports]'"
        ) from error
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=size, layout="constrained", facecolor="white")
        engine = figure.get_layout_engine()
        assert engine is not None
        engine.set(w_pad=_PAD, h_pad=_PAD)  # type: ignore[call-arg]
        yield figure


def drawn(figure: Figure) -> Drawing:
    """The figure as SVG and PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    svg, png = io.StringIO(), io.BytesIO()
    # savefig would draw everything twice for each file.
    FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": "BreastPredict"})
    figure.set_layout_engine("none")  # it stays as it was laid out
    figure.set_dpi(_PNG_DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB").save(png, "PNG")
    return Drawing(svg.getvalue(), png.getvalue())


def title(name: str) -> str:
    """A name on at most two lines."""
    clean = "".join(c if c.isprintable() else " " for c in name)
    lines = wrap(clean, _TITLE)
    return "\n".join([*lines[:1], shorten(" ".join(lines[1:]), _TITLE, placeholder=" …")]).strip()


def words(value: Estimate, digits: int = 3) -> str:
    """A number and its limits as figures show them."""
    if not math.isfinite(value.value):
        return "not available"
    limits = f"({value.low:.{digits}f} to {value.high:.{digits}f})"
    return f"{value.value:.{digits}f} {limits}".replace("-", "−")
