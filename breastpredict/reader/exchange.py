"""Packages for readers elsewhere, and their readings back into the plan."""

from __future__ import annotations

import csv
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from breastpredict.dicom import read_mask
from breastpredict.errors import GateRefusal, InputError
from breastpredict.files import write_folder
from breastpredict.imaging import BoxedMask
from breastpredict.reader.plan import PLAN, Assignment, Plan, moment, open_plan
from breastpredict.reader.readings import (
    Point,
    Reading,
    next_folder,
    read_all,
    read_reading,
    write_reading,
)
from breastpredict.reader.session import washout_ends, write_contour

Progress = Callable[[int, int, str], None]

COLUMNS = ("reader", "session", "case_key", "mask", "ended")
"""Of a table of readings; ``mask`` empty where the reader saw no lesion, ``ended`` ISO 8601 with
time zone."""
OPTIONAL = (
    "started", "seconds", "seed_x", "seed_y", "seed_z", "edited_fraction", "washout_override",
    "comment", "segment", "mask_order",
)  # fmt: skip


@dataclass(frozen=True)
class Imported:
    """What became of readings that came in.

    Attributes:
        new: kept now.
        known: were there already.
        duplicates: of the new ones, those of a case that was read in that session before; they are
            kept and do not count.
        failures: what could not be used, one line each.
    """

    new: int
    known: int
    duplicates: int
    failures: tuple[str, ...]


def assign(plan: Plan, reader: str, session: int, out: str | os.PathLike[str]) -> Path:
    """Write a package for one reader and session: the images in his order, nothing of others.

    For a later session it carries the moment at which the wash-out ends.

    Args:
        plan: the study.
        reader, session: whose.
        out: folder of the package; must be new or empty.

    Raises:
        InputError: unknown reader or session, the session before is not finished, or a folder that
            is not empty.
    """
    out = Path(out)
    if plan.assigned is not None:
        raise InputError("This is a package already", path=plan.folder)
    sequence = plan.sequence(reader, session)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("The folder of the package is not empty", path=out)
    if plan.folder.resolve() in (out.resolve(), *out.resolve().parents):
        raise InputError("The package must lie outside of the plan", path=out)
    ends = washout_ends(plan, reader, session)
    limit = "" if ends is None else ends.isoformat(timespec="seconds")
    with write_folder(out) as folder:
        own: list[list[str]] = [[] for _ in range(plan.sessions)]
        own[session - 1] = sequence
        package = replace(
            plan,
            folder=folder,
            readers=(reader,),
            order={reader: own},
            assigned=Assignment(reader, session, limit),
        )
        package.save()
        for key in plan.cases:
            shutil.copytree(plan.case(key).folder, folder / "cases" / key)
    return out


def import_readings(
    plan: Plan,
    source: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
) -> Imported:
    """Bring readings into the plan: those of a package, or of a table of masks made elsewhere.

    A mask on another grid than the early phase is brought over by position and marked so. Every
    contour is kept as DICOM SEG of the blinded images; nothing else of the mask's file is.

    Args:
        plan: the study.
        source: a package's folder, or a CSV file with `COLUMNS` (and any of `OPTIONAL`); paths in
            it may be relative to it.
        progress: called with readings done, readings in all and what is being done.

    Raises:
        InputError: no package of this study, or no table with these columns.
    """
    say = progress or (lambda done, total, line: None)
    path = Path(source)
    if plan.assigned is not None:
        raise InputError("Readings go into the plan, not into a package", path=plan.folder)
    if path.is_dir() or path.name == PLAN:
        return _from_package(plan, open_plan(path), say)
    return _from_table(plan, path, say)


def _from_package(plan: Plan, package: Plan, say: Progress) -> Imported:
    if package.study != plan.study:
        raise InputError("The package is of another study", path=package.folder)
    if package.folder.resolve() == plan.folder.resolve():
        raise InputError("This is the plan itself", path=package.folder)
    found = read_all(package)
    readings = [*found.first.values(), *found.duplicates]
    count = _Count()
    known = _known(plan)
    for number, reading in enumerate(readings):
        say(number, len(readings), "importing")
        if (reading.key, reading.ended) in known:
            count.known += 1
            continue
        target = next_folder(plan, reading.reader, reading.session, reading.case)
        with write_folder(target) as folder:
            for file in reading.path.iterdir():
                shutil.copy2(file, folder / file.name)
        read_reading(target)
        count.add(reading, known)
    say(len(readings), len(readings), "done")
    return count.result(found.damaged)


def _from_table(plan: Plan, path: Path, say: Progress) -> Imported:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = list(reader)
    except FileNotFoundError:
        raise InputError("There is no such table or package of readings", path=path) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError("The table of readings is no UTF-8 CSV", path=path) from error
    missing = [name for name in COLUMNS if name not in columns]
    unknown = [name for name in columns if name not in (*COLUMNS, *OPTIONAL)]
    if missing or unknown:
        what = [f"lacks {', '.join(missing)}"] if missing else []
        what += [f"has unknown columns {', '.join(unknown)}"] if unknown else []
        raise InputError(
            f"The table of readings {' and '.join(what)}",
            path=path,
            remedy=f"It has the columns {', '.join(COLUMNS)}, and may have {', '.join(OPTIONAL)}",
        )
    count, failures = _Count(), []
    known = _known(plan)
    numbered = list(enumerate(rows, start=2))
    # Earlier sessions first: the wash-out of a later one is counted from them.
    for done, (number, row) in enumerate(sorted(numbered, key=lambda n: n[1]["session"] or "")):
        say(done, len(rows), "importing")
        cells = {name: (value or "").strip() for name, value in row.items() if name is not None}
        try:
            reading = _row(plan, cells)
            if (reading.key, reading.ended) in known:
                count.known += 1
                continue
            _keep(plan, reading, cells, path.parent)
        except InputError as error:
            failures.append(f"row {number}: {error.problem.rstrip('.')}")
            continue
        count.add(reading, known)
    say(len(rows), len(rows), "done")
    return count.result(tuple(failures))


class _Count:
    """What was kept so far."""

    def __init__(self) -> None:
        self.new = self.known = self.duplicates = 0

    def add(self, reading: Reading, known: set[tuple[tuple[str, int, str], str]]) -> None:
        self.new += 1
        self.duplicates += any(key == reading.key for key, _ in known)
        known.add((reading.key, reading.ended))

    def result(self, failures: tuple[str, ...]) -> Imported:
        return Imported(self.new, self.known, self.duplicates, failures)


def _known(plan: Plan) -> set[tuple[tuple[str, int, str], str]]:
    """Which readings are there, and when they ended."""
    found = read_all(plan)
    return {(r.key, r.ended) for r in (*found.first.values(), *found.duplicates)}


def _row(plan: Plan, cells: Mapping[str, str]) -> Reading:
    """The record of a row, without its contour."""
    session = _whole(cells["session"])
    sequence = plan.sequence(cells["reader"], session)
    if cells["case_key"] not in sequence:
        raise InputError(f"There is no case {cells['case_key']!r}")
    ended = _moment(cells["ended"], "ended")
    started = _moment(cells["started"], "started") if cells.get("started") else ended
    if started > ended:
        raise InputError("It ended before it started")
    seconds = _number(cells, "seconds")
    if seconds is None:
        seconds = (ended - started).total_seconds()
    point = [_number(cells, f"seed_{axis}") for axis in "xyz"]
    edited = _number(cells, "edited_fraction")
    if seconds < 0 or (edited is not None and not 0 <= edited <= 1):
        raise InputError("seconds must not be negative, and edited_fraction lies from 0 to 1")
    ends = washout_ends(plan, cells["reader"], session)
    reason = " ".join(cells.get("washout_override", "").split())
    early = ends is not None and ended < ends
    if early and not reason:
        assert ends is not None
        raise InputError(f"The wash-out ended on {ends:%Y-%m-%d %H:%M} only")
    known = [value for value in point if value is not None]
    if len(known) not in (0, 3):
        raise InputError("The seed point lacks a coordinate")
    seed: Point | None = (known[0], known[1], known[2]) if known else None
    return Reading(
        study=plan.study,
        reader=cells["reader"],
        session=session,
        case=cells["case_key"],
        started=started.isoformat(timespec="seconds"),
        ended=ended.isoformat(timespec="seconds"),
        seconds=seconds,
        mask="",
        mask_sha256="",
        seed_point_lps=seed,
        edited_fraction=edited,
        washout_override=reason if early else "",
        place=sequence.index(cells["case_key"]) + 1,
        source="import",
        comment=" ".join(cells.get("comment", "").split()),
    )


def _keep(plan: Plan, reading: Reading, cells: Mapping[str, str], folder: Path) -> None:
    """Bring the row's contour onto the early phase and keep both."""
    case = plan.case(reading.case)
    mask: BoxedMask | None = None
    resampled = False
    if cells["mask"]:
        try:
            found = read_mask(
                folder / cells["mask"],
                case.phase.geometry,
                segment=cells.get("segment") or None,
                array_order=cells.get("mask_order") or None,
            )
            mask, resampled = found.mask, found.resampled
        except GateRefusal:  # an empty mask is a reading too
            pass
    reading = replace(reading, resampled=resampled)
    if mask is None:
        write_reading(plan, reading, None)
        return
    with tempfile.TemporaryDirectory(prefix=".part-", dir=plan.folder) as temporary:
        file = Path(temporary) / "mask.dcm"
        by_hand = reading.seed_point_lps is None and reading.edited_fraction is None
        write_contour(mask, case, reading, file, drawn_by_hand=by_hand)
        write_reading(plan, reading, file)


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InputError(f"The session is {text!r}, no whole number") from None


def _number(cells: Mapping[str, str], name: str) -> float | None:
    text = cells.get(name, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{name} is {text!r}, no number")
    return value


def _moment(text: str, name: str) -> datetime:
    try:
        return moment(text)
    except ValueError:
        raise InputError(
            f"{name} is {text!r}, no date and time with a time zone such as "
            "2026-03-01T14:30:00+01:00"
        ) from None
