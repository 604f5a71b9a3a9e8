"""From a folder to studies: which files belong together, which series make an acquisition."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from breastpredict.dicom.acquisition import acquisition_of
from breastpredict.dicom.enhanced import frames_of
from breastpredict.dicom.grouping import damage_of, group_volumes, incomplete
from breastpredict.dicom.headers import MR_CLASSIC, MR_ENHANCED, Header, read_headers
from breastpredict.dicom.listing import Listing, list_files
from breastpredict.dicom.loaded import is_phase_table, study_from_table, table_files
from breastpredict.dicom.phases import Volume, split_series
from breastpredict.dicom.study import RejectedSeries, Study
from breastpredict.errors import InputError

_SEGMENTATIONS = (
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.66.7",
    "1.2.840.10008.5.1.4.1.1.481.3",
)
_DERIVED = ("SUBTRACTION", "SUB", "MIP", "PROJECTION IMAGE", "MPR", "LOCALIZER", "PARAMETRIC")


def read_study(path: str | os.PathLike[str], *, study_uid: str | None = None) -> Study:
    """The study in an input: its DCE acquisitions with phases, times and the early phase.

    Only headers are read, and a few slices of each phase to tell pre from post contrast.

    Args:
        path: a folder of DICOM files (any nesting, any names; other files are passed over), a
            DICOMDIR, the folder of a Slicer DICOM database, a zip archive, a single file; or a
            table of loaded volumes (see `breastpredict.dicom.loaded`).
        study_uid: which study, where the input holds several.

    Raises:
        InputError: no DICOM, several patients, or several studies and none named.
    """
    studies = index_folder(path, study_uid=study_uid)
    if study_uid is not None:
        studies = [study for study in studies if study.study_uid == study_uid]
        if not studies:
            raise InputError("The study asked for is not there", path=path)
    patients = {study.patient_id for study in studies}
    if len(patients) > 1:
        raise InputError(
            f"The folder holds {len(patients)} patients",
            path=path,
            remedy="Give the folder of one patient, or name the study with --study-uid",
        )
    dynamic = [s for s in studies if any(len(d.phases) > 1 for d in s.dce)] or studies
    if len(dynamic) > 1:
        raise InputError(
            f"The folder holds {len(dynamic)} studies",
            path=path,
            remedy="Give the folder of one study, or name it with --study-uid",
        )
    return dynamic[0]


def index_folder(path: str | os.PathLike[str], *, study_uid: str | None = None) -> list[Study]:
    """Every study in an input, in order of date; see `read_study`.

    Raises:
        InputError: there is no such input, it holds no DICOM file, or what cannot be read.
    """
    root = Path(path)
    if is_phase_table(root):
        return [study_from_table(root)]
    listing = list_files(root, study_uid=study_uid)
    headers = [h for h in read_headers(listing.paths) if h is not None and h.text("SOPClassUID")]
    if not headers:
        notes = f" ({'; '.join(listing.notes)})" if listing.notes else ""
        raise InputError(
            f"There is no DICOM file here{notes}"
            if listing.paths or listing.notes
            else "The folder is empty",
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
    ignored = len(listing.paths) - len(headers)
    return [_study(root, uid, members, ignored, listing) for uid, members in ordered]


def source_files(path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """The files an input is made of, nothing unpacked: to tell whether it has changed.

    Raises:
        InputError: there is no such input.
    """
    root = Path(path)
    if is_phase_table(root):
        return (root, *table_files(root))
    if root.is_file():
        return (root,)
    return list_files(root).paths


def _study(root: Path, uid: str, headers: list[Header], ignored: int, listing: Listing) -> Study:
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
        acquisition_of(group, notes, damage_of(group, damaged, singles))
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
        source=listing.kind,
        notes=listing.notes,
        keep=listing.keep,
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
