"""The square around the tumour on an ultrasound image, to the network's input and back.

Points are (column, row) in pixels of the source frame, 0-based, whole numbers at pixel centres: the
B-mode region is an `UltrasoundImage`'s own affair. Source: [B] Methods (papers.md B4, B17).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from breastpredict.dicom import UltrasoundImage, join_masks
from breastpredict.errors import InputError
from breastpredict.imaging import BoxedMask, Geometry, SquareROI, largest_lesion, normalise
from breastpredict.imaging.roi import DEFAULT_MARGIN, DEFAULT_MINIMUM_MM
from breastpredict.pcr.given_roi import BoxRoi, FromUs0, GivenRoi, MaskRoi, PointRoi, parse_roi

MINIMUM_PIXELS = 32.0
"""The smallest side of a region where the pixels have no size; else `DEFAULT_MINIMUM_MM`."""

MOST_OUTSIDE = 0.78
"""A square around a corner of the image shows a quarter of itself, or so; less is no region."""

_SAID_OUTSIDE = 0.01  # a share below it is the rounding of an edge
_SAMPLES = 128  # a side: the share outside is measured to a percent
_LEAST_LESION = 0.01  # of the largest one's area: smaller ones are crumbs of a drawing
_PADDED = "shows no scan and is padded"
_REMEDY = "Give it in pixels of the whole frame, on the tumour"
_DIRECTION = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class UltrasoundRoi:
    """A square on an ultrasound image.

    It is a square in mm where the image has a spacing (also where its pixels are none), else in
    pixels.

    Attributes:
        image: what it lies on.
        square: in `image.pixels`' own grid; its "mm" are pixels where there is no spacing.
        reason: how it was found, in words.
        lesions: number of lesions in the mask; 1 where a box or point was given.
        share_outside: of the square, past the edge of the scan, where there is no image.
        warnings: what the reader must know.
    """

    image: UltrasoundImage = field(repr=False)
    square: SquareROI
    reason: str
    lesions: int
    share_outside: float
    warnings: tuple[str, ...] = ()

    @property
    def side_mm(self) -> float | None:
        """Its side; None where the image has no spacing."""
        return None if self.image.spacing_mm is None else self.square.side_mm

    @property
    def side_text(self) -> str:
        """Its side as people read it."""
        if self.side_mm is None:
            return f"{self.square.side_mm:.0f} pixels (no spacing)"
        return f"{self.side_mm:.1f} mm"

    @property
    def center(self) -> tuple[float, float]:
        """(column, row) in the source frame."""
        x, y = self.image.to_source(np.array(self.square.center_ij)).tolist()
        return x, y

    @property
    def box(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of its outer edges in the source frame; it may reach past the image."""
        width, height, _ = self.square.geometry.spacing
        x, y = self.center
        across, down = self.square.side_mm / width / 2, self.square.side_mm / height / 2
        return x - across, y - down, x + across, y + down

    def to_source(self, points: NDArray[Any], size: int) -> NDArray[np.float64]:
        """From (column, row) ``[…, 2]`` on the network's ``size`` × ``size`` grid to the frame."""
        out: NDArray[np.float64] = self.image.to_source(
            self.square.geometry.physical_to_index(
                self.square.grid(size).index_to_physical(_with_slice(points))
            )[..., :2]
        )
        return out

    def from_source(self, points: NDArray[Any], size: int) -> NDArray[np.float64]:
        """The inverse of `to_source`."""
        inside = _with_slice(self.image.from_source(np.asarray(points, dtype=float)))
        physical = self.square.geometry.index_to_physical(inside)
        out: NDArray[np.float64] = self.square.grid(size).physical_to_index(physical)[..., :2]
        return out

    def extract(self, size: int, outside: float = math.nan) -> NDArray[np.float32]:
        """The grey levels in the square, float32 ``[size, size]`` = [row, column], 0 to 255.

        Args:
            size: side of the network's input.
            outside: what stands where there is no image: past the edge of the B-mode region,
                outside of the scan's outline, and where writing was blanked.
        """
        grey = self.square.extract(_image_of(self.square, self.image.pixels), size)
        return np.where(_shown(self.square, self.image, size), grey, np.float32(outside))

    def network_input(self, size: int) -> NDArray[np.float32]:
        """What the network sees, float32 ``[1, size, size]`` in [-1, 1] (papers.md B17).

        The grey levels are standardised by `breastpredict.imaging.normalise`, from the square's own
        pixels: gain and dynamic range differ between scanners and between the two times, and both
        act on B-mode, which is log-compressed, as a sum and a product. Where there is no image the
        value is -1, as black. A network of three channels is given the same grey in all of them.

        Raises:
            InputError: the image is constant there.
        """
        try:
            return normalise(self.extract(size), _REMEDY)[np.newaxis]
        except InputError as error:
            raise InputError(error.problem, path=self.image.path, remedy=error.remedy) from error

    def place(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """A map ``[size, size]`` on the source frame, float32 ``[row, column]``; 0 outside.

        Linear interpolation at the centre of every pixel that lies in the square and in the B-mode
        region.
        """
        placed = sitk.GetArrayFromImage(self.square.place(values))[0]
        out: NDArray[np.float32] = self.image.in_source(placed)
        return out


def ultrasound_roi(
    image: UltrasoundImage,
    given: GivenRoi | str,
    *,
    us0: UltrasoundRoi | None = None,
    margin: float = DEFAULT_MARGIN,
) -> UltrasoundRoi:
    """The square around the tumour.

    Of a mask: around the largest lesion, the component of the largest area with its fragments (see
    `breastpredict.imaging.largest_lesion`; without a spacing its gap counts in pixels). The side is
    the longer side of its box with ``margin`` of it on either side, at least `DEFAULT_MINIMUM_MM`
    or, without a spacing, `MINIMUM_PIXELS`. Of a box: the same around the box. A point comes with
    its side, in columns, which is taken as it is.

    Of US-0, where the tumour is gone: its position and size in mm from the middle of the upper edge
    of the scan (the transducer's face), so that another depth setting or window changes nothing.
    Where one of the images has no spacing, the same in pixels, which supposes one depth setting and
    is said; pictures of different sizes are then refused.

    Args:
        image: the image; masks, boxes and points are in pixels of its source frame.
        given: where the tumour is; a text is read by `breastpredict.pcr.parse_roi`.
        us0: the region on US-0, needed where ``given`` refers to it.
        margin: on each side, as a fraction of the longer side.

    Raises:
        GateRefusal: "no-tumour", the mask is empty.
        InputError: the mask is of another size or unreadable, the region lies off the image, or
            US-0's cannot be carried over.
    """
    if not margin >= 0:
        raise InputError(f"The margin of a region is {margin}", remedy="Give 0 or more")
    if isinstance(given, str):
        given = parse_roi(given)
    lesions = 1
    warnings: list[str] = []
    if isinstance(given, FromUs0):
        square, reason, notes = _from_us0(image, us0)
        warnings += notes
    elif isinstance(given, PointRoi):
        square = _square(image, (given.x, given.y), given.side * _spacing(image)[0])
        reason = "around the point that was given"
    elif isinstance(given, BoxRoi):
        square = _around(image, given, margin)
        reason = f"the box that was given, with a margin of {margin:.0%} of its longer side"
    else:
        box, lesions = _largest(image, given)
        square = _around(image, box, margin)
        which = "the lesion" if lesions == 1 else f"the largest of {lesions} lesions"
        reason = f"{which} in the mask, with a margin of {margin:.0%} of its longer side"
        if lesions > 1:
            warnings.append(f"The mask has {lesions} lesions: the largest is used")
    roi = _finished(image, square, reason, lesions, warnings)
    if roi.share_outside > MOST_OUTSIDE:
        raise InputError(
            f"The region of interest lies off the image: {roi.share_outside:.0%} of it shows no "
            "scan",
            path=image.path,
            remedy=_REMEDY,
        )
    return roi


def resized(roi: UltrasoundRoi, side: float) -> UltrasoundRoi:
    """A region with another side (mm, or pixels without a spacing) around the same centre.

    However much of it shows no image, `UltrasoundRoi.share_outside` says so.
    """
    if side == roi.square.side_mm:
        return roi
    square = replace(roi.square, side_mm=side)
    reason = f"{roi.reason}; its side was changed from {roi.side_text}"
    kept = [one for one in roi.warnings if not one.endswith(_PADDED)]
    return _finished(roi.image, square, reason, roi.lesions, kept)


def _finished(
    image: UltrasoundImage, square: SquareROI, reason: str, lesions: int, warnings: list[str]
) -> UltrasoundRoi:
    share = _share_outside(square, image)
    if share > _SAID_OUTSIDE:
        warnings = [*warnings, f"{share:.0%} of the region {_PADDED}"]
    return UltrasoundRoi(image, square, reason, lesions, share, tuple(warnings))


def _from_us0(
    image: UltrasoundImage, us0: UltrasoundRoi | None
) -> tuple[SquareROI, str, list[str]]:
    if us0 is None:
        raise InputError(
            "The region on US-1 refers to US-0, which has none",
            remedy="Give a mask, a box or a point",
        )
    before = us0.image
    notes = []
    if before.area_found != image.area_found:
        notes.append("The scan's outline was found on one image only: check where the region lies")
    columns, rows = np.array(us0.square.center_ij) - _face(before)
    if before.spacing_mm is not None and image.spacing_mm is not None:
        across, deep = columns * before.spacing_mm[0], rows * before.spacing_mm[1]
        x, y = _face(image) + np.array([across, deep]) / np.array(image.spacing_mm)
        side = us0.square.side_mm
        where = f"{deep:.0f} mm deep, {abs(across):.0f} mm from the middle"
        return (
            _square(image, image.to_source(np.array([x, y])), side),
            f"the position and size at US-0 ({where}): the tumour is no longer visible",
            notes,
        )
    if before.pixels.shape != image.pixels.shape:
        raise InputError(
            "The position at US-0 cannot be carried over: without a spacing the two pictures would "
            "have to be of one size",
            path=image.path,
            remedy="Give a box or a point on US-1",
        )
    x, y = _face(image) + np.array([columns, rows])
    side = us0.square.side_mm / _spacing(before)[0] * _spacing(image)[0]
    return (
        _square(image, image.to_source(np.array([x, y])), side),
        "the position and size at US-0, in pixels: the tumour is no longer visible",
        [
            *notes,
            "The position at US-0 was carried over in pixels: check that the depth settings are "
            "equal",
        ],
    )


def _face(image: UltrasoundImage) -> NDArray[np.float64]:
    """The middle of the upper edge of the scan, (column, row) in `image.pixels`."""
    columns = np.flatnonzero(image.scan.any(axis=0))
    rows = np.flatnonzero(image.scan.any(axis=1))
    return np.array([(columns[0] + columns[-1]) / 2.0, float(rows[0])])


def _largest(image: UltrasoundImage, given: MaskRoi) -> tuple[BoxRoi, int]:
    """The box of the largest lesion in the source frame, and how many there are."""
    mask = join_masks(given.paths)
    columns, rows = image.source_size
    if mask.shape != (rows, columns):
        raise InputError(
            f"The mask has {mask.shape[1]} × {mask.shape[0]} pixels, the image {columns} × {rows}",
            path=given.paths[0],
            remedy="Draw it on the whole frame",
        )
    frame = Geometry((columns, rows, 1), (*_spacing(image), 1.0), (0.0, 0.0, 0.0), _DIRECTION)
    count, rest, largest = 0, mask, None
    while rest.any():
        lesion = largest_lesion(BoxedMask.of_array(rest[np.newaxis], frame))
        if largest is not None and lesion.volume_mm3 < _LEAST_LESION * largest.volume_mm3:
            break
        largest = largest or lesion
        count, rest = count + 1, rest & ~lesion.on_slice(0)
    if largest is None:
        largest = largest_lesion(BoxedMask.of_array(mask[np.newaxis], frame))  # refuses
    _, y, x = largest.start
    _, height, width = largest.inside.shape
    return BoxRoi(x, y, x + width - 1, y + height - 1), count


def _around(image: UltrasoundImage, box: BoxRoi, margin: float) -> SquareROI:
    width, height = _spacing(image)
    longer = max((box.x1 - box.x0 + 1) * width, (box.y1 - box.y0 + 1) * height)
    least = MINIMUM_PIXELS if image.spacing_mm is None else DEFAULT_MINIMUM_MM
    center = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    return _square(image, center, max(longer * (1 + 2 * margin), least))


def _square(image: UltrasoundImage, center: Any, side: float) -> SquareROI:
    """A square from its centre in the source frame.

    Raises:
        InputError: the centre lies off the B-mode region.
    """
    rows, columns = image.pixels.shape
    x, y = image.from_source(np.asarray(center, dtype=float)).tolist()
    if not (-0.5 <= x <= columns - 0.5 and -0.5 <= y <= rows - 0.5):
        raise InputError(
            f"The region of interest lies off the image: its centre is at X {center[0]:.0f}, "
            f"Y {center[1]:.0f}, the B-mode region at {image.region.words}",
            path=image.path,
            remedy=_REMEDY,
        )
    grid = Geometry((columns, rows, 1), (*_spacing(image), 1.0), (0.0, 0.0, 0.0), _DIRECTION)
    return SquareROI(grid, 0, (x, y), side)


def _spacing(image: UltrasoundImage) -> tuple[float, float]:
    """(column, row) in mm; pixels of size 1 where there is none."""
    return image.spacing_mm or (1.0, 1.0)


def _share_outside(square: SquareROI, image: UltrasoundImage) -> float:
    """The share of a square that shows no scan; 1 where it is far larger than the image."""
    (columns, rows, _), (width, height, _) = square.geometry.size, square.geometry.spacing
    if columns * width * rows * height < (1 - MOST_OUTSIDE) * square.side_mm**2:
        return 1.0
    return 1.0 - float(_shown(square, image, _SAMPLES).mean())


def _image_of(square: SquareROI, values: NDArray[Any]) -> Any:
    return square.geometry.to_image(values[np.newaxis], np.float32)


def _shown(square: SquareROI, image: UltrasoundImage, size: int) -> NDArray[np.bool_]:
    """Where the network's grid shows the scan."""
    shown = square.extract(_image_of(square, image.scan & ~image.blanked), size)
    return np.asarray(shown >= 0.5)


def _with_slice(points: NDArray[Any]) -> NDArray[np.float64]:
    flat = np.asarray(points, dtype=np.float64)
    return np.concatenate([flat, np.zeros((*flat.shape[:-1], 1))], axis=-1)
