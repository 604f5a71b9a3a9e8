"""Stain normalisation, off unless asked for: other laboratories' colours as a reference's.

Macenko et al., "A method for normalizing histology slides for quantitative analysis", ISBI 2009.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breastpredict.errors import InputError

_LIGHT = 240.0
"""Io of the method: the light through glass."""

_FAINT = 0.15
"""Beta of the method: natural optical density below which a pixel is glass."""

_EXTREME = 1.0
"""Alpha of the method: percentile of the angle that stands for a pure stain."""

_STRONG = 99.0
_FEWEST = 200
_PARALLEL = 0.995


@dataclass(frozen=True)
class Stains:
    """The two stains of a picture.

    Attributes:
        haematoxylin, eosin: natural optical densities (red, green, blue), of length 1.
        strengths: (haematoxylin, eosin), the 99th percentile of each one's concentration.
    """

    haematoxylin: tuple[float, float, float]
    eosin: tuple[float, float, float]
    strengths: tuple[float, float]

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The vectors as columns, ``[RGB, stain]``."""
        return np.array([self.haematoxylin, self.eosin], np.float64).T


MACENKO_REFERENCE = Stains((0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581), (1.9705, 1.0308))
"""The reference that goes with the authors' published programs."""


def measure_stains(rgb: NDArray[np.uint8]) -> Stains:
    """The stains of a picture ``[…, RGB]``, uint8.

    The plane of the two largest variances of the optical densities; in it the extreme angles are
    the stains, and the one denser in red is haematoxylin.

    Raises:
        InputError: too little tissue, or only one stain.
    """
    density = _density(rgb)
    stained = density[(density >= _FAINT).all(axis=1)]
    if len(stained) < _FEWEST:
        raise InputError("The picture holds too little tissue to measure its stains")
    _, vectors = np.linalg.eigh(np.cov(stained.T))
    plane = vectors[:, 1:] * np.where(vectors[:, 1:].sum(axis=0) < 0, -1.0, 1.0)
    angles = np.arctan2(*(stained @ plane).T[::-1])
    low, high = np.percentile(angles, [_EXTREME, 100 - _EXTREME])
    found = [plane @ np.array([np.cos(angle), np.sin(angle)]) for angle in (low, high)]
    haematoxylin, eosin = sorted(found, key=lambda vector: -vector[0])
    if haematoxylin @ eosin > _PARALLEL:
        raise InputError("The picture holds one stain only: it cannot be normalised")
    vectors = np.stack([haematoxylin, eosin], axis=1)
    strengths = np.percentile(_concentrations(density, vectors), _STRONG, axis=1)
    a, b = (tuple(float(value) for value in one) for one in (haematoxylin, eosin))
    return Stains(
        (a[0], a[1], a[2]), (b[0], b[1], b[2]), (float(strengths[0]), float(strengths[1]))
    )


def normalise_stains(
    rgb: NDArray[np.uint8], reference: Stains = MACENKO_REFERENCE
) -> NDArray[np.uint8]:
    """The picture as if it had been stained as the reference; same shape.

    Normalise a region as a whole, not patch by patch: each patch's mixture is its own.

    Raises:
        InputError: as `measure_stains` does.
    """
    own = measure_stains(rgb)
    amounts = _concentrations(_density(rgb), own.matrix)
    factor = np.array(reference.strengths) / np.array(own.strengths)
    light: NDArray[np.float64] = _LIGHT * np.exp(-(reference.matrix @ (amounts * factor[:, None])))
    out: NDArray[np.uint8] = np.clip(np.round(light.T), 0, 255).astype(np.uint8)
    return out.reshape(rgb.shape)


def _density(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    out: NDArray[np.float64] = -np.log((rgb.reshape(-1, 3).astype(np.float64) + 1) / _LIGHT)
    return out


def _concentrations(
    density: NDArray[np.float64], vectors: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Amounts of both stains ``[stain, pixel]`` by least squares."""
    solved = np.linalg.lstsq(vectors, density.T, rcond=None)[0]
    return np.asarray(solved, np.float64)
