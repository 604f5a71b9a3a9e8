"""Ultrasound out without the patient: a DICOM copy of what was kept, and a reviewer's picture.

Nothing is taken over from the source but what is listed here; so every attribute of the Basic
Application Level Confidentiality Profile (PS3.15 E.2, table E.1-1) is removed, emptied or replaced,
whether its action is X, Z, D or U, and so is every private one, every comment and every overlay.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import os
import secrets
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian

from breastpredict.dicom.provenance import Written
from breastpredict.dicom.source import save, unlogged
from breastpredict.dicom.ultrasound import UltrasoundImage
from breastpredict.dicom.ultrasound_file import text_of
from breastpredict.dicom.ultrasound_pixels import decode, read_picture
from breastpredict.errors import InputError

_ULTRASOUND_IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"
_KEPT = (
    "Manufacturer ManufacturerModelName TransducerType LossyImageCompressionRatio "
    "LossyImageCompressionMethod"
).split()
"""Not in table E.1-1; they tell the scanner's kind, not the scanner."""

_METHODS = {
    "113100": "Basic Application Confidentiality Profile",
    "113101": "Clean Pixel Data Option",
    "113107": "Retain Longitudinal Temporal Information Modified Dates Option",
}
"""Of CID 7050; what was not done is not claimed."""

_IDENTITY = (
    "PatientName PatientID OtherPatientIDs OtherPatientNames PatientBirthName "
    "PatientMotherBirthName PatientAddress PatientTelephoneNumbers PatientBirthDate "
    "AccessionNumber StudyID ReferringPhysicianName PerformingPhysicianName PhysiciansOfRecord "
    "OperatorsName NameOfPhysiciansReadingStudy InstitutionName InstitutionAddress StationName "
    "DeviceSerialNumber StudyInstanceUID SeriesInstanceUID SOPInstanceUID FrameOfReferenceUID"
).split()
_SHORTEST = 4  # shorter ones are part of ordinary words


@unlogged()
def write_deidentified(
    image: UltrasoundImage,
    path: str | os.PathLike[str],
    *,
    research_id: str,
    key: bytes | None = None,
    shift_days: int | None = None,
    reviewed: bool = False,
) -> Written:
    """Write `image.pixels` as a DICOM ultrasound image that holds nothing of the patient.

    Of the source it keeps the pixels of the region, their spacing, laterality, and maker and model
    of the scanner. Burned In Annotation (0028,0301) is NO, and the Clean Pixel Data Option is
    claimed, only where a person has looked, or where the scan's outline was found and nothing drawn
    was left on it; else it is YES.

    Args:
        image: as `read_ultrasound` gives it.
        path: file to write.
        research_id: becomes patient ID and name; the table that joins it to the patient stays with
            the user.
        key: secret of the project from which the new UIDs are made, so that files of one study stay
            together; drawn anew, and forgotten, where there is none.
        shift_days: moves the study date by so many days, the same for all of a patient's files, so
            that intervals stay; without it dates are removed. Times of day are removed.
        reviewed: a person has looked at the picture and found nothing that identifies the patient.

    Raises:
        InputError: the research identifier is empty, too long, or identifies the patient; or the
            date cannot be shifted.
        OSError: the file cannot be written.
    """
    source = image.header if image.header is not None else Dataset()
    _check_id(research_id, source)
    clean = reviewed or (image.area_found and not image.marks)
    data = _copy(image, source)
    data.PatientID = data.PatientName = research_id
    if not research_id.isascii():
        data.SpecificCharacterSet = "ISO_IR 192"
    data.StudyDate = _shifted(image, shift_days)
    key = secrets.token_bytes(32) if key is None else key
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
        old = text_of(image.header, keyword) or f"{keyword} of {image.path.resolve()}"
        setattr(data, keyword, _new_uid(key, old))
    # The same pixels always give the same instance, others never do.
    kept = hashlib.sha256(image.pixels.tobytes()).hexdigest()
    old = text_of(image.header, "SOPInstanceUID") or str(image.path.resolve())
    data.SOPInstanceUID = _new_uid(key, f"{old} {image.frame} {image.region.box} {kept}")
    data.SOPClassUID = _ULTRASOUND_IMAGE
    data.BurnedInAnnotation = "NO" if clean else "YES"
    data.PatientIdentityRemoved = "YES"
    data.DeidentificationMethod = [
        "Basic profile, kept by list; cropped to the B-mode region",
        "UIDs replaced; dates " + ("removed" if shift_days is None else "shifted; times removed"),
    ]
    data.LongitudinalTemporalInformationModified = "REMOVED" if shift_days is None else "MODIFIED"
    codes = ["113100"] + ["113101"] * clean + ["113107"] * (shift_days is not None)
    data.DeidentificationMethodCodeSequence = DicomSequence([_code(code) for code in codes])
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    _check_nothing_is_left(data, source)
    data.PixelData = image.pixels.tobytes() + b"\0" * (image.pixels.size % 2)
    data["PixelData"].VR = "OB"
    return save(data, Path(path))


def review_picture(image: UltrasoundImage) -> NDArray[np.uint8]:
    """Before and after, side by side, uint8 ``[row, column, RGB]``, for the reviewer's screen.

    Left the whole frame of the file, with the region's outline in yellow, blanked pixels in red and
    what may be drawn on the scan in green boxes; right what is kept. The left side shows what the
    file shows of the patient: it must not be stored with the results.

    Raises:
        InputError: the file is not there any more.
    """
    if not image.path.is_file():
        raise InputError("The file is not there any more", path=image.path)
    if image.header is None:
        before = read_picture(image.path).rgb.copy()
    else:
        before = decode(image.path, image.header, image.frame).rgb.copy()
    gone = image.in_source(image.blanked)
    before[gone] = before[gone] // 2 + np.array([127, 0, 0], np.uint8)
    for box in image.marks:
        _outline(before, box, (0, 255, 0))
    _outline(before, image.region.box, (255, 255, 0))
    after = np.repeat(image.in_source(image.pixels)[..., None], 3, axis=-1)
    gap = np.full((before.shape[0], 8, 3), 90, np.uint8)
    out: NDArray[np.uint8] = np.concatenate([before, gap, after], axis=1)
    return out


def review_png(image: UltrasoundImage) -> bytes:
    """`review_picture` as a PNG."""
    out = io.BytesIO()
    Image.fromarray(review_picture(image)).save(out, "PNG")
    return out.getvalue()


def _copy(image: UltrasoundImage, source: Dataset) -> Dataset:
    """The attributes of the image, and those that its module asks for empty (action Z)."""
    data = Dataset()
    data.ImageType = ["DERIVED", "PRIMARY"]
    for keyword in (
        "PatientBirthDate PatientSex StudyTime AccessionNumber ReferringPhysicianName StudyID "
        "Manufacturer PatientOrientation"
    ).split():
        setattr(data, keyword, None)
    for keyword in _KEPT:
        if source.get(keyword) not in (None, ""):
            data[keyword] = source[keyword]
    data.Modality, data.SeriesNumber, data.InstanceNumber = "US", "1", "1"
    if image.laterality in ("R", "L"):
        data.Laterality = image.laterality
    else:
        data.Laterality = None
    if image.laterality == "B":
        data.ImageLaterality = "B"
    data.DerivationDescription = (
        f"Frame {image.frame} of {image.frame_count}, B-mode region {image.region_number} of "
        f"{image.region_count}, grey, surroundings blanked"
    )
    rows, columns = image.pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = rows, columns
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.LossyImageCompression = "01" if image.lossy else "00"
    if image.spacing_mm is not None:
        region = Dataset()
        region.RegionSpatialFormat = region.RegionDataType = 1
        region.RegionFlags = 0
        region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
        region.RegionLocationMaxX1, region.RegionLocationMaxY1 = columns - 1, rows - 1
        region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
        region.PhysicalDeltaX, region.PhysicalDeltaY = (x / 10 for x in image.spacing_mm)
        data.SequenceOfUltrasoundRegions = DicomSequence([region])
    return data


def _check_id(research_id: str, source: Dataset) -> None:
    if not research_id.strip() or len(research_id) > 64 or not research_id.isprintable():
        raise InputError("The research identifier must be 1 to 64 printable characters")
    if set(research_id) & set("\\^="):
        raise InputError("The research identifier must not hold \\, ^ or =")
    if any(word in research_id.casefold() for word in _words(source)):
        raise InputError(
            "The research identifier identifies the patient",
            remedy="Give one that is not in the images",
        )


def _shifted(image: UltrasoundImage, days: int | None) -> str:
    if days is None or not image.study_date:
        return ""
    try:
        text = image.study_date.replace(".", "")
        day = date(int(text[:4]), int(text[4:6]), int(text[6:8])) + timedelta(days=days)
    except (ValueError, OverflowError) as error:
        raise InputError("The study date cannot be shifted", path=image.path) from error
    return f"{day:%Y%m%d}"


def _new_uid(key: bytes, old: str) -> str:
    """A UID of 122 random-looking bits (PS3.5 B.2); without the key none leads back."""
    number = int.from_bytes(hmac.new(key, old.encode(), hashlib.sha256).digest()[:16], "big")
    return f"2.25.{number}"


def _code(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = value, "DCM"
    item.CodeMeaning = _METHODS[value]
    return item


def _words(source: Dataset) -> Iterator[str]:
    """What identifies the patient or the place, in small letters, each part of a name by itself."""
    for keyword in _IDENTITY:
        try:
            value = source.get(keyword)
            values = value if isinstance(value, pydicom.multival.MultiValue) else [value]
            parts = [str(part) for one in values if one for part in str(one).split("^")]
        except Exception:  # a damaged value was not taken over either
            continue
        yield from (part.strip().casefold() for part in parts if len(part.strip()) >= _SHORTEST)


def _check_nothing_is_left(data: Dataset, source: Dataset) -> None:
    """Makers sometimes write a name where none belongs: then that attribute goes, too."""
    words = set(_words(source))
    for keyword in _KEPT:
        if keyword in data and any(word in str(data[keyword].value).casefold() for word in words):
            setattr(data, keyword, None)
            if keyword != "Manufacturer":
                delattr(data, keyword)


def _outline(
    rgb: NDArray[np.uint8], box: tuple[int, int, int, int], colour: tuple[int, ...]
) -> None:
    x0, y0, x1, y1 = box
    for rows, columns in (
        (slice(y0, y0 + 1), slice(x0, x1 + 1)),
        (slice(y1, y1 + 1), slice(x0, x1 + 1)),
        (slice(y0, y1 + 1), slice(x0, x0 + 1)),
        (slice(y0, y1 + 1), slice(x1, x1 + 1)),
    ):
        rgb[rows, columns] = colour
