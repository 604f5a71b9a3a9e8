"""An ultrasound file: which frame of it, and which of its regions are of use."""

from __future__ import annotations

import warnings as warnings_module
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image

from breastpredict.dicom.source import unlogged
from breastpredict.dicom.ultrasound_area import box_of, scan_area, vivid
from breastpredict.dicom.ultrasound_pixels import (
    Picture,
    count_of_frames,
    decode,
    read_header,
    read_picture,
)
from breastpredict.dicom.ultrasound_regions import (
    Region,
    b_mode,
    is_colour_flow,
    overlap,
    regions_of,
)
from breastpredict.errors import InputError

BURNED_IN = "The file says that words that identify the patient are burnt in"


@dataclass(frozen=True)
class Opened:
    """A file with one frame decoded.

    Attributes:
        path: the file.
        header: of DICOM, without pixels; None for a plain picture.
        picture: the frame.
        frame, frames, reason: which, of how many, from 1, and why.
        stated: every region that the file states.
        regions: the B-mode regions; where the file states none, the one that was measured.
        warnings: what the reader must know.
    """

    path: Path
    header: pydicom.Dataset | None
    picture: Picture
    frame: int
    frames: int
    reason: str
    stated: tuple[Region, ...]
    regions: tuple[Region, ...]
    warnings: tuple[str, ...]


def open_ultrasound(path: Path, frame: int | None) -> Opened:
    """Open a file and decode one frame; see `breastpredict.dicom.read_ultrasound`.

    Raises:
        InputError: as there, but for several regions and boxes.
    """
    if not path.is_file():
        raise InputError("There is no such file", path=path)
    with unlogged(), warnings_module.catch_warnings():
        warnings_module.simplefilter("ignore")  # they quote values; what is used is checked here
        header = read_header(path)
        stated = () if header is None else regions_of(header, path)
        frames = 1 if header is None else count_of_frames(header, path)
        number, reason = choose_frame(header, frames, frame, path)
        picture = read_picture(path) if header is None else decode(path, header, number)
    warnings = list(picture.notes)
    found = _usable(stated, path) if stated else (_measured(picture, header, warnings),)
    return Opened(path, header, picture, number, frames, reason, stated, found, tuple(warnings))


def choose_frame(
    data: pydicom.Dataset | None, frames: int, wanted: int | None, path: Path
) -> tuple[int, str]:
    """Which frame, from 1, and why; see `read_ultrasound`.

    Raises:
        InputError: there is no such frame.
    """
    if wanted is not None:
        if not 1 <= wanted <= frames:
            raise InputError(
                f"There is no frame {wanted}", path=path, remedy=f"Choose one from 1 to {frames}"
            )
        return wanted, "chosen by the user"
    if frames == 1:
        return 1, "the only frame"
    try:
        stated = int(text_of(data, "RepresentativeFrameNumber") or 0)
    except (TypeError, ValueError):
        stated = 0
    if 1 <= stated <= frames:
        return stated, "RepresentativeFrameNumber (0028,6010)"
    return (frames + 1) // 2, f"the middle of {frames} frames"


def grey_of(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma (ITU-R BT.601) of ``[row, column, RGB]``; what was grey keeps its values."""
    return np.asarray(Image.fromarray(rgb).convert("L"))


def given_to_others(
    region: Region, stated: Sequence[Region], path: Path, warnings: list[str]
) -> NDArray[np.bool_]:
    """Pixels of a B-mode region that the file gives to a scale, a trace or the like."""
    columns, rows = region.size
    out = np.zeros((rows, columns), bool)
    x0, y0 = region.box[:2]
    for other in stated:
        shared = overlap(region.box, other.box)
        if other.kind == "B-mode" or shared is None:
            continue
        if is_colour_flow(other):
            warnings.append(f"The file states colour flow at {other.words}")
            continue
        out[shared[1] - y0 : shared[3] + 1 - y0, shared[0] - x0 : shared[2] + 1 - x0] = True
        warnings.append(f"What the file gives to the {other.kind} at {other.words} was blanked")
    if out.mean() > 0.5:
        raise InputError(
            f"More than half of the B-mode region at {region.words} belongs to something else "
            "as well",
            path=path,
            remedy="Choose an image in B-mode alone",
        )
    return out


def laterality_of(data: pydicom.Dataset | None) -> str | None:
    for keyword in ("ImageLaterality", "Laterality"):
        if (side := text_of(data, keyword).upper()) in ("R", "L", "B"):
            return side
    return None


def text_of(data: pydicom.Dataset | None, keyword: str) -> str:
    """A value as text, empty when absent or damaged."""
    try:
        return "" if data is None else str(data.get(keyword) or "").strip()
    except Exception:  # pydicom raises many kinds on damage
        return ""


def _usable(stated: Sequence[Region], path: Path) -> tuple[Region, ...]:
    found = b_mode(stated)
    if not found:
        kinds = ", ".join(f"{one.kind} at {one.words}" for one in stated)
        raise InputError(f"The image has no B-mode region, only {kinds}", path=path)
    return found


def _measured(picture: Picture, data: pydicom.Dataset | None, warnings: list[str]) -> Region:
    """The region of a picture that states none."""
    rows, columns = picture.rgb.shape[:2]
    area = scan_area(grey_of(picture.rgb), vivid(picture.rgb))
    box = (0, 0, columns - 1, rows - 1) if area is None else box_of(area)
    if area is None:
        warnings.append("No outline of a scan was found: the whole image is used")
    elif data is not None:
        warnings.append(
            "The file states no ultrasound regions: the box of the scan's outline is used"
        )
    spacing: tuple[float, float] | None = None
    why = "a plain picture has none" if data is None else "the file states none"
    try:
        row, column = (float(x) for x in (() if data is None else data.get("PixelSpacing") or ()))
        if 0 < row < 100 and 0 < column < 100:
            spacing, why = (column, row), ""
    except (TypeError, ValueError):
        pass  # absent, or not two numbers
    by = "the whole image" if area is None else "the scan's measured outline"
    return Region(box, "B-mode", spacing, why, by)
