"""Whole-slide images in DICOM (PS3.3 A.32.8), by wsidicom; label and overview are never opened."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from breastpredict.dicom.bounded import read_dataset
from breastpredict.dicom.headers import WHOLE_SLIDE
from breastpredict.dicom.source import unlogged
from breastpredict.errors import InputError
from breastpredict.pathology.scale import Scale, plausible
from breastpredict.pathology.slide import REMEDY, DicomOrigin, Slide, need

_FLUORESCENCE = "111743"  # DCM, Epifluorescence illumination
_CACHE = 1 << 24  # bytes of tiles that wsidicom keeps of each level
Files = Sequence[tuple[Path, pydicom.Dataset]]
"""Files with their headers."""

_NOT_TISSUE = {
    "LABEL": "the label of the slide, which names the patient",
    "OVERVIEW": "the overview of the slide with its label",
    "THUMBNAIL": "a thumbnail of the slide",
}
_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
_GREY = "The slide is grey: it holds no colours of stains"
_USED = (
    "SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID PatientID "
    "StudyDate ImageType TotalPixelMatrixColumns TotalPixelMatrixRows Rows Columns NumberOfFrames "
    "TotalPixelMatrixFocalPlanes NumberOfOpticalPaths SamplesPerPixel PhotometricInterpretation "
    "BitsStored BitsAllocated ConcatenationUID OpticalPathSequence SharedFunctionalGroupsSequence "
    "BurnedInAnnotation SpecimenLabelInImage"
).split()


class DicomSlide(Slide):
    """A pyramid of DICOM files of one series."""

    def __init__(self, path: Path, files: Files, mpp: float | None) -> None:
        """Open it.

        Args:
            path: what the user named.
            files: the pyramid's files with their headers, of tissue only.
            mpp: microns per pixel of the largest image, where the user gives them.
        """
        # It logs the paths of files that it cannot read, with tracebacks.
        logging.getLogger("wsidicom").setLevel(logging.CRITICAL + 1)
        notes = [note for file, header in files for note in _check(file, header)]
        ordered = sorted(files, key=lambda one: -_matrix(one[1])[0])
        header = ordered[0][1]
        sizes = list(dict.fromkeys(_matrix(one) for _, one in ordered))
        self._images: list[Any] = []
        try:
            for size in sizes:
                parts = [file for file, one in ordered if _matrix(one) == size]
                self._images.append(_open_level(parts, size))
        except Exception as error:  # wsidicom raises many kinds on damage
            self.close()
            raise _damaged(path) from error
        self._top = 2 ** int(header.get("BitsStored") or 8) - 1
        self._inverted = header.get("PhotometricInterpretation") == "MONOCHROME1"
        origin = DicomOrigin(
            study_uid=_text(header, "StudyInstanceUID"),
            series_uid=_text(header, "SeriesInstanceUID"),
            frame_of_reference_uid=_text(header, "FrameOfReferenceUID"),
            sop_class_uid=WHOLE_SLIDE,
            sop_instance_uids=tuple(_text(one, "SOPInstanceUID") for _, one in ordered),
            files=tuple(file for file, _ in ordered),
            patient_id=_text(header, "PatientID"),
            study_date=_text(header, "StudyDate"),
        )
        super().__init__(
            path,
            "DICOM",
            sizes,
            _scale(header).or_given(mpp),
            origin=origin,
            warnings=tuple(dict.fromkeys(notes)),
        )

    def close(self) -> None:
        """See `Slide.close`."""
        for image in self._images:
            image.close()

    def read_level(self, level: int, box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
        """See `Slide.read_level`."""
        x0, y0, x1, y1 = box
        try:
            image = self._images[level].read_region((x0, y0), 0, (x1 - x0, y1 - y0))
            values = np.asarray(image)
        except Exception as error:  # the decoders raise many kinds on damage
            raise _damaged(self.path) from error
        if values.shape[:2] != (y1 - y0, x1 - x0):
            raise _damaged(self.path)
        if values.ndim == 3:
            return np.ascontiguousarray(values[..., :3], dtype=np.uint8)
        if self._top != 255 and image.mode != "L":
            values = values.astype(np.float64) * (255 / self._top)
        grey = np.clip(np.round(values), 0, 255).astype(np.uint8)
        if self._inverted:
            grey = 255 - grey
        return np.repeat(grey[..., None], 3, axis=-1)


def dicom_pyramids(files: Files) -> list[Files]:
    """The slides among DICOM files and their headers, each with its files of tissue.

    The files of a pyramid share their series and frame of reference (PS3.3 C.7.6.1, C.7.4.1), and
    no two of them the size of their matrix, unless they are parts of one concatenation.
    """
    series: dict[tuple[str, str], list[tuple[Path, pydicom.Dataset]]] = defaultdict(list)
    for path, header in files:
        if flavour(header) == "VOLUME":
            key = _text(header, "SeriesInstanceUID"), _text(header, "FrameOfReferenceUID")
            series[key].append((path, header))
    return [found for members in series.values() for found in _apart(members)]


@unlogged()
def open_dicom(path: Path, mpp: float | None) -> DicomSlide:
    """The slide in a folder, or the slide that a file belongs to.

    Files that lie beside a named one, of its series and frame of reference, are the other levels
    of its pyramid.

    Raises:
        InputError: no slide of tissue, several of them, or one that cannot be used.
    """
    if path.is_dir():
        found = dicom_pyramids(_headers(path.rglob("*")))
        if not found:
            raise InputError("The folder holds no slide of tissue in DICOM", path=path)
        if len(found) > 1:
            raise InputError(
                f"The folder holds {len(found)} slides",
                path=path,
                remedy="Name one file of the slide that is meant",
            )
        return open_pyramid(path, found[0], mpp)
    header = read_slide_header(path)
    if header is None:
        raise InputError("The file is damaged, or no whole-slide image in DICOM", path=path)
    if _text(header, "SOPClassUID") != WHOLE_SLIDE:
        name = pydicom.uid.UID(_text(header, "SOPClassUID")).name or "no SOP class"
        raise InputError(f"This is no whole-slide image in DICOM ({name})", path=path)
    if flavour(header) != "VOLUME":
        what = _NOT_TISSUE.get(flavour(header), "no image of the whole tissue")
        raise InputError(
            f"The file is {what}", path=path, remedy="Name a file of the slide's tissue"
        )
    beside = _headers(one for one in path.parent.iterdir() if one != path)
    keys = "SeriesInstanceUID", "FrameOfReferenceUID"
    same = [
        (one, other)
        for one, other in beside
        if flavour(other) == "VOLUME" and all(_text(other, k) == _text(header, k) for k in keys)
    ]
    group = next(g for g in _apart([(path, header), *same]) if any(one == path for one, _ in g))
    return open_pyramid(path, group, mpp)


@unlogged()
def open_pyramid(path: Path, files: Files, mpp: float | None) -> DicomSlide:
    """A slide of these files.

    Raises:
        InputError: wsidicom is missing, or the slide cannot be used.
    """
    need("wsidicom", path)
    return DicomSlide(path, files, mpp)


def _open_level(files: Sequence[Path], size: tuple[int, int]) -> Any:
    """One image of the pyramid. Each is opened by itself: wsidicom wants levels of one pyramid to
    differ by powers of two, which not every scanner's do.

    Raises:
        Exception: wsidicom raises many kinds on damage.
    """
    from wsidicom import Settings, WsiDicom
    from wsidicom.file.wsidicom_file_source import WsiDicomFileSource
    from wsidicom.geometry import SizeMm

    settings = Settings(decoded_frame_cache_size=_CACHE, encoded_frame_cache_size=_CACHE)
    source = WsiDicomFileSource.open(files)
    try:
        for reader in source.readers:
            if reader.dataset.pixel_spacing is None:
                # It opens nothing without; our own scale says that there is none.
                reader.dataset.pixel_spacing = SizeMm(1.0, 1.0)
        slide = WsiDicom(source, settings=settings)
        if (slide.size.width, slide.size.height) != size:
            raise ValueError("the size is another")
    except Exception:
        source.close()
        raise
    return slide


def _headers(paths: Iterable[Path]) -> list[tuple[Path, pydicom.Dataset]]:
    files = sorted(path for path in paths if path.is_file())
    return [(path, header) for path in files if (header := read_slide_header(path)) is not None]


def read_slide_header(path: Path) -> pydicom.Dataset | None:
    """What is used of a DICOM file's header; None where it is none or damaged."""
    try:
        header = read_dataset(path, stop_before_pixels=True, specific_tags=list(_USED))
        for keyword in _USED:  # decoded now: later it would raise anywhere
            header.get(keyword)
        _matrix(header)
        int(header.get("NumberOfFrames") or 1)
    except Exception:  # pydicom raises many kinds on damage
        return None
    return header


def flavour(header: pydicom.Dataset) -> str:
    """The third value of ImageType (PS3.3 C.8.12.4.1.1); empty for other objects."""
    kind = list(header.get("ImageType") or ())
    whole = _text(header, "SOPClassUID") == WHOLE_SLIDE
    return str(kind[2]) if whole and len(kind) > 2 else ""


def _apart(members: Files) -> list[Files]:
    """Pyramids of one series: a file of a size that is there already begins another."""
    found: list[list[tuple[Path, pydicom.Dataset]]] = []
    for path, header in members:
        for group in found:
            if all(_fits(header, other) for _, other in group):
                group.append((path, header))
                break
        else:
            found.append([(path, header)])
    return list(found)


def _fits(one: pydicom.Dataset, other: pydicom.Dataset) -> bool:
    part = _text(one, "ConcatenationUID")
    if part and part == _text(other, "ConcatenationUID"):
        return True
    (a, b), (c, d) = _matrix(one), _matrix(other)
    # The same proportions, to the rounding of the smaller image.
    return a != c and abs(a / c - b / d) <= 1.5 * (a / c) * (1 / min(a, c) + 1 / min(b, d))


def _matrix(header: pydicom.Dataset) -> tuple[int, int]:
    """(columns, rows) of the whole image; (0, 0) where not stated."""
    return (
        int(header.get("TotalPixelMatrixColumns") or 0),
        int(header.get("TotalPixelMatrixRows") or 0),
    )


def _check(path: Path, header: pydicom.Dataset) -> list[str]:
    """Raise InputError for what is no bright-field image in one plane; else what has to be said."""
    if int(header.get("TotalPixelMatrixFocalPlanes") or 1) > 1:
        raise InputError(
            "The slide has several focal planes",
            path=path,
            remedy="Export one plane from the scanner's software",
        )
    paths = header.get("OpticalPathSequence") or []
    if max(len(paths), int(header.get("NumberOfOpticalPaths") or 1)) > 1:
        raise InputError(
            "The slide has several optical paths (channels): it is no H&E slide", path=path
        )
    for one in paths:
        codes = [str(c.get("CodeValue", "")) for c in one.get("IlluminationTypeCodeSequence") or []]
        if _FLUORESCENCE in codes:
            raise InputError("The slide shows fluorescence: it is no H&E slide", path=path)
    if 0 in _matrix(header) or not header.get("Rows") or not header.get("Columns"):
        raise InputError("The header does not state the size", path=path, remedy=REMEDY)
    samples = int(header.get("SamplesPerPixel") or 0)
    if samples not in (1, 3) or int(header.get("BitsAllocated") or 0) not in (8, 16):
        raise InputError("The pixels are not in colours of 8 bits or in grey", path=path)
    syntax = str(header.file_meta.get("TransferSyntaxUID", ""))
    if syntax in _NATIVE:
        frames = int(header.get("NumberOfFrames") or 1)
        held = frames * int(header.Rows) * int(header.Columns) * samples
        if path.stat().st_size < held * int(header.BitsAllocated) // 8:
            raise _damaged(path)
    notes = []
    if samples == 1:
        notes.append(_GREY)
        if int(header.get("BitsStored") or 8) > 8:
            notes.append(f"{header.BitsStored} bits were brought to 8 by their full range")
    if _text(header, "SpecimenLabelInImage") == "YES":
        notes.append("The file says that the slide's label is in the image")
    return notes


def _scale(header: pydicom.Dataset) -> Scale:
    """PixelSpacing (mm; row distance first) of the shared functional groups."""
    why = "the file states no pixel spacing"
    try:
        measures = header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        row, column = (float(one) * 1000 for one in measures.PixelSpacing)
    except (AttributeError, IndexError, TypeError, ValueError):
        return Scale(None, why)
    return plausible(column, row, "PixelSpacing", f"its pixel spacing ({column:.4g} µm) cannot be")


def _text(header: pydicom.Dataset, keyword: str) -> str:
    value: Any = header.get(keyword)
    return "" if value is None else str(value)


def _damaged(path: Path) -> InputError:
    return InputError("The slide is damaged or truncated", path=path, remedy=REMEDY)
