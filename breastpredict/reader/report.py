"""``reader report``: the folder of a report, whole or not at all. Nothing in it names a patient."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, PackageLoader

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING, __version__
from breastpredict.errors import InputError
from breastpredict.files import write_folder
from breastpredict.reader import figures
from breastpredict.reader.analysis import (
    EXCELLENT,
    GOOD,
    ComparisonResult,
    FeatureIcc,
    compare,
    comparisons,
)
from breastpredict.reader.counts import SessionCounts, count
from breastpredict.reader.measure import measure
from breastpredict.reader.plan import Plan
from breastpredict.reader.readings import Readings, read_all
from breastpredict.reader.tables import all_tables, summary
from breastpredict.stats import Estimate
from breastpredict.study.case_output import templates
from breastpredict.study.evaluation.tables import to_json
from breastpredict.study.evaluation.views import Shown, estimate

Progress = Callable[[int, int, str], None]
_PAGE, _DATA = "index.html", "reader_report.json"
_MAIN = ("shape", "model")
"""Families whose coefficients are open on the page; the others' are folded away."""
_SYNTHETIC_CASES = "Synthetic cases, no patients."
_ALTMAN_WORDS = {"shape_volume_mm3": "Volume in mm³", "shape_diameter_mm": "Diameter in mm"}


def report_study(
    plan: Plan,
    out: str | os.PathLike[str],
    *,
    run: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Path:
    """Analyse a reader study and write the report.

    Args:
        plan: the study.
        out: folder of the report: ``index.html`` (self-contained), ``reader_report.json`` (every
            number), ``figures/`` (SVG and PNG), ``tables/`` (CSV). An earlier report is replaced.
        run: a HER2 run, whose scores, class and embedding are compared too; needs torch.
        device: for the run.
        progress: called with steps done, steps in all and what is being done.

    Returns:
        The page.

    Raises:
        InputError: nothing to compare, or ``out`` holds something else than a report.
    """
    out = Path(out)
    if plan.assigned is not None:
        raise InputError("A package holds one reader's session: nothing to compare",
                         path=plan.folder, remedy="Import it into the plan")  # fmt: skip
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / _DATA).is_file())):
        raise InputError(
            "The folder for the report is not empty and holds no earlier report",
            path=out,
            remedy="Give a new folder",
        )
    readings = read_all(plan)
    if len({(reader, session) for reader, session, _ in readings.first}) < 2:
        raise InputError("There are not two sessions with readings to compare", path=plan.folder)
    model = None
    if run is not None:
        from breastpredict.her2 import Her2Model

        model = Her2Model.load(run, device)
    measured = measure(plan, readings, model, progress=progress)
    results = [compare(plan, measured, one) for one in comparisons(plan)]
    counts = count(plan, readings, measured)
    drawings = [_figures(number, result) for number, result in enumerate(results, start=1)]
    tables = all_tables(counts, readings, measured, results)
    synthetic_note = _SYNTHETIC_CASES if plan.synthetic else ""
    if model is not None and model.synthetic:
        synthetic_note = f"{SYNTHETIC_WARNING} {synthetic_note}".strip()
    warnings = _warnings(counts, readings)
    with write_folder(out) as folder:
        for name in ("figures", "tables"):
            (folder / name).mkdir()
        for shown in (one for group in drawings for one in group):
            _write(folder / "figures" / f"{shown.name}.svg", shown.drawing.svg)
            (folder / "figures" / f"{shown.name}.png").write_bytes(shown.drawing.png)
        for name, text in tables.items():
            _write(folder / "tables" / name, text)
        content = {
            "software": f"BreastPredict {__version__}",
            "research_use_only": RESEARCH_USE_ONLY,
            "synthetic": bool(synthetic_note),
            "synthetic_note": synthetic_note,
            "study": plan.study,
            "plan": {
                "cases": len(plan.cases), "readers": list(plan.readers),
                "sessions": plan.sessions, "washout_days": plan.washout_days, "mode": plan.mode,
                "tolerance_mm": plan.tolerance_mm, "expected": to_json(plan.expected),
            },
            "warnings": warnings,
            "sessions": to_json(counts),
            "damaged": list(readings.damaged),
            "duplicates": len(readings.duplicates),
            "comparisons": [_numbers(result) for result in results],
            "weights_sha256": {} if model is None else model.weights,
        }  # fmt: skip
        _write(folder / _DATA, json.dumps(content, indent=1, allow_nan=False) + "\n")
        views = [_view(r, d) for r, d in zip(results, drawings, strict=True)]
        _write(
            folder / _PAGE,
            _page(plan, views, counts, readings, warnings, synthetic_note, model is not None),
        )
    return out / _PAGE


def _page(
    plan: Plan,
    views: Sequence[dict[str, Any]],
    counts: Sequence[SessionCounts],
    readings: Readings,
    warnings: Sequence[str],
    synthetic_note: str,
    scored: bool,
) -> str:
    environment = templates()
    assert environment.loader is not None
    environment.loader = ChoiceLoader([PackageLoader("breastpredict.reader"), environment.loader])
    return environment.get_template("reader.html.j2").render(
        note=RESEARCH_USE_ONLY,
        synthetic_note=synthetic_note,
        plan=plan,
        views=views,
        counts=counts,
        readings=readings,
        warnings=warnings,
        scored=scored,
        good=GOOD,
        excellent=EXCELLENT,
        number=number,
        software=f"BreastPredict {__version__}",
        date=datetime.now().astimezone().isoformat(timespec="seconds"),
    )


def number(value: float, digits: int = 2) -> str:
    """A number as the page shows it; a dash where there is none."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def _warnings(counts: Sequence[SessionCounts], readings: Readings) -> list[str]:
    """What must be known before any number."""
    out = []
    for what, words in (
        ("missing", "Planned readings that are missing"),
        ("duplicates", "Readings of a case that was read in that session before, not counted"),
        ("empty", "Readings without a lesion, which have no features"),
        ("unusable", "Contours that cannot be read"),
        ("not_scored", "Contours without an answer from the model"),
        ("resampled", "Contours that came on another grid and were brought over by position"),
        ("overrides", "Readings before the end of the wash-out"),
    ):
        total = sum(getattr(row, what) for row in counts)
        if total:
            out.append(f"{words}: {total}")
    out += [f"Not counted: {line}" for line in readings.damaged]
    return out


def _figures(place: int, result: ComparisonResult) -> list[Shown]:
    name = result.comparison.name
    found = []
    if any(one.table is not None for one in result.iccs):
        found.append(
            Shown(
                f"icc_{place}",
                f"{name}: absolute agreement of single readings, ICC(A,1), with 95 % intervals. "
                "Green squares: lower limit at least 0.9; blue circles: at least 0.75; red "
                "triangles: below; green diamonds: all readings equal.",
                "icc.csv",
                figures.coefficients(result),
            )
        )
    if any(pair.cases for pair in result.pairs):
        found.append(
            Shown(
                f"overlap_{place}",
                f"{name}: overlap of the contours, a point a case; the line is the median.",
                "overlap.csv",
                figures.overlaps(result.pairs),
            )
        )
    for number_of_pair, pair in enumerate(result.pairs, start=1):
        drawing = figures.limits(pair)
        if drawing is not None:
            found.append(
                Shown(
                    f"bland_altman_{place}_{number_of_pair}",
                    f"{pair.name}: differences (first minus second) against means, with bias, "
                    "limits of agreement and their 95 % intervals.",
                    "bland_altman.csv",
                    drawing,
                )
            )
    return found


def _view(result: ComparisonResult, shown: Sequence[Shown]) -> dict[str, Any]:
    # What every coefficient would say is said once.
    tables = [found.table for found in result.iccs if found.table is not None]
    shared = [
        note
        for note in (tables[0].warnings if tables else ())
        if all(note in table.warnings for table in tables)
    ]
    return {
        "name": result.comparison.name,
        "notes": shared,
        "main": [_coefficient(f, shared) for f in result.iccs if f.family in _MAIN],
        "other": [_coefficient(f, shared) for f in result.iccs if f.family not in _MAIN],
        "embedding": _embedding(result),
        "pairs": [
            {
                "name": pair.name,
                "cases": len(pair.cases),
                "missing": pair.missing,
                "both_empty": sum(case.both_empty for case in pair.cases),
                "one_empty": sum(case.one_empty for case in pair.cases),
                "summary": summary(pair),
                "same_slice": estimate(pair.same_slice, 2),
                "class_changes": "" if pair.class_changes is None
                else estimate(pair.class_changes, 2),
                "changed": [case for case in pair.cases if case.class_changed],
                "altman": [
                    {"name": _ALTMAN_WORDS[feature], "n": found.n,
                     **{what: estimate(getattr(found, what), 2)
                        for what in ("bias", "lower", "upper", "slope")}}
                    for feature, found in pair.altman.items()
                ],
            }
            for pair in result.pairs
        ],
        "figures": shown,
    }  # fmt: skip


def _coefficient(found: FeatureIcc, said: Sequence[str]) -> dict[str, Any]:
    rows = (
        {}
        if found.table is None
        else {row.name: estimate(Estimate(row.estimate, row.low, row.high), 2)
              for row in found.table}
    )  # fmt: skip
    return {
        "family": found.family,
        "name": found.title,
        "rows": rows,
        "n": 0 if found.table is None else found.table.subjects,
        "left_out": 0 if found.table is None else found.table.left_out,
        "verdict": found.verdict,
        "low": math.nan if found.table is None else found.table["ICC2"].low,
        "note": "; ".join(note for note in found.notes if note not in said),
    }


def _embedding(result: ComparisonResult) -> dict[str, Any] | None:
    """The model's embedding in one line: a coefficient for each of its numbers says little."""
    there = [found for found in result.embedding if found.table is not None]
    if not there:
        return None
    estimates = sorted(found.table["ICC2"].estimate for found in there if found.table is not None)
    equal = sum(found.verdict == "all readings equal" for found in there)
    excellent = sum(found.verdict == "excellent" for found in there) + equal
    good = sum(found.verdict == "good" for found in there) + excellent
    return {
        "numbers": len(there),
        "equal": equal / len(there),
        "median": estimates[len(estimates) // 2],
        "least": estimates[0],
        "good": good / len(there),
        "excellent": excellent / len(there),
    }


def _numbers(result: ComparisonResult) -> dict[str, Any]:
    """A comparison in the JSON document; single numbers of the embedding stand in icc.csv."""
    return {
        "name": result.comparison.name,
        "kind": result.comparison.kind,
        "icc": {
            found.feature: {
                "verdict": found.verdict,
                "note": "; ".join(found.notes),
                "rows": {} if found.table is None
                else {row.name: to_json(row) for row in found.table},
                "cases": None if found.table is None else found.table.subjects,
                "left_out": None if found.table is None else found.table.left_out,
            }
            for found in result.iccs
        },
        "embedding": to_json(_embedding(result)),
        "pairs": [
            {
                "first": list(pair.first),
                "second": list(pair.second),
                "cases": len(pair.cases),
                "missing": pair.missing,
                "both_empty": sum(case.both_empty for case in pair.cases),
                "one_empty": sum(case.one_empty for case in pair.cases),
                "overlap": to_json(summary(pair)),
                "same_slice": to_json(pair.same_slice),
                "class_changes": to_json(pair.class_changes),
                "bland_altman": {
                    feature: {
                        "n": found.n,
                        "left_out": found.left_out,
                        **{what: to_json(getattr(found, what))
                           for what in ("bias", "lower", "upper", "slope")},
                    }
                    for feature, found in pair.altman.items()
                },
            }
            for pair in result.pairs
        ],
    }  # fmt: skip


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
