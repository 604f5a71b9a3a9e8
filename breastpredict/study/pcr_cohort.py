"""COHORT.csv of pCR: one row a patient, checked as a whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date
from typing import Any

from breastpredict.errors import InputError
from breastpredict.pcr import (
    FromUs0,
    MaskRoi,
    PcrCase,
    PcrClinical,
    UltrasoundSource,
    parse_roi,
    pcr_label,
)
from breastpredict.pcr.cases import FOCALITIES
from breastpredict.pcr.clinical import parse_er, parse_ki67, parse_regimen, parse_subtype
from breastpredict.study.cohort_table import CohortTable, Row

_OWN = (
    *("us0_frame", "us0_region", "us0_date", "us1_frame", "us1_region", "us1_date"),
    *("laterality", "pathology_region", "pathology_mpp"),
)
"""Optional columns that become attributes of a case."""

_CLINICAL: dict[str, Callable[[str], Any]] = {
    "subtype": parse_subtype,
    "er": parse_er,
    "ki67": parse_ki67,
    "regimen": parse_regimen,
}


def read_pcr_cohort(path: str | os.PathLike[str]) -> list[PcrCase]:
    """The cases of a pCR cohort table.

    Images that a patient lacks, and values that are not known, are left empty. Where
    ``miller_payne`` and ``nodes`` are there the label is derived from them (`pcr_label`), and a
    ``pcr`` that was typed otherwise is a violation. Clinical variables that contradict each other
    become warnings of the case. Paths, masks too, may be relative to the table.

    Raises:
        CohortError: all violations at once.
        InputError: no such file, or no table.
    """
    table = CohortTable(path, "pcr_cohort.schema.json")
    cases = [_case(row, table.required) for row in table.rows()]
    return [case for case in cases if case is not None]


def _case(row: Row, required: tuple[str, ...]) -> PcrCase | None:
    cells = row.cells
    us0, us1 = _ultrasound(row, "us0"), _ultrasound(row, "us1")
    if us1 is not None and isinstance(us1.roi, FromUs0) and not cells["us0"]:
        row.wrong("us1_roi", "refers to us0, which is empty")
    pathology = row.file("pathology", or_folder=True)
    for column in ("pathology_region", "pathology_mpp"):
        if cells.get(column) and not cells["pathology"]:
            row.wrong(column, "is given without a file in pathology")
    clinical: dict[str, Any] = {}
    for name, parse in _CLINICAL.items():
        try:
            clinical[name] = parse(cells[name])
        except InputError as error:
            row.wrong(name, _words(error, name))
    pcr = None
    if not row.is_wrong("pcr", "miller_payne", "nodes"):
        try:
            pcr = pcr_label(*(cells.get(name, "") for name in ("pcr", "miller_payne", "nodes")))
        except InputError as error:
            row.wrong("pcr", _words(error, "pcr"))
    if row.violations:
        return None
    known = PcrClinical(**clinical)
    region = [int(n) for n in cells.get("pathology_region", "").split(",") if n.strip()]
    return PcrCase(
        patient_id=cells["patient_id"],
        cohort=cells["cohort"],
        split=cells["split"],
        focality=next((one for one in FOCALITIES if one == cells["focality"]), None),
        us0=us0,
        us1=us1,
        pathology=pathology,
        pathology_region=(region[0], region[1], region[2], region[3]) if region else None,
        pathology_mpp=float(cells["pathology_mpp"]) if cells.get("pathology_mpp") else None,
        clinical=known,
        pcr=pcr,
        laterality=cells.get("laterality") or None,
        extra={n: v for n, v in cells.items() if n not in (*required, *_OWN)},
        warnings=known.contradictions(),
    )


def _ultrasound(row: Row, name: str) -> UltrasoundSource | None:
    """One of the two images; None where there is none, or what is stated of it is wrong."""
    cells = row.cells
    path, text = row.file(name), cells[f"{name}_roi"]
    if path is None:
        for column in (f"{name}_{what}" for what in ("roi", "frame", "region", "date")):
            if cells.get(column):
                row.wrong(column, f"is given without a file in {name}")
        return None
    given = cells.get(f"{name}_date") or None
    if given and not row.is_wrong(f"{name}_date") and not _is_date(given):
        row.wrong(f"{name}_date", "is no date")
    if not text:
        row.wrong(f"{name}_roi", "is empty, though there is an image")
        return None
    try:
        roi = parse_roi(text, row.folder)
    except InputError as error:
        row.wrong(f"{name}_roi", _words(error))
        return None
    if isinstance(roi, MaskRoi) and not all(mask.is_file() for mask in roi.paths):
        row.wrong(f"{name}_roi", "there is no such file")
    if isinstance(roi, FromUs0) and name == "us0":
        row.wrong("us0_roi", "refers to itself; give a mask, a box or a point")
    numbers = [cells.get(f"{name}_{what}") or "" for what in ("frame", "region")]
    frame, region = (int(n) if n.isascii() and n.isdigit() else None for n in numbers)
    return UltrasoundSource(path, roi, frame, region, given)


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _words(error: InputError, name: str = "") -> str:
    """An error as a violation, which names its column already."""
    problem = error.problem.removeprefix(f"{name} ")
    return f"{problem}; {error.remedy[0].lower()}{error.remedy[1:]}" if error.remedy else problem
