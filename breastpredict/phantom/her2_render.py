"""Rendering one case of the HER2 phantom: a breast before and after contrast, and its lesion mask.

Axial slices of one breast, chest wall behind: skin, fat, islands of gland, vessels, muscle, a main
lesion and in a quarter of the cases a smaller second one. Contrast follows the Tofts model with a
population arterial input; the receiver adds a smooth bias field and Rician noise. Nothing is
written here; `breastpredict.phantom.her2` does that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter
from scipy.optimize import brentq

from breastpredict.phantom import kinetics
from breastpredict.phantom.her2_plan import CasePlan
from breastpredict.phantom.lesion import (
    Field,
    Mask,
    Morphology,
    draw_morphology,
    noise_field,
    shape_lesion,
    texture,
)

AIR, FAT, GLAND, MUSCLE, SKIN, VESSEL, LESION = range(7)

# By tissue: signal before contrast (fat-suppressed T1), T1 in s, Ktrans and kep in 1/min.
_BASE = np.array([0.0, 110.0, 300.0, 280.0, 230.0, 260.0, 310.0])
_T1 = np.array([1.0, 0.35, 1.2, 1.0, 0.9, 1.4, 1.4])
_KTRANS = np.array([0.0, 0.01, 0.035, 0.06, 0.06, 0.0, 0.0])
_KEP = np.array([1.0, 0.3, 0.3, 0.6, 0.6, 1.0, 1.0])


@dataclass(frozen=True)
class RenderedCase:
    """A case's volumes on one grid (LPS).

    Attributes:
        phases: one before contrast, then those after; uint16.
        times_s: start of each phase's acquisition, seconds from injection.
        mask: the lesions' true extent, 1 inside; the main lesion is the largest component.
    """

    phases: tuple[sitk.Image, ...]
    times_s: tuple[float, ...]
    mask: sitk.Image


def render_her2_case(plan: CasePlan) -> RenderedCase:
    """Render a planned case; the same plan gives the same voxels."""
    rng = plan.generator(1)
    breast = _Breast(plan, rng)
    morphology = draw_morphology(plan.her2, rng)
    lesions = [breast.add_lesion(plan.radius_mm, morphology, rng)]
    if rng.random() < 0.25:
        lesions += breast.add_second(plan.radius_mm * rng.uniform(0.4, 0.55), morphology, rng)
    starts, duration = _times(plan.phases, rng)
    early_centre = starts[1] + duration / 2
    bias = np.exp(0.10 * noise_field(breast.tissue.shape, breast.voxels(40.0), rng))
    scale = [_scale_to(plan.early_enhancement, m, early_centre, plan.washout) for _, m in lesions]
    phases = []
    for start in starts:
        clean = breast.signal(start + duration / 2)
        for (mask, relative), k in zip(lesions, scale, strict=True):
            uptake = kinetics.tofts_uptake(start + duration / 2, plan.washout)
            gain = kinetics.enhancement(k * uptake * relative, float(_T1[LESION]))
            clean[mask] *= 1.0 + gain
        clean = gaussian_filter(clean, (0.0, 0.45, 0.45)) * bias
        noisy = np.hypot(
            clean + plan.noise * rng.standard_normal(clean.shape),
            plan.noise * rng.standard_normal(clean.shape),
        )
        phases.append(breast.image(np.clip(np.rint(noisy * plan.gain), 0, 4095).astype(np.uint16)))
    truth = np.any([mask for mask, _ in lesions], axis=0)
    return RenderedCase(tuple(phases), starts, breast.image(truth.astype(np.uint8)))


def _times(phases: int, rng: np.random.Generator) -> tuple[tuple[float, ...], float]:
    """Starts of the phases from injection, and how long each takes: the first after contrast is
    centred 70 to 105 s after injection, the next ones later than 130 s."""
    duration = round(float(rng.uniform(60, 80)))
    first = round(float(rng.uniform(40, 65)))
    before = -duration - 10.0
    return (before, *(float(first + p * duration) for p in range(phases - 1))), float(duration)


def _scale_to(target: float, relative: NDArray[np.float64], time_s: float, washout: float) -> float:
    """The Ktrans at which a lesion's mean enhancement is ``target``, whatever its texture."""
    uptake = kinetics.tofts_uptake(time_s, washout)

    def excess(ktrans: float) -> float:
        gain = kinetics.enhancement(ktrans * uptake * relative, float(_T1[LESION]))
        return float(gain.mean()) - target

    return float(brentq(excess, 0.0, 20.0, xtol=1e-4))


class _Breast:
    """The tissues of one breast on the grid of its scan."""

    def __init__(self, plan: CasePlan, rng: np.random.Generator) -> None:
        self.plan = plan
        n, self.spacing = plan.matrix, plan.spacing
        shape = (plan.slices, n, n)
        self.left = bool(rng.integers(2))
        centre = 90.0 if self.left else -90.0  # LPS: x grows to the patient's left
        extent = np.array([n, n, plan.slices]) * self.spacing
        offset = np.array([centre, -60.0, rng.uniform(-40, 40)])
        self.origin = tuple(float(round(v, 3)) for v in offset - extent / 2)
        step = self.spacing[::-1]
        z, y, x = (index * s for index, s in zip(np.indices(shape), step, strict=True))
        self.positions: Field = np.stack([x, y, z], axis=-1)
        self.middle = extent / 2
        wall = extent[1] * 0.86 + 3 * np.sin(x / 17 + rng.uniform(0, 6))
        semi = np.array([extent[0] * 0.46, extent[1] * 0.76, extent[2] * 0.95])
        radius = np.sqrt(
            ((x - self.middle[0]) / semi[0]) ** 2
            + ((y - wall) / semi[1]) ** 2
            + ((z - self.middle[2]) / semi[2]) ** 2
        )
        body = (radius + 0.02 * noise_field(shape, self.voxels(12), rng) < 1) & (y <= wall)
        depth = distance_transform_edt(np.pad(body | (y > wall), 1, "edge"))[1:-1, 1:-1, 1:-1]
        tissue = np.full(shape, AIR, np.uint8)
        tissue[body] = FAT
        gland = noise_field(shape, self.voxels(6), rng) - 2.2 * (radius - 0.55)
        tissue[body & (gland > rng.uniform(0.0, 0.5))] = GLAND
        tissue[y > wall] = MUSCLE
        tissue[body & (depth * self.spacing[0] < 2.2)] = SKIN
        self.tissue: NDArray[np.uint8] = tissue
        self.inside: Mask = body & (depth * self.spacing[0] > 3.0)
        for _ in range(int(rng.integers(3, 7))):
            self._add_vessel(rng)
        self.variation = 1 + 0.06 * noise_field(shape, self.voxels(3), rng)
        self.background = rng.uniform(0.5, 1.8)

    def voxels(self, millimetres: float) -> tuple[float, float, float]:
        """A length along k, j, i."""
        i, j, k = self.spacing
        return millimetres / k, millimetres / j, millimetres / i

    def image(self, array: NDArray[np.generic]) -> sitk.Image:
        """An array [k, j, i] on the scan's grid."""
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(self.spacing)
        image.SetOrigin(self.origin)
        return image

    def signal(self, time_s: float) -> Field:
        """Noise-free signal of everything but the lesions' uptake."""
        uptake = np.array([kinetics.tofts_uptake(time_s, k) for k in _KEP])
        concentration = _KTRANS * uptake
        concentration[GLAND] *= self.background
        plasma = float(kinetics.population_aif(np.array([time_s]))[0])
        concentration[VESSEL] = 0.35 * plasma  # partial volume
        value = _BASE * (1 + kinetics.enhancement(concentration, _T1))
        return np.asarray(value[self.tissue] * self.variation)

    def _add_vessel(self, rng: np.random.Generator) -> None:
        """A thin tube that wanders through fat and gland."""
        inside = np.argwhere(self.inside)
        at = inside[rng.integers(len(inside))][::-1] * np.asarray(self.spacing)
        heading = rng.standard_normal(3) * (1, 1, 0.4)
        line = np.zeros(self.tissue.shape, bool)
        for _ in range(int(rng.integers(30, 70))):
            heading = heading / np.linalg.norm(heading) + 0.25 * rng.standard_normal(3)
            at = at + heading
            voxel = np.rint(at / self.spacing).astype(int)[::-1]
            if np.all((voxel >= 0) & (voxel < line.shape)):
                line[tuple(voxel)] = True
        if rng.random() < 0.5:
            line = binary_dilation(line, np.ones((1, 2, 2), bool))
        self.tissue[line & self.inside] = VESSEL

    def add_lesion(
        self, radius_mm: float, morphology: Morphology, rng: np.random.Generator
    ) -> tuple[Mask, NDArray[np.float64]]:
        """Put the main lesion where it has room; its mask and relative Ktrans."""
        room = np.array([0.16, 0.12, 0.06]) * self.middle * rng.uniform(-1, 1, 3)
        centre = self.middle * (1, 1.02, 1) + room
        return self._place(centre, radius_mm, morphology, rng, self.inside)

    def add_second(
        self, radius_mm: float, morphology: Morphology, rng: np.random.Generator
    ) -> list[tuple[Mask, NDArray[np.float64]]]:
        """Put a smaller lesion clear of the first; nothing where there is no room for it."""
        taken = self.tissue == LESION
        away = distance_transform_edt(~taken, sampling=self.spacing[::-1])
        margin = distance_transform_edt(self.inside, sampling=self.spacing[::-1])
        free = np.argwhere((away > 2.2 * radius_mm) & (margin > 1.2 * radius_mm))
        if not len(free):
            return []
        centre = free[rng.integers(len(free))][::-1] * np.asarray(self.spacing)
        allowed = self.inside & (away > 4.0)
        return [self._place(centre, radius_mm, morphology, rng, allowed)]

    def _place(
        self,
        centre: NDArray[np.float64],
        radius_mm: float,
        morphology: Morphology,
        rng: np.random.Generator,
        allowed: Mask,
    ) -> tuple[Mask, NDArray[np.float64]]:
        voxels = round(4 / 3 * np.pi * radius_mm**3 / float(np.prod(self.spacing)))
        positions = self.positions - centre
        mask, depth = shape_lesion(
            positions, allowed, voxels, radius_mm, morphology.lobulation, rng
        )
        self.tissue[mask] = LESION
        relative = texture(positions, self.voxels(1.0), mask, depth, radius_mm, morphology, rng)
        return mask, relative
