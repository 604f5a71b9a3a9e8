"""DICOM as vendors and archives write it, made of what the phantom writes or of real files.

Every function takes files with known pixels and changes what the headers say, never the pixels, so
that whatever is read of the result can be compared with what went in.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from dce_volumes import TIMES, assert_same_voxels, dce
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.tag import Tag
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian

from breastpredict.dicom import DceAcquisition, Study
from breastpredict.phantom import WrittenDce, write_dce
from breastpredict.phantom.mr_study import hashed_uid

Change = Callable[[Dataset, int, int], None]
"""Called with the data set of one slice (or the groups of one frame), its phase and its place."""

TEMPORAL = (
    "TemporalPositionIdentifier NumberOfTemporalPositions TriggerTime AcquisitionTime ContentTime "
    "AcquisitionNumber AcquisitionDateTime ContrastBolusStartTime"
).split()


def written(folder: Path, layout: str = "siemens", **arguments: object) -> WrittenDce:
    """The usual four phases."""
    arguments = {"times_s": TIMES, **arguments}
    phases = arguments.pop("phases", None) or dce()
    return write_dce(folder, phases, layout=layout, **arguments)  # type: ignore[arg-type]


def assert_phases(acquisition: DceAcquisition, images: Sequence[sitk.Image]) -> None:
    assert len(acquisition.phases) == len(images)
    for phase, image in zip(acquisition.phases, images, strict=True):
        assert_same_voxels(phase, image)


def reasons(study: Study) -> list[tuple[str, int]]:
    """Why what was left out, and how many files."""
    return sorted((rejected.reason, rejected.files) for rejected in study.rejected)


def new_uid(*names: object) -> str:
    """A UID that no study of the phantom has."""
    return str(hashed_uid(f"variant/{'/'.join(map(str, names))}"))


def without(data: Dataset, *keywords: str) -> None:
    """Remove attributes that are there."""
    for keyword in keywords:
        if keyword in data:
            delattr(data, keyword)


def vary(written: WrittenDce, change: Change, *, other: bool = False) -> None:
    """Rewrite each file of a classic acquisition; ``change`` gets it with its phase and slice."""
    for p, phase in enumerate(written.other if other else written.phases):
        for k, file in enumerate(phase.files):
            data = pydicom.dcmread(file)
            change(data, p, k)
            save(data, file)


def as_one_series(data: Dataset, number: int, uid: str = "2.25.5") -> None:
    """Put a slice into one series of all phases, at a place in it."""
    data.SeriesInstanceUID, data.SeriesNumber, data.InstanceNumber = uid, 5, number
    data.SeriesTime = "093000"


def save(data: Dataset, path: Path, syntax: str | None = None) -> Path:
    """Write a data set; ``syntax`` changes its uncompressed transfer syntax."""
    data.file_meta.MediaStorageSOPInstanceUID = data.get("SOPInstanceUID", "2.25.1")
    data.preamble = bytes(128)
    if syntax is not None:
        if syntax == "1.2.840.10008.1.2.2" and data.BitsAllocated == 16:
            data.PixelData = data.pixel_array.astype(f">{data.pixel_array.dtype.str[1:]}").tobytes()
        data.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    syntax = str(data.file_meta.TransferSyntaxUID)
    pydicom.dcmwrite(
        path,
        data,
        implicit_vr=syntax == "1.2.840.10008.1.2",
        little_endian=syntax != "1.2.840.10008.1.2.2",
    )
    return path


EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
RLE = "1.2.840.10008.1.2.5"


def compress(data: Dataset, syntax: str, folder: Path) -> Dataset:
    """The same data set with its frames encoded, by ITK (JPEG, JPEG 2000) or pydicom (the rest)."""
    if syntax in (RLE, JPEG_LS):
        data.compress(syntax, generate_instance_uid=False)
        return data
    frames = data.pixel_array.reshape(-1, data.Rows, data.Columns)
    encoded = []
    for pixels in frames:
        path = folder / ".one.dcm"
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(path))
        writer.UseCompressionOn()
        writer.SetCompressor({JPEG_LOSSLESS: "JPEG", JPEG_2000: "JPEG2000"}[syntax])
        writer.Execute(sitk.GetImageFromArray(pixels[np.newaxis]))
        one = pydicom.dcmread(path)
        assert one.file_meta.TransferSyntaxUID == syntax
        encoded.append(get_frame(one.PixelData, 0, number_of_frames=1))
        path.unlink()
    data.PixelData = encapsulate(encoded)
    data["PixelData"].VR = "OB"
    data.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    return data


def private(
    data: Dataset, group: int, block: int, creator: str, values: dict[int, tuple[str, object]]
) -> None:
    """Private attributes with their creator, in the block that is asked for (PS3.5 7.8.1)."""
    data.add_new(Tag(group, block), "LO", creator)
    for element, (vr, value) in values.items():
        data.add_new(Tag(group, block << 8 | element), vr, value)


def frames_apart(
    file: Path, folder: Path, parts: Iterable[Sequence[int]], change: Change | None = None
) -> list[Path]:
    """An Enhanced file taken apart: one file for each list of 0-based frames.

    ``change`` gets each new data set, its number and how many there are before it is written.
    """
    whole = pydicom.dcmread(file)
    size = whole.Rows * whole.Columns * whole.BitsAllocated // 8
    folder.mkdir(parents=True, exist_ok=True)
    out, listed = [], list(parts)
    for number, frames in enumerate(listed, start=1):
        data = copy.deepcopy(whole)
        groups = data.PerFrameFunctionalGroupsSequence
        data.PerFrameFunctionalGroupsSequence = [groups[f] for f in frames]
        data.NumberOfFrames = len(frames)
        data.PixelData = b"".join(whole.PixelData[f * size : (f + 1) * size] for f in frames)
        data.SOPInstanceUID = f"{whole.SOPInstanceUID}.{number}"
        data.InstanceNumber = number
        if change is not None:
            change(data, number - 1, len(listed))
        out.append(save(data, folder / f"E{number:05d}.dcm"))
    return out


def joined_enhanced(files: Sequence[Path], path: Path, *, one_stack: bool = False) -> Path:
    """One Enhanced file of the frames of several; each becomes a stack of its own, or one phase."""
    whole = [pydicom.dcmread(file) for file in files]
    data = copy.deepcopy(whole[0])
    groups = []
    for number, one in enumerate(whole, start=1):
        for group in one.PerFrameFunctionalGroupsSequence:
            group.FrameContentSequence[0].StackID = "1" if one_stack else str(number)
            groups.append(group)
    data.PerFrameFunctionalGroupsSequence = groups
    data.NumberOfFrames = len(groups)
    data.PixelData = b"".join(one.PixelData for one in whole)
    return save(data, path)


def change_frames(file: Path, change: Change, slices: int) -> None:
    """Rewrite the functional groups of each frame of a file that runs phase by phase."""
    data = pydicom.dcmread(file)
    for number, group in enumerate(data.PerFrameFunctionalGroupsSequence):
        change(group, number // slices, number % slices)
    save(data, file)


def item(**values: object) -> Dataset:
    """A sequence item."""
    data = Dataset()
    for keyword, value in values.items():
        setattr(data, keyword, value)
    return data


# --- Magnitude (n = 0) and phase (1), as vendors say it ---


def philips_component(data: Dataset, n: int) -> None:
    data.ImageType = ["ORIGINAL", "PRIMARY", *[("M_FFE", "M"), ("PHASE MAP", "P")][n], "FFE"]


def siemens_component(data: Dataset, n: int) -> None:
    data.ImageType = ["ORIGINAL", "PRIMARY", "MP"[n], "ND"]


def ge_component(data: Dataset, n: int) -> None:
    private(data, 0x0043, 0x10, "GEMS_PARM_01", {0x2F: ("SS", n)})


def stated_component(data: Dataset, n: int) -> None:
    data.ComplexImageComponent = ("MAGNITUDE", "PHASE")[n]


# --- The Philips twin ---

PHILIPS = ("Philips MR Imaging DD 001", "Philips MR Imaging DD 005")
LABEL = (0x2005, 0x1429)


def philips_enhanced(classic: Sequence[Path], path: Path, *, temporal_index: bool = True) -> Path:
    """One Enhanced MR file of the slices of a Philips classic series, as the scanner exports it.

    Dimensions are stack, slice, time and the private label type (2005,1429). What a classic file
    holds in private attributes stands in the private sequence (2005,140F) of its frame, and times
    are dynamic scan begin times, FrameAcquisitionDateTime and the trigger delay.
    """
    slices = [pydicom.dcmread(file) for file in classic]
    first = slices[0]
    places = sorted({float(s.SliceLocation) for s in slices})
    labels = sorted({str(s[LABEL].value) for s in slices if LABEL in s})
    data = Dataset()
    for keyword in (
        "SpecificCharacterSet StudyDate SeriesDate StudyTime SeriesTime Modality Manufacturer "
        "PatientName PatientID StudyInstanceUID FrameOfReferenceUID BodyPartExamined SeriesNumber "
        "SeriesDescription Rows Columns SamplesPerPixel PhotometricInterpretation BitsAllocated "
        "BitsStored HighBit PixelRepresentation"
    ).split():
        if keyword in first:
            data[keyword] = first[keyword]
    data.SOPClassUID = EnhancedMRImageStorage
    data.SOPInstanceUID, data.SeriesInstanceUID = "2.25.190301", "2.25.1903"
    data.ImageType = ["ORIGINAL", "PRIMARY", "PERFUSION", "NONE"]
    data.InstanceNumber, data.NumberOfFrames = 1, len(slices)
    data.AcquisitionDateTime = f"{first.AcquisitionDate}{first.AcquisitionTime}"
    data.ContentTime = first.AcquisitionTime
    data.AcquisitionDuration = first.get("AcquisitionDuration")
    pointers = [(0x0020, 0x9056), (0x0020, 0x9057), (0x0020, 0x9128), LABEL]
    data.DimensionIndexSequence = [item(DimensionIndexPointer=Tag(p)) for p in pointers]
    data.SharedFunctionalGroupsSequence = [
        item(
            PixelMeasuresSequence=[
                item(
                    PixelSpacing=first.PixelSpacing,
                    SliceThickness=first.SliceThickness,
                    SpacingBetweenSlices=first.SpacingBetweenSlices,
                )
            ],
            MRTimingAndRelatedParametersSequence=[
                item(RepetitionTime=first.RepetitionTime, FlipAngle=first.FlipAngle)
            ],
        )
    ]
    groups = []
    for one in slices:
        place = places.index(float(one.SliceLocation)) + 1
        time = int(one.TemporalPositionIdentifier)
        label = labels.index(str(one[LABEL].value)) + 1 if LABEL in one else 1
        content = item(
            FrameAcquisitionDateTime=f"{one.AcquisitionDate}{one.AcquisitionTime}",
            FrameAcquisitionNumber=1,
            StackID="1",
            InStackPositionNumber=place,
            DimensionIndexValues=[1, place, time, label],
        )
        if temporal_index:
            content.TemporalPositionIndex = time
        own = Dataset()
        for keyword in ("ImageType", "EchoTime", "TriggerTime", "InstanceNumber"):
            own[keyword] = one[keyword]
        for element in one:
            if element.tag.group == 0x2005 and element.VR != "SQ":
                own.add(element)
        group = item(
            FrameContentSequence=[content],
            PlanePositionSequence=[item(ImagePositionPatient=one.ImagePositionPatient)],
            PlaneOrientationSequence=[item(ImageOrientationPatient=one.ImageOrientationPatient)],
            MREchoSequence=[item(EffectiveEchoTime=float(one.EchoTime))],
            MRImageFrameTypeSequence=[
                item(
                    FrameType=["ORIGINAL", "PRIMARY", "PERFUSION", "NONE"],
                    ComplexImageComponent="MAGNITUDE",
                )
            ],
            CardiacSynchronizationSequence=[
                item(NominalCardiacTriggerDelayTime=float(one.TriggerTime))
            ],
            PixelValueTransformationSequence=[
                item(RescaleSlope=one.RescaleSlope, RescaleIntercept=one.RescaleIntercept)
            ],
        )
        group.add_new(Tag(0x2005, 0x0014), "LO", PHILIPS[1])
        group.add_new(Tag(0x2005, 0x140F), "SQ", [own])
        groups.append(group)
    data.PerFrameFunctionalGroupsSequence = groups
    data.PixelData = b"".join(one.PixelData for one in slices)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    return save(data, path)
