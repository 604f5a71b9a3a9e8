"""The network's nine patches from a rectangle of a slide, and maps of them back on the slide.

The paper (papers.md B5; pcr_se_crosst.txt, "WSIs acquisition" and the division into nine blocks):
pathologists draw a rectangle of the most representative invasive cancer on a slide scanned at ×20;
it is resized to 1536 × 1536 and cut into nine patches of 512 × 512 that do not overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breastpredict.errors import InputError
from breastpredict.pathology.gate import check_tissue
from breastpredict.pathology.region import SlideRegion
from breastpredict.pathology.slide import DicomOrigin, Slide
from breastpredict.pathology.tissue import middle_of_tissue

PATCH = 512
"""Side of a patch in pixels."""

ACROSS = 3
"""Patches in a row, and rows of them."""

GRID_MPP = 0.5
"""Microns per pixel of the grid, as at ×20."""

FIELD_UM = ACROSS * PATCH * GRID_MPP
"""Side of the square that is taken where none is named; of reduced networks too, which see the
same tissue with fewer pixels."""

_UNUSUAL = 2.0  # times finer or coarser than the paper's
_STRETCHED = 1.1


@dataclass(frozen=True)
class PathologyPatches:
    """Nine patches and where they are from.

    Attributes:
        patches: uint8 ``[9, side, side, RGB]``, row by row from the upper left.
        region: the rectangle, in pixels of level 0.
        region_by: "given", "the middle of the tissue" or "the whole picture".
        mpp: microns per pixel of level 0 (column, row); None where not known.
        mpp_by: by what it is known, or why not.
        read_mpp: microns per pixel of the level that was read; None where not known.
        enlarged: pixels of the grid for each pixel that was scanned, where more than 1; else 1.
        path: of the slide; names may hold what identifies a patient.
        slide_kind: see `Slide.kind`.
        slide_size: (columns, rows) of level 0.
        origin: what DICOM objects refer to; None for other files.
        warnings: what the reader must know.
    """

    patches: NDArray[np.uint8] = field(repr=False, compare=False)
    region: SlideRegion
    region_by: str
    mpp: tuple[float, float] | None
    mpp_by: str
    read_mpp: tuple[float, float] | None
    enlarged: float
    path: Path = field(repr=False)
    slide_kind: str
    slide_size: tuple[int, int]
    origin: DicomOrigin | None = field(repr=False, default=None)
    warnings: tuple[str, ...] = ()

    @property
    def side(self) -> int:
        """Pixels of the grid's side: three patches."""
        return ACROSS * int(self.patches.shape[1])

    @property
    def grid_mpp(self) -> tuple[float, float] | None:
        """Microns per pixel of the grid (column, row); None where not known."""
        if self.mpp is None:
            return None
        return (
            self.mpp[0] * self.region.width / self.side,
            self.mpp[1] * self.region.height / self.side,
        )

    @property
    def picture(self) -> NDArray[np.uint8]:
        """The resized rectangle, uint8 ``[side, side, RGB]``."""
        return self.stitch(self.patches)

    def stitch(self, maps: NDArray[Any]) -> NDArray[Any]:
        """Nine maps ``[9, h, w, …]``, one a patch, as one ``[3h, 3w, …]`` on the rectangle.

        Raises:
            InputError: they are not nine.
        """
        return stitch(maps)

    def to_source(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """From (column, row) ``[…, 2]`` on the grid to the slide; see `SlideRegion.to_source`."""
        return self.region.to_source(points, self.side)

    def from_source(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """The inverse of `to_source`."""
        return self.region.from_source(points, self.side)

    def check(self) -> None:
        """Refuse what does not show H&E-stained tissue in focus.

        Raises:
            GateRefusal: see `check_tissue`.
        """
        picture, mpp = self.picture, self.grid_mpp
        if self.enlarged > 1:  # enlarging is not what blurs a slide
            scanned = max(1, round(self.side / self.enlarged))
            picture = _reduced(picture, scanned)
            mpp = None if mpp is None else (mpp[0] * self.enlarged, mpp[1] * self.enlarged)
        check_tissue(picture, None if mpp is None else min(mpp))


def read_patches(
    slide: Slide, region: SlideRegion | None = None, *, patch: int = PATCH
) -> PathologyPatches:
    """Nine patches of a rectangle.

    Without a region: of a slide the square of 768 µm that holds the most tissue
    (`middle_of_tissue`), of a picture that was cut before its whole. A rectangle that is no square
    is stretched to one, as the paper does; that is said.

    Args:
        slide: an opened slide.
        region: in pixels of level 0.
        patch: side of a patch; smaller for reduced networks, which see the same tissue coarser.

    Raises:
        InputError: a region off the slide, a slide without scale, damaged pixels.
        GateRefusal: "pathology", no tissue was found on the slide.
    """
    if patch < 1:
        raise ValueError(f"patch must be at least 1, not {patch}")
    if region is not None:
        try:
            region.check_on(slide.size)
        except InputError as error:
            raise InputError(error.problem, path=slide.path, remedy=error.remedy) from error
    warnings = list(slide.warnings)
    if slide.mpp is None:
        if not slide.plain:
            raise InputError(
                f"The slide has no scale: {slide.scale.by}",
                path=slide.path,
                remedy="Give its microns per pixel: about 0.5 at ×20, 0.25 at ×40",
            )
        warnings.append(
            f"No scale: {slide.scale.by}; whether the magnification is ×20 is not known"
        )
    by = "given"
    if region is None:
        region, by = _default_region(slide, warnings)
    side = ACROSS * patch
    pixels = slide.read(region.x, region.y, region.width, region.height, out=(side, side))
    level = slide.levels[slide.level_for(region.width, region.height, (side, side))]
    mpp = slide.mpp
    found = PathologyPatches(
        patches=_cut(pixels, patch),
        region=region,
        region_by=by,
        mpp=mpp,
        mpp_by=slide.scale.by,
        read_mpp=mpp and (mpp[0] * level.downsample[0], mpp[1] * level.downsample[1]),
        enlarged=max(1.0, side / region.width, side / region.height),
        path=slide.path,
        slide_kind=slide.kind,
        slide_size=slide.size,
        origin=slide.origin,
    )
    warnings += _doubts(found)
    return PathologyPatches(**{**vars(found), "warnings": tuple(dict.fromkeys(warnings))})


def stitch(maps: NDArray[Any]) -> NDArray[Any]:
    """Nine maps ``[9, h, w, …]``, row by row, as one ``[3h, 3w, …]``.

    Raises:
        InputError: they are not nine.
    """
    if maps.ndim < 3 or maps.shape[0] != ACROSS**2:
        raise InputError(f"Nine maps [9, h, w] are needed, not {list(maps.shape)}")
    _, high, wide, *rest = maps.shape
    grid = maps.reshape(ACROSS, ACROSS, high, wide, *rest)
    return np.ascontiguousarray(grid.swapaxes(1, 2).reshape(ACROSS * high, ACROSS * wide, *rest))


def _cut(pixels: NDArray[np.uint8], patch: int) -> NDArray[np.uint8]:
    """The inverse of `stitch`."""
    grid = pixels.reshape(ACROSS, patch, ACROSS, patch, 3).swapaxes(1, 2)
    return np.ascontiguousarray(grid.reshape(ACROSS**2, patch, patch, 3))


def _default_region(slide: Slide, warnings: list[str]) -> tuple[SlideRegion, str]:
    if slide.plain or slide.mpp is None:
        return SlideRegion(0, 0, *slide.size), "the whole picture"
    side = FIELD_UM / slide.mpp[0], FIELD_UM / slide.mpp[1]
    if any(have < want - 0.5 for have, want in zip(slide.size, side, strict=True)):
        warnings.append(
            f"The slide of {slide.size[0]} × {slide.size[1]} pixels is smaller than the "
            f"{FIELD_UM:.0f} µm that the network sees"
        )
    return middle_of_tissue(slide.thumbnail(), slide.size, side), "the middle of the tissue"


def _doubts(found: PathologyPatches) -> list[str]:
    warnings = []
    shape = found.region.width / found.region.height
    if found.mpp is not None:
        shape *= found.mpp[0] / found.mpp[1]
    if max(shape, 1 / shape) > _STRETCHED:
        longer = "wider than high" if shape > 1 else "higher than wide"
        warnings.append(
            f"The rectangle is {max(shape, 1 / shape):.3g} times {longer}, and was stretched to a "
            "square as the paper does"
        )
    grid = found.grid_mpp
    usual = FIELD_UM / found.side
    if grid is not None and not usual / _UNUSUAL <= min(grid) <= max(grid) <= usual * _UNUSUAL:
        warnings.append(
            f"The rectangle shows {max(grid) * found.side:.0f} µm of tissue; the paper's show "
            f"about {FIELD_UM:.0f} µm (×20)"
        )
    if found.enlarged > 1.05:
        warnings.append(
            f"The rectangle of {found.region.width} × {found.region.height} pixels was enlarged "
            f"{found.enlarged:.3g} times: it holds less detail than the network was made for"
        )
    return warnings


def _reduced(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BOX))
