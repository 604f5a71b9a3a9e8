"""Pictures of a case: the slice, the region, and the map over it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from breastpredict.her2 import Her2Prediction, PreparedCase
from breastpredict.imaging import Geometry, resample_to

_PICTURE = 480  # pixels of the longer side
_ZOOM = 1.4  # the zoomed view shows this much more than the region
_CONTOUR = (0, 220, 255)
_SQUARE = (255, 255, 255)
# Perceptually ordered and safe for the colour-blind: black through purple and orange to yellow
# (anchor colours near those of the "inferno" table).
_ANCHORS = np.array(
    [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]],
    dtype=float,
)


@dataclass(frozen=True)
class Pictures:
    """RGB pictures, uint8 ``[rows, columns, 3]``; no warning is in them yet (`burn_in`).

    Attributes:
        whole: the slice with tumour outline and region.
        zoom: the region without map.
        overlay: the region with the map; the same as ``zoom`` where there is none.
    """

    whole: NDArray[np.uint8]
    zoom: NDArray[np.uint8]
    overlay: NDArray[np.uint8]

    @property
    def panel(self) -> NDArray[np.uint8]:
        """The three side by side."""
        height = max(part.shape[0] for part in (self.whole, self.zoom, self.overlay))
        parts = []
        for part in (self.whole, self.zoom, self.overlay):
            tall = np.zeros((height, part.shape[1], 3), np.uint8)
            tall[: part.shape[0]] = part
            parts += [tall, np.zeros((height, 6, 3), np.uint8)]
        out: NDArray[np.uint8] = np.concatenate(parts[:-1], axis=1)
        return out


def colour(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Colours ``[..., 3]`` (0 to 255) and opacities ``[...]`` of values from 0 to 1.

    The low end is transparent, so that the image shows where the map says nothing.
    """
    at = np.clip(values, 0, 1) * (len(_ANCHORS) - 1)
    places = np.arange(len(_ANCHORS))
    rgb = np.stack([np.interp(at, places, _ANCHORS[:, c]) for c in range(3)], axis=-1)
    opacity = np.clip((values - 0.15) / 0.5, 0, 1) * 0.65
    return rgb, opacity


def draw(prepared: PreparedCase, prediction: Her2Prediction | None) -> Pictures:
    """The pictures of a case; square pixels, whatever the voxels are."""
    geometry = Geometry.from_image(prepared.slice_image)
    whole_view = _view(geometry, _center(geometry), max(_extent(geometry)))
    zoom_side = prepared.roi.side_mm * _ZOOM
    zoom_view = _view(geometry, prepared.roi.center_ij, zoom_side)
    low, high = _window(sitk.GetArrayFromImage(prepared.slice_image)[0])
    mask = prepared.mask.to_image(prepared.slice.index, prepared.slice.index + 1)

    def picture(view: Geometry) -> NDArray[np.float64]:
        values = sitk.GetArrayFromImage(resample_to(prepared.slice_image, view, "linear", 0.0))[0]
        grey = np.clip((values.astype(np.float64) - low) / (high - low), 0, 1) * 255
        return np.repeat(grey[..., np.newaxis], 3, axis=2)

    def outlined(rgb: NDArray[np.float64], view: Geometry) -> NDArray[np.uint8]:
        inside = sitk.GetArrayFromImage(resample_to(mask, view, "nearest", 0.0))[0] > 0
        edge = inside & ~ndimage.binary_erosion(inside)
        rgb = rgb.copy()
        rgb[edge] = _CONTOUR
        return _framed(rgb, view, prepared)

    zoom = picture(zoom_view)
    overlay = zoom
    if prediction is not None and prediction.map is not None:
        values = sitk.GetArrayFromImage(resample_to(prediction.map, zoom_view, "linear", 0.0))[0]
        top = float(values.max())
        rgb, opacity = colour(values.astype(np.float64) / top if top > 0 else values * 0.0)
        overlay = zoom * (1 - opacity[..., np.newaxis]) + rgb * opacity[..., np.newaxis]
    return Pictures(
        outlined(picture(whole_view), whole_view),
        outlined(zoom, zoom_view),
        outlined(overlay, zoom_view),
    )


def _window(values: NDArray[np.float32]) -> tuple[float, float]:
    low, high = np.percentile(values, [1.0, 99.7]).tolist()
    return (low, high) if high > low else (low, low + 1.0)


def _extent(geometry: Geometry) -> tuple[float, float]:
    return geometry.size[0] * geometry.spacing[0], geometry.size[1] * geometry.spacing[1]


def _center(geometry: Geometry) -> tuple[float, float]:
    return (geometry.size[0] - 1) / 2, (geometry.size[1] - 1) / 2


def _view(geometry: Geometry, center: tuple[float, float], side_mm: float) -> Geometry:
    """A square view of the slice with square pixels."""
    step = side_mm / _PICTURE
    half = (_PICTURE - 1) / 2 * step
    corner = geometry.index_to_physical(
        np.array(
            [center[0] - half / geometry.spacing[0], center[1] - half / geometry.spacing[1], 0.0]
        )
    )
    x, y, z = corner.tolist()
    return Geometry(
        (_PICTURE, _PICTURE, 1), (step, step, geometry.spacing[2]), (x, y, z), geometry.direction
    )


def _framed(rgb: NDArray[np.float64], view: Geometry, prepared: PreparedCase) -> NDArray[np.uint8]:
    """Region square, orientation letters and a 10 mm bar."""
    image = Image.fromarray(rgb.round().astype(np.uint8))
    pen = ImageDraw.Draw(image)
    grid = prepared.roi.grid(2)
    pixel = grid.spacing[0]
    corner = np.array([[-0.5, -0.5, 0.0], [1.5, 1.5, 0.0]])
    ends = view.physical_to_index(grid.index_to_physical(corner))
    pen.rectangle(
        [float(ends[0][0]), float(ends[0][1]), float(ends[1][0]), float(ends[1][1])],
        outline=_SQUARE,
    )
    font = ImageFont.load_default(14)
    axes = np.array(view.direction).reshape(3, 3)
    middle = _PICTURE // 2
    for axis, sign, place in (
        (axes[:, 0], -1, (4, middle)),
        (axes[:, 0], 1, (_PICTURE - 16, middle)),
        (axes[:, 1], -1, (middle, 4)),
        (axes[:, 1], 1, (middle, _PICTURE - 20)),
    ):
        pen.text(place, _letter(axis * sign), fill=(255, 255, 0), font=font)
    bar = 10.0 / view.spacing[0]
    if pixel > 0 and bar < _PICTURE / 2:
        pen.line([8, _PICTURE - 12, 8 + bar, _PICTURE - 12], fill=(255, 255, 255), width=2)
        pen.text((12 + bar, _PICTURE - 20), "10 mm", fill=(255, 255, 255), font=font)
    return np.asarray(image)


def _letter(direction: NDArray[np.float64]) -> str:
    """The side of the patient a direction points to (LPS)."""
    axis = int(np.argmax(np.abs(direction)))
    return ("RL", "AP", "IS")[axis][int(direction[axis] > 0)]
