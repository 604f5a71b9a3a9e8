"""Reading: sign in, case after case, autosave, save. Needs no torch and knows no Slicer.

What a session hands out is the blinded images, and of contours the reader's own unfinished one:
never an earlier or another's contour, nor a label.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from breastpredict.dicom import Provenance, write_segmentation
from breastpredict.dicom.write_seg import Algorithm
from breastpredict.errors import InputError
from breastpredict.files import write_atomic, write_text
from breastpredict.imaging import BoxedMask
from breastpredict.reader.plan import Plan, PlannedCase, moment
from breastpredict.reader.readings import (
    Point,
    Reading,
    read_all,
    session_folder,
    write_reading,
)

_AUTOSAVE = "unfinished.json"


@dataclass(frozen=True)
class Unfinished:
    """What was saved of a case before a session ended or was killed.

    Attributes:
        mask: the contour so far, on the early phase's grid; None where there was none yet.
        automatic: the contour before any editing; None where there was none.
        seed_point_lps, box_lps: as in `Reading`.
        seconds: time on the case so far.
        started: when it was first opened, ISO 8601.
        resumed: how often it was gone on with, this time included.
    """

    mask: sitk.Image | None = field(repr=False)
    automatic: sitk.Image | None = field(repr=False)
    seed_point_lps: Point | None
    box_lps: tuple[Point, Point] | None
    seconds: float
    started: str
    resumed: int


@dataclass(frozen=True)
class CaseToRead:
    """The case that is to be read now.

    Attributes:
        case: its blinded images.
        place: 1-based in the session's order.
        total: cases of the session.
        unfinished: to go on with; None for a fresh case.
    """

    case: PlannedCase
    place: int
    total: int
    unfinished: Unfinished | None

    @property
    def key(self) -> str:
        return self.case.key


class WashoutError(InputError):
    """The wash-out between a reader's sessions is not over."""


def washout_ends(plan: Plan, reader: str, session: int) -> datetime | None:
    """When a reader's session may start; None for a first one.

    Raises:
        InputError: the session before is not finished.
    """
    if plan.assigned is not None:
        return moment(plan.assigned.not_before) if plan.assigned.not_before else None
    if session == 1:
        return None
    before = read_all(plan).of(reader, session - 1)
    missing = len(plan.cases) - len(before)
    if missing:
        raise InputError(
            f"Session {session - 1} of reader {reader} lacks {missing} of {len(plan.cases)} "
            "readings",
            remedy="Finish it first",
        )
    return max(moment(reading.ended) for reading in before.values()) + plan.washout


def sign_in(
    plan: Plan,
    reader: str,
    session: int | None = None,
    *,
    washout_override: str = "",
    clock: Callable[[], datetime] | None = None,
) -> ReaderSession:
    """Start or go on with a reader's session.

    Args:
        plan: the study, or a package of it.
        reader: a pseudonym of the plan.
        session: which; by default the first that is not finished.
        washout_override: why it starts before the wash-out ends; recorded in every reading.
        clock: tells the time, with time zone.

    Raises:
        WashoutError: the wash-out is not over.
        InputError: an unknown reader, or a session that is finished.
    """
    now = clock or (lambda: datetime.now().astimezone())
    if session is None and plan.assigned is not None:
        session = plan.assigned.session
    if session is None:
        plan.sequence(reader, 1)
        done = read_all(plan)
        open_ones = (
            s for s in range(1, plan.sessions + 1) if len(done.of(reader, s)) < len(plan.cases)
        )
        session = next(open_ones, None)
        if session is None:
            raise InputError(f"Reader {reader} has read everything")
    sequence = plan.sequence(reader, session)
    ends = washout_ends(plan, reader, session)
    early = ends is not None and now() < ends
    reason = " ".join(washout_override.split())
    if early and not reason:
        assert ends is not None
        raise WashoutError(
            f"The wash-out of reader {reader} ends on {ends:%Y-%m-%d %H:%M}; session {session} "
            "must not start before",
            remedy="Wait, or give the coordinator's reason for an override, which is recorded",
        )
    return ReaderSession(plan, reader, session, sequence, reason if early else "", now)


class ReaderSession:
    """A reader at work.

    Attributes:
        plan, reader, session: whose.
        washout_override: as it is recorded; empty where the wash-out was kept.
    """

    def __init__(
        self,
        plan: Plan,
        reader: str,
        session: int,
        sequence: list[str],
        washout_override: str,
        clock: Callable[[], datetime],
    ) -> None:
        self.plan, self.reader, self.session = plan, reader, session
        self.washout_override = washout_override
        self._sequence, self._clock = sequence, clock
        self._folder = session_folder(plan, reader, session)
        self._current: CaseToRead | None = None
        self._started = ""
        self._seconds = 0.0
        self._since: float | None = None

    @property
    def total(self) -> int:
        """Cases of the session."""
        return len(self._sequence)

    @property
    def done(self) -> int:
        """Cases that are read."""
        return len(read_all(self.plan).of(self.reader, self.session))

    def next_case(self) -> CaseToRead | None:
        """The next case, and its clock starts; None when all are read.

        A case that was left unfinished comes with what was saved of it. Asked again before the case
        is saved, it gives the same case, read anew from the last autosave.
        """
        read = read_all(self.plan).of(self.reader, self.session)
        for place, key in enumerate(self._sequence, start=1):
            if key in read:
                continue
            left = self._left(key)
            self._current = CaseToRead(self.plan.case(key), place, self.total, left)
            self._started = left.started if left else self._clock().isoformat(timespec="seconds")
            self._seconds = left.seconds if left else 0.0
            self._since = time.monotonic()
            return self._current
        self._current = None
        return None

    def pause(self) -> None:
        """Stop the clock of the case."""
        self._seconds, self._since = self.seconds, None

    def go_on(self) -> None:
        """Start it again."""
        if self._since is None:
            self._since = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time on the case so far."""
        running = 0.0 if self._since is None else time.monotonic() - self._since
        return self._seconds + running

    def autosave(
        self,
        mask: sitk.Image | BoxedMask | None,
        *,
        automatic: sitk.Image | BoxedMask | None = None,
        seed_point_lps: Point | None = None,
        box_lps: tuple[Point, Point] | None = None,
    ) -> None:
        """Keep what there is of the case; a kill at any moment leaves this or the one before.

        Args:
            mask: the contour so far, on the early phase's grid.
            automatic: the contour before any editing.
            seed_point_lps, box_lps: where the reader clicked.

        Raises:
            InputError: no case is open, or a mask is on another grid.
        """
        current = self._open()
        before = self._saved(current.key)
        names: dict[str, str] = {}
        number = int(before.get("number", 0)) + 1
        for what, given in (("mask", mask), ("automatic", automatic)):
            if given is not None:
                names[what] = f"unfinished-{current.key}-{number}-{what}.nrrd"
                image = self._on_grid(given, current).to_image()
                with write_atomic(self._folder / names[what]) as temporary:
                    sitk.WriteImage(image, str(temporary), True)
        content = {
            "case": current.key,
            "number": number,
            **names,
            "seed_point_lps": seed_point_lps,
            "box_lps": box_lps,
            "seconds": round(self.seconds, 1),
            "started": self._started,
            "resumed": current.unfinished.resumed if current.unfinished else 0,
        }
        # The record names the new files, and only then the old ones go.
        write_text(self._folder / _AUTOSAVE, json.dumps(content, indent=1) + "\n")
        self._clear(set(names.values()))

    def save_reading(
        self,
        mask: sitk.Image | BoxedMask | None,
        *,
        automatic: sitk.Image | BoxedMask | None = None,
        seed_point_lps: Point | None = None,
        box_lps: tuple[Point, Point] | None = None,
        comment: str = "",
    ) -> Reading:
        """Keep the finished contour as DICOM SEG, with reader and session, and close the case.

        Args:
            mask: the contour on the early phase's grid; None, or one without a voxel, where the
                reader saw no lesion.
            automatic: the contour before any editing, for the edited fraction.
            seed_point_lps, box_lps: where the reader clicked (LPS mm).
            comment: the reader's.

        Raises:
            InputError: no case is open, or a mask is on another grid.
        """
        current = self._open()
        final = None if mask is None else self._on_grid(mask, current)
        first = None if automatic is None else self._on_grid(automatic, current)
        if final is not None and final.empty:
            final = None
        ended = self._clock().isoformat(timespec="seconds")
        reading = Reading(
            study=self.plan.study,
            reader=self.reader,
            session=self.session,
            case=current.key,
            started=self._started,
            ended=ended,
            seconds=round(self.seconds, 1),
            mask="",
            mask_sha256="",
            seed_point_lps=seed_point_lps,
            box_lps=box_lps,
            edited_fraction=None if first is None else edited_fraction(first, final),
            washout_override=self.washout_override,
            resumed=current.unfinished.resumed if current.unfinished else 0,
            place=current.place,
            comment=" ".join(comment.split()),
        )
        path = None
        if final is not None:
            path = self._folder / f".part-{current.key}-{os.getpid()}.dcm"
            write_contour(final, current.case, reading, path, drawn_by_hand=first is None)
        try:
            kept = write_reading(self.plan, reading, path)
        finally:
            if path is not None:
                path.unlink(missing_ok=True)
        (self._folder / _AUTOSAVE).unlink(missing_ok=True)
        self._clear(set())
        self._current = None
        self._since = None
        return kept

    def _open(self) -> CaseToRead:
        if self._current is None:
            raise InputError("No case is open", remedy="Ask for the next case first")
        return self._current

    def _on_grid(self, mask: sitk.Image | BoxedMask, current: CaseToRead) -> BoxedMask:
        boxed = BoxedMask.of(mask)
        if not boxed.geometry.same_grid(current.case.phase.geometry, 0.01):
            raise InputError("The contour is not on the grid of the early phase")
        return boxed

    def _saved(self, key: str) -> dict[str, Any]:
        """The autosave's record of this case; empty where there is none."""
        try:
            content = json.loads((self._folder / _AUTOSAVE).read_text("utf-8"))
            return content if content["case"] == key else {}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                "What was saved of an unfinished case is damaged",
                path=self._folder / _AUTOSAVE,
                remedy="Take the file away; the case starts afresh",
            ) from error

    def _left(self, key: str) -> Unfinished | None:
        content = self._saved(key)
        if not content:
            return None
        try:
            masks = {
                what: sitk.ReadImage(str(self._folder / content[what]))
                for what in ("mask", "automatic")
                if what in content
            }
            point, box = content["seed_point_lps"], content["box_lps"]
            return Unfinished(
                mask=masks.get("mask"),
                automatic=masks.get("automatic"),
                seed_point_lps=None if point is None else tuple(point),
                box_lps=None if box is None else (tuple(box[0]), tuple(box[1])),
                seconds=float(content["seconds"]),
                started=moment(content["started"]).isoformat(timespec="seconds"),
                resumed=int(content["resumed"]) + 1,
            )
        except (RuntimeError, ValueError, KeyError, TypeError, IndexError) as error:
            raise InputError(
                "What was saved of an unfinished case is damaged",
                path=self._folder / _AUTOSAVE,
                remedy="Take the file away; the case starts afresh",
            ) from error

    def _clear(self, kept: set[str]) -> None:
        """Take away the masks of earlier autosaves."""
        for path in self._folder.glob("unfinished-*.nrrd"):
            if path.name not in kept:
                path.unlink(missing_ok=True)


def edited_fraction(automatic: BoxedMask, final: BoxedMask | None) -> float:
    """Voxels in one of two contours, of those in either; 0 for the same, 1 for none in common."""
    if final is None or final.empty or automatic.empty:
        return 0.0 if (final is None or final.empty) and automatic.empty else 1.0
    changed = either = 0
    for k in sorted({*automatic.slices, *final.slices}):
        a, b = automatic.on_slice(k), final.on_slice(k)
        changed += int(np.count_nonzero(a ^ b))
        either += int(np.count_nonzero(a | b))
    return round(changed / either, 4)


def write_contour(
    mask: BoxedMask, case: PlannedCase, reading: Reading, path: Path, *, drawn_by_hand: bool
) -> None:
    """A contour as DICOM SEG of the blinded images, which says reader and session."""
    algorithm: Algorithm = "MANUAL" if drawn_by_hand else "SEMIAUTOMATIC"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_segmentation(
        mask,
        case.phase,
        path,
        provenance=Provenance(
            parameters={"Reader": reading.reader, "Session": str(reading.session)}
        ),
        algorithm=algorithm,
    )
