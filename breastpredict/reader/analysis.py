"""Agreement within and between readers: overlap, ICC, limits of agreement, classes.

Missing cells: a case counts in a comparison when every reading that it compares is there and has a
contour; the others are left out of that comparison and counted. Where a case was read twice in a
session, the first reading counts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from breastpredict.errors import InputError
from breastpredict.imaging import Overlap, overlap
from breastpredict.reader.measure import FAMILIES, Measured
from breastpredict.reader.plan import Plan
from breastpredict.stats import (
    BlandAltman,
    Estimate,
    IccTable,
    bland_altman,
    icc,
    wilson,
)

GOOD, EXCELLENT = 0.75, 0.9
"""Of the lower limit of the ICC; the paper compares the estimate."""

ALTMAN_FEATURES = ("shape_volume_mm3", "shape_diameter_mm")

_UNITS = (("_mm3", ", mm³"), ("_mm2", ", mm²"), ("_mm", ", mm"))

Column = tuple[str, int]
Key = tuple[str, int, str]


@dataclass(frozen=True)
class Comparison:
    """Readings that are compared with each other.

    Attributes:
        name: in words.
        kind: "intra": one reader's sessions; "inter": one session of all readers.
        columns: reader and session of each rating.
    """

    name: str
    kind: Literal["intra", "inter"]
    columns: tuple[Column, ...]

    @property
    def pairs(self) -> Iterator[tuple[Column, Column]]:
        return combinations(self.columns, 2)


@dataclass(frozen=True)
class CasePair:
    """One case as two readings have it.

    Attributes:
        case: its key.
        overlap: of the contours; not defined where both are empty.
        both_empty, one_empty: who saw no lesion.
        volumes_mm3: of both; 0 for none.
        slices: the largest sections' slices; None where there is none.
        slice_mm: distance between them.
        classes: what the model says of each; "" where it does not.
    """

    case: str
    overlap: Overlap
    both_empty: bool
    one_empty: bool
    volumes_mm3: tuple[float, float]
    slices: tuple[int, int] | None
    slice_mm: float
    classes: tuple[str, str]

    @property
    def class_changed(self) -> bool:
        return "" not in self.classes and self.classes[0] != self.classes[1]


@dataclass(frozen=True)
class PairResult:
    """Two columns of a comparison.

    Attributes:
        first, second: reader and session.
        cases: those that both read.
        missing: cases that one or both did not read, or whose contour could not be used.
        same_slice: share of the cases with two contours whose largest section is on one slice.
        class_changes: share of the cases with two answers whose class differs; None without model.
        altman: feature → bias and limits of agreement, where there are enough cases.
    """

    first: Column
    second: Column
    cases: tuple[CasePair, ...] = field(repr=False)
    missing: int
    same_slice: Estimate
    class_changes: Estimate | None
    altman: Mapping[str, BlandAltman] = field(repr=False)

    @property
    def name(self) -> str:
        return f"{column_name(self.first)} and {column_name(self.second)}"

    def values(self, measure: str) -> NDArray[np.float64]:
        """A measure of `Overlap`, or "slice_mm", of the cases that have it."""
        found = np.array(
            [
                case.slice_mm if measure == "slice_mm" else getattr(case.overlap, measure)
                for case in self.cases
            ],
            dtype=np.float64,
        )
        return found[~np.isnan(found)]


@dataclass(frozen=True)
class FeatureIcc:
    """A feature's coefficients in one comparison.

    Attributes:
        feature: "<family>_<name>".
        table: None where there are none; then ``notes`` say why.
        notes: what must be read with it.
    """

    feature: str
    table: IccTable | None
    notes: tuple[str, ...]

    @property
    def family(self) -> str:
        return self.feature.split("_", 1)[0]

    @property
    def name(self) -> str:
        return self.feature.split("_", 1)[1]

    @property
    def title(self) -> str:
        """The name as people read it, its unit after a comma."""
        for end, unit in _UNITS:
            if self.name.endswith(end):
                return self.name.removesuffix(end).replace("_", " ") + unit
        return self.name.replace("_", " ")

    @property
    def verdict(self) -> str:
        """By the lower limit of absolute agreement, ICC(A,1)."""
        if self.table is None:
            return "not available"
        row = self.table["ICC2"]
        if math.isnan(row.low):
            return "no interval" if row.estimate < 1 else "all readings equal"
        if row.low >= EXCELLENT:
            return "excellent"
        return "good" if row.low >= GOOD else "not shown to be good"


@dataclass(frozen=True)
class ComparisonResult:
    """Everything of one comparison; ``iccs`` without the embedding, which ``embedding`` holds."""

    comparison: Comparison
    pairs: tuple[PairResult, ...]
    iccs: tuple[FeatureIcc, ...]
    embedding: tuple[FeatureIcc, ...]


def comparisons(plan: Plan) -> list[Comparison]:
    """Within each reader over the sessions, and between the readers in each session."""
    sessions = range(1, plan.sessions + 1)
    out = []
    if plan.sessions > 1:
        out += [
            Comparison(f"Within reader {name}", "intra", tuple((name, s) for s in sessions))
            for name in plan.readers
        ]
    if len(plan.readers) > 1:
        out += [
            Comparison(
                f"Between readers, session {s}", "inter", tuple((n, s) for n in plan.readers)
            )
            for s in sessions
        ]
    return out


def compare(
    plan: Plan, measured: Mapping[Key, Measured], comparison: Comparison
) -> ComparisonResult:
    """Compute one comparison."""
    names = list(dict.fromkeys(n for found in measured.values() for n in found.features))
    names.sort(key=lambda name: FAMILIES.index(name.split("_", 1)[0]))
    iccs = [_feature(plan, measured, comparison.columns, name) for name in names]
    return ComparisonResult(
        comparison,
        tuple(_pair(plan, measured, a, b) for a, b in comparison.pairs),
        tuple(found for found in iccs if found.family != "embedding"),
        tuple(found for found in iccs if found.family == "embedding"),
    )


def column_name(column: Column) -> str:
    """As people see it: "A1" is reader A in session 1."""
    return f"{column[0]}, session {column[1]}"


def ratings(
    plan: Plan, measured: Mapping[Key, Measured], columns: Sequence[Column], feature: str
) -> NDArray[np.float64]:
    """A feature's values [cases, columns]; NaN where there is none."""
    return np.array(
        [
            [
                found.features.get(feature, math.nan)
                if (found := measured.get((*column, case))) is not None
                else math.nan
                for column in columns
            ]
            for case in plan.cases
        ],
        dtype=np.float64,
    )


def _feature(
    plan: Plan, measured: Mapping[Key, Measured], columns: Sequence[Column], feature: str
) -> FeatureIcc:
    try:
        table = icc(ratings(plan, measured, columns, feature))
    except InputError as error:
        return FeatureIcc(feature, None, (error.problem,))
    return FeatureIcc(feature, table, table.warnings)


def _pair(
    plan: Plan, measured: Mapping[Key, Measured], first: Column, second: Column
) -> PairResult:
    cases, missing = [], 0
    for key in plan.cases:
        a, b = measured.get((*first, key)), measured.get((*second, key))
        if a is None or b is None or _unusable(a) or _unusable(b):
            missing += 1
            continue
        cases.append(_case(plan, key, a, b))
    on_slices = [case.slices for case in cases if case.slices is not None]
    answered = [case for case in cases if "" not in case.classes]
    asked = any(found.predicted_class for found in measured.values())
    altman = {}
    for feature in ALTMAN_FEATURES:
        table = ratings(plan, measured, (first, second), feature)
        try:
            altman[feature] = bland_altman(table[:, 0], table[:, 1])
        except InputError:  # fewer than three pairs
            continue
    return PairResult(
        first,
        second,
        tuple(cases),
        missing,
        wilson(sum(a == b for a, b in on_slices), len(on_slices)),
        wilson(sum(c.class_changed for c in answered), len(answered)) if asked else None,
        altman,
    )


def _unusable(found: Measured) -> bool:
    """A contour that is there and could not be read."""
    return found.mask is None and not found.reading.empty


def _case(plan: Plan, key: str, a: Measured, b: Measured) -> CasePair:
    given = (a.mask, b.mask)
    nothing = [mask is None for mask in given]
    if given[0] is not None and given[1] is not None:
        found = overlap(given[0], given[1], plan.tolerance_mm)
    elif all(nothing):
        found = Overlap(math.nan, math.nan, math.nan)
    else:
        found = Overlap(0.0, 0.0, math.nan)
    slices, apart = None, math.nan
    if a.slice is not None and b.slice is not None and given[0] is not None:
        slices = (a.slice.index, b.slice.index)
        apart = abs(slices[0] - slices[1]) * given[0].geometry.spacing[2]
    return CasePair(
        case=key,
        overlap=found,
        both_empty=all(nothing),
        one_empty=any(nothing) and not all(nothing),
        volumes_mm3=(
            given[0].volume_mm3 if given[0] is not None else 0.0,
            given[1].volume_mm3 if given[1] is not None else 0.0,
        ),
        slices=slices,
        slice_mm=apart,
        classes=(a.predicted_class, b.predicted_class),
    )
