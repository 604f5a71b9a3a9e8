"""Lesions whose shape and texture depend on HER2 status, and nothing else about them does.

Three patterns of enhancement, each a field over the lesion with mean 0 and unit scale:

- *smooth* (HER2-zero): slow variation, an oval with a smooth margin;
- *diffuse* (HER2-low): mottled throughout at a fifth of the radius, a lobulated margin;
- *focal* (HER2-positive): an enhancing rim and hot spots around a dark core.

A case mixes its own pattern with another's, by a share that differs from case to case: the classes
overlap as real ones do. Volume and mean enhancement are set afterwards from values drawn without
regard to class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq, irfftn, rfftn
from scipy.ndimage import map_coordinates

Field = NDArray[np.float64]
Mask = NDArray[np.bool_]

PATTERNS = ("zero", "low", "positive")


@dataclass(frozen=True)
class Morphology:
    """How a lesion looks.

    Attributes:
        shares: of the patterns smooth, diffuse, focal; they sum to 1.
        lobulation: relative depth of the margin's waves.
        contrast: relative depth of the texture.
    """

    shares: tuple[float, float, float]
    lobulation: float
    contrast: float


def draw_morphology(her2: str, rng: np.random.Generator) -> Morphology:
    """Draw a lesion's look for its class (``zero``, ``low``, ``positive``)."""
    own = PATTERNS.index(her2)
    other = rng.choice([c for c in range(3) if c != own])
    share = rng.beta(6.0, 1.3)
    shares = np.zeros(3)
    shares[own], shares[other] = share, 1 - share
    waves = float(shares @ np.array([0.05, 0.20, 0.11]))
    return Morphology(
        shares=(float(shares[0]), float(shares[1]), float(shares[2])),
        lobulation=waves * float(rng.uniform(0.6, 1.4)),
        contrast=float(rng.uniform(0.28, 0.48)),
    )


def noise_field(
    shape: tuple[int, ...], scale: tuple[float, ...], rng: np.random.Generator
) -> Field:
    """Gaussian noise smoothed by ``scale`` voxels along each axis, mean 0, deviation 1.

    Smoothed in the frequency domain: a wide kernel costs no more than a narrow one.
    """
    spectrum = rfftn(rng.standard_normal(shape))
    for axis, (n, sigma) in enumerate(zip(shape, scale, strict=True)):
        frequency = np.abs(fftfreq(n))[: spectrum.shape[axis]]
        transfer = np.exp(-2 * (np.pi * frequency * sigma) ** 2)
        spectrum *= np.expand_dims(transfer, [a for a in range(len(shape)) if a != axis])
    spectrum.flat[0] = 0.0
    field = irfftn(spectrum, s=shape)
    return np.asarray(field / max(float(field.std()), 1e-12))


def shape_lesion(
    positions: Field,
    inside: Mask,
    voxels: int,
    radius_mm: float,
    lobulation: float,
    rng: np.random.Generator,
) -> tuple[Mask, Field]:
    """A star-shaped lesion of an exact number of voxels.

    Args:
        positions: mm from the lesion's centre, ``[k, j, i, 3]``.
        inside: where a lesion may be.
        voxels: how many it has.
        radius_mm: of the sphere of that volume.
        lobulation: relative depth of the margin's waves.
        rng: the case's random numbers.

    Returns:
        The mask and the relative depth: 0 at the margin, 1 at the centre.
    """
    axes = np.exp(rng.normal(0.0, 0.12, 3))
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    stretched = positions @ turn / axes
    distance = np.linalg.norm(stretched, axis=-1)
    # Waves over the sphere of directions, read from a smooth random cube.
    cube = noise_field((24, 24, 24), (2.6, 2.6, 2.6), rng)
    direction = positions / np.maximum(np.linalg.norm(positions, axis=-1, keepdims=True), 1e-6)
    coordinates = np.moveaxis(12.0 + 8.0 * direction, -1, 0)
    waves = map_coordinates(cube, coordinates, order=1, mode="wrap")
    distance = distance / np.clip(1.0 + lobulation * waves, 0.4, 1.8)
    distance = np.where(inside, distance, np.inf)
    edge = np.partition(distance.ravel(), voxels - 1)[voxels - 1]
    mask = distance <= edge
    return mask, np.where(mask, 1.0 - distance / max(float(edge), 1e-6), 0.0)


def texture(
    positions: Field,
    voxels_per_mm: tuple[float, float, float],
    mask: Mask,
    depth: Field,
    radius_mm: float,
    morphology: Morphology,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Relative Ktrans of the lesion's voxels (in the order of ``array[mask]``), mean 1."""
    shape = mask.shape

    def mottle(relative: float) -> NDArray[np.float64]:
        k, j, i = (max(relative * radius_mm * v, 0.3) for v in voxels_per_mm)
        return _standard(noise_field(shape, (k, j, i), rng)[mask])

    inner = depth[mask]
    rim = np.exp(-(((inner - 0.14) / 0.16) ** 2)) - 0.9 * np.clip(inner / 0.6, 0, 1)
    spots = np.zeros_like(inner)
    place = positions[mask]
    for _ in range(int(rng.integers(2, 5))):
        at = place[rng.integers(len(place))]
        width = radius_mm * rng.uniform(0.16, 0.26)
        spots += np.exp(-((place - at) ** 2).sum(axis=-1) / (2 * width**2))
    patterns = (
        0.55 * mottle(0.5),
        mottle(0.16),
        _standard(_standard(rim) + 0.5 * _standard(spots)),
    )
    field = sum(
        (share * pattern for share, pattern in zip(morphology.shares, patterns, strict=True)),
        start=np.zeros_like(inner),
    )
    relative = np.clip(1.0 + morphology.contrast * field, 0.1, None)
    return np.asarray(relative / relative.mean())


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((values - values.mean()) / max(float(values.std()), 1e-9))
