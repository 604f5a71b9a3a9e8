"""The source headers and plane of a phase, as the writers need them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.uid import MRImageStorage, generate_uid

from breastpredict import RESEARCH_USE_ONLY
from breastpredict.dicom.provenance import Provenance, Written
from breastpredict.dicom.study import Phase
from breastpredict.files import write_atomic
from breastpredict.imaging import Geometry

MANUFACTURER = "BreastPredict"
MODEL_NAME = "BreastPredict (research use only)"

_STUDY_LEVEL = (
    "StudyID AccessionNumber StudyDescription ReferringPhysicianName PatientAge PatientSize "
    "PatientWeight PatientIdentityRemoved DeidentificationMethod"
).split()


def source_headers(phase: Phase, slices: Sequence[int]) -> list[Dataset]:
    """The headers of the files that hold the slices, each once, in order."""
    paths = dict.fromkeys(phase.instances[k].path for k in slices)
    return [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]


def slice_headers(phase: Phase, slices: Sequence[int]) -> list[Dataset]:
    """One header a slice: highdicom compares a map's planes with single-frame sources only.

    A frame of an Enhanced file becomes a header of that file with the frame's own plane.
    """
    headers = []
    axes = np.array(phase.geometry.direction).reshape(3, 3)
    for k in slices:
        header = source_headers(phase, [k])[0]
        if phase.instances[k].frame is not None:
            for keyword in (
                "NumberOfFrames",
                "SharedFunctionalGroupsSequence",
                "PerFrameFunctionalGroupsSequence",
            ):
                delattr(header, keyword)
            header.SOPClassUID = MRImageStorage
            corner = phase.geometry.index_to_physical(np.array([0.0, 0.0, k]))
            header.ImagePositionPatient = corner.tolist()
            header.ImageOrientationPatient = [*axes[:, 0].tolist(), *axes[:, 1].tolist()]
            header.PixelSpacing = [phase.geometry.spacing[1], phase.geometry.spacing[0]]
            header.SliceThickness = phase.geometry.spacing[2]
        headers.append(header)
    return headers


def planes(geometry: Geometry, slices: Sequence[int]) -> dict[str, Any]:
    """Plane positions, orientation and pixel measures of slices, for highdicom."""
    axes = np.array(geometry.direction).reshape(3, 3)
    positions = geometry.index_to_physical(np.array([[0, 0, k] for k in slices], dtype=float))
    return {
        "plane_positions": [
            hd.PlanePositionSequence(hd.CoordinateSystemNames.PATIENT, position.tolist())
            for position in positions
        ],
        "plane_orientation": hd.PlaneOrientationSequence(
            hd.CoordinateSystemNames.PATIENT, [*axes[:, 0].tolist(), *axes[:, 1].tolist()]
        ),
        "pixel_measures": hd.PixelMeasuresSequence(
            (geometry.spacing[1], geometry.spacing[0]), geometry.spacing[2], geometry.spacing[2]
        ),
    }


def equipment(provenance: Provenance) -> dict[str, Any]:
    """What highdicom asks of the device."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MODEL_NAME,
        "software_versions": provenance.version,
        "device_serial_number": "0",
    }


def identity(number: int) -> dict[str, Any]:
    """New UIDs, random and so unrelated to the patient, and the series' number."""
    return {
        "series_instance_uid": generate_uid(),
        "series_number": number,
        "sop_instance_uid": generate_uid(),
        "instance_number": 1,
    }


def finish(data: Dataset, source: Dataset, provenance: Provenance, description: str) -> None:
    """Study-level attributes, description and statements that every object carries."""
    for keyword in _STUDY_LEVEL:
        if keyword in source and keyword not in data:
            setattr(data, keyword, source[keyword].value)
    if data.get("AccessionNumber") != source.get("AccessionNumber") and "AccessionNumber" in source:
        data.AccessionNumber = source.AccessionNumber
    data.SeriesDescription = f"{description} - RESEARCH USE ONLY"[:64]
    comment = " ".join([*provenance.statements, *_sentences(provenance)])
    data.ImageComments = comment[:10240]
    if data.get("Modality") == "SR":
        del data.ImageComments


def save(data: Dataset, path: Path) -> Written:
    """Write atomically."""
    with write_atomic(path) as temporary:
        data.save_as(temporary, enforce_file_format=True)
    return Written(
        Path(path), str(data.SOPClassUID), str(data.SOPInstanceUID), str(data.SeriesInstanceUID)
    )


def description_of(provenance: Provenance) -> str:
    """The short statement for ContentDescription (LO, 64 characters)."""
    return ("SYNTHETIC TRAINING DATA. " if provenance.synthetic else "") + RESEARCH_USE_ONLY[:39]


def _sentences(provenance: Provenance) -> list[str]:
    return [f"{name}: {value}." for name, value in provenance.details.items()]
