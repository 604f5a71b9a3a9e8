"""What describes a synthetic MR study: its layout, headers, UIDs, and its files once written."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydicom.uid import UID

Layout = Literal["ge", "siemens", "philips", "enhanced", "enhanced-per-phase"]

LAYOUTS: tuple[Layout, ...] = ("ge", "siemens", "philips", "enhanced", "enhanced-per-phase")


@dataclass(frozen=True)
class StudyHeader:
    """What the headers of one synthetic study say.

    Attributes:
        patient_id: also seeds every UID of the study, with ``seed``.
        seed: UIDs are a hash of it, the patient ID and what they name: same input, same UIDs.
        start: when the first phase's acquisition starts, a fixed date.
        laterality: "R", "L", "B" or None (not written).
        manufacturer: None takes the layout's usual one.
        injection: write ContrastBolusStartTime, from which readers know the time of injection.
        trigger_times: GE only: write TriggerTime and temporal positions as newer scanners do;
            without them only the order of the files tells the phases apart.
    """

    patient_id: str = "PHANTOM-0001"
    patient_name: str = "Phantom^0001"
    study_description: str = "BreastPredict phantom"
    seed: int = 0
    start: datetime = datetime(2020, 1, 2, 9, 30, 0)
    age: int | None = 50
    laterality: str | None = "L"
    manufacturer: str | None = None
    field_strength_t: float = 1.5
    injection: bool = True
    trigger_times: bool = False

    def uid(self, *names: object) -> UID:
        """A UID for the thing called ``names`` within this study."""
        text = "/".join(map(str, (self.seed, self.patient_id, *names)))
        return hashed_uid(text)


@dataclass(frozen=True)
class WrittenPhase:
    """One phase as written: its series and files, one per slice k (one in all when enhanced)."""

    series_uid: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class WrittenDce:
    """A DCE acquisition as written; ``other`` holds the phases of the second stack."""

    folder: Path
    study_uid: str
    phases: tuple[WrittenPhase, ...]
    other: tuple[WrittenPhase, ...] = ()


def hashed_uid(text: str) -> UID:
    """A UID under 2.25 (DICOM PS3.5 B.2), from a version-5-style hash of ``text``."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
    number = number & ~(0xF << 76) | 5 << 76  # UUID version 5
    number = number & ~(0x3 << 62) | 2 << 62  # RFC 4122 variant
    return UID(f"2.25.{number}")
