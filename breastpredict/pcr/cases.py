"""A patient of a pCR cohort."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from breastpredict.dicom import UltrasoundImage, read_ultrasound
from breastpredict.errors import InputError
from breastpredict.pcr.clinical import NAMES, PcrClinical
from breastpredict.pcr.given_roi import GivenRoi, format_roi, parse_roi

Focality = Literal["unifocal", "multifocal"]
FOCALITIES: tuple[Focality, ...] = get_args(Focality)


@dataclass(frozen=True)
class UltrasoundSource:
    """One of a patient's two ultrasound images.

    Attributes:
        path: the file.
        roi: where the tumour is on it.
        frame, region: from 1; None where the rules of `read_ultrasound` decide.
        date: YYYY-MM-DD, where it was given by hand; see `check_pair`.
    """

    path: Path = field(repr=False)
    roi: GivenRoi = field(repr=False)
    frame: int | None = None
    region: int | None = None
    date: str | None = field(default=None, repr=False)

    def read(self) -> UltrasoundImage:
        """The image, as `breastpredict.dicom.read_ultrasound` reads it.

        Raises:
            InputError: as there.
        """
        return read_ultrasound(self.path, frame=self.frame, region=self.region)


@dataclass(frozen=True)
class PcrCase:
    """One row of a cohort table. What a patient lacks is None, and a model that needs it refuses.

    Attributes:
        patient_id: the cohort's own; never shown.
        cohort: site.
        split: "", "train", "validation", "test" or "external".
        focality: "unifocal", "multifocal", or None where not known.
        us0, us1: ultrasound before treatment and after two cycles of it.
        pathology: slide or picture of the biopsy.
        pathology_region: x, y, width, height in level-0 pixels; None for the middle of the tissue.
        pathology_mpp: microns per pixel, where the file does not say.
        clinical: the four clinical variables.
        pcr: whether the response was complete; None where not known.
        laterality: "R" or "L", or None where not stated.
        extra: every other column.
        warnings: contradictions of the clinical variables, in words.
    """

    patient_id: str = field(repr=False)
    cohort: str = ""
    split: str = ""
    focality: Focality | None = None
    us0: UltrasoundSource | None = None
    us1: UltrasoundSource | None = None
    pathology: Path | None = field(default=None, repr=False)
    pathology_region: tuple[int, int, int, int] | None = None
    pathology_mpp: float | None = None
    clinical: PcrClinical = field(default_factory=PcrClinical)
    pcr: bool | None = None
    laterality: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict, repr=False)
    warnings: tuple[str, ...] = ()


Words = Mapping[str, str | None]
"""A patient by the columns of a cohort table, as text; what is not known is empty or absent."""


def case_of(words: Words) -> PcrCase:
    """The patient that words describe: what a user has typed or drawn, not a table's row.

    Args:
        words: by the columns of a cohort table: patient_id, cohort, us0, us0_roi, us0_frame,
            us0_region, us0_date, the same of us1, pathology, pathology_region, pathology_mpp,
            subtype, er, ki67, regimen, laterality. Other columns are not looked at.

    Raises:
        InputError: the first word that cannot be understood, or an image without a region.
    """
    told = {name: (value or "").strip() for name, value in words.items()}
    pathology = told.get("pathology", "")
    mpp = told.get("pathology_mpp", "")
    return PcrCase(
        patient_id=told.get("patient_id", ""),
        cohort=told.get("cohort", ""),
        us0=_source(told, "us0"),
        us1=_source(told, "us1"),
        pathology=Path(pathology) if pathology else None,
        pathology_region=_rectangle(told.get("pathology_region", "")),
        pathology_mpp=_scale(mpp) if mpp else None,
        clinical=PcrClinical.parse(*(told.get(name) for name in NAMES)),
        laterality=told.get("laterality") or None,
    )


def words_of(case: PcrCase) -> dict[str, str]:
    """The words that `case_of` takes, of a patient; paths as they are."""
    words: dict[str, object] = {"patient_id": case.patient_id, "cohort": case.cohort}
    for name, one in (("us0", case.us0), ("us1", case.us1)):
        if one is None:
            continue
        words[name], words[f"{name}_roi"] = one.path, format_roi(one.roi)
        for what in ("frame", "region", "date"):
            words[f"{name}_{what}"] = getattr(one, what)
    words["pathology"] = case.pathology
    if case.pathology_region is not None:
        words["pathology_region"] = ",".join(map(str, case.pathology_region))
    words["pathology_mpp"] = case.pathology_mpp
    words.update({name: getattr(case.clinical, name) for name in NAMES})
    words["laterality"] = case.laterality
    return {name: str(value) for name, value in words.items() if value not in (None, "")}


def _source(told: Mapping[str, str], time: str) -> UltrasoundSource | None:
    path, roi = told.get(time, ""), told.get(f"{time}_roi", "")
    if not path:
        return None
    if not roi:
        title = time.upper().replace("US", "US-")
        raise InputError(
            f"Where the tumour is on {title} is not given", remedy=f"Give a region ({time}_roi)"
        )
    numbers = [told.get(f"{time}_{what}", "") for what in ("frame", "region")]
    frame, region = (_count(time, text) if text else None for text in numbers)
    return UltrasoundSource(
        Path(path), parse_roi(roi), frame, region, told.get(f"{time}_date") or None
    )


def _rectangle(text: str) -> tuple[int, int, int, int] | None:
    if not text:
        return None
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(
            f"The region of the biopsy is {text!r}",
            remedy="Give x,y,width,height in whole pixels of the largest image",
        ) from error
    return x, y, width, height


def _count(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise InputError(f"{name}: {text!r} is no number of a frame or region")
    return int(text)


def _scale(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{text!r} is no number of microns per pixel") from error
