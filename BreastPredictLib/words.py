"""How patients, sides and dates are said."""

from __future__ import annotations

from slicer.i18n import tr as _

SIDES = {"R": "RIGHT breast", "L": "LEFT breast", "B": "both breasts"}
SIDE_NOT_KNOWN = "side not known"


def patient_line(patient: dict[str, str], *more: str) -> str:
    """Whose study it is, for the line above all sections.

    Args:
        patient: PatientName, PatientID, PatientBirthDate and StudyDate; empty where not known.
        more: what follows, such as the side.
    """
    birth, study = patient["PatientBirthDate"], patient["StudyDate"]
    words = [
        patient["PatientName"].replace("^", " ").strip() or _("name not known"),
        f"ID {patient['PatientID']}" if patient["PatientID"] else "",
        _("born {date}").format(date=iso_date(birth)) if birth else "",
        _("study of {date}").format(date=iso_date(study)) if study else "",
        *more,
    ]
    return " · ".join(word for word in words if word)


def iso_date(text: str) -> str:
    """A DICOM date as ISO 8601; anything else as it is."""
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdigit() else text
