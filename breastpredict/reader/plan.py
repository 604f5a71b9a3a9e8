"""The plan of a reader study: a folder that readers may see.

``plan.json``; ``cases/<case key>/`` with blinded images; ``readings/<reader>/session-<n>/``. Who a
case key is stands in the key file only, which the coordinator keeps elsewhere.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from breastpredict import RESEARCH_USE_ONLY, __version__
from breastpredict.dicom import Phase, Study, read_study
from breastpredict.errors import InputError
from breastpredict.files import write_text

FORMAT = "breastpredict reader study 1"
PLAN = "plan.json"

Mode = Literal["point", "box", "manual"]
MODES: tuple[Mode, ...] = get_args(Mode)
"""How every reader of a study starts: from a point or a box of his own, which the delineation on
contrast enhancement follows and he edits, or by hand. Never from another's contour."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,15}")
_KEY = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Expected:
    """The interval to expect around an ICC of this value (`stats.planned_icc_interval`)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Assignment:
    """What a package for one reader and session is for.

    Attributes:
        reader, session: whose.
        not_before: when the wash-out ends, ISO 8601; empty for a first session.
    """

    reader: str
    session: int
    not_before: str = ""


@dataclass(frozen=True)
class Plan:
    """A reader study.

    Attributes:
        folder: where it lies.
        study: a random name, the same in all packages.
        readers: their pseudonyms.
        sessions: how often each reads every case.
        washout_days: least time between a reader's sessions.
        mode: how every reader starts a contour.
        tolerance_mm: of the surface Dice.
        cases: the case keys, in no telling order.
        order: reader → for each session the cases in the order of reading.
        expected: interval around the ICC that the planner expects, at this size.
        created: ISO 8601.
        assigned: set in a package for one reader.
        synthetic: the cases are phantoms.
    """

    folder: Path = field(repr=False)
    study: str
    readers: tuple[str, ...]
    sessions: int
    washout_days: float
    mode: Mode
    tolerance_mm: float
    cases: tuple[str, ...]
    order: dict[str, list[list[str]]] = field(repr=False)
    expected: Expected | None
    created: str
    assigned: Assignment | None = None
    synthetic: bool = False

    @property
    def washout(self) -> timedelta:
        return timedelta(days=self.washout_days)

    def case(self, key: str) -> PlannedCase:
        """A case's blinded images.

        Raises:
            InputError: the plan has no such case.
        """
        if key not in self.cases:
            raise InputError(f"The plan has no case {key!r}", path=self.folder)
        return PlannedCase(key, self.folder / "cases" / key)

    def sequence(self, reader: str, session: int) -> list[str]:
        """The cases of a reader's session in their order.

        Raises:
            InputError: no such reader or session, or a package of another one.
        """
        if reader not in self.readers:
            raise InputError(
                f"There is no reader {reader!r} in this study",
                remedy=f"Sign in as one of {', '.join(self.readers)}",
            )
        if not 1 <= session <= self.sessions:
            raise InputError(f"The study has {self.sessions} sessions, no session {session}")
        if self.assigned and (self.assigned.reader, self.assigned.session) != (reader, session):
            raise InputError(
                f"This package is for reader {self.assigned.reader}, session "
                f"{self.assigned.session}"
            )
        return list(self.order[reader][session - 1])

    def save(self) -> None:
        """Write plan.json."""
        content = {key: value for key, value in asdict(self).items() if key != "folder"}
        head = {"format": FORMAT, "software": f"BreastPredict {__version__}"}
        text = json.dumps({**head, "note": RESEARCH_USE_ONLY, **content}, indent=1)
        write_text(self.folder / PLAN, text + "\n")


@dataclass(frozen=True)
class PlannedCase:
    """One case of a plan as a reader gets it.

    Attributes:
        key: its blinded key.
        folder: its images: the phase before contrast and the early phase.
    """

    key: str
    folder: Path = field(repr=False)

    @cached_property
    def study(self) -> Study:
        """The blinded study, read by headers.

        Raises:
            InputError: the images are missing or damaged.
        """
        return read_study(self.folder)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phase before contrast, where the study has one, and the early phase."""
        found = self.study.dce
        if len(found) != 1:
            raise InputError("The images of a case are incomplete", path=self.folder)
        return found[0].phases

    @property
    def phase(self) -> Phase:
        """The early phase, on whose grid every contour is."""
        return self.phases[-1]


def open_plan(path: str | os.PathLike[str]) -> Plan:
    """Read a plan or a package.

    Args:
        path: the folder, or its plan.json.

    Raises:
        InputError: no plan, or one that was changed so that it does not hold together.
    """
    given = Path(path)
    file = given if given.name == PLAN else given / PLAN
    try:
        content: dict[str, Any] = json.loads(file.read_text("utf-8"))
        if content.pop("format") != FORMAT:
            raise ValueError("another format")
    except FileNotFoundError:
        raise InputError(
            "There is no plan of a reader study", path=given, remedy="Make it with: reader plan"
        ) from None
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise _damaged(file) from error
    try:
        assigned = content["assigned"]
        expected = content["expected"]
        plan = Plan(
            folder=file.parent,
            study=str(content["study"]),
            readers=tuple(content["readers"]),
            sessions=int(content["sessions"]),
            washout_days=float(content["washout_days"]),
            mode=content["mode"],
            tolerance_mm=float(content["tolerance_mm"]),
            cases=tuple(content["cases"]),
            order=content["order"],
            expected=None if expected is None else Expected(**expected),
            created=str(content["created"]),
            assigned=None if assigned is None else Assignment(**assigned),
            synthetic=bool(content["synthetic"]),
        )
        _check(plan)
    except (InputError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(file) from error
    return plan


def check_readers(readers: tuple[str, ...]) -> None:
    """Names of readers go into paths and DICOM objects: short, plain, no real names asked for.

    Raises:
        InputError: none, twice the same, or one that is no plain word.
    """
    if not readers or len({name.casefold() for name in readers}) != len(readers):
        raise InputError("The readers must be one or more different names", remedy="Such as A,B")
    for name in readers:
        if not _NAME.fullmatch(name):
            raise InputError(
                f"The reader {name!r} is no plain word of at most 16 letters",
                remedy="Use pseudonyms such as A and B",
            )


def moment(text: str) -> datetime:
    """A date and time, with its time zone.

    Raises:
        ValueError: it is none, or has no time zone.
    """
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return found


def _check(plan: Plan) -> None:
    """What a changed or damaged file may break; paths are made of it.

    Raises:
        ValueError: it does not hold together.
    """
    check_readers(plan.readers)
    if plan.mode not in MODES or plan.sessions < 1 or not plan.washout_days >= 0:
        raise ValueError("impossible settings")
    if not plan.cases or not all(_KEY.fullmatch(key) for key in plan.cases):
        raise ValueError("no cases, or odd keys")
    for reader in plan.readers:
        if plan.assigned is not None and reader != plan.assigned.reader:
            continue
        for number, sequence in enumerate(plan.order[reader], start=1):
            hidden = plan.assigned is not None and number != plan.assigned.session
            if not hidden and sorted(sequence) != sorted(plan.cases):
                raise ValueError("an order that is not of the cases")
        if len(plan.order[reader]) != plan.sessions:
            raise ValueError("orders for other sessions")
    if plan.assigned is not None and plan.assigned.not_before:
        moment(plan.assigned.not_before)


def _damaged(file: Path) -> InputError:
    return InputError(
        "The plan is damaged or was changed", path=file, remedy="Get it from the coordinator again"
    )
