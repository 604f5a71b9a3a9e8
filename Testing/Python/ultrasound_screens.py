"""Screens of an ultrasound scanner, with known scan, writing and regions, as DICOM and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from scipy import ndimage

COLUMNS, ROWS = 400, 300
BOX = (40, 30, 339, 269)
"""Of the region that the file states: wider than the scan."""
PATIENT = "DOE JANE 1951"


def speckle(seed: int = 0) -> np.ndarray:
    """Echoes blurred by a point spread, over the whole screen, uint8 from 20 up."""
    noise = np.random.default_rng(seed).rayleigh(1.0, (ROWS, COLUMNS))
    blurred = ndimage.gaussian_filter(noise, (1.2, 2.4))
    return np.clip(90 + 160 * (blurred - blurred.mean()), 20, 200).astype(np.uint8)


def fan() -> np.ndarray:
    """Where a curved array scans: a sector without its tip."""
    y, x = np.indices((ROWS, COLUMNS))
    radius = np.hypot(x - 190, y + 60)
    angle = np.abs(np.arctan2(x - 190, y + 60))
    return (radius > 110) & (radius < 310) & (angle < 0.45)


def rectangle() -> np.ndarray:
    """Where a linear array scans."""
    mask = np.zeros((ROWS, COLUMNS), bool)
    mask[50:260, 70:310] = True
    return mask


def written(picture: np.ndarray, text: str, place: tuple[int, int], size: int = 14) -> np.ndarray:
    """White words at (column, row)."""
    image = Image.fromarray(picture)
    fill: Any = 255 if picture.ndim == 2 else (255, 255, 255)
    ImageDraw.Draw(image).text(place, text, fill=fill, font=ImageFont.load_default(size))
    return np.asarray(image).copy()


def screen(scan: np.ndarray, seed: int = 0) -> np.ndarray:
    """Grey ``[row, column]``: a scan with a cyst, a name above it and settings beside it."""
    out = np.where(scan, speckle(seed), 0).astype(np.uint8)
    y, x = np.indices(out.shape)
    out[np.hypot(x - 190, y - 150) < 25] = 0
    out = written(out, PATIENT, (5, 4))
    out = written(out, "36", (42, 60))
    return written(out, "MI 0.6", (300, 34))


def region(box: tuple[int, int, int, int] = BOX, kind: int = 1, **change: Any) -> Dataset:
    """An item of the Sequence of Ultrasound Regions: 0.05 × 0.04 cm."""
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, kind, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = box[:2]
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = box[2:]
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX, item.PhysicalDeltaY = 0.05, 0.04
    for keyword, value in change.items():
        setattr(item, keyword, value)
    return item


def dataset(pixels: np.ndarray, regions: list[Dataset] | None = None, **change: Any) -> Dataset:
    """Of ``[row, column]``, ``[row, column, RGB]``, or frames of either with NumberOfFrames."""
    data = Dataset()
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.6.1"
    data.SOPInstanceUID, data.StudyInstanceUID = "1.2.3.4567.1", "1.2.3.4567.2"
    data.SeriesInstanceUID, data.Modality, data.Manufacturer = "1.2.3.4567.3", "US", "MAKER"
    data.PatientID, data.PatientName = "PID-4711", "Doe^Jane"
    data.StudyDate, data.StudyTime = "20240131", "101112"
    frames = "NumberOfFrames" in change
    rows, columns = pixels.shape[int(frames) : 2 + int(frames)]
    samples = 3 if pixels.ndim == 3 + int(frames) else 1
    data.Rows, data.Columns, data.SamplesPerPixel = rows, columns, samples
    data.PhotometricInterpretation = "RGB" if samples == 3 else "MONOCHROME2"
    if samples == 3:
        data.PlanarConfiguration = 0
    bits = 8 * pixels.dtype.itemsize
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelRepresentation = 0
    if regions is not None:
        data.SequenceOfUltrasoundRegions = regions
    raw = pixels.tobytes()
    data.PixelData = raw + b"\0" * (len(raw) % 2)
    data["PixelData"].VR = "OB" if bits == 8 else "OW"
    for keyword, value in change.items():
        setattr(data, keyword, value)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    return data


def save(data: Dataset, path: Path) -> Path:
    """As a DICOM file."""
    data.save_as(path, enforce_file_format=True)
    return path
