"""A rectangle of a slide and the network's grid on it, there and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breastpredict.errors import InputError


@dataclass(frozen=True, slots=True)
class SlideRegion:
    """A rectangle in pixels of the slide's largest image (level 0).

    Attributes:
        x, y: column and row of its first pixel, from 0.
        width, height: columns and rows.
    """

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise InputError(
                f"A region of {self.width} × {self.height} pixels holds nothing",
                remedy="Give it as x,y,width,height in pixels of the largest image",
            )

    @property
    def words(self) -> str:
        """As people read it; last pixels included."""
        return f"X {self.x}–{self.x + self.width - 1}, Y {self.y}–{self.y + self.height - 1}"

    def check_on(self, size: tuple[int, int]) -> None:
        """Raise InputError where a part of it lies off a slide of ``size`` (columns, rows)."""
        columns, rows = size
        if not (
            self.x >= 0
            and self.x + self.width <= columns
            and self.y >= 0
            and self.y + self.height <= rows
        ):
            raise InputError(
                f"The region ({self.words}) lies off the slide of {columns} × {rows} pixels",
                remedy="Give it in pixels of the largest image",
            )

    def to_source(self, points: NDArray[Any], side: int) -> NDArray[np.float64]:
        """From (column, row) ``[…, 2]`` on a ``side`` × ``side`` grid to the slide.

        Whole numbers are centres of pixels in both. The grid's pixels tile the rectangle: the first
        one's centre is half of a grid pixel inside its corner; a rectangle that is no square is
        stretched, each axis by itself.
        """
        out: NDArray[np.float64] = self._corner + (np.asarray(points, np.float64) + 0.5) * (
            self._extent / side
        )
        return out

    def from_source(self, points: NDArray[Any], side: int) -> NDArray[np.float64]:
        """The inverse of `to_source`."""
        out: NDArray[np.float64] = (np.asarray(points, np.float64) - self._corner) * (
            side / self._extent
        ) - 0.5
        return out

    @property
    def _corner(self) -> NDArray[np.float64]:
        """The outer corner of the first pixel, whose centre is (x, y)."""
        return np.array([self.x - 0.5, self.y - 0.5])

    @property
    def _extent(self) -> NDArray[np.float64]:
        return np.array([self.width, self.height], np.float64)

    @classmethod
    def around(
        cls, centre: tuple[float, float], side: tuple[float, float], size: tuple[int, int]
    ) -> SlideRegion:
        """A rectangle of ``side`` about ``centre``, moved, and if need be cut, to lie on the slide.

        Args:
            centre: (column, row), whole numbers are centres of pixels.
            side: (columns, rows) wanted.
            size: of the slide.
        """
        # Each axis by itself; a square on a narrow slide must stay one, so the factor is shared.
        factor = min(1.0, *(have / want for have, want in zip(size, side, strict=True)))
        sides = [max(1, math.floor(want * factor + 0.5)) for want in side]
        corners = [
            min(max(0, round(middle + 0.5 - wide / 2)), whole - wide)
            for middle, wide, whole in zip(centre, sides, size, strict=True)
        ]
        return cls(corners[0], corners[1], sides[0], sides[1])
