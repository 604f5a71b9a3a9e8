"""A patient of a pCR cohort."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from breastpredict.dicom import UltrasoundImage, read_ultrasound
from breastpredict.pcr.clinical import PcrClinical
from breastpredict.pcr.given_roi import GivenRoi

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
