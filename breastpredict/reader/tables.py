"""The numbers of a reader study as plain tables. Cases are named by their blinded keys."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from breastpredict.reader.analysis import ComparisonResult, FeatureIcc, Key, PairResult
from breastpredict.reader.counts import SessionCounts
from breastpredict.reader.measure import Measured
from breastpredict.reader.readings import Readings
from breastpredict.study.results import csv_text

Row = dict[str, Any]


def all_tables(
    counts: Sequence[SessionCounts],
    readings: Readings,
    measured: Mapping[Key, Measured],
    results: Sequence[ComparisonResult],
) -> dict[str, str]:
    """File name → CSV text."""
    return {
        "sessions.csv": _csv(
            {**asdict(row), "override_reasons": "; ".join(row.override_reasons)} for row in counts
        ),
        "readings.csv": _csv(_reading(found) for found in measured.values()),
        "duplicates.csv": _csv(
            {"reader": r.reader, "session": r.session, "case_key": r.case, "ended": r.ended}
            for r in readings.duplicates
        ),
        "features.csv": _csv(
            {**_place(found), **found.features} for found in measured.values() if found.features
        ),
        "icc.csv": _csv(
            row
            for result in results
            for found in (*result.iccs, *result.embedding)
            for row in _icc(result, found)
        ),
        "overlap.csv": _csv(
            row for result in results for pair in result.pairs for row in _cases(result, pair)
        ),
        "bland_altman.csv": _csv(
            row for result in results for pair in result.pairs for row in _altman(result, pair)
        ),
        "class_changes.csv": _csv(
            {**_pair(result, pair), "case_key": case.case, "first": case.classes[0],
             "second": case.classes[1]}
            for result in results
            for pair in result.pairs
            for case in pair.cases
            if case.class_changed
        ),
    }  # fmt: skip


def summary(pair: PairResult) -> dict[str, dict[str, float]]:
    """Measure → median, quartiles, least and largest of a pair's cases, and how many have it."""
    out = {}
    for measure in ("dice", "surface_dice", "hausdorff95_mm", "slice_mm"):
        values = pair.values(measure)
        points = np.percentile(values, (50, 25, 75, 0, 100)) if values.size else [math.nan] * 5
        names = ("median", "q1", "q3", "least", "largest")
        out[measure] = {**dict(zip(names, map(float, points), strict=True)), "n": values.size}
    return out


def _place(found: Measured) -> Row:
    reading = found.reading
    return {"reader": reading.reader, "session": reading.session, "case_key": reading.case}


def _reading(found: Measured) -> Row:
    reading = found.reading
    point = reading.seed_point_lps or ("", "", "")
    return {
        **_place(found),
        "place": reading.place,
        "started": reading.started,
        "ended": reading.ended,
        "seconds": reading.seconds,
        "empty": int(reading.empty),
        "seed_x": point[0],
        "seed_y": point[1],
        "seed_z": point[2],
        "edited_fraction": reading.edited_fraction,
        "resampled": int(reading.resampled),
        "resumed": reading.resumed,
        "washout_override": reading.washout_override,
        "source": reading.source,
        "predicted_class": found.predicted_class,
        "largest_slice": "" if found.slice is None else found.slice.index,
        "problem": found.problem,
        "comment": reading.comment,
    }


def _icc(result: ComparisonResult, found: FeatureIcc) -> Iterable[Row]:
    base: Row = {"comparison": result.comparison.name, "feature": found.feature}
    if found.table is None:
        yield {**base, "note": "; ".join(found.notes)}
        return
    for row in found.table:
        yield {
            **base,
            "form": row.name,
            "estimate": row.estimate,
            "low": row.low,
            "high": row.high,
            "F": row.F,
            "df1": row.df1,
            "df2": row.df2,
            "p": row.p,
            "cases": found.table.subjects,
            "left_out": found.table.left_out,
            "readings": found.table.raters,
            "note": "; ".join(found.notes),
        }


def _pair(result: ComparisonResult, pair: PairResult) -> Row:
    return {
        "comparison": result.comparison.name,
        "reader_1": pair.first[0],
        "session_1": pair.first[1],
        "reader_2": pair.second[0],
        "session_2": pair.second[1],
    }


def _cases(result: ComparisonResult, pair: PairResult) -> Iterable[Row]:
    for case in pair.cases:
        yield {
            **_pair(result, pair),
            "case_key": case.case,
            "dice": case.overlap.dice,
            "surface_dice": case.overlap.surface_dice,
            "hausdorff95_mm": case.overlap.hausdorff95_mm,
            "volume_1_mm3": case.volumes_mm3[0],
            "volume_2_mm3": case.volumes_mm3[1],
            "slice_1": "" if case.slices is None else case.slices[0],
            "slice_2": "" if case.slices is None else case.slices[1],
            "slice_distance_mm": case.slice_mm,
            "one_empty": int(case.one_empty),
            "both_empty": int(case.both_empty),
        }


def _altman(result: ComparisonResult, pair: PairResult) -> Iterable[Row]:
    for feature, found in pair.altman.items():
        for name in ("bias", "lower", "upper", "slope"):
            value = getattr(found, name)
            yield {
                **_pair(result, pair),
                "feature": feature,
                "n": found.n,
                "left_out": found.left_out,
                "what": name,
                "value": value.value,
                "low": value.low,
                "high": value.high,
                "note": "; ".join(value.warnings),
            }


def _csv(rows: Iterable[Row]) -> str:
    content = [{name: _cell(value) for name, value in row.items()} for row in rows]
    columns = list(dict.fromkeys(name for row in content for name in row))
    return csv_text(columns, content) if content else ""


def _cell(value: Any) -> Any:
    """Nothing where there is no number."""
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(float(value))
    return value
