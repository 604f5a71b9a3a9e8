"""What every written object takes from its source: headers, planes, references, identity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from highdicom.sr.coding import CodedConcept
from pydicom import Dataset, config
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.uid import MRImageStorage, generate_uid
from pydicom.valuerep import validate_value

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING
from breastpredict.dicom.bounded import read_dataset
from breastpredict.dicom.provenance import Provenance, Written
from breastpredict.dicom.study import Phase
from breastpredict.errors import InputError
from breastpredict.files import write_atomic
from breastpredict.imaging import Geometry

MANUFACTURER = "BreastPredict"
MODEL_NAME = "BreastPredict (research use only)"

_REQUIRED = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")

_FOR_HIGHDICOM = (
    "SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID "
    "PositionReferenceIndicator Modality Manufacturer ManufacturerModelName SoftwareVersions "
    "Rows Columns ImagePositionPatient ImageOrientationPatient PixelSpacing SliceThickness "
    "LossyImageCompression LossyImageCompressionRatio LossyImageCompressionMethod "
    "NumberOfFrames SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence "
    "DimensionIndexSequence"
).split()
_FRAMES = "NumberOfFrames SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence".split()

_MAY_BE_EMPTY = (
    "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime "
    "ReferringPhysicianName StudyID AccessionNumber"
).split()
"""Type 2 in the Patient and General Study modules (PS3.3 C.7.1.1, C.7.2.1)."""

_NEVER_CHANGED = (
    "PatientName PatientID IssuerOfPatientID StudyInstanceUID StudyID AccessionNumber"
).split()
"""What finds patient and study again is copied as it is, even where it is too long."""


unlogged = config.disable_value_validation
"""For the writers: pydicom's warnings quote values, and none of a patient's is a log's."""


def source_headers(phase: Phase, slices: Sequence[int]) -> list[Dataset]:
    """The headers of the files that hold the slices, each once, in order.

    Elements that cannot be read (a number of three bytes) are left out.

    Raises:
        InputError: a header lacks what an object that refers to it must have.
    """
    paths = dict.fromkeys(phase.instances[k].path for k in slices)
    return [source_header(path, (*_REQUIRED, "FrameOfReferenceUID")) for path in paths]


def source_header(path: Path, required: Sequence[str] = _REQUIRED) -> Dataset:
    """The header of a file that a written object refers to, without what cannot be read.

    Raises:
        InputError: it lacks one of the ``required`` attributes.
    """
    # It was read as DICOM before; some files have no preamble, which pydicom asks for else.
    header = read_dataset(path, stop_before_pixels=True, force=True)
    for tag in list(header.keys()):
        if tag.group == 0x5200:
            continue  # the functional groups of an Enhanced file take long; the index read them
        try:
            header[tag]
        except Exception:  # whatever pydicom makes of a damaged value
            del header[tag]
    for keyword in required:
        if not header.get(keyword):
            raise InputError(
                f"The tag {keyword} is missing",
                path=path,
                remedy="Send the study again from the scanner or PACS",
            )
    return header


def for_highdicom(headers: Sequence[Dataset]) -> list[Dataset]:
    """The headers without patient, physicians, institution and station.

    highdicom fails where type 2 attributes are absent or hold what they may not, quotes names that
    look odd to it in warnings, and copies the station's name and address. `finish` copies patient
    and study instead.
    """
    out = []
    for header in headers:
        bare = Dataset()
        for keyword in _FOR_HIGHDICOM:
            if keyword in header:
                bare[keyword] = header.get_item(keyword)
        for keyword in _MAY_BE_EMPTY:
            setattr(bare, keyword, "")
        if bare.get("LossyImageCompression") == "01":
            for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
                if keyword not in bare:
                    setattr(bare, keyword, None)  # unknown; a map asks for them
        out.append(bare)
    return out


def slice_headers(phase: Phase, slices: Sequence[int]) -> list[Dataset]:
    """One header a slice: highdicom compares a map's planes with single-frame sources only.

    A frame of an Enhanced file becomes a header of that file with the frame's own plane.
    """
    files = list(dict.fromkeys(phase.instances[k].path for k in slices))
    bare = dict(zip(files, for_highdicom(source_headers(phase, slices)), strict=True))
    headers: list[Dataset] = []
    axes = np.array(phase.geometry.direction).reshape(3, 3)
    for k in slices:
        header = Dataset()
        header.update(bare[phase.instances[k].path])
        if phase.instances[k].frame is not None:
            for keyword in _FRAMES:
                delattr(header, keyword)
            header.SOPClassUID = MRImageStorage
            corner = phase.geometry.index_to_physical(np.array([0.0, 0.0, k]))
            header.ImagePositionPatient = corner.tolist()
            header.ImageOrientationPatient = [*axes[:, 0].tolist(), *axes[:, 1].tolist()]
            header.PixelSpacing = [phase.geometry.spacing[1], phase.geometry.spacing[0]]
            header.SliceThickness = phase.geometry.spacing[2]
        headers.append(header)
    return headers


def laterality(header: Dataset) -> str:
    """R, L or B of a source header, empty where it does not say."""
    sides = [header.get("ImageLaterality"), header.get("Laterality")]
    for group in header.get("SharedFunctionalGroupsSequence", []):
        sides += [item.get("FrameLaterality") for item in group.get("FrameAnatomySequence", [])]
    return next((str(side) for side in sides if side in ("R", "L", "B")), "")


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


def reference(phase: Phase, k: int) -> Dataset:
    """An item that names the instance of a slice, and in an Enhanced file its frame."""
    instance = phase.instances[k]
    item = Dataset()
    item.ReferencedSOPClassUID = instance.sop_class_uid
    item.ReferencedSOPInstanceUID = instance.sop_instance_uid
    if instance.frame is not None:
        item.ReferencedFrameNumber = instance.frame
    return item


def reference_frames(data: Dataset, phase: Phase, derivation: CodedConcept) -> None:
    """Each frame of a multi-frame object names the slice it lies on, and no other phase's.

    highdicom matches by position, which in an Enhanced file is that of every phase.
    """
    for group in data.PerFrameFunctionalGroupsSequence:
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        k = round(float(phase.geometry.physical_to_index(position)[2]))
        item = reference(phase, k)
        item.SpatialLocationsPreserved = "YES"
        item.PurposeOfReferenceCodeSequence = [
            CodedConcept("121322", "DCM", "Source image for image processing operation")
        ]
        step = Dataset()
        step.SourceImageSequence = [item]
        step.DerivationCodeSequence = [derivation]
        group.DerivationImageSequence = [step]
    classes = {instance.sop_instance_uid: instance.sop_class_uid for instance in phase.instances}
    lists = [(data, "SourceImageSequence")]
    lists += [(s, "ReferencedInstanceSequence") for s in data.get("ReferencedSeriesSequence", [])]
    for holder, keyword in lists:
        once = {str(item.ReferencedSOPInstanceUID): item for item in holder.get(keyword, [])}
        for uid, item in once.items():
            item.ReferencedSOPClassUID = classes[uid]
        setattr(holder, keyword, list(once.values()))


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


def finish(data: hd.SOPClass, source: Dataset, provenance: Provenance, description: str) -> None:
    """Patient and study of the source, description and statements that every object carries."""
    data.SpecificCharacterSet = "ISO_IR 192"  # UTF-8: holds any name, and our own "mm²"
    data.copy_patient_and_study_information(source)
    if "LongitudinalTemporalInformationModified" in source:  # the study's date is copied too
        data.add(source["LongitudinalTemporalInformationModified"])
    for tag in list(data.keys()):
        if tag in source and data.get_item(tag) is source.get_item(tag):  # it was copied
            _repair(data, tag)
    data.SeriesDescription = f"{description} - RESEARCH USE ONLY"[:64]
    if data.get("Modality") != "SR":  # whose content says all of it
        comment = " ".join([*provenance.statements, *_sentences(provenance)])
        data.ImageComments = comment[:10240]


def _repair(data: Dataset, tag: BaseTag) -> None:
    """Make a copied element valid: descriptions are cut, other values emptied or left out."""
    element = data[tag]
    if element.VR == "SQ":
        for item in element.value:
            # Reading every element, this decodes them too: raw ones would be written as the bytes
            # of the source's alphabet.
            item.remove_private_tags()
        return
    if element.keyword in _NEVER_CHANGED:
        return
    values = element.value if isinstance(element.value, MultiValue) else [element.value]
    try:
        for value in values:
            text = str(value) if element.VR in ("DS", "IS") else value
            validate_value(element.VR, text, config.RAISE)
        if element.keyword != "PatientSex" or element.value in ("M", "F", "O", "", None):
            return
    except ValueError:
        pass
    if element.VR == "LO":
        data.add_new(tag, "LO", [str(value)[:64] for value in values])
    elif element.keyword in _MAY_BE_EMPTY:
        data.add_new(tag, element.VR, None)
    else:
        del data[tag]


def save(data: Dataset, path: Path) -> Written:
    """Write atomically."""
    with write_atomic(path) as temporary:
        data.save_as(temporary, enforce_file_format=True)
    return Written(
        Path(path), str(data.SOPClassUID), str(data.SOPInstanceUID), str(data.SeriesInstanceUID)
    )


def description_of(provenance: Provenance) -> str:
    """The short statement for ContentDescription (LO, 64 characters)."""
    if not provenance.synthetic:
        return RESEARCH_USE_ONLY
    return f"{SYNTHETIC_WARNING} {RESEARCH_USE_ONLY.partition('.')[0]}."


def _sentences(provenance: Provenance) -> list[str]:
    return [f"{name}: {value}." for name, value in provenance.details.items()]
