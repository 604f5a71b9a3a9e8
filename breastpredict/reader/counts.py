"""What became of every planned reading, and how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from breastpredict.reader.analysis import Column, Key
from breastpredict.reader.measure import Measured
from breastpredict.reader.plan import Plan, moment
from breastpredict.reader.readings import Reading, Readings

_DAY_S = 86400.0


@dataclass(frozen=True)
class SessionCounts:
    """One reader's session.

    Attributes:
        reader, session: whose.
        planned, read, missing: cases.
        duplicates: readings that came after the one that counts.
        empty: no lesion seen.
        unusable: contours that cannot be read.
        not_scored: contours to which the model gave no answer.
        resampled: came on another grid.
        resumed: readings that were interrupted and gone on with.
        overrides: readings before the end of the wash-out.
        override_reasons: why.
        minutes: median time on a case; NaN without readings.
        edited: median part of the automatic contour that was changed; NaN where none was.
        days: median time since the same case in the session before; NaN in the first.
        shortest_days: the least of it.
    """

    reader: str
    session: int
    planned: int
    read: int
    missing: int
    duplicates: int
    empty: int
    unusable: int
    not_scored: int
    resampled: int
    resumed: int
    overrides: int
    override_reasons: tuple[str, ...]
    minutes: float
    edited: float
    days: float
    shortest_days: float


def count(plan: Plan, readings: Readings, measured: Mapping[Key, Measured]) -> list[SessionCounts]:
    """A row for each reader and session."""
    return [
        _session(plan, readings, measured, (reader, session))
        for reader in plan.readers
        for session in range(1, plan.sessions + 1)
    ]


def _session(
    plan: Plan, readings: Readings, measured: Mapping[Key, Measured], column: Column
) -> SessionCounts:
    reader, session = column
    mine = readings.of(reader, session)
    found = [measured[(*column, case)] for case in mine]
    apart = _days(mine, readings.of(reader, session - 1))
    overrides = [r.washout_override for r in mine.values() if r.washout_override]
    edited = [r.edited_fraction for r in mine.values() if r.edited_fraction is not None]
    return SessionCounts(
        reader,
        session,
        planned=len(plan.cases),
        read=len(mine),
        missing=len(plan.cases) - len(mine),
        duplicates=sum((r.reader, r.session) == column for r in readings.duplicates),
        empty=sum(r.empty for r in mine.values()),
        unusable=sum(m.mask is None and not m.reading.empty for m in found),
        not_scored=sum(bool(m.problem) and m.mask is not None for m in found),
        resampled=sum(r.resampled for r in mine.values()),
        resumed=sum(r.resumed > 0 for r in mine.values()),
        overrides=len(overrides),
        override_reasons=tuple(dict.fromkeys(overrides)),
        minutes=_median([r.seconds / 60 for r in mine.values()]),
        edited=_median(edited),
        days=_median(apart),
        shortest_days=min(apart, default=float("nan")),
    )


def _days(later: Mapping[str, Reading], earlier: Mapping[str, Reading]) -> list[float]:
    """Days between the readings of each case that was read in both."""
    return [
        (moment(later[case].ended) - moment(earlier[case].ended)).total_seconds() / _DAY_S
        for case in later
        if case in earlier
    ]


def _median(values: list[float]) -> float:
    return float(np.median(values)) if values else float("nan")
