"""Ultrasound in: the B-mode region of one frame, in grey, without what is written around it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from breastpredict.dicom.source import unlogged
from breastpredict.dicom.ultrasound_area import Box, colour_of, marks_on, scan_area, vivid
from breastpredict.dicom.ultrasound_file import (
    BURNED_IN,
    Opened,
    given_to_others,
    grey_of,
    laterality_of,
    open_ultrasound,
    text_of,
)
from breastpredict.dicom.ultrasound_pixels import read_picture
from breastpredict.dicom.ultrasound_regions import Region
from breastpredict.errors import InputError
from breastpredict.imaging import Geometry

_FLAT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
_NO_SPACING = "no spacing"


@dataclass(frozen=True)
class UltrasoundImage:
    """The B-mode region of one frame.

    Attributes:
        pixels: uint8 grey ``[row, column]`` of the region; 0 outside of the scan and where
            something was blanked.
        spacing_mm: (column, row) distance of pixels in mm; None where the file gives none.
        region: where it lies in the file's pixels.
        region_number, region_count: which of the file's B-mode regions, from 1.
        frame, frame_count: which of the file's frames, from 1.
        frame_reason: why this one.
        path: the file.
        source_size: (columns, rows) of the whole frame.
        scan: bool ``[row, column]``: where there is a scan, all of it where none was found.
        blanked: bool ``[row, column]``: pixels that were not black and are now.
        marks: boxes in the file's pixels of what may be drawn on the scan and was left.
        area_found: whether the scan's outline was found, by the rule in `scan_area`.
        colour: "grey", "tinted" or "colour Doppler", as measured.
        laterality: "R", "L", "B" or None where not stated.
        study_date, study_time: as the file states them; empty where absent.
        manufacturer, model: of the scanner; empty where absent.
        burned_in: BurnedInAnnotation (0028,0301) of the file: "YES", "NO" or empty.
        lossy: whether it was ever compressed with losses, as far as the file tells.
        patient_id, study_uid: for checks only, never shown; empty for a plain picture.
        header: of the DICOM file, without its pixels; None for a plain picture.
        warnings: what the reader must know.
    """

    pixels: NDArray[np.uint8] = field(repr=False, compare=False)
    spacing_mm: tuple[float, float] | None
    region: Region
    region_number: int
    region_count: int
    frame: int
    frame_count: int
    frame_reason: str
    path: Path
    source_size: tuple[int, int]
    scan: NDArray[np.bool_] = field(repr=False, compare=False)
    blanked: NDArray[np.bool_] = field(repr=False, compare=False)
    marks: tuple[Box, ...]
    area_found: bool
    colour: str
    laterality: str | None
    study_date: str
    study_time: str
    manufacturer: str
    model: str
    burned_in: str
    lossy: bool
    patient_id: str = field(repr=False)
    study_uid: str = field(repr=False)
    header: pydicom.Dataset | None = field(repr=False, compare=False)
    warnings: tuple[str, ...] = ()

    @property
    def geometry(self) -> Geometry:
        """Where the pixels lie: (column · width, row · height, 0) of the file's frame.

        In mm where the file gives a spacing, else in pixels; an ultrasound image has no place in
        the patient (PS3.3 A.6).
        """
        rows, columns = self.pixels.shape
        width, height = self.spacing_mm or (1.0, 1.0)
        x0, y0, _, _ = self.region.box
        corner = (x0 * width, y0 * height, 0.0)
        return Geometry((columns, rows, 1), (width, height, 1.0), corner, _FLAT)

    @property
    def facts(self) -> dict[str, Any]:
        """What a reader is told of the image; plain values for JSON, no identifiers."""
        return {
            "box": list(self.region.box),
            "region": self.region_number,
            "region_by": self.region.by,
            "region_words": self.region.words,
            "frame": self.frame,
            "frames": self.frame_count,
            "frame_reason": self.frame_reason,
            "spacing_mm": None if self.spacing_mm is None else list(self.spacing_mm),
            "spacing_text": self.spacing_text,
            "laterality": self.laterality or "",
            "warnings": list(self.warnings),
        }

    @property
    def spacing_text(self) -> str:
        """The spacing as people read it; "no spacing" where there is none."""
        if self.spacing_mm is None:
            return _NO_SPACING
        return " × ".join(f"{x:.4g}" for x in self.spacing_mm) + " mm"

    def to_source(self, points: NDArray[Any]) -> NDArray[Any]:
        """From (column, row) ``[…, 2]`` in `pixels` to (column, row) of the file's frame.

        Whole numbers are centres of pixels in both; numbers of whole pixels stay whole.
        """
        out: NDArray[Any] = np.asarray(points) + np.asarray(self.region.box[:2])
        return out

    def from_source(self, points: NDArray[Any]) -> NDArray[Any]:
        """The inverse of `to_source`."""
        out: NDArray[Any] = np.asarray(points) - np.asarray(self.region.box[:2])
        return out

    def in_source(self, values: NDArray[Any], fill: Any = 0) -> NDArray[Any]:
        """Values ``[row, column, …]`` on `pixels`, put at their place on the file's whole frame.

        Raises:
            InputError: they are not of the size of `pixels`.
        """
        if values.shape[:2] != self.pixels.shape:
            raise InputError(
                f"Values of {values.shape[1]} × {values.shape[0]} do not fit a region of "
                f"{self.pixels.shape[1]} × {self.pixels.shape[0]} pixels"
            )
        columns, rows = self.source_size
        out = np.full((rows, columns, *values.shape[2:]), fill, values.dtype)
        out[self.region.slices] = values
        return out


@unlogged()
def read_ultrasound(
    path: str | os.PathLike[str],
    *,
    frame: int | None = None,
    region: int | None = None,
    blank: Sequence[Box] = (),
) -> UltrasoundImage:
    """The B-mode region of one frame of a DICOM file, or of a PNG, JPEG or TIFF.

    Of several frames, without ``frame``, the one that the file calls representative (0028,6010),
    else the middle one: a sonographer stores a sweep around the lesion. No frame is chosen by its
    sharpness, for speckle and written marks are the sharpest of all, and every frame of a long
    sweep would have to be decoded.

    The region is the file's own (Sequence of Ultrasound Regions: two-dimensional tissue only; the
    parts of it that the file gives to a colour scale, an ECG and the like become black). Where the
    file states none, it is the box of the scan's measured outline, and that is said. All that lies
    outside of the outline becomes black, with writing that reaches over it.

    Args:
        path: the file.
        frame: which frame, from 1.
        region: which B-mode region, from 1; needed where there are several.
        blank: boxes x0, y0, x1, y1 in the file's pixels, last ones included, that a reviewer wants
            to be black besides.

    Raises:
        InputError: no such file, frame or region; several regions and none named; no B-mode
            region; a region off the image or of zero pixel size; pixels that are truncated or of an
            unknown coding; a box off the image.
    """
    opened = open_ultrasound(Path(path), frame)
    return _image(opened, _choose_region(opened.regions, region, opened.path), blank)


def join_masks(paths: Sequence[str | os.PathLike[str]]) -> NDArray[np.bool_]:
    """The union of the masks of one image, bool ``[row, column]``; grey or colour pictures.

    A pixel belongs to a mask above half of the mask's highest value (masks are of 0 and 1, or of 0
    and 255, and JPEG blurs their edges); a black mask is empty.

    Raises:
        InputError: no mask is given, one cannot be read, is of another size, or has more grey
            levels than a mask.
    """
    joined: NDArray[np.bool_] | None = None
    for path in map(Path, paths):
        values = read_picture(path).rgb.max(axis=-1).astype(int)
        top = int(values.max())
        between = (values > 0.1 * top) & (values < 0.9 * top)
        if between.sum() > 0.05 * np.count_nonzero(values):
            raise InputError("This is no mask: it has many grey levels", path=path)
        mask = values > top / 2
        if joined is not None and mask.shape != joined.shape:
            raise InputError(
                f"The mask has {mask.shape[1]} × {mask.shape[0]} pixels, the one before "
                f"{joined.shape[1]} × {joined.shape[0]}",
                path=path,
            )
        joined = mask if joined is None else joined | mask
    if joined is None:
        raise InputError("There is no mask to join")
    return joined


def _choose_region(found: Sequence[Region], wanted: int | None, path: Path) -> int:
    if wanted is None and len(found) > 1:
        places = "; ".join(f"{n}: {one.words}" for n, one in enumerate(found, start=1))
        raise InputError(
            f"The image has {len(found)} B-mode regions ({places})",
            path=path,
            remedy="Name the one that shows the tumour",
        )
    number = 1 if wanted is None else wanted
    if not 1 <= number <= len(found):
        raise InputError(
            f"There is no B-mode region {number}",
            path=path,
            remedy=f"Choose one from 1 to {len(found)}",
        )
    return number


def _image(opened: Opened, number: int, blank: Sequence[Box]) -> UltrasoundImage:
    region, header = opened.regions[number - 1], opened.header
    picture, warnings = opened.picture, list(opened.warnings)
    rows, columns = picture.rgb.shape[:2]
    rgb = picture.rgb[region.slices]
    grey = grey_of(rgb)
    other = given_to_others(region, opened.stated, opened.path, warnings)
    area = scan_area(grey, vivid(rgb) | other)
    scan = np.ones(grey.shape, bool) if area is None else area
    if area is None and opened.stated:
        warnings.append("No outline of a scan was found: nothing outside of it could be blanked")
    # On the whole frame: what is written beside the region may reach into it.
    whole = np.zeros((rows, columns), bool)
    whole[region.slices] = scan & ~other
    marks = marks_on(picture.rgb, grey_of(picture.rgb), whole)
    gone = ~scan | other
    if area is not None:
        gone |= marks.outside[region.slices]
    for box in blank:
        gone |= _box_mask(box, (rows, columns))[region.slices]
    left = tuple(
        box
        for box in marks.inside
        if not gone[_box_mask(box, (rows, columns))[region.slices]].all()
    )
    colour, share = colour_of(rgb, scan & ~gone)
    if colour == "colour Doppler":
        warnings.append(
            f"{share:.0%} of the scan is in colours, as of colour Doppler: prefer an image without"
        )
    if left:
        warnings.append(
            f"{len(left)} marks may be drawn on the scan (writing, callipers): look at "
            + ", ".join(f"X {a}–{c} Y {b}–{d}" for a, b, c, d in left[:6])
            + (" and more" if len(left) > 6 else "")
        )
    burned_in = text_of(header, "BurnedInAnnotation").upper()
    if burned_in == "YES":
        warnings.append(BURNED_IN)
    if region.spacing_mm is None:
        warnings.append(f"{_NO_SPACING.capitalize()}: {region.why_no_spacing}")
    return UltrasoundImage(
        pixels=np.where(gone, np.uint8(0), grey),
        spacing_mm=region.spacing_mm,
        region=region,
        region_number=number,
        region_count=len(opened.regions),
        frame=opened.frame,
        frame_count=opened.frames,
        frame_reason=opened.reason,
        path=opened.path,
        source_size=(columns, rows),
        scan=scan,
        blanked=gone & (grey > 0),
        marks=left,
        area_found=area is not None,
        colour=colour,
        laterality=laterality_of(header),
        study_date=text_of(header, "StudyDate"),
        study_time=text_of(header, "StudyTime"),
        manufacturer=text_of(header, "Manufacturer"),
        model=text_of(header, "ManufacturerModelName"),
        burned_in=burned_in if burned_in in ("YES", "NO") else "",
        lossy=picture.lossy,
        patient_id=text_of(header, "PatientID"),
        study_uid=text_of(header, "StudyInstanceUID"),
        header=header,
        warnings=tuple(warnings),
    )


def _box_mask(box: Box, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """A box as a mask on the file's frame.

    Raises:
        InputError: it lies off the image.
    """
    x0, y0, x1, y1 = box
    if not (0 <= x0 <= x1 < shape[1] and 0 <= y0 <= y1 < shape[0]):
        raise InputError(
            f"The box to blank (X {x0}–{x1}, Y {y0}–{y1}) lies off the image of "
            f"{shape[1]} × {shape[0]} pixels"
        )
    mask = np.zeros(shape, bool)
    mask[y0 : y1 + 1, x0 : x1 + 1] = True
    return mask
