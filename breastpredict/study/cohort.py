"""COHORT.csv: one row a patient, checked as a whole."""

from __future__ import annotations

import csv
import json
import os
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from breastpredict.errors import InputError
from breastpredict.her2 import Her2Case, her2_class

READING = ("segment", "mask_order", "study_uid", "laterality", "acquisition", "phase")
"""Optional columns that say how a case is to be read, as the options of ``predict`` do."""

_PAIRS = (("os_months", "os_event"), ("rfs_months", "rfs_event"))
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
    rule = _rule()
    missing = [name for name in rule.schema["required"] if name not in columns]
    if missing:
        raise CohortError(path, [f"row 1: column '{name}' is missing" for name in missing])
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise CohortError(path, [f"row 1: column '{name}' is there twice" for name in twice])
    if not rows:
        raise InputError("The cohort table has no rows", path=path)
    violations: list[str] = []
    cases: list[Her2Case] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        case = _case(rule, row, number, path.parent, seen, violations)
        if case is not None:
            cases.append(case)
    if violations:
        raise CohortError(path, violations)
    return cases


@cache
def _rule() -> Draft202012Validator:
    """The schema of a row; it is a file, so that a hospital can check its export against it."""
    file = files("breastpredict.study") / "schemas" / "her2_cohort.schema.json"
    return Draft202012Validator(json.loads(file.read_text("utf-8")))


def _case(
    rule: Draft202012Validator,
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

    columns = list(rule.schema["properties"])
    for column in sorted({str(e.path[0]) for e in rule.iter_errors(cells)}, key=columns.index):
        says = rule.schema["properties"][column]["description"]
        wrong(column, says if not cells[column] else f"is {cells[column]!r}; {says}")
    patient = cells["patient_id"]
    if patient in seen:
        wrong("patient_id", f"stands in row {seen[patient]} already; one row a patient")
    elif patient:
        seen[patient] = number
    study = folder / cells["study"]
    if cells["study"] and not study.exists():
        wrong("study", "there is no such folder or file")
    segmentation = folder / cells["segmentation"] if cells["segmentation"] else None
    if segmentation is not None and not segmentation.is_file():
        wrong("segmentation", "there is no such file")
    for months, event in _PAIRS:
        known = [cells.get(name, "") not in ("", "NA") for name in (months, event)]
        if known[0] != known[1]:
            wrong(
                event if known[0] else months,
                f"is not known, though {months} and {event} are a pair",
            )
    if len(violations) > before:
        return None
    try:
        her2 = her2_class(cells["ihc"], cells["ish"])
    except InputError as error:  # ISH against IHC
        wrong("ish", error.problem)
        return None
    reading: dict[str, Any] = {name: cells[name] for name in READING if cells.get(name)}
    for name in ("acquisition", "phase"):
        if name in reading:
            reading[name] = int(reading[name])
    return Her2Case(
        patient_id=patient,
        cohort=cells["cohort"],
        split=cells["split"],
        study=study,
        segmentation=segmentation,
        her2=her2,
        ihc=cells["ihc"],
        ish=cells["ish"],
        extra={n: v for n, v in cells.items() if n not in (*rule.schema["required"], *READING)},
        reading=reading,
    )
