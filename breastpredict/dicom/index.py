"""From a folder to studies: which files belong together, which series make an acquisition."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from breastpredict.dicom.acquisition import acquisition_of, kind_of
from breastpredict.dicom.archive import is_archive
from breastpredict.dicom.enhanced import frames_of
from breastpredict.dicom.frames import REMEDY, Frame, unfit_classic
from breastpredict.dicom.grouping import damage_of, group_volumes, incomplete
from breastpredict.dicom.headers import MR_CLASSIC, MR_ENHANCED, WHOLE_SLIDE, Header, read_headers
from breastpredict.dicom.listing import Listing, list_files
from breastpredict.dicom.loaded import is_phase_table, study_from_table, table_files
from breastpredict.dicom.phases import Volume, split_series
from breastpredict.dicom.repetitions import LeftOut
from breastpredict.dicom.study import RejectedSeries, Study
from breastpredict.dicom.ultrasound_pixels import is_ultrasound
from breastpredict.errors import InputError

_SEGMENTATIONS = (
    "1.2.840.10008.5.1.4.1.1.66.4",
    "1.2.840.10008.5.1.4.1.1.66.7",
    "1.2.840.10008.5.1.4.1.1.481.3",
)
_IDENTITY = (
    "SeriesInstanceUID InstanceNumber ImagePositionPatient AcquisitionTime TriggerTime "
    "TemporalPositionIdentifier EchoTime NumberOfFrames"
).split()
"""What two files of one image have in common."""


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
    return _studies(root, list_files(root, study_uid=study_uid))


def index_files(paths: Sequence[str | os.PathLike[str]]) -> list[Study]:
    """Every study in these files and no others, in order of date: what a DICOM browser hands over.

    Raises:
        InputError: none of them is DICOM, or one cannot be read.
    """
    files = tuple(sorted(map(Path, paths)))
    root = Path(os.path.commonpath([file.parent for file in files])) if files else Path()
    return _studies(root, Listing("list of files", files))


def _studies(root: Path, listing: Listing) -> list[Study]:
    found = [header for header in read_headers(listing.paths) if header is not None]
    headers = [header for header in found if header.text("SOPClassUID") or header.problem]
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
        if header.text("StudyInstanceUID") or not header.problem:
            studies[header.text("StudyInstanceUID")].append(header)
    nowhere = [h for h in headers if h.problem and not h.text("StudyInstanceUID")]
    if not studies:
        raise InputError(nowhere[0].problem, path=nowhere[0].path, remedy=REMEDY)
    ordered = sorted(
        studies.items(),
        key=lambda item: (item[1][0].text("StudyDate"), item[1][0].text("StudyTime"), item[0]),
    )
    ignored = len(listing.paths) - len(headers)
    # An image that does not say whose it is may be of any study, and is missing there.
    return [_study(root, uid, [*members, *nowhere], ignored, listing) for uid, members in ordered]


def source_files(path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """The files an input is made of, nothing unpacked: to tell whether it has changed.

    Raises:
        InputError: there is no such input.
    """
    root = Path(path)
    if is_phase_table(root):
        return (root, *table_files(root))
    if root.is_file() and is_archive(root):
        return (root,)
    return list_files(root).paths


def _study(root: Path, uid: str, headers: list[Header], ignored: int, listing: Listing) -> Study:
    _check_patients(headers, root)
    series: dict[str, list[Header]] = defaultdict(list)
    for header in _without_copies(headers):
        series[header.text("SeriesInstanceUID")].append(header)
    left: list[LeftOut] = []
    volumes: list[Volume] = []
    damaged: list[tuple[Header, InputError]] = []
    segmentations: list[Path] = []
    ultrasound: list[Path] = []
    slides: list[Path] = []
    for everything in series.values():
        # Each by its own class: a slice whose class is damaged takes no others with it.
        members = [h for h in everything if h.text("SOPClassUID") not in _SEGMENTATIONS]
        segmentations.extend(h.path for h in everything if h.text("SOPClassUID") in _SEGMENTATIONS)
        ultrasound.extend(h.path for h in members if _is_ultrasound(h))
        slides.extend(h.path for h in members if _is_slide(h))
        frames, unused, errors = _frames(
            [h for h in members if not _is_ultrasound(h) and not _is_slide(h)]
        )
        split = split_series(frames)
        volumes.extend(split.volumes)
        left.extend([*unused, *split.rejected])
        damaged.extend(errors)
        damaged.extend(
            (x.header, incomplete(x.reason, x.header)) for x in split.rejected if x.damaged
        )
    groups, unused = group_volumes(volumes)
    left.extend(unused)
    singles = [group[0] for group in groups if len(group) == 1]
    left.extend(
        LeftOut(
            f"{kind}a single time point: no other volume shares its grid, frame of reference and "
            "sequence",
            len({frame.header.path for frame in volume.frames}),
            volume.header,
            False,
        )
        for volume in singles
        for kind in [f"{kind_of(volume)}: " if kind_of(volume) else ""]
    )
    dce = [
        acquisition_of(group, damage_of(group, damaged, singles))
        for group in sorted(groups, key=_order)
        if len(group) > 1
    ]
    images = [h for h in headers if h.text("SOPClassUID") not in _SEGMENTATIONS]
    modalities = {h.text("Modality") for h in images if h.text("Modality")}
    return Study(
        folder=root,
        study_uid=uid,
        patient_id=_first(headers, "PatientID"),
        modality="MR" if "MR" in modalities else min(modalities, default=""),
        manufacturer=_first(headers, "Manufacturer"),
        description=_first(headers, "StudyDescription"),
        dce=tuple(sorted(dce, key=lambda d: (-len(d.phases), d.laterality != "R"))),
        rejected=tuple(
            RejectedSeries(
                x.header.text("SeriesInstanceUID"),
                x.reason,
                x.files,
                x.header.text("SeriesNumber"),
            )
            for x in left
        ),
        segmentations=tuple(sorted(segmentations)),
        ignored_files=ignored,
        source=listing.kind,
        notes=listing.notes,
        keep=listing.keep,
        ultrasound=tuple(sorted(ultrasound)),
        slides=tuple(sorted(slides)),
    )


def _order(group: Sequence[Volume]) -> tuple[bool, tuple[str, ...]]:
    """Water before fat and the rest; then by what is told apart, so that the order is fixed."""
    marks = group[0].frames[0].marks
    return marks.get("tissue", "water") != "water", tuple(group[0].apart.values())


def _first(headers: Sequence[Header], keyword: str) -> str:
    return next((h.text(keyword) for h in headers if h.text(keyword)), "")


def _check_patients(headers: Sequence[Header], root: Path) -> None:
    """Raise InputError for a study of several patients.

    The ID decides; the spelling of a name differs between modalities and their software.
    """
    patients = {h.text("PatientID") for h in headers if h.text("PatientID")}
    if not patients:
        patients = {h.text("PatientName") for h in headers if h.text("PatientName")}
    if len(patients) > 1:
        raise InputError(
            f"One study in the folder belongs to {len(patients)} patients",
            path=root,
            remedy="Separate the patients' files",
        )


def _frames(
    members: Sequence[Header],
) -> tuple[list[Frame], list[LeftOut], list[tuple[Header, InputError]]]:
    """The frames of a series' files; the files that are none; and those that are damaged."""
    frames: list[Frame] = []
    left: dict[str, list[Header]] = defaultdict(list)
    errors: dict[str, list[tuple[Header, InputError]]] = defaultdict(list)
    for header in members:
        if header.problem:
            error = InputError(header.problem, path=header.path, remedy=REMEDY)
            errors[header.problem].append((header, error))
            continue
        reason = _not_dce(header)
        if reason:
            left[reason].append(header)
            continue
        try:
            frames.extend(frames_of(header))
        except InputError as error:
            errors[error.problem].append((header, error))
    found = [LeftOut(why, len(those), those[0], False) for why, those in left.items()]
    found += [LeftOut(str(those[0][1]), len(those), those[0][0], True) for those in errors.values()]
    return frames, found, [pair for those in errors.values() for pair in those]


def _without_copies(headers: Sequence[Header]) -> list[Header]:
    """Each instance once: folders often hold a file twice.

    Two different images under one UID are both unusable: nothing could refer to either.
    """
    seen: dict[str, Header] = {}
    for header in sorted(headers, key=lambda h: (h.text("SOPInstanceUID"), str(h.path))):
        uid = header.text("SOPInstanceUID") or str(header.path)
        other = seen.setdefault(uid, header)
        if other is not header and not header.problem and other.values != header.values:
            if all(other.text(keyword) == header.text(keyword) for keyword in _IDENTITY):
                continue  # the same image, archived twice: a name was corrected, a date shifted
            problem = "Different images carry one SOPInstanceUID"
            seen[uid] = replace(other, problem=problem)
            seen[str(header.path)] = replace(header, problem=problem)
    return list(seen.values())


def _is_ultrasound(header: Header) -> bool:
    kind, modality = header.text("SOPClassUID"), header.text("Modality")
    return not header.problem and is_ultrasound(kind, modality)


def _is_slide(header: Header) -> bool:
    return not header.problem and header.text("SOPClassUID") == WHOLE_SLIDE


def _not_dce(header: Header) -> str:
    """Why a file cannot be part of a DCE acquisition; empty when it can."""
    kind = header.text("SOPClassUID")
    if kind in MR_ENHANCED:
        return ""  # each of its frames says it
    if kind != MR_CLASSIC:
        return f"not an MR image ({header.text('Modality') or 'unknown modality'})"
    return unfit_classic(header)
