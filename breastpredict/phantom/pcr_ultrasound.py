"""Rendering B-mode ultrasound of a breast with a tumour, before and during treatment.

A linear array over skin, fat with Cooper's ligaments, gland, retromammary fat and muscle. Echoes:
complex Gaussian scatterers times the tissues' echogenicity, blurred by a point spread that widens
away from the focus, three looks averaged (spatial compounding), so that speckle is that of a real
scanner (fully developed, Rayleigh per look); attenuation accumulated along the beam and compensated
for the tissues' mean (TGC), so that a tumour that attenuates more or less than its surroundings
casts a shadow or an enhancement; logarithmic compression to 60 dB.

US-0 and US-1 of a patient show the same anatomy in the same plane, moved a little, with another
gain and other speckle. Only the tumour changes. Nothing is written here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates, zoom

from breastpredict.phantom.pcr_plan import CasePlan, Size

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]

WIDTH_MM, DEPTH_MM = 46.0, 38.0
PIXEL_MM: dict[Size, float] = {"small": 0.125, "full": 0.05}
DYNAMIC_RANGE_DB = 60.0

# Echogenicity in dB: the gland is 0.
_SKIN, _FAT, _SEPTUM, _GLAND, _MUSCLE, _FASCIA = 4.0, -12.0, 0.0, 0.0, -13.0, 7.0


@dataclass(frozen=True)
class RenderedScan:
    """One B-mode frame, ``[row, column]`` with row 0 at the skin.

    Attributes:
        pixels: uint8 grey.
        lesions: the true extent of each tumour, the main one first; empty masks where none is seen.
        centre: (column, row) of the main tumour, also of one that is no longer seen.
        pixel_mm: distance of pixels.
    """

    pixels: NDArray[np.uint8]
    lesions: tuple[Mask, ...]
    centre: tuple[float, float]
    pixel_mm: float


@dataclass(frozen=True)
class _Shape:
    """A tumour's outline: an ellipse with waves, in mm."""

    x: float
    y: float
    width: float
    height: float
    waves: tuple[tuple[int, float, float], ...]

    def inside(self, x: Field, y: Field) -> Field:
        """1 at the outline, less inside, by (x, y) in mm."""
        u, v = (x - self.x) / (self.width / 2), (y - self.y) / (self.height / 2)
        angle = np.arctan2(v, u)
        radius = 1.0 + sum(a * np.cos(n * angle + phase) for n, a, phase in self.waves)
        return np.asarray(np.hypot(u, v) / radius, dtype=np.float32)


def render_ultrasound(plan: CasePlan, time: int, frame: int = 0) -> RenderedScan:
    """Render US-0 (``time`` 0) or US-1 (1); the same arguments give the same pixels.

    Args:
        plan: the patient.
        time: 0 or 1.
        frame: 0 is the plane of the largest extent; others lie that many steps beside it.
    """
    anatomy = _Anatomy(plan)
    own = plan.generator(10 + time)
    shift = own.uniform(-1.0, 1.0, 2) * (1.5, 0.8)  # the probe never lies quite as before
    gain = own.uniform(-1.5, 1.5)
    x, y = anatomy.x - shift[0], anatomy.y - shift[1] * np.clip(anatomy.y / 8, 0, 1)
    tissue, attenuation = anatomy.tissue(x, y)
    shapes = anatomy.shapes(time, 0.93 ** abs(frame))
    seen = time == 0 or plan.visible
    lesions = []
    for order, shape in enumerate(shapes):
        edge = shape.inside(x, y) + anatomy.margin
        lesions.append((edge < 1) & seen)
        if seen:
            contrast = plan.contrast_db(time) + (1.0 if order else 0.0)
            _add_tumour(plan, anatomy, tissue, attenuation, edge, contrast)
    noise = plan.generator(100 + 10 * time + frame)
    pixels = _b_mode(tissue, attenuation, anatomy.pixel_mm, gain, noise)
    main = shapes[0]
    centre = ((main.x + shift[0]) / anatomy.pixel_mm, (main.y + shift[1]) / anatomy.pixel_mm)
    return RenderedScan(pixels, tuple(lesions), centre, anatomy.pixel_mm)


def _add_tumour(
    plan: CasePlan,
    anatomy: _Anatomy,
    tissue: Field,
    attenuation: Field,
    edge: Field,
    contrast_db: float,
) -> None:
    """Put a tumour into echogenicity (dB) and attenuation (dB per mm, two ways), in place."""
    core = np.clip((1.07 - edge) / 0.14, 0, 1)  # blurred margin
    rim = np.exp(-(((edge - 1.10) / 0.07) ** 2)) * anatomy.rim
    inside = _GLAND + contrast_db + 1.8 * anatomy.mottle + 1.2 * anatomy.grains
    tissue += rim
    tissue += core * (inside - tissue)
    across = max(plan.middle_width_mm * anatomy.flatness, 5.0)
    attenuation -= np.where(edge < 1, plan.posterior_db / across, 0).astype(np.float32)


class _Anatomy:
    """A patient's breast in the plane of the scan: same at both times."""

    def __init__(self, plan: CasePlan) -> None:
        rng = plan.generator(1)
        self.plan = plan
        self.pixel_mm = PIXEL_MM[plan.size]
        rows, columns = round(DEPTH_MM / self.pixel_mm), round(WIDTH_MM / self.pixel_mm)
        y, x = np.indices((rows, columns), dtype=np.float32) * np.float32(self.pixel_mm)
        self.x, self.y = x, y
        self.skin = rng.uniform(1.4, 2.2)
        self.gland_top = rng.uniform(6.0, 9.5)
        self.gland_bottom = rng.uniform(23.0, 27.0)
        self.muscle = self.gland_bottom + rng.uniform(2.0, 4.0)
        self.rim = rng.uniform(0.0, 5.0)
        self.flatness = rng.uniform(0.58, 0.78)
        self.mottle = self._noise((1.2, 1.6), rng)
        self.bend = [self._wave(rng) for _ in range(3)]
        self.lobules = self._noise((1.3, 4.5), rng)
        self.septa = self._noise((2.2, 5.5), rng)
        self.streaks = self._noise((0.35, 5.0), rng)
        self.layers = self._noise((0.5, 9.0), rng)
        self.grains = self._noise((0.5, 1.2), rng)
        self.margin = 0.05 * self._noise((0.6, 0.6), rng)
        self.place(rng)

    def place(self, rng: np.random.Generator) -> None:
        """Choose where tumours lie, so that they fit at both times."""
        plan = self.plan
        widest = max(plan.width_mm(0), plan.width_mm(1))
        left = WIDTH_MM * rng.uniform(0.44, 0.56)
        if plan.multifocal:
            left = WIDTH_MM * (0.34 if rng.random() < 0.5 else 0.66)
        room = max(WIDTH_MM / 2 - 2.5 - widest / 2, 0.0)
        left = float(np.clip(left, WIDTH_MM / 2 - room, WIDTH_MM / 2 + room))
        depth = rng.uniform(14.0, 18.0)
        depth = max(depth, 3.5 + 0.55 * widest * self.flatness)
        self.main = (left, float(depth))
        self.waves = tuple(
            (n, float(rng.uniform(0.2, 1) * 0.16 / n**0.7), float(rng.uniform(0, 6.3)))
            for n in (2, 3, 4, 5, 7, 9, 12)
        )
        side = -1 if left > WIDTH_MM / 2 else 1
        gap = rng.uniform(3.5, 5.5)  # readers join what lies within 2.5 mm
        self.second_share = rng.uniform(0.32, 0.5)
        # Beside the main tumour at its widest, with the waves of both outlines.
        away = widest * (1.3 + 1.25 * self.second_share) / 2 + gap
        self.second = (left + side * away, depth + 2.0)
        self.second_waves = tuple(
            (n, float(rng.uniform(0.2, 1) * 0.14 / n**0.7), float(rng.uniform(0, 6.3)))
            for n in (2, 3, 5, 8)
        )

    def shapes(self, time: int, share: float) -> tuple[_Shape, ...]:
        """The tumours' outlines at one time; ``share`` of their width beside the middle plane."""
        width = self.plan.width_mm(time) * share
        main = _Shape(*self.main, width, width * self.flatness, self.waves)
        if not self.plan.multifocal:
            return (main,)
        small = width * self.second_share
        return main, _Shape(*self.second, small, small * 0.75, self.second_waves)

    def tissue(self, x: Field, y: Field) -> tuple[Field, Field]:
        """Echogenicity (dB) and excess attenuation (dB per mm) at (x, y) in mm."""
        at = np.stack([y, x]) / np.float32(self.pixel_mm)

        def look(field: Field) -> Field:
            return np.asarray(map_coordinates(field, at, order=1, mode="reflect"))

        lobules, septa, streaks, layers, grains = map(
            look, (self.lobules, self.septa, self.streaks, self.layers, self.grains)
        )
        top, bottom, wall = (
            level + bend(x) for level, bend in zip(
                (self.gland_top, self.gland_bottom, self.muscle), self.bend, strict=True
            )
        )  # fmt: skip
        fat = _FAT + 1.5 * lobules + 1.2 * grains
        fat += (_SEPTUM - _FAT) * np.exp(-((septa / 0.10) ** 2))  # ligaments: where it crosses 0
        fat += 4.0 * np.clip(streaks - 0.7, 0, 2.5)
        gland = _GLAND + 2.2 * lobules + 2.6 * streaks + 2.2 * grains
        gland -= 8.0 * _step(lobules + 0.3 * grains - 1.0, 0.2)  # fat between the lobes
        muscle = _MUSCLE + 5.0 * np.clip(layers, -0.6, 2.5) + 1.5 * streaks
        out = fat.copy()
        wavy = 1.6 * septa
        for border, below in ((top + wavy, gland), (bottom + wavy, fat), (wall, muscle)):
            out += _step(y - border, 0.35) * (below - out)
        out += (_FASCIA - out) * 0.9 * np.exp(-(((y - wall) / 0.35) ** 2))
        skin = _step(self.skin - self.y, 0.1)
        out += skin * (_SKIN + 0.6 * streaks - out)
        out += 6.0 * np.exp(-(((self.y - 0.25) / 0.18) ** 2))  # the probe's cover
        out += 4.0 * np.exp(-(((self.y - self.skin) / 0.16) ** 2))
        return np.asarray(out, np.float32), np.zeros(x.shape, np.float32)

    def _noise(self, millimetres: tuple[float, float], rng: np.random.Generator) -> Field:
        """Smooth noise of mean 0 and deviation 1, correlated over (y, x) millimetres.

        It is drawn on a grid of its own, so that it is the same at any size of the picture.
        """
        step = 0.25
        shape = round(DEPTH_MM / step), round(WIDTH_MM / step)
        coarse = gaussian_filter(rng.standard_normal(shape), np.divide(millimetres, step))
        coarse = (coarse - coarse.mean()) / coarse.std()
        ratio = np.divide(self.x.shape, shape)
        return np.asarray(zoom(coarse, ratio, order=1, mode="nearest"), np.float32)

    @staticmethod
    def _wave(rng: np.random.Generator) -> Any:
        """A gentle bend of a border, in mm over x in mm."""
        period, phase, height = rng.uniform(35, 70), rng.uniform(0, 6.3), rng.uniform(0.4, 1.4)
        return lambda x: height * np.sin(6.283 * x / period + phase)


def _step(value: Any, width: float) -> Any:
    """From 0 to 1 about 0 over about ``width``."""
    return 0.5 + 0.5 * np.tanh(value / width)


def _b_mode(
    tissue: Field, attenuation: Field, pixel_mm: float, gain_db: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """From echogenicity to grey."""
    rows, columns = tissue.shape
    depth = np.arange(rows, dtype=np.float32)[:, None] * pixel_mm
    loss = np.cumsum(attenuation, axis=0, dtype=np.float32) * pixel_mm
    loss = gaussian_filter1d(loss, 0.7 / pixel_mm, axis=1)  # the aperture looks past edges
    slices = np.interp(depth[:, 0], np.linspace(0, DEPTH_MM, 8), rng.uniform(-1.5, 1.5, 8))
    fall = 0.16 * np.clip(depth - 26, 0, None)  # not all is compensated in the depth
    amplitude = 10 ** ((tissue - loss - fall + slices[:, None]) / 20)
    power = np.zeros(tissue.shape, np.float32)
    near, far = _focus(rows, pixel_mm)
    for _ in range(3):
        noise = rng.standard_normal((2, rows, columns), dtype=np.float32) * amplitude
        sharp = gaussian_filter(noise, (0, 0.10 / pixel_mm, 0.26 / pixel_mm))
        wide = gaussian_filter1d(sharp, 0.45 / pixel_mm, axis=2)
        # Blurring lowers the power of speckle; each part is brought back to what it had.
        echo = near * sharp / sharp.std() + far * wide / wide.std()
        power += (echo**2).sum(axis=0)
    power *= float((amplitude**2).mean()) / 6
    noise_floor = 10 ** ((-46 + 0.35 * depth) / 10)
    level = 10 * np.log10(power + noise_floor) + gain_db
    grey = 255 * (level + 36) / DYNAMIC_RANGE_DB
    return np.clip(np.rint(grey), 1, 255).astype(np.uint8)


@cache
def _focus(rows: int, pixel_mm: float) -> tuple[Field, Field]:
    """Weights ``[row, 1]`` of the sharp and the wide point spread: sharp about the focus."""
    depth = np.arange(rows, dtype=np.float32)[:, None] * pixel_mm
    sharp = np.exp(-(((depth - 15) / 14) ** 2)).astype(np.float32)
    return sharp, np.sqrt(1 - sharp**2)
