"""Writing dynamic (DCE) MR volumes as DICOM in the layouts that vendors' scanners write.

Volumes of any orientation become studies which a scanner could have sent, so that reading is
tested on known pixels, positions and times. Integer volumes come back bit for bit.

- ``ge``: series 6 holds what came before contrast, series 7 every later phase, block by block; a
  second stack (the other breast) follows the first in each block, and InstanceNumber runs on. No
  times, or TriggerTime (ms from the start of the series).
- ``siemens``: one series per phase; AcquisitionTime and ContentTime are the phase's.
- ``philips``: one series; TemporalPositionIdentifier and TriggerTime (ms from its start).
- ``enhanced``: one Enhanced MR file with every phase; FrameAcquisitionDateTime.
- ``enhanced-per-phase``: one Enhanced MR file and series per phase; FrameAcquisitionDateTime.

Sources: DICOM PS3.3 A.4 (MR Image), A.36.2 (Enhanced MR Image), C.7.6.2 (image plane),
C.7.6.4 (contrast); PS3.5 B.2 (UIDs under 2.25).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage

from breastpredict import __version__
from breastpredict.dicom.stored_values import Coding, coding_of
from breastpredict.dicom.stored_values import decimal as _ds
from breastpredict.dicom.stored_values import time_of_day as _tm
from breastpredict.errors import InputError
from breastpredict.phantom.mr_enhanced import complete_enhanced
from breastpredict.phantom.mr_study import LAYOUTS, Layout, StudyHeader, WrittenDce, WrittenPhase

IMPLEMENTATION_UID = UID("2.25.252091326112839517243017713471890713561")


def write_dce(
    folder: str | os.PathLike[str],
    phases: Sequence[sitk.Image],
    *,
    layout: Layout,
    times_s: Sequence[float],
    header: StudyHeader | None = None,
    second_stack: Sequence[sitk.Image] | None = None,
    pre_phases: int = 1,
) -> WrittenDce:
    """Write a DCE acquisition below ``folder``, one subfolder per series.

    Args:
        folder: the study's folder; made if missing. A series folder that exists is refused.
        phases: two or more 3-D volumes on one grid, in order of time. Integers from 0 to 65535
            are stored as they are, other integers with an intercept, real numbers in 65536 steps
            over the range of all phases (one rescale slope for all).
        layout: see the module.
        times_s: start of each phase's acquisition, in seconds from the injection (negative
            before it), increasing.
        header: what the headers say.
        second_stack: the other breast's phases (layout ``ge`` only); its slice count may differ.
        pre_phases: how many phases come before contrast.

    Raises:
        InputError: the volumes, times or layout do not fit together.
    """
    header = header or StudyHeader()
    _check(phases, layout, times_s, second_stack, pre_phases)
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    stacks = [tuple(phases)] + ([tuple(second_stack)] if second_stack is not None else [])
    coding = coding_of([image for stack in stacks for image in stack])
    with tempfile.TemporaryDirectory(prefix=".part-", dir=target.parent) as temporary:
        writer = _Writer(Path(temporary), header, layout, tuple(times_s), pre_phases, coding)
        if layout in ("enhanced", "enhanced-per-phase"):
            written = [writer.enhanced(stacks[0])]
        else:
            written = writer.classic(stacks)
        series_folders = sorted(Path(temporary).iterdir())
        for made in series_folders:
            if (target / made.name).exists():
                raise InputError(
                    "the series folder to write exists already",
                    path=target / made.name,
                    remedy="Choose an empty folder",
                )
        for made in series_folders:
            shutil.move(made, target / made.name)
    placed = [
        tuple(
            replace(
                phase, files=tuple(target / f.relative_to(Path(temporary)) for f in phase.files)
            )
            for phase in stack
        )
        for stack in written
    ]
    return WrittenDce(target, str(header.uid("study")), placed[0], *placed[1:])


def _check(
    phases: Sequence[sitk.Image],
    layout: str,
    times_s: Sequence[float],
    second_stack: Sequence[sitk.Image] | None,
    pre_phases: int,
) -> None:
    if layout not in LAYOUTS:
        raise InputError(f"unknown layout '{layout}'", remedy=f"Choose one of {', '.join(LAYOUTS)}")
    if len(phases) < 2 or len(times_s) != len(phases):
        raise InputError("a DCE acquisition needs two or more phases and one time for each")
    if any(b <= a for a, b in pairwise(times_s)):
        raise InputError("the times of the phases do not increase")
    if not 0 <= pre_phases < len(phases):
        raise InputError("the number of pre-contrast phases leaves no post-contrast phase")
    if second_stack is not None and (layout != "ge" or len(second_stack) != len(phases)):
        raise InputError("a second stack needs layout 'ge' and as many phases as the first")
    for stack in (phases, second_stack or ()):
        for image in stack:
            if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
                raise InputError("a phase is not a scalar 3-D volume")
            same = (
                image.GetSize() == stack[0].GetSize()
                and np.allclose(image.GetOrigin(), stack[0].GetOrigin(), atol=1e-4)
                and np.allclose(image.GetSpacing(), stack[0].GetSpacing(), atol=1e-6)
                and np.allclose(image.GetDirection(), stack[0].GetDirection(), atol=1e-6)
            )
            if not same:
                raise InputError("the phases do not share one grid")


class _Writer:
    """Makes the data sets of one acquisition and puts them below a folder."""

    def __init__(
        self,
        folder: Path,
        header: StudyHeader,
        layout: Layout,
        times_s: tuple[float, ...],
        pre_phases: int,
        coding: Coding,
    ) -> None:
        self.folder = folder
        self.header = header
        self.layout = layout
        self.times_s = times_s
        self.pre_phases = pre_phases
        self.coding = coding

    def when(self, phase: int) -> datetime:
        """The start of a phase's acquisition."""
        return self.header.start + timedelta(seconds=self.times_s[phase] - self.times_s[0])

    @property
    def injection(self) -> datetime:
        return self.header.start - timedelta(seconds=self.times_s[0])

    def series_number(self, phase: int) -> int:
        """The series that holds a phase."""
        match self.layout:
            case "ge":
                return 6 if phase < self.pre_phases else 7
            case "siemens" | "enhanced-per-phase":
                return 10 + phase
            case _:
                return 301

    def classic(self, stacks: list[tuple[sitk.Image, ...]]) -> list[tuple[WrittenPhase, ...]]:
        """One file per slice, phase by phase, each phase stack by stack."""
        out: list[list[WrittenPhase]] = [[] for _ in stacks]
        numbers: dict[int, int] = {}
        for phase in range(len(self.times_s)):
            series = self.series_number(phase)
            base = self._series(phase)
            self._classic_phase(base, phase)
            folder = self.folder / f"S{series:04d}"
            folder.mkdir(exist_ok=True)
            for images, found in zip(stacks, out, strict=True):
                files = self._slices(base, images[phase], folder, numbers.get(series, 0))
                numbers[series] = numbers.get(series, 0) + len(files)
                found.append(WrittenPhase(str(base.SeriesInstanceUID), files))
        return [tuple(found) for found in out]

    def _slices(
        self, base: Dataset, image: sitk.Image, folder: Path, before: int
    ) -> tuple[Path, ...]:
        """Write each slice k of a volume; ``before`` instances precede it in the series."""
        stored = self.coding.store(sitk.GetArrayViewFromImage(image))
        _plane(base, image)
        files = []
        for k, pixels in enumerate(stored):
            number = before + k + 1
            base.InstanceNumber = number
            base.SOPInstanceUID = self.header.uid("image", base.SeriesNumber, number)
            origin = image.TransformIndexToPhysicalPoint((0, 0, k))
            base.ImagePositionPatient = [_ds(v) for v in origin]
            base.SliceLocation = _ds(round(_along_normal(image, origin), 4))
            _window(base, pixels)
            base.PixelData = pixels.tobytes()
            files.append(_save(base, folder / f"I{number:05d}.dcm"))
        return tuple(files)

    def _classic_phase(self, base: Dataset, phase: int) -> None:
        """What tells a phase: each vendor's own attributes."""
        base.SOPClassUID = MRImageStorage
        base.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
        pre = phase < self.pre_phases
        first = phase
        if self.layout == "philips":
            first = 0
        elif self.layout == "ge":
            first = 0 if pre else self.pre_phases
        if self.layout == "siemens":
            base.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
            base.AcquisitionNumber = 1
        elif self.layout == "philips":
            base.ImageType = ["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"]
        start = self.when(first)
        base.AcquisitionDate = base.ContentDate = base.SeriesDate
        base.AcquisitionTime = base.ContentTime = _tm(start)
        if self.layout == "philips" or (self.layout == "ge" and self.header.trigger_times):
            in_series = [
                p
                for p in range(len(self.times_s))
                if self.series_number(p) == self.series_number(phase)
            ]
            base.TemporalPositionIdentifier = in_series.index(phase) + 1
            base.NumberOfTemporalPositions = len(in_series)
            base.TriggerTime = _ds(round(1000 * (self.times_s[phase] - self.times_s[first]), 3))
        base.RepetitionTime, base.EchoTime = "5.4", "2.5"
        base.FlipAngle = "12"
        base.EchoTrainLength = 1
        base.MRAcquisitionType = "3D"
        base.ScanningSequence = ["GR"]
        base.SequenceVariant = ["SP"]
        # DICOM allows TriggerTime only with gating (PS3.3 C.8.3.1); scanners write it for every
        # dynamic series. The gating flag keeps the file valid.
        base.ScanOptions = ["FS", "CG"] if "TriggerTime" in base else ["FS"]
        base.NumberOfAverages = "1"
        base.ImagedNucleus = "1H"
        base.MagneticFieldStrength = _ds(self.header.field_strength_t)
        # GE and Siemens enter the agent once it is given; a Philips series holds both kinds.
        if not pre or self.layout == "philips":
            base.ContrastBolusAgent = "Gadolinium"
            base.ContrastBolusRoute = "IV"
            if self.header.injection:
                base.ContrastBolusStartTime = _tm(self.injection)

    def enhanced(self, images: tuple[sitk.Image, ...]) -> tuple[WrittenPhase, ...]:
        """One multi-frame file with every phase, or one per phase."""
        together = self.layout == "enhanced"
        groups = [range(len(images))] if together else [range(p, p + 1) for p in range(len(images))]
        out: list[WrittenPhase] = []
        for group in groups:
            base = self._series(group[0])
            base.SOPClassUID = EnhancedMRImageStorage
            base.InstanceNumber = 1
            base.SOPInstanceUID = self.header.uid("image", base.SeriesNumber, 1)
            _window_off(base)
            stored = [self.coding.store(sitk.GetArrayViewFromImage(images[p])) for p in group]
            complete_enhanced(
                base,
                [images[p] for p in group],
                dimensions_uid=self.header.uid("dimensions", base.SeriesNumber),
                starts=[self.when(p) for p in group],
                offsets_s=[self.times_s[p] - self.times_s[group[0]] for p in group],
                pre=[p < self.pre_phases for p in group],
                duration_s=self._duration(group[0]),
                rescale=(self.coding.slope, self.coding.intercept),
                stored_range=(
                    int(min(s.min() for s in stored)),
                    int(max(s.max() for s in stored)),
                ),
                injection=self.injection if self.header.injection else None,
                field_strength_t=self.header.field_strength_t,
                laterality=self.header.laterality,
            )
            base.PixelData = b"".join(s.tobytes() for s in stored)
            folder = self.folder / f"S{int(base.SeriesNumber):04d}"
            folder.mkdir()
            file = _save(base, folder / "I00001.dcm")
            out.extend(WrittenPhase(str(base.SeriesInstanceUID), (file,)) for _ in group)
        return tuple(out)

    def _duration(self, phase: int) -> float:
        """How long a phase is acquired: until the shortest step to the next one."""
        return min(b - a for a, b in pairwise(self.times_s))

    def _series(self, phase: int) -> Dataset:
        """Patient, study, series, equipment and pixel description."""
        header, number = self.header, self.series_number(phase)
        first = next(p for p in range(len(self.times_s)) if self.series_number(p) == number)
        data = Dataset()
        data.SpecificCharacterSet = "ISO_IR 100"
        data.PatientName = header.patient_name
        data.PatientID = header.patient_id
        data.PatientBirthDate = ""
        data.PatientSex = "F"
        if header.age is not None:
            data.PatientAge = f"{header.age:03d}Y"
        data.StudyInstanceUID = header.uid("study")
        data.StudyDate = data.SeriesDate = f"{header.start:%Y%m%d}"
        data.StudyTime = _tm(header.start)
        data.SeriesTime = _tm(self.when(first))
        data.ReferringPhysicianName = ""
        data.StudyID = "1"
        data.AccessionNumber = ""
        data.StudyDescription = header.study_description
        data.Modality = "MR"
        data.SeriesInstanceUID = header.uid("series", number)
        data.SeriesNumber = number
        data.SeriesDescription = "DCE T1 phantom"
        data.ProtocolName = "DCE T1 phantom"
        data.PatientPosition = "FFP"
        data.BodyPartExamined = "BREAST"
        if header.laterality in ("R", "L"):
            data.Laterality = header.laterality
        data.FrameOfReferenceUID = header.uid("frame of reference")
        data.PositionReferenceIndicator = ""
        data.Manufacturer = header.manufacturer or {
            "ge": "GE MEDICAL SYSTEMS",
            "siemens": "SIEMENS",
            "philips": "Philips Medical Systems",
        }.get(self.layout, "BreastPredict")
        data.ManufacturerModelName = "BreastPredict phantom"
        data.DeviceSerialNumber = "0"
        data.SoftwareVersions = __version__
        data.SamplesPerPixel = 1
        data.PhotometricInterpretation = "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit = 15
        data.PixelRepresentation = 0
        if (self.coding.slope, self.coding.intercept) != (1.0, 0.0):
            data.RescaleIntercept = _ds(self.coding.intercept)
            data.RescaleSlope = _ds(self.coding.slope)
            data.RescaleType = "US"
        return data


def _plane(data: Dataset, image: sitk.Image) -> None:
    """Everything of the image plane but the slice's position (DICOM PS3.3 C.7.6.2)."""
    i, j, k = image.GetSpacing()
    axes = np.reshape(image.GetDirection(), (3, 3))
    data.Columns, data.Rows = image.GetSize()[:2]
    data.PixelSpacing = [_ds(j), _ds(i)]
    data.SliceThickness = data.SpacingBetweenSlices = _ds(k)
    cosines = [float(v) for v in (*axes[:, 0], *axes[:, 1])]
    data.ImageOrientationPatient = [_ds(v) for v in cosines]


def _along_normal(image: sitk.Image, point: Sequence[float]) -> float:
    axes = np.reshape(image.GetDirection(), (3, 3))
    return float(np.dot(np.cross(axes[:, 0], axes[:, 1]), point))


def _window(data: Dataset, stored: NDArray[np.uint16]) -> None:
    low, high = float(stored.min()), float(stored.max())
    slope = float(data.get("RescaleSlope", 1))
    intercept = float(data.get("RescaleIntercept", 0))
    data.WindowCenter = _ds(round((low + high) / 2 * slope + intercept, 3))
    data.WindowWidth = _ds(max(round((high - low) * slope, 3), 1.0))


def _window_off(data: Dataset) -> None:
    """Enhanced objects keep the rescale and window in their functional groups."""
    for keyword in ("RescaleIntercept", "RescaleSlope", "RescaleType", "Laterality"):
        if keyword in data:
            delattr(data, keyword)


def _save(data: Dataset, path: Path) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = data.SOPClassUID
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = f"BREASTPREDICT{__version__.replace('.', '')[:3]}"
    data.file_meta = meta
    dcmwrite(path, data, enforce_file_format=True)
    return path
