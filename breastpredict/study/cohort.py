"""COHORT.csv: one row a patient, checked as a whole."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from breastpredict.errors import InputError
from breastpredict.her2 import Her2Case, her2_class

REQUIRED = ("patient_id", "cohort", "split", "study", "segmentation", "ihc", "ish")
READING = ("segment", "mask_order", "study_uid", "laterality", "acquisition", "phase")
"""Optional columns that say how a case is to be read, as the options of ``predict`` do."""

SPLITS = ("", "train", "validation", "test", "external")
_SHOWN = 5


class CohortError(InputError):
    """Every violation of a table; the message shows the first few.

    Attributes:
        violations: one line each, with row (as a spreadsheet counts) and column.
    """

    def __init__(self, path: Path, violations: list[str]) -> None:
        self.violations = tuple(violations)
        shown = "; ".join(violations[:_SHOWN])
        more = len(violations) - _SHOWN
        rest = f"; and {more} more" if more > 0 else ""
        super().__init__(f"The cohort table has {len(violations)} errors: {shown}{rest}", path=path)


def read_cohort(path: str | os.PathLike[str]) -> list[Her2Case]:
    """The cases of a HER2 cohort table.

    The class is derived from ``ihc`` and ``ish``, never typed in. Paths may be relative to the
    table.

    Raises:
        CohortError: all violations at once.
        InputError: no such file, or no table.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("There is no such cohort table", path=path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            "The cohort table is no UTF-8 CSV", path=path, remedy="Save it as CSV UTF-8"
        ) from error
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise CohortError(path, [f"row 1: column '{name}' is missing" for name in missing])
    if not rows:
        raise InputError("The cohort table has no rows", path=path)
    violations: list[str] = []
    cases: list[Her2Case] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        case = _case(row, number, path.parent, seen, violations)
        if case is not None:
            cases.append(case)
    if violations:
        raise CohortError(path, violations)
    return cases


def _case(
    row: dict[str, str | None],
    number: int,
    folder: Path,
    seen: dict[str, int],
    violations: list[str],
) -> Her2Case | None:
    if None in row:
        violations.append(f"row {number}: more cells than columns")
        return None
    cells = {name: (value or "").strip() for name, value in row.items()}
    before = len(violations)

    def wrong(column: str, what: str) -> None:
        violations.append(f"row {number}, column {column}: {what}")

    patient = cells["patient_id"]
    if not patient:
        wrong("patient_id", "is empty")
    elif patient in seen:
        wrong("patient_id", f"stands in row {seen[patient]} already; one row a patient")
    seen.setdefault(patient, number)
    if not cells["cohort"]:
        wrong("cohort", "is empty")
    if cells["split"] not in SPLITS:
        wrong("split", f"is {cells['split']!r}; use train, validation, test, external or nothing")
    study = folder / cells["study"]
    if not cells["study"]:
        wrong("study", "is empty")
    elif not study.exists():
        wrong("study", "there is no such folder or file")
    segmentation = folder / cells["segmentation"] if cells["segmentation"] else None
    if segmentation is not None and not segmentation.is_file():
        wrong("segmentation", "there is no such file")
    reading = _reading(cells, wrong)
    her2 = None
    try:
        her2 = her2_class(cells["ihc"], cells["ish"])
    except InputError as error:
        wrong("ish" if error.problem.startswith("ish") else "ihc", error.problem)
    if len(violations) > before:
        return None
    return Her2Case(
        patient_id=patient,
        cohort=cells["cohort"],
        split=cells["split"],
        study=study,
        segmentation=segmentation,
        her2=her2,
        ihc=cells["ihc"],
        ish=cells["ish"],
        extra={n: value for n, value in cells.items() if n not in (*REQUIRED, *READING)},
        reading=reading,
    )


def _reading(cells: dict[str, str], wrong: Callable[[str, str], None]) -> dict[str, Any]:
    """The cells of `READING` that are not empty."""
    out: dict[str, Any] = {name: cells[name] for name in READING if cells.get(name)}
    for name in ("acquisition", "phase"):
        if name in out:
            if not (out[name].isascii() and out[name].isdigit()) or int(out[name]) < 1:
                wrong(name, f"is {out[name]!r}; use a number from 1")
            else:
                out[name] = int(out[name])
    if out.get("laterality", "R") not in ("R", "L"):
        wrong("laterality", f"is {out['laterality']!r}; use R, L or nothing")
    return out
