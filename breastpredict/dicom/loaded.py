"""A study from volumes that are no longer DICOM: NRRD, NIfTI, MetaImage, a Slicer sequence.

Which volume is which phase cannot be read from such files; the user says it, in a table (CSV)::

    file,frame,role,time_s
    pre.nii.gz,,pre,-60
    dynamic.seq.nrrd,1,post,90
    dynamic.seq.nrrd,2,post,180

``frame`` (from 1) picks a volume of a sequence or of a four-dimensional file; ``time_s`` is the
centre of the acquisition in seconds from the injection, for all phases or for none; ``laterality``
(R, L, B) may be a column too. Paths are relative to the table. Nothing of a DICOM study can be
referred to, so no DICOM results are written for such a case.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from breastpredict.dicom.loaded_files import LoadedPixels, files_of, pixels_of
from breastpredict.dicom.study import DceAcquisition, Decision, Phase, Study
from breastpredict.dicom.timing import Times, choose_early, roles_from_signal
from breastpredict.errors import InputError

NO_DICOM = "The phases are loaded volumes, which DICOM objects cannot refer to"
"""Why no DICOM results are written for such a study."""

_COLUMNS = ("file", "frame", "role", "time_s", "laterality")
_SAME_GRID_MM = 0.05
_SAMPLED_SLICES = 7


@dataclass(frozen=True)
class LoadedPhase:
    """A volume and what the user says of it.

    Attributes:
        volume: the image, or its file.
        role: "pre" or "post" contrast.
        time_s: centre of its acquisition in seconds from the injection, or None.
        frame: 1-based, in a file that holds several volumes; None where it holds one.
    """

    volume: sitk.Image | Path
    role: str
    time_s: float | None = None
    frame: int | None = None


def is_phase_table(path: Path) -> bool:
    """Whether an input is a table of loaded volumes."""
    return path.suffix.lower() == ".csv" and path.is_file()


def study_from_table(path: Path) -> Study:
    """The study that a table describes; see the module.

    Raises:
        InputError: every violation of the table at once, or volumes that do not fit together.
    """
    rows = _rows(path)
    phases: list[LoadedPhase] = []
    wrong: list[str] = []
    seen: dict[tuple[str, str], int] = {}
    for number, row in enumerate(rows, start=2):
        phases.append(_phase(row, number, path.parent, wrong))
        same = seen.setdefault((row["file"], row.get("frame", "")), number)
        if row["file"] and same != number:
            wrong.append(f"row {number}, column file: the same volume stands in row {same} already")
    sides = {row.get("laterality", "") for row in rows} - {""}
    if len(sides) > 1 or not sides <= {"R", "L", "B"}:
        wrong.append("column laterality: use one of R, L, B for all rows")
    if all(_seconds(row["time_s"]) is not None for row in rows if row.get("time_s")):
        wrong.extend(_contradictions(phases))
    if wrong:
        count = f"{len(wrong)} errors" if len(wrong) > 1 else "an error"
        raise InputError(f"The table of phases has {count}: {'; '.join(wrong)}", path=path)
    return study_from_volumes(phases, laterality=next(iter(sides), None), path=path)


def _phase(row: dict[str, str], number: int, folder: Path, wrong: list[str]) -> LoadedPhase:
    """A row of the table; what is wrong with it is added to ``wrong``."""
    file, frame, time = folder / row["file"], row.get("frame", ""), row.get("time_s", "")
    if not row["file"] or not file.is_file():
        wrong.append(f"row {number}, column file: there is no such file")
    if row["role"] not in ("pre", "post"):
        wrong.append(f"row {number}, column role: is {row['role']!r}; use pre or post")
    which = int(frame) if frame.isascii() and frame.isdigit() else 0
    if frame and which < 1:
        wrong.append(f"row {number}, column frame: is {frame!r}; use a number from 1")
    if time and _seconds(time) is None:
        wrong.append(f"row {number}, column time_s: is {time!r}; use seconds from injection")
    return LoadedPhase(file, row["role"], _seconds(time), which or None)


def _contradictions(phases: Sequence[LoadedPhase]) -> list[str]:
    """What cannot be true of phases together."""
    timed = [phase.time_s for phase in phases if phase.time_s is not None]
    if 0 < len(timed) < len(phases):
        return ["some phases have a time and others have none"]
    wrong = []
    if len(set(timed)) < len(timed):
        wrong.append("two phases have the same time")
    roles = [phase.role for phase in _in_time(phases)]
    if "post" in roles and "pre" in roles[roles.index("post") :]:
        wrong.append("a pre-contrast phase comes after a post-contrast one")
    return wrong


def _in_time(phases: Sequence[LoadedPhase]) -> list[LoadedPhase]:
    """By their times; as they are given where they have none."""
    return sorted(phases, key=lambda phase: phase.time_s or 0.0)


def table_files(path: Path) -> list[Path]:
    """The files that a table of loaded volumes is made of.

    Raises:
        InputError: it is no such table.
    """
    named = {path.parent / row["file"] for row in _rows(path) if row["file"]}
    return sorted({file for name in named for file in files_of(name)})


def study_from_volumes(
    phases: Sequence[LoadedPhase],
    *,
    laterality: str | None = None,
    path: str | os.PathLike[str] = "loaded volumes",
) -> Study:
    """The study that loaded volumes make.

    Args:
        phases: in order of time, or all with their time.
        laterality: "R", "L", "B", or None: then told by place.
        path: what it is called in messages.

    Raises:
        InputError: no phase, no order, volumes on different grids, or without a geometry.
    """
    if not phases:
        raise InputError("There is no phase", path=path)
    wrong = _contradictions(phases)
    if wrong:
        what = "; ".join(wrong)
        raise InputError(what[0].upper() + what[1:], path=path)
    phases = _in_time(phases)
    roles = [phase.role for phase in phases]
    timed = all(phase.time_s is not None for phase in phases)
    sources = [pixels_of(phase.volume, phase.frame) for phase in phases]
    first = sources[0].geometry
    for source in sources:
        if not first.same_grid(source.geometry, _SAME_GRID_MM):
            raise InputError(
                "The volume is not on the grid of the first phase",
                path=source.name,
                remedy="Resample the phases to one grid",
            )
    times = Times(
        tuple(math.nan if p.time_s is None else p.time_s for p in phases),
        "injection, as the user says" if timed else "unknown (the user gives no times)",
        "",
        timed,
    )
    chosen, rule, reason = choose_early(times, roles)
    warnings, enhancement = _against_signal(sources, roles)
    if not np.any(first.origin):
        warnings.append("The volumes state no place in the patient: sides and plane may be wrong")
    acquisition = DceAcquisition(
        laterality=laterality,
        phases=tuple(
            Phase(n, seconds, times.origin, role, "", first, (), source, change)
            for n, (seconds, role, source, change) in enumerate(
                zip(times.seconds, roles, sources, enhancement, strict=True), start=1
            )
        ),
        chosen=chosen,
        rule=rule,
        reason=reason,
        warnings=tuple(warnings),
        key="the user",
        decisions=(
            Decision("phases", "the user"),
            Decision("roles", "the user"),
            Decision("early phase", rule, {"reason": reason}),
        ),
    )
    return Study(
        folder=Path(path),
        study_uid="",
        patient_id="",
        modality="MR",
        manufacturer="",
        description="",
        dce=(acquisition,),
        rejected=(),
        segmentations=(),
        source="loaded volumes",
        notes=(f"{NO_DICOM}: no DICOM results can be written",),
    )


def _against_signal(
    sources: Sequence[LoadedPixels], roles: Sequence[str]
) -> tuple[list[str], Sequence[float | None]]:
    """Warnings where the signal shows another role than the user gives; each one's enhancement."""
    count = sources[0].geometry.size[2]
    start = int(0.2 * (count - 1))
    stop = max(start + 1, math.ceil(0.8 * (count - 1)) + 1)
    step = max(1, (stop - start) // _SAMPLED_SLICES)
    sample = np.stack([source.read(start, stop)[::step, ::2, ::2] for source in sources])
    shown = roles_from_signal(sample)
    warnings = [
        f"Phase {n} was assigned {role}-contrast, and its signal looks {found}-contrast"
        for n, (role, found) in enumerate(zip(roles, shown.roles, strict=True), start=1)
        if found not in ("unknown", role) and roles[0] == "pre"
    ]
    return warnings, shown.enhancement or [None] * len(sources)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            names = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = names
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError("The table of phases is no UTF-8 CSV", path=path) from error
    problems = [
        *(f"lacks {name}" for name in ("file", "role") if name not in names),
        *(f"has an unknown {name or 'column'}" for name in names if name not in _COLUMNS),
        *(f"has {name} twice" for name in _COLUMNS if names.count(name) > 1),
    ]
    if problems:
        raise InputError(
            f"The table of phases {', '.join(problems)}",
            path=path,
            remedy=f"Its columns are {', '.join(_COLUMNS)}; a cohort is for her2 batch and train",
        )
    if not rows:
        raise InputError("The table of phases has no rows", path=path)
    for number, row in enumerate(rows, start=2):
        if None in row:
            raise InputError(f"Row {number} has more cells than columns", path=path)
    return [{name: (value or "").strip() for name, value in row.items()} for row in rows]


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
