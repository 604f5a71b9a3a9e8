"""Rendering a core biopsy of a breast carcinoma, stained with haematoxylin and eosin.

A strip of tissue on glass: nests of tumour cells with large nuclei, collagen in waves with spindle
nuclei between them, lymphocytes (small, round, dark) in the stroma. All is drawn as the density of
the two stains; light through them follows Beer and Lambert:

    I = 243 exp(-(H h + E e)),  h = (0.650, 0.704, 0.286), e = (0.072, 0.990, 0.105)

with the stain vectors of Ruifrok and Johnston (Anal Quant Cytol Histol 2001;23:291) for red, green
and blue; H is 1.55 times what is drawn. Positions are drawn in micrometres, so that a slide is the
same at any pixel size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates, zoom
from scipy.spatial import cKDTree

from breastpredict.phantom.pcr_plan import CasePlan, Size

Field = NDArray[np.float32]
Floats = NDArray[np.float64]

PIXEL_UM: dict[Size, float] = {"small": 2.0, "full": 0.5}
"""Micrometres per pixel; "full" is a scan at ×20."""
REGION_UM = 768.0
"""Side of the rectangle that the network sees: 1536 pixels at ×20."""
SLIDE_UM = (1024.0, 1280.0)
"""Width and height of a slide."""

_HAEMATOXYLIN = np.array([0.650, 0.704, 0.286], np.float32)
_EOSIN = np.array([0.072, 0.990, 0.105], np.float32)
_GLASS = 243.0
_STEP_UM = 8.0


@dataclass(frozen=True)
class RenderedTissue:
    """A slide.

    Attributes:
        pixels: uint8 ``[row, column, RGB]``.
        pixel_um: micrometres per pixel.
        region: x, y, width, height in pixels of the rectangle that the outcome was planned for.
        lymphocytes: how many lie in the region.
        stroma_mm2: stroma in the region.
    """

    pixels: NDArray[np.uint8]
    pixel_um: float
    region: tuple[int, int, int, int]
    lymphocytes: int
    stroma_mm2: float


def render_tissue(plan: CasePlan) -> RenderedTissue:
    """Render a patient's biopsy; the same plan gives the same pixels."""
    return _Slide(plan).render()


class _Slide:
    """Fields of tissue on a coarse grid in micrometres, and the picture made of them."""

    def __init__(self, plan: CasePlan) -> None:
        self.plan = plan
        self.rng = plan.generator(20)
        self.um = PIXEL_UM[plan.size]
        width, height = SLIDE_UM
        self.shape = round(height / self.um), round(width / self.um)
        self.coarse = round(height / _STEP_UM), round(width / _STEP_UM)
        rng = self.rng
        y, x = np.indices(self.coarse) * _STEP_UM
        edge = 14 * self._noise(60.0)
        self.inside = np.minimum(width / 2 - 62 - np.abs(x - width / 2) + edge, 1e9)
        self.inside = np.minimum(self.inside, height / 2 - 90 - np.abs(y - height / 2) + edge)
        mass = self._noise(46.0) + 0.35 * self._noise(20.0)
        threshold = np.quantile(mass[self.inside > 0], 1 - plan.nests)
        slope = np.hypot(*np.gradient(mass, _STEP_UM)) + 0.35 / 46.0
        self.nest = (mass - threshold) / slope  # about the distance inside, in micrometres
        self.wave = self._noise(150.0) * 9.0 + self._noise(45.0) * 1.2
        self.crowd = np.exp(0.55 * self._noise(40.0))
        self.crowd *= 0.5 + 1.5 * np.exp(-(((self.nest + 22) / 30) ** 2))  # beside the nests
        self.cells = [self._tumour_cells(rng), self._fibroblasts(rng), self._lymphocytes(rng)]
        self.texture = plan.generator(21)

    def render(self) -> RenderedTissue:
        """The picture."""
        plan, um = self.plan, self.um
        inside, nest, wave = (self._fine(f) for f in (self.inside, self.nest, self.wave))
        tissue = np.clip(inside / (1.5 * um) + 0.5, 0, 1)
        tumour = np.clip(nest / (2 * um) + 0.5, 0, 1)
        grain = self._grain(1.6)
        fibres = np.sin(wave * 7 + 0.9 * self._grain(5.0)) * 0.5
        fibres += 0.35 * np.sin(wave * 19 + 1.3 * self._grain(9.0))
        cleft = np.exp(-(((nest + 5.0) / 3.0) ** 2)) * np.clip(self._grain(25.0), 0, 1)
        gaps = np.clip((fibres + 0.5 * self._grain(12.0) - 0.95) * 3, 0, 1)

        eosin = 0.45 + 0.12 * fibres + 0.05 * grain
        eosin += tumour * (0.36 + 0.07 * self._grain(6.0) - eosin)
        haematoxylin = 0.05 + tumour * (0.20 + 0.05 * self._grain(5.0))
        empty = np.clip(0.85 * cleft + 0.8 * gaps * (1 - tumour), 0, 0.92)
        present = tissue * (1 - empty)
        eosin, haematoxylin = eosin * present, haematoxylin * present

        nuclei = np.zeros(self.shape, np.float32)
        for kind in self.cells:
            self._stamp(nuclei, *kind)
        chromatin = 1 + 0.16 * self._grain(1.3)
        haematoxylin = np.maximum(haematoxylin, nuclei * chromatin)
        eosin = eosin * (1 - 0.55 * np.clip(nuclei / 0.7, 0, 1))

        density = (plan.haematoxylin * haematoxylin)[..., None] * _HAEMATOXYLIN * 1.55
        density += (plan.eosin * eosin)[..., None] * _EOSIN
        light = _GLASS * np.exp(-np.clip(density, 0, None))
        light += self.texture.normal(0, 1.3, self.shape).astype(np.float32)[..., None]
        pixels = np.clip(np.rint(light), 0, 255).astype(np.uint8)
        return self._with_region(pixels, self.cells[2][0])

    def _with_region(self, pixels: NDArray[np.uint8], lymphocytes: Floats) -> RenderedTissue:
        side = round(REGION_UM / self.um)
        left, top = (self.shape[1] - side) // 2, (self.shape[0] - side) // 2
        low = np.array([top, left]) * self.um
        inside = np.all((lymphocytes >= low) & (lymphocytes < low + REGION_UM), axis=1)
        first, last = np.round(low / _STEP_UM).astype(int), round(REGION_UM / _STEP_UM)
        window = tuple(slice(a, a + last) for a in first)
        stroma = (self.nest[window] < 0) & (self.inside[window] > 0)
        return RenderedTissue(
            pixels,
            self.um,
            (left, top, side, side),
            int(inside.sum()),
            float(stroma.sum()) * (_STEP_UM / 1000) ** 2,
        )

    def _tumour_cells(self, rng: np.random.Generator) -> tuple[Floats, ...]:
        """Large, pale, oval nuclei of uneven size throughout the nests."""
        at = self._scatter(13.0, 0.33, rng)
        at = at[(self._at(self.nest, at) > 3) & (self._at(self.inside, at) > 4)]
        n = len(at)
        major = rng.lognormal(np.log(5.0), 0.17, n)
        return at, major, major * rng.uniform(0.68, 0.95, n), rng.uniform(0, np.pi, n), (
            rng.uniform(0.52, 0.90, n)
        )  # fmt: skip

    def _fibroblasts(self, rng: np.random.Generator) -> tuple[Floats, ...]:
        """Thin nuclei along the fibres."""
        at = self._scatter(30.0, 0.45, rng)
        at = at[(self._at(self.nest, at) < -4) & (self._at(self.inside, at) > 4)]
        n = len(at)
        slopes: list[Floats] = list(np.gradient(self.wave))
        down, right = (self._at(slope, at) for slope in slopes)
        along = np.arctan2(down, right) + np.pi / 2 + rng.normal(0, 0.15, n)
        return at, rng.uniform(6, 10, n), rng.uniform(1.3, 2.1, n), along, rng.uniform(0.6, 0.9, n)

    def _lymphocytes(self, rng: np.random.Generator) -> tuple[Floats, ...]:
        """Small, round, dark nuclei in the stroma, crowded beside nests, at the planned density."""
        stroma = (self.nest < -2) & (self.inside > 6)
        per_cell = np.where(stroma, self.crowd, 0)
        per_cell *= self.plan.lymphocytes_per_mm2 * (_STEP_UM / 1000) ** 2
        per_cell *= stroma.sum() / max(np.where(stroma, self.crowd, 0).sum(), 1e-9)
        cells = np.argwhere(stroma).repeat(rng.poisson(per_cell[stroma]), axis=0)
        at = (cells + rng.random(cells.shape)) * _STEP_UM
        at = _apart(at, 6.0)
        n = len(at)
        radius = rng.normal(3.7, 0.25, n).clip(3.0, 4.6)
        return at, radius, radius * rng.uniform(0.9, 1, n), np.zeros(n), rng.uniform(1.15, 1.4, n)

    def _stamp(
        self, canvas: Field, at: Floats, major: Floats, minor: Floats, angle: Floats, dark: Floats
    ) -> None:
        """Draw ellipses of (row, column) and half-axes in micrometres; the darker one shows."""
        if not len(at):
            return
        reach = int(np.ceil(major.max() / self.um)) + 2
        offsets = np.arange(-reach, reach + 1)
        centre = np.round(at / self.um).astype(int)
        dy, dx = np.meshgrid(offsets, offsets, indexing="ij")
        for part in np.array_split(np.arange(len(at)), max(1, len(at) // 1500)):
            rows = centre[part, 0, None, None] + dy
            columns = centre[part, 1, None, None] + dx
            y = rows * self.um - at[part, 0, None, None]
            x = columns * self.um - at[part, 1, None, None]
            c, s = np.cos(angle[part])[:, None, None], np.sin(angle[part])[:, None, None]
            a, b = major[part, None, None], minor[part, None, None]
            radius = np.hypot((c * x + s * y) / a, (c * y - s * x) / b)
            inside = np.clip((1 - radius) * np.sqrt(a * b) / self.um + 0.5, 0, 1)
            rim = 1 + 0.25 * np.exp(-(((radius - 0.85) / 0.2) ** 2))  # the nuclear membrane
            value = (inside * rim * dark[part, None, None] * 0.85).astype(np.float32)
            kept = (rows >= 0) & (rows < self.shape[0]) & (columns >= 0)
            kept &= (columns < self.shape[1]) & (value > 0)
            np.maximum.at(canvas, (rows[kept], columns[kept]), value[kept])

    def _scatter(self, distance: float, jitter: float, rng: np.random.Generator) -> Floats:
        """Points (row, column) in micrometres on a shaken hexagonal grid over the slide."""
        rows = np.arange(0, SLIDE_UM[1], distance * 0.87)
        columns = np.arange(0, SLIDE_UM[0], distance)
        y, x = np.meshgrid(rows, columns, indexing="ij")
        x = x + (np.arange(len(rows)) % 2)[:, None] * distance / 2
        at = np.stack([y.ravel(), x.ravel()], axis=1)
        return np.asarray(at + rng.normal(0, jitter / 2 * distance, at.shape))

    def _at(self, field: Floats, at: Floats) -> Floats:
        """Values of a coarse field at (row, column) in micrometres."""
        return np.asarray(map_coordinates(field, at.T / _STEP_UM, order=1, mode="nearest"))

    def _fine(self, field: Floats) -> Field:
        """A coarse field on the picture's pixels."""
        ratio = np.divide(self.shape, field.shape)
        return np.asarray(zoom(field.astype(np.float32), ratio, order=1, mode="nearest"))

    def _noise(self, micrometres: float) -> Floats:
        """Smooth noise of deviation 1 on the coarse grid."""
        field = self.rng.standard_normal(self.coarse)
        field = gaussian_filter(field, micrometres / _STEP_UM)
        return np.asarray((field - field.mean()) / field.std())

    def _grain(self, micrometres: float) -> Field:
        """Noise of deviation 1 on the picture's pixels; finer than a pixel becomes one pixel."""
        sigma = micrometres / self.um
        step = max(1, int(sigma / 2))  # wide blurs are drawn on fewer points
        shape = tuple(-(-n // step) for n in self.shape)
        field = self.texture.standard_normal(shape, dtype=np.float32)
        if sigma > 0.4:
            field = gaussian_filter(field, sigma / step, mode="wrap", truncate=3.0)
        if step > 1:
            field = zoom(field, np.divide(self.shape, shape), order=1, mode="nearest")
        return np.asarray(field / field.std())


def _apart(at: Floats, distance: float) -> Floats:
    """Points moved off others that lie closer than ``distance``, a few times over."""
    for _ in range(4):
        if len(at) < 2:
            return at
        pairs = cKDTree(at).query_pairs(distance, output_type="ndarray")
        if not len(pairs):
            break
        between = at[pairs[:, 0]] - at[pairs[:, 1]]
        length = np.maximum(np.linalg.norm(between, axis=1, keepdims=True), 1e-3)
        push = between / length * (distance - length) / 2
        at = at.copy()
        np.add.at(at, pairs[:, 0], push)
        np.add.at(at, pairs[:, 1], -push)
    return at
