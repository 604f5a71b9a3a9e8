"""Working through a list: the table's rows, and what was done with each of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .reading import TIMES

_CLINICAL = ("subtype", "er", "ki67", "regimen")
_TYPED = (
    *("us0Frame", "us0Region", "us1Frame", "us1Region", "us0Roi", "us1Roi", "us1RoiBefore"),
    *("pathologyRegion", *_CLINICAL, "clinicalOf"),
)
"""What a reader may change of a patient."""
_RESULT = ("result", "resultKey")


def rows_of(parameters: Any) -> list[dict[str, str]]:
    """The patients of the list, as `breastpredict.pcr.case_of` takes them."""
    return json.loads(parameters.rows) if parameters.rows else []


def row_of(parameters: Any, patient: str) -> dict[str, str] | None:
    """The patient of this name, or None."""
    return next((row for row in rows_of(parameters) if row["patient_id"] == patient), None)


def listed(parameters: Any) -> str:
    """The patient of the list whose images are chosen; empty where others were chosen since."""
    p = parameters
    row = row_of(p, p.patient) if p.patient else None
    if row is None:
        return str(p.patient) if not p.rows else ""
    files = {"us0": p.us0File, "us1": p.us1File, "pathology": p.pathology}
    same = all(file == Path(row.get(name, "")) for name, file in files.items())
    return str(p.patient) if same and p.us0 is None and p.us1 is None else ""


def keep(parameters: Any) -> None:
    """Remember what was done with the patient that is shown, where it is one of the list."""
    p = parameters
    if p.place >= 0 and listed(p):
        kept = _kept(p)
        kept[p.patient] = {name: getattr(p, name) for name in (*_TYPED, *_RESULT)}
        p.kept = json.dumps(kept)


def take(parameters: Any, row: dict[str, str]) -> dict[str, str]:
    """Make the parameters those of a row; returns what was kept of its result.

    What a reader had changed of it comes back.
    """
    p = parameters
    for time in TIMES:
        setattr(p, time, None)
        setattr(p, f"{time}File", Path(row.get(time, "")))
        setattr(p, f"{time}Date", row.get(f"{time}_date", ""))
        for what in ("frame", "region"):
            number = int(row.get(f"{time}_{what}") or 0)
            setattr(p, f"{time}{what.capitalize()}", number)
        setattr(p, f"{time}Roi", row.get(f"{time}_roi", ""))
    p.us1RoiBefore = ""
    p.pathology, p.mpp = Path(row.get("pathology", "")), row.get("pathology_mpp", "")
    p.pathologyRegion = row.get("pathology_region", "")
    take_clinical(p, row)
    p.laterality = row.get("laterality", "")
    p.patient, p.site = row["patient_id"], row.get("cohort", "")
    kept = _kept(p).get(p.patient, {})
    for name in _TYPED:
        if name in kept:
            setattr(p, name, kept[name])
    return {name: kept.get(name, "") for name in _RESULT}


def take_clinical(parameters: Any, row: dict[str, str]) -> None:
    """The clinical variables of a row only."""
    for name in _CLINICAL:
        setattr(parameters, name, row.get(name, ""))
    parameters.clinicalOf = row["patient_id"]


def row_of_same(parameters: Any, patient: str) -> dict[str, str] | None:
    """The row of the patient whom a file names, or None; as `is_same` compares."""
    return next((row for row in rows_of(parameters) if is_same(row["patient_id"], patient)), None)


def is_same(one: str, other: str) -> bool:
    """Whether two identifiers are the same patient's: capitals and blanks around do not count."""
    return bool(one.strip()) and one.strip().casefold() == other.strip().casefold()


def clinical_row(parameters: Any) -> str:
    """The row whose clinical variables stand; empty where one of them was typed since."""
    p = parameters
    row = row_of(p, p.clinicalOf) if p.clinicalOf else None
    stands = row is not None and all(getattr(p, name) == row.get(name, "") for name in _CLINICAL)
    return str(p.clinicalOf) if stands else ""


def state_of(parameters: Any, patient: str) -> str:
    """What was done with a patient: "predicted", "refused" or empty."""
    p = parameters
    text = p.result if patient == listed(p) else _kept(p).get(patient, {}).get("result", "")
    return json.loads(text)["status"] if text else ""


def _kept(parameters: Any) -> dict[str, dict[str, str]]:
    return json.loads(parameters.kept) if parameters.kept else {}
