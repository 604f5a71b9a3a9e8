"""Whether two ultrasound images are the US-0 and the US-1 of one tumour.

Source: [B] Methods (papers.md B4): US-0 in the week before treatment, US-1 after two cycles of it,
in the same plane. Nothing that is returned or raised here holds an identifier or a date.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
import pydicom

from breastpredict.dicom import UltrasoundImage
from breastpredict.dicom.ultrasound_file import text_of
from breastpredict.errors import InputError

PLAUSIBLE_WEEKS = (4.0, 10.0)
"""From US-0 to US-1: two cycles of two weeks each, or of three with a week before and delays."""

DEPTH_RATIO = 1.25
"""Of the depths of two images; beyond it the depth setting was changed."""

_SAME_PICTURE = 0.995
"""Correlation of grey levels: speckle of another moment has little in common with it."""

_PLANE = {
    "PatientOrientation": "the orientation of rows and columns",
    "ViewCodeSequence": "the view",
    "ViewName": "the name of the view",
    "TransducerPositionSequence": "the position of the transducer",
    "TransducerOrientationSequence": "the orientation of the transducer",
}
"""What says where a plane lies, PS3.3 C.8.5.6 and C.7.6.1."""

_PLACE = ("AnatomicRegionSequence", "PrimaryAnatomicStructureSequence")
_DATES = ("StudyDate", "AcquisitionDate", "ContentDate", "SeriesDate")


@dataclass(frozen=True)
class Pair:
    """Two images that may be of one tumour.

    Attributes:
        interval_weeks: from US-0 to US-1; None where a date is not known.
        warnings: what is unusual, and what could not be checked, in words.
    """

    interval_weeks: float | None
    warnings: tuple[str, ...] = ()


def check_pair(
    us0: UltrasoundImage,
    us1: UltrasoundImage,
    *,
    us0_date: str | None = None,
    us1_date: str | None = None,
    laterality: str | None = None,
) -> Pair:
    """Check all that the files tell of a pair.

    Refused: two patients, two sides, US-1 before US-0 or on the same day (the first two cycles lie
    between them), one study or one image twice. Said: an interval outside of PLAUSIBLE_WEEKS,
    another plane or depth setting, another scanner, and what cannot be checked.

    Args:
        us0, us1: as `breastpredict.dicom.read_ultrasound` gives them.
        us0_date, us1_date: YYYY-MM-DD, by hand. Of files without dates; or of both, instead of the
            files' (de-identification shifts dates, and not always both alike).
        laterality: "R" or "L" as the cohort table states it.

    Raises:
        InputError: the pair is refused, or a date given by hand is none or is one of two clocks.
    """
    warnings: list[str] = []
    _check_patient(us0, us1, warnings)
    _check_sides(us0, us1, laterality, warnings)
    _check_twice(us0, us1, warnings)
    weeks = _interval(us0, us1, us0_date, us1_date, warnings)
    _compare_planes(us0, us1, warnings)
    _compare_scales(us0, us1, warnings)
    if us0.manufacturer and us1.manufacturer:
        one, other = ((u.manufacturer.casefold(), u.model.casefold()) for u in (us0, us1))
        if one != other:
            warnings.append("The two images are from different scanners")
    return Pair(weeks, tuple(warnings))


def _check_patient(us0: UltrasoundImage, us1: UltrasoundImage, warnings: list[str]) -> None:
    compared = False
    for keyword in ("PatientID", "PatientBirthDate"):
        one, other = (text_of(u.header, keyword).casefold() for u in (us0, us1))
        if one and other:
            compared = compared or keyword == "PatientID"
            if one != other:
                what = "identifier" if keyword == "PatientID" else "date of birth"
                raise InputError(
                    f"US-0 and US-1 are of different patients: the {what} differs",
                    remedy="Check which files belong to the patient",
                )
    if not compared:
        warnings.append(
            "Whether the patient is the same cannot be checked: "
            f"{_who(us0.patient_id, us1.patient_id)} no patient identifier"
        )


def _check_sides(
    us0: UltrasoundImage, us1: UltrasoundImage, stated: str | None, warnings: list[str]
) -> None:
    sides = {"US-0": us0.laterality, "US-1": us1.laterality, "the cohort table": stated or None}
    known = {name: side for name, side in sides.items() if side in ("R", "L")}
    if len(set(known.values())) > 1:
        words = ", ".join(f"{name} says {side}" for name, side in known.items())
        raise InputError(
            f"US-0 and US-1 must show the same breast: {words}",
            remedy="Check which files belong together",
        )
    if not ("US-0" in known and "US-1" in known):
        warnings.append(
            "Whether the side is the same cannot be checked: "
            f"{_who(known.get('US-0'), known.get('US-1'))} no single side"
        )


def _check_twice(us0: UltrasoundImage, us1: UltrasoundImage, warnings: list[str]) -> None:
    remedy = "US-1 is an examination of its own, after two cycles of treatment"
    if us0.source_size == us1.source_size:
        # Where both show the scan: its measured outline may differ when a picture is stored again.
        both = us0.in_source(us0.scan) & us1.in_source(us1.scan)
        one, other = (u.in_source(u.pixels)[both].astype(np.float64) for u in (us0, us1))
        if both.any() and np.array_equal(one, other):
            raise InputError("US-0 and US-1 are the same image", remedy=remedy)
        if both.any() and one.std() > 0 and other.std() > 0:
            alike = float(np.corrcoef(one, other)[0, 1])
            if alike > _SAME_PICTURE:
                warnings.append(
                    f"US-0 and US-1 are nearly the same picture (correlation {alike:.3f}): is it "
                    "one image, stored twice?"
                )
    if us0.study_uid and us0.study_uid == us1.study_uid:
        raise InputError("US-0 and US-1 are from the same study", remedy=remedy)


def _interval(
    us0: UltrasoundImage,
    us1: UltrasoundImage,
    us0_date: str | None,
    us1_date: str | None,
    warnings: list[str],
) -> float | None:
    given = [
        None if not text else _given_date(name, text)
        for name, text in (("US-0", us0_date), ("US-1", us1_date))
    ]
    stated = [_file_date(u.header) for u in (us0, us1)]
    by_hand = None not in given
    for name, hand, file in zip(("US-0", "US-1"), given, stated, strict=True):
        if hand is None or file is None or hand == file:
            continue
        if not by_hand:
            raise InputError(
                f"The date given for {name} is not the one its file states",
                remedy="Leave it empty, or give the dates of both images",
            )
        warnings.append(f"The date given for {name} is used; its file states another")
    first, second = (hand or file for hand, file in zip(given, stated, strict=True))
    if first is None or second is None:
        warnings.append(f"Order and interval cannot be checked: {_who(first, second)} no date")
        return None
    days = (second - first).days
    if days < 0:
        raise InputError(
            f"US-1 was taken {-days} days before US-0", remedy="Check which of them is which"
        )
    if days == 0:
        raise InputError(
            "US-0 and US-1 are of the same day; two cycles of treatment lie between them",
            remedy="Check the files; where de-identification changed the dates, give both by hand",
        )
    weeks = days / 7
    low, high = PLAUSIBLE_WEEKS
    if not low <= weeks <= high:
        warnings.append(
            f"US-1 was taken {weeks:.1f} weeks after US-0; after two cycles {low:g} to {high:g} "
            "are usual"
        )
    return weeks


def _compare_planes(us0: UltrasoundImage, us1: UltrasoundImage, warnings: list[str]) -> None:
    if us0.header is None or us1.header is None:
        warnings.append("Whether the plane is the same cannot be checked: look at both images")
        return
    compared = False
    for keyword, words in _PLANE.items():
        one, other = (_value(u.header, keyword) for u in (us0, us1))
        if one and other:
            compared = True
            if one != other:
                warnings.append(f"The plane may not be the same: {words} differs")
    for keyword in _PLACE:
        one, other = (_value(u.header, keyword) for u in (us0, us1))
        if one and other and one != other:
            warnings.append("The place may not be the same: the anatomic region differs")
    if not compared:
        warnings.append(
            "Whether the plane is the same cannot be checked: the files do not both state a view "
            "or the transducer's position; look at both images"
        )


def _compare_scales(us0: UltrasoundImage, us1: UltrasoundImage, warnings: list[str]) -> None:
    spacings = us0.spacing_mm, us1.spacing_mm
    if spacings[0] is None or spacings[1] is None:
        warnings.append(
            f"Whether the depth setting is the same cannot be checked: {_who(*spacings)} no spacing"
        )
        return
    depths = [u.pixels.shape[0] * s[1] for u, s in zip((us0, us1), spacings, strict=True) if s]
    if max(depths) > DEPTH_RATIO * min(depths):
        warnings.append(
            f"The depth settings differ: {depths[0]:.0f} mm at US-0, {depths[1]:.0f} mm at US-1"
        )


def _who(one: Any, other: Any) -> str:
    """Who states none of something: "US-0 states", "US-1 states" or "neither image states"."""
    if not one and not other:
        return "the two images state"
    return "US-1 states" if one else "US-0 states"


def _given_date(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise InputError(f"The date given for {name} is no date", remedy="Use YYYY-MM-DD") from None


def _file_date(header: pydicom.Dataset | None) -> date | None:
    """The first date of a file that is one."""
    for keyword in _DATES:
        text = text_of(header, keyword)
        try:
            return datetime.strptime(text.replace(".", "")[:8], "%Y%m%d").date()
        except ValueError:
            continue
    return None


def _value(header: pydicom.Dataset | None, keyword: str) -> Any:
    """A value that can be compared: of a sequence of codes the codes; None where absent."""
    try:
        value: Any = None if header is None else header.get(keyword)
        if isinstance(value, pydicom.Sequence):
            return tuple(
                (str(code.get("CodeValue", "")), str(code.get("CodingSchemeDesignator", "")))
                for code in value
            )
        return text_of(header, keyword)
    except Exception:  # pydicom raises many kinds on damage
        return None
