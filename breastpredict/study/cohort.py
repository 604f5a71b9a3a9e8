"""COHORT.csv of HER2: one row a patient, checked as a whole."""

from __future__ import annotations

import os
from typing import Any

from breastpredict.errors import InputError
from breastpredict.her2 import Her2Case, her2_class
from breastpredict.study.cohort_table import CohortError, CohortTable, Row

__all__ = ["READING", "CohortError", "read_cohort"]

READING = ("segment", "mask_order", "study_uid", "laterality", "acquisition", "phase")
"""Optional columns that say how a case is to be read, as the options of ``predict`` do."""


def read_cohort(path: str | os.PathLike[str]) -> list[Her2Case]:
    """The cases of a HER2 cohort table.

    The class is derived from ``ihc`` and ``ish``, never typed in. Paths may be relative to the
    table.

    Raises:
        CohortError: all violations at once.
        InputError: no such file, or no table.
    """
    table = CohortTable(path, "her2_cohort.schema.json")
    cases = [_case(row, table.required) for row in table.rows()]
    return [case for case in cases if case is not None]


def _case(row: Row, required: tuple[str, ...]) -> Her2Case | None:
    cells = row.cells
    study, segmentation = row.file("study", or_folder=True), row.file("segmentation")
    if study is None or row.violations:
        return None
    try:
        her2 = her2_class(cells["ihc"], cells["ish"])
    except InputError as error:  # ISH against IHC
        row.wrong("ish", error.problem)
        return None
    reading: dict[str, Any] = {name: cells[name] for name in READING if cells.get(name)}
    for name in ("acquisition", "phase"):
        if name in reading:
            reading[name] = int(reading[name])
    return Her2Case(
        patient_id=cells["patient_id"],
        cohort=cells["cohort"],
        split=cells["split"],
        study=study,
        segmentation=segmentation,
        her2=her2,
        ihc=cells["ihc"],
        ish=cells["ish"],
        extra={n: v for n, v in cells.items() if n not in (*required, *READING)},
        reading=reading,
    )
