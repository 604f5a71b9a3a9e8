"""Reader studies: plan, read, import, report (paper A8). Reading needs neither torch nor Slicer."""

from __future__ import annotations

from breastpredict.reader.exchange import Imported, assign, import_readings
from breastpredict.reader.plan import MODES, Plan, PlannedCase, open_plan
from breastpredict.reader.planning import Planned, make_plan
from breastpredict.reader.readings import Reading, Readings, read_all
from breastpredict.reader.session import (
    CaseToRead,
    ReaderSession,
    Unfinished,
    WashoutError,
    sign_in,
)

__all__ = [
    "MODES",
    "CaseToRead",
    "Imported",
    "Plan",
    "Planned",
    "PlannedCase",
    "ReaderSession",
    "Reading",
    "Readings",
    "Unfinished",
    "WashoutError",
    "assign",
    "import_readings",
    "make_plan",
    "open_plan",
    "read_all",
    "sign_in",
]
