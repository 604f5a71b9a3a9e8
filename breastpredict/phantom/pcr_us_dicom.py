"""Writing screens of ultrasound scanners as DICOM: single frames, colour, and short sweeps.

- ``mono``: US Image, MONOCHROME2, uncompressed.
- ``rgb``: US Image, JPEG baseline, YBR_FULL_422.
- ``frames``: US Multi-frame Image, MONOCHROME2, JPEG baseline; RepresentativeFrameNumber names the
  frame with the largest extent.

Sources: PS3.3 A.6 and A.7 (US Multi-frame and US Image), C.8.5.5 (region calibration), C.8.5.6 (US
Image module); PS3.5 A.4.1 (JPEG).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from breastpredict import __version__
from breastpredict.files import write_atomic
from breastpredict.phantom.mr_dicom import IMPLEMENTATION_UID
from breastpredict.phantom.mr_study import hashed_uid
from breastpredict.phantom.pcr_screen import Region, Screen

_KINDS = {"b-mode": (1, 1), "grey bar": (5, 0xD)}
"""RegionSpatialFormat and RegionDataType: 2D tissue; graphics, grey bar."""


@dataclass(frozen=True)
class PhantomHeader:
    """What the headers of one synthetic patient's files have in common.

    Attributes:
        laterality: "L" or "R".
        when: start of this study.
        study: what this study is called when its UIDs are made.
        seed: of the cohort.
    """

    patient_id: str
    patient_name: str
    laterality: str
    when: datetime
    study: str
    seed: int
    description: str

    def uid(self, *names: object) -> UID:
        """A UID for the thing called ``names`` within this study."""
        return hashed_uid("/".join(map(str, (self.seed, self.patient_id, self.study, *names))))


def write_us(
    path: Path,
    frames: Sequence[NDArray[np.uint8]],
    screen: Screen,
    header: PhantomHeader,
    *,
    pixel_mm: float,
    representative: int = 1,
) -> None:
    """Write one ultrasound file; the same input gives the same bytes.

    Args:
        path: of the file.
        frames: uint8 ``[row, column]`` or ``[row, column, RGB]``, all of one kind; several become a
            multi-frame file.
        screen: whose regions are stated.
        header: of the study.
        pixel_mm: distance of the scan's pixels.
        representative: number of the frame that stands for all, from 1.
    """
    colour = frames[0].ndim == 3
    data = common_header(header, "US")
    several = len(frames) > 1
    data.SOPClassUID = UltrasoundMultiFrameImageStorage if several else UltrasoundImageStorage
    data.SOPInstanceUID = header.uid("image")
    data.Manufacturer, data.ManufacturerModelName = screen.manufacturer, screen.model
    data.ImageType = ["ORIGINAL", "PRIMARY", "BREAST", "0001"]
    data.Laterality = header.laterality
    data.BurnedInAnnotation = "YES"
    data.SequenceOfUltrasoundRegions = [_region(region, pixel_mm) for region in screen.regions]
    data.Rows, data.Columns = frames[0].shape[:2]
    data.SamplesPerPixel = 3 if colour else 1
    data.PhotometricInterpretation = "YBR_FULL_422" if colour else "MONOCHROME2"
    if colour:
        data.PlanarConfiguration = 0
        data.UltrasoundColorDataPresent = 0
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit, data.PixelRepresentation = 7, 0
    if several:
        data.NumberOfFrames = len(frames)
        data.FrameIncrementPointer = Tag("FrameTime")
        data.FrameTime = "33.3"
        data.RepresentativeFrameNumber = representative
    if not colour and not several:
        data.LossyImageCompression = "00"
        raw = frames[0].tobytes()
        data.PixelData = raw + b"\0" * (len(raw) % 2)
        data["PixelData"].VR = "OB"
        save_dicom(data, path, ExplicitVRLittleEndian)
        return
    streams = [jpeg(frame, "4:2:2") for frame in frames]
    set_lossy(data, sum(frame.nbytes for frame in frames) / sum(map(len, streams)))
    data.PixelData = encapsulate(streams)
    data["PixelData"].VR = "OB"
    save_dicom(data, path, JPEGBaseline8Bit)


def common_header(header: PhantomHeader, modality: str) -> Dataset:
    """Patient, study, series and equipment of a synthetic file."""
    data = Dataset()
    data.PatientName, data.PatientID = header.patient_name, header.patient_id
    data.PatientBirthDate, data.PatientSex = "", "F"
    data.StudyInstanceUID = header.uid("study")
    data.SeriesInstanceUID = header.uid("series", modality)
    data.StudyDate = data.SeriesDate = data.ContentDate = f"{header.when:%Y%m%d}"
    data.StudyTime = data.SeriesTime = data.ContentTime = f"{header.when:%H%M%S}"
    data.AcquisitionDateTime = f"{header.when:%Y%m%d%H%M%S}"
    data.StudyID, data.SeriesNumber, data.InstanceNumber = "1", 1, 1
    data.AccessionNumber = data.ReferringPhysicianName = data.PatientOrientation = ""
    data.StudyDescription = header.description
    data.Modality = modality
    data.SoftwareVersions = f"BreastPredict {__version__}"
    return data


def jpeg(pixels: NDArray[np.uint8], subsampling: str, quality: int = 90) -> bytes:
    """A baseline JPEG stream."""
    stream = BytesIO()
    options = {"subsampling": subsampling} if pixels.ndim == 3 else {}
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, **options)
    return stream.getvalue()


def set_lossy(data: Dataset, ratio: float) -> None:
    """State that the pixels went through JPEG, by which ratio."""
    data.LossyImageCompression = "01"
    data.LossyImageCompressionRatio = f"{ratio:.2f}"
    data.LossyImageCompressionMethod = "ISO_10918_1"


def save_dicom(data: Dataset, path: Path, syntax: UID) -> None:
    """Write a file whole or not at all."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = data.SOPClassUID
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = f"BREASTPREDICT{__version__.replace('.', '')[:3]}"
    data.file_meta = meta
    with write_atomic(path) as temporary:
        dcmwrite(temporary, data, enforce_file_format=True)


def _region(region: Region, pixel_mm: float) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType = _KINDS[region.kind]
    item.RegionFlags = 0
    x0, y0, x1, y1 = region.box
    item.RegionLocationMinX0, item.RegionLocationMinY0 = x0, y0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = x1, y1
    measured = region.kind == "b-mode"
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3 if measured else 0
    item.PhysicalDeltaX = item.PhysicalDeltaY = pixel_mm / 10 if measured else 0.0
    return item
