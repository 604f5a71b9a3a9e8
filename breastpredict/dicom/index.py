"""From a folder to studies: which files belong together, which series make an acquisition."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from breastpredict.dicom.frames import Frame, frames_of
from breastpredict.dicom.grouping import damage_of, group_volumes, incomplete
from breastpredict.dicom.headers import MR_CLASSIC, MR_ENHANCED, Header, read_headers, unreadable
from breastpredict.dicom.phases import Volume, split_series
from breastpredict.dicom.pixels import FrameSource, read_frames
from breastpredict.dicom.study import (
    DceAcquisition,
    Instance,
    Phase,
    RejectedSeries,
    Study,
)
from breastpredict.dicom.timing import choose_early, roles_from_signal, times_of
from breastpredict.errors import InputError

_SEGMENTATIONS = (
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.66.7",
    "1.2.840.10008.5.1.4.1.1.481.3",
)
_DERIVED = ("SUBTRACTION", "SUB", "MIP", "PROJECTION IMAGE", "MPR", "LOCALIZER", "PARAMETRIC")
_SAMPLED_SLICES = 7
_SAMPLED_SHARE = 0.6  # of the stack, around its middle


def read_study(folder: str | os.PathLike[str], *, study_uid: str | None = None) -> Study:
    """The study in a folder: its DCE acquisitions with phases, times and the early phase.

    Only headers are read, and a few slices of each phase to tell pre from post contrast.

    Args:
        folder: any nesting, any file names; other files are passed over.
        study_uid: which study, where the folder holds several.

    Raises:
        InputError: no DICOM, several patients, or several studies and none named.
    """
    studies = index_folder(folder)
    patients = {study.patient_id for study in studies}
    if len(patients) > 1:
        raise InputError(
            f"The folder holds {len(patients)} patients",
            path=folder,
            remedy="Give the folder of one patient",
        )
    if study_uid is not None:
        studies = [study for study in studies if study.study_uid == study_uid]
        if not studies:
            raise InputError("The study asked for is not in the folder", path=folder)
    dynamic = [s for s in studies if any(len(d.phases) > 1 for d in s.dce)] or studies
    if len(dynamic) > 1:
        raise InputError(
            f"The folder holds {len(dynamic)} studies",
            path=folder,
            remedy="Give the folder of one study",
        )
    return dynamic[0]


def index_folder(folder: str | os.PathLike[str]) -> list[Study]:
    """Every study in a folder, in order of date; see `read_study`.

    Raises:
        InputError: the folder does not exist, holds no DICOM file, or what cannot be read.
    """
    root = Path(folder)
    if not root.exists():
        raise InputError("There is no such folder", path=root)
    paths = [root] if root.is_file() else list(_files(root))
    headers = [h for h in read_headers(paths) if h is not None and h.text("SOPClassUID")]
    if not headers:
        raise InputError(
            "There is no DICOM file here" if paths else "The folder is empty",
            path=root,
            remedy="Give the folder that the scanner or PACS exported",
        )
    studies: dict[str, list[Header]] = defaultdict(list)
    for header in headers:
        studies[header.text("StudyInstanceUID")].append(header)
    ordered = sorted(
        studies.items(),
        key=lambda item: (item[1][0].text("StudyDate"), item[1][0].text("StudyTime"), item[0]),
    )
    ignored = len(paths) - len(headers)
    return [_study(root, uid, members, ignored) for uid, members in ordered]


def _files(root: Path) -> Iterable[Path]:
    def stop(error: OSError) -> None:
        raise unreadable(error, Path(error.filename or root)) from error

    for where, folders, names in os.walk(root, onerror=stop, followlinks=False):
        folders.sort()
        for name in sorted(names):
            path = Path(where, name)
            if name != "DICOMDIR" and path.is_file() and not path.is_symlink():
                yield path


def _study(root: Path, uid: str, headers: list[Header], ignored: int) -> Study:
    patients = {(h.text("PatientID"), h.text("PatientName")) for h in headers}
    if len(patients) > 1:
        raise InputError(
            f"One study in the folder belongs to {len(patients)} patients",
            path=root,
            remedy="Separate the patients' files",
        )
    series: dict[str, list[Header]] = defaultdict(list)
    for header in _without_copies(headers):
        series[header.text("SeriesInstanceUID")].append(header)
    rejected: list[RejectedSeries] = []
    volumes: list[Volume] = []
    notes: list[str] = []
    damaged: list[tuple[Header, InputError]] = []
    segmentations: list[Path] = []
    for series_uid, members in series.items():
        if members[0].text("SOPClassUID") in _SEGMENTATIONS:
            segmentations.extend(member.path for member in members)
            continue
        reason = _not_dce(members)
        if reason:
            rejected.append(RejectedSeries(series_uid, reason, len(members)))
            continue
        try:
            frames = [frame for member in members for frame in frames_of(member)]
        except InputError as error:
            rejected.append(RejectedSeries(series_uid, str(error), len(members)))
            damaged.append((members[0], error))
            continue
        split = split_series(frames)
        volumes.extend(split.volumes)
        notes.extend(split.warnings)
        for left in split.rejected:
            rejected.append(RejectedSeries(series_uid, left.reason, left.files))
            if left.damaged:
                damaged.append((left.header, incomplete(left.reason, left.header)))
    groups = group_volumes(volumes)
    for group in groups:
        if len(group) == 1:
            alone = group[0].frames[0].header
            rejected.append(
                RejectedSeries(
                    alone.text("SeriesInstanceUID"),
                    "a single time point: no other volume shares its grid and sequence",
                    len({frame.header.path for frame in group[0].frames}),
                )
            )
    singles = [group[0] for group in groups if len(group) == 1]
    dce = [
        _acquisition(group, notes, damage_of(group, damaged, singles))
        for group in groups
        if len(group) > 1
    ]
    first = headers[0]
    modalities = {
        h.text("Modality") for h in headers if h.text("SOPClassUID") not in _SEGMENTATIONS
    }
    return Study(
        folder=root,
        study_uid=uid,
        patient_id=first.text("PatientID"),
        modality="MR" if "MR" in modalities else (sorted(modalities)[0] if modalities else ""),
        manufacturer=next((h.text("Manufacturer") for h in headers if h.text("Manufacturer")), ""),
        description=first.text("StudyDescription"),
        dce=tuple(sorted(dce, key=lambda d: (-len(d.phases), d.laterality != "R"))),
        rejected=tuple(rejected),
        segmentations=tuple(sorted(segmentations)),
        ignored_files=ignored,
    )


def _without_copies(headers: Sequence[Header]) -> list[Header]:
    """Each instance once: folders often hold a file twice."""
    seen: dict[str, Header] = {}
    for header in sorted(headers, key=lambda h: (h.text("SOPInstanceUID"), str(h.path))):
        seen.setdefault(header.text("SOPInstanceUID") or str(header.path), header)
    return list(seen.values())


def _not_dce(headers: Sequence[Header]) -> str:
    """Why a series cannot be part of a DCE acquisition; empty when it can."""
    first = headers[0]
    modality = first.text("Modality")
    if first.text("SOPClassUID") not in (MR_CLASSIC, *MR_ENHANCED):
        return f"not an MR image series ({modality or 'unknown modality'})"
    kinds = {part.upper() for h in headers for part in h.text("ImageType").split("\\")}
    if "MOSAIC" in kinds:
        return "a mosaic: many slices in one picture, not a stack of slices"
    marks = [mark for mark in _DERIVED if mark in kinds]
    if marks:
        return f"derived or localizer ({', '.join(marks)})"
    if all(h.text("ImageType").upper().startswith("DERIVED") for h in headers):
        return "derived images (ImageType DERIVED)"
    if any(h.number("DiffusionBValue") for h in headers):
        return "diffusion-weighted"
    if any((h.number("SamplesPerPixel") or 1) != 1 for h in headers):
        return "colour images"
    return ""


def _acquisition(
    volumes: Sequence[Volume], notes: Sequence[str], damage: InputError | None
) -> DceAcquisition:
    times = times_of(volumes)
    sample, damaged = _sample(volumes)
    roles = ["unknown"] * len(volumes) if sample is None else roles_from_signal(sample)
    chosen, rule, reason = choose_early(times, roles)
    if sample is None:
        damage = damaged[0]
        reason = f"the signal could not be read: {damage}"
    elif damage is not None:
        chosen, rule, reason = None, "none", f"what may be a phase is damaged: {damage}"
    elif chosen is None and damaged:  # the slices that enhance may be those that are damaged
        damage = damaged[0]
        reason = f"{reason}, in what could be read: {damage}"
    header = volumes[0].frames[0].header
    phases = tuple(
        Phase(
            index=number,
            time_s=seconds,
            time_origin=times.origin,
            role=role,
            series_uid=volume.frames[0].header.text("SeriesInstanceUID"),
            geometry=volumes[0].geometry,
            instances=tuple(_instance(frame) for frame in volume.frames),
        )
        for number, (volume, seconds, role) in enumerate(
            zip(volumes, times.seconds, roles, strict=True), start=1
        )
    )
    return DceAcquisition(
        laterality=_laterality(volumes),
        phases=phases,
        chosen=chosen,
        rule=rule,
        reason=reason,
        warnings=(
            *times.warnings,
            *notes,
            *(str(error) for error in damaged),
            *_side_warning(volumes),
        ),
        damage=damage,
        key=next((v.key for v in volumes if v.key), "") or times.key or "SeriesNumber",
        modality=header.text("Modality"),
        manufacturer=header.text("Manufacturer"),
    )


def _instance(frame: Frame) -> Instance:
    header = frame.header
    return Instance(
        header.path,
        frame.number,
        header.text("SOPClassUID"),
        header.text("SOPInstanceUID"),
        FrameSource(
            header.path,
            (frame.number or 1) - 1,
            header.pixel_offset,
            header.pixel_length,
            frame.matrix,
            int(header.number("BitsAllocated") or 16),
            header.number("PixelRepresentation") == 1,
            *frame.rescale,
            header.text("TransferSyntaxUID"),
        ),
    )


def _sample(
    volumes: Sequence[Volume],
) -> tuple[NDArray[np.float32] | None, list[InputError]]:
    """The same few slices of every phase, every second pixel; and what was damaged.

    A slice that one phase cannot show is left out of all: prediction may not need it. None where
    nothing is left.
    """
    count = volumes[0].geometry.size[2]
    margin = (1 - _SAMPLED_SHARE) / 2 * (count - 1)
    chosen = np.linspace(margin, count - 1 - margin, min(_SAMPLED_SLICES, count))
    slices: list[NDArray[np.float32]] = []
    damaged: list[InputError] = []
    for k in sorted({round(float(k)) for k in chosen}):
        try:
            sources = [_instance(volume.frames[k]).source for volume in volumes]
            slices.append(read_frames(sources)[:, ::2, ::2])
        except InputError as error:
            damaged.append(error)
    return (np.stack(slices, axis=1) if slices else None), damaged


def _laterality(volumes: Sequence[Volume]) -> str | None:
    """R, L or B: by tag, else by where the stack lies."""
    for volume in volumes:
        header = volume.frames[0].header
        tag = (header.text("ImageLaterality") or header.text("Laterality")).upper()
        if tag in ("R", "L", "B"):
            return tag
    return _side(volumes[0])


def _side(volume: Volume) -> str | None:
    """By place: LPS, so the patient's right is x < 0."""
    x = volume.geometry.corners()[:, 0]
    width = float(x.max() - x.min())
    outside = 0.15 * width  # a unilateral field of view may reach a little over the midline
    if x.max() <= outside and x.min() < 0:
        return "R"
    if x.min() >= -outside and x.max() > 0:
        return "L"
    return "B" if x.min() < 0 < x.max() else None


def _side_warning(volumes: Sequence[Volume]) -> tuple[str, ...]:
    tag, place = _laterality(volumes), _side(volumes[0])
    if tag in ("R", "L") and place in ("R", "L") and tag != place:
        return (f"The laterality tag says {tag}, but the slices lie on the side of {place}",)
    return ()
