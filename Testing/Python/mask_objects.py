"""Masks as other programs write them: DICOM SEG by highdicom and by hand, RT structure sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import SimpleITK as sitk
from dce_volumes import TIMES, dce, only
from numpy.typing import NDArray
from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RTStructureSetStorage,
    generate_uid,
)

from breastpredict.dicom import Mask, Phase, Study, read_study
from breastpredict.phantom import StudyHeader, write_dce

LESION = codes.SCT.Neoplasm
BREAST = codes.SCT.Breast
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class MrCase:
    """A small DCE study as it is read, and its first phase's images."""

    study: Study
    phase: Phase
    images: list[Dataset]


def mr_case(
    folder: Path, size: Sequence[int] = (51, 37, 9), *, patient: str = "P1", **place: Any
) -> MrCase:
    """A study of two phases; 51 × 37 pixels fill no whole number of bytes."""
    write_dce(
        folder,
        dce(2, size=size, **place),
        layout="siemens",
        times_s=TIMES[:2],
        header=StudyHeader(patient_id=patient),
    )
    study = read_study(folder)
    phase = only(study).phases[0]
    return MrCase(study, phase, [pydicom.dcmread(i.path) for i in phase.instances])


def blobs(case: MrCase, count: int = 1, seed: int = 0) -> Bools:
    """Ragged overlapping masks, ``[k, j, i, segment]``; no two alike, none symmetric."""
    rng = np.random.default_rng(seed)
    depth, height, width = case.phase.geometry.size[::-1]
    out = np.zeros((depth, height, width, count), bool)
    for n in range(count):
        box = np.s_[2 + n : depth - 3 + n, 4 + n : height // 2 + 3 * n, 6 : width - 15 + 4 * n]
        out[(*box, n)] = rng.random(out[(*box, n)].shape) < 0.7
    return out


def write_seg(
    path: Path,
    images: Sequence[Dataset],
    array: NDArray[Any],
    kind: str = "BINARY",
    names: Sequence[tuple[str, Code]] = (("Lesion", LESION),),
    **options: Any,
) -> Path:
    """A SEG by highdicom of ``array`` [k, j, i] or [k, j, i, segment] on the images."""
    segments = [
        hd.seg.SegmentDescription(
            number,
            label,
            codes.SCT.MorphologicallyAbnormalStructure,
            code,
            hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number, (label, code) in enumerate(names, start=1)
    ]
    values = array.astype(np.uint8) if array.dtype == bool else array
    made = hd.seg.Segmentation(
        images,
        values,
        kind,
        segments,
        series_instance_uid=generate_uid(),
        series_number=1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Other",
        manufacturer_model_name="Writer",
        software_versions="1",
        device_serial_number="0",
        **options,
    )
    made.save_as(path)
    return path


def array_of(mask: Mask) -> Bools:
    """A mask on the whole grid asked for, ``[k, j, i]``."""
    return sitk.GetArrayFromImage(mask.mask.to_image()) > 0


def edited(path: Path, out: Path, change: Any) -> Path:
    """The object with a change; a change may give another object back."""
    data = pydicom.dcmread(path)
    data = change(data) or data
    _ = [element.value for element in data.iterall()]  # none is left in the bytes it was read from
    syntax = data.file_meta.TransferSyntaxUID
    if syntax.is_private or syntax in UID_dictionary:
        pydicom.dcmwrite(
            out,
            data,
            implicit_vr=syntax.is_implicit_VR,
            little_endian=syntax.is_little_endian,
            force_encoding=True,
        )
        return out
    # pydicom refuses to write what it does not know: another name of the same length stands in.
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.save_as(out)
    padded = str(syntax).encode().ljust(len(JPEGBaseline8Bit), b"\0")
    out.write_bytes(out.read_bytes().replace(JPEGBaseline8Bit.encode(), padded, 1))
    return out


def write_structures(
    path: Path,
    images: Sequence[Dataset],
    rois: Sequence[dict[str, Any]],
    **header: Any,
) -> Path:
    """An RT structure set. A ROI has ``contours`` (LPS points ``[n, 3]``, or ones with their
    geometric type), and may have ``name``, ``type`` and ``code``."""
    first = images[0]
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = RTStructureSetStorage
    data.SOPInstanceUID = generate_uid()
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.Modality = "RTSTRUCT"
    data.PatientName, data.PatientID = first.PatientName, first.PatientID
    data.PatientBirthDate = data.PatientSex = data.StudyDate = data.StudyTime = ""
    data.AccessionNumber = data.StudyID = data.ReferringPhysicianName = ""
    data.StudyInstanceUID, data.SeriesInstanceUID = first.StudyInstanceUID, generate_uid()
    data.SeriesNumber, data.Manufacturer = 1, "Other"
    data.StructureSetLabel, data.StructureSetDate, data.StructureSetTime = "T", "", ""
    frame = _item(FrameOfReferenceUID=first.FrameOfReferenceUID)
    data.ReferencedFrameOfReferenceSequence = [frame]
    data.StructureSetROISequence, data.ROIContourSequence = [], []
    data.RTROIObservationsSequence = []
    for number, roi in enumerate(rois, start=1):
        data.StructureSetROISequence.append(
            _item(
                ROINumber=number,
                ReferencedFrameOfReferenceUID=first.FrameOfReferenceUID,
                ROIName=roi.get("name", f"ROI {number}"),
                ROIGenerationAlgorithm="MANUAL",
            )
        )
        data.ROIContourSequence.append(
            _item(ReferencedROINumber=number, ContourSequence=list(map(_contour, roi["contours"])))
        )
        observation = _item(
            ObservationNumber=number,
            ReferencedROINumber=number,
            RTROIInterpretedType=roi.get("type", ""),
            ROIInterpreter="",
        )
        if "code" in roi:
            code = roi["code"]
            observation.RTROIIdentificationCodeSequence = [
                _item(
                    CodeValue=code.value,
                    CodingSchemeDesignator=code.scheme_designator,
                    CodeMeaning=code.meaning,
                )
            ]
        data.RTROIObservationsSequence.append(observation)
    for keyword, value in header.items():
        setattr(data, keyword, value)
    data.save_as(path, enforce_file_format=True)
    return path


def _item(**values: Any) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _contour(given: Any) -> Dataset:
    points, kind = given if isinstance(given, tuple) else (given, "CLOSED_PLANAR")
    return _item(
        ContourGeometricType=kind,
        NumberOfContourPoints=len(points),
        ContourData=[f"{value:.3f}"[:16] for value in np.asarray(points).ravel()],
    )
