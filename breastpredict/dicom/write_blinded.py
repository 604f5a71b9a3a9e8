"""Phases of a study as DICOM that tells nobody whose they are, for readers who must not know.

Nothing is copied from the source files: pixels, grid and the time between phases are all that is
written (so that every attribute of PS3.15 table E.1-1 is absent, empty or new). What is read from
it, a segmentation for instance, can name the blinded images only.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from breastpredict import RESEARCH_USE_ONLY
from breastpredict.dicom.source import MANUFACTURER, MODEL_NAME, save
from breastpredict.dicom.stored_values import Coding, coding_of, decimal, time_of_day
from breastpredict.dicom.study import Phase
from breastpredict.errors import InputError
from breastpredict.files import write_folder
from breastpredict.imaging import Geometry

_DAY = datetime(1900, 1, 1, 12)
"""Of every blinded study; only the time from phase to phase is true."""


def write_blinded(
    phases: Sequence[Phase],
    folder: str | os.PathLike[str],
    *,
    name: str,
    laterality: str | None = None,
) -> Path:
    """Write phases as MR images, one series and subfolder a phase, one file a slice.

    Whole numbers that span 16 bits are kept as they are, others in 65536 steps.

    Args:
        phases: on one grid, in order of time.
        folder: appears whole or not at all; one that is there is replaced.
        name: written as patient ID, patient name and study ID.
        laterality: "R", "L" or "B", where it is known and no secret.

    Returns:
        The folder.

    Raises:
        InputError: phases on different grids, pixels that cannot be read, or more than 16 bits.
    """
    volumes = [_whole_numbers(phase.read()) for phase in phases]
    if any(not p.geometry.same_grid(phases[0].geometry, 0.01) for p in phases[1:]):
        raise InputError("The phases to blind are on different grids")
    coding = coding_of(volumes)
    base = _study(name, laterality, coding)
    _plane(base, phases[0].geometry)
    target = Path(folder)
    with write_folder(target) as made:
        for number, (phase, volume) in enumerate(zip(phases, volumes, strict=True), start=1):
            base.SeriesInstanceUID = generate_uid()
            base.SeriesNumber = number
            base.SeriesDescription = f"Phase {number}. {RESEARCH_USE_ONLY}"[:64]
            base.AcquisitionNumber = number
            _time(base, phase, phases[0])
            series = made / f"phase{number}"
            series.mkdir()
            stored = coding.store(sitk.GetArrayViewFromImage(volume))
            for k, pixels in enumerate(stored):
                corner = phase.geometry.index_to_physical(np.array([0, 0, k]))
                base.ImagePositionPatient = [decimal(x) for x in corner]
                base.SOPInstanceUID = generate_uid()
                base.InstanceNumber = k + 1
                base.PixelData = pixels.tobytes()
                base.file_meta = FileMetaDataset()
                base.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
                save(base, series / f"{k + 1:04d}.dcm")
    return target


def _whole_numbers(image: sitk.Image) -> sitk.Image:
    """As integers, where all values are."""
    values = sitk.GetArrayViewFromImage(image)
    whole = bool(np.isfinite(values).all()) and bool((values == np.rint(values)).all())
    return sitk.Cast(image, sitk.sitkInt32) if whole and abs(values).max() < 2**31 else image


def _study(name: str, laterality: str | None, coding: Coding) -> Dataset:
    """Patient, study, equipment and pixel description (PS3.3 A.4)."""
    data = Dataset()
    data.SOPClassUID = MRImageStorage
    data.SpecificCharacterSet = "ISO_IR 192"
    data.PatientID = data.StudyID = name
    data.PatientName = f"{name}^"
    data.PatientIdentityRemoved = "YES"
    data.DeidentificationMethod = "Rewritten from pixels, grid and times"
    for keyword in ("PatientBirthDate", "PatientSex", "ReferringPhysicianName", "AccessionNumber"):
        setattr(data, keyword, "")
    data.StudyInstanceUID, data.FrameOfReferenceUID = generate_uid(), generate_uid()
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = f"{_DAY:%Y%m%d}"
    data.StudyTime = time_of_day(_DAY)
    data.StudyDescription = f"Reader study. {RESEARCH_USE_ONLY}"[:64]
    data.Modality = "MR"
    data.BodyPartExamined = "BREAST"
    if laterality in ("R", "L"):
        data.Laterality = laterality
    data.PatientPosition = ""
    data.PositionReferenceIndicator = ""
    data.Manufacturer, data.ManufacturerModelName = MANUFACTURER, MODEL_NAME
    data.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]  # the pixels are as they were acquired
    data.ScanningSequence, data.SequenceVariant, data.ScanOptions = ["GR"], ["SP"], ""
    data.MRAcquisitionType = "3D"
    data.RepetitionTime, data.EchoTime, data.EchoTrainLength = "", "", ""
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 0
    if (coding.slope, coding.intercept) != (1.0, 0.0):
        data.RescaleIntercept, data.RescaleSlope = decimal(coding.intercept), decimal(coding.slope)
        data.RescaleType = "US"
    return data


def _plane(data: Dataset, geometry: Geometry) -> None:
    i, j, k = geometry.spacing
    axes = np.array(geometry.direction).reshape(3, 3)
    data.Columns, data.Rows = geometry.size[:2]
    data.PixelSpacing = [decimal(j), decimal(i)]
    data.SliceThickness = data.SpacingBetweenSlices = decimal(k)
    data.ImageOrientationPatient = [decimal(x) for x in (*axes[:, 0], *axes[:, 1])]


def _time(data: Dataset, phase: Phase, first: Phase) -> None:
    """When the phase was acquired after the first, where that is known."""
    if math.isnan(phase.time_s) or math.isnan(first.time_s):
        data.SeriesTime = time_of_day(_DAY)
        return
    moment = _DAY + timedelta(seconds=round(phase.time_s - first.time_s, 3))
    data.SeriesTime = data.AcquisitionTime = data.ContentTime = time_of_day(moment)
