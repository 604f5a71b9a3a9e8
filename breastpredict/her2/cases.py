"""A patient of a HER2 cohort, and the rule that makes a class of immunohistochemistry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from breastpredict.errors import InputError

Her2Class = Literal["zero", "low", "positive"]
CLASSES: tuple[Her2Class, ...] = ("zero", "low", "positive")
IHC_VALUES = ("0", "ultralow", "1+", "2+", "3+")
ISH_VALUES = ("", "+", "-")

ZERO_VS_REST = "her2_zero_vs_rest"
LOW_VS_POSITIVE = "her2_low_vs_positive"
POINTS_TO = {ZERO_VS_REST: "low_or_positive", LOW_VS_POSITIVE: "low"}
"""The class each task's score points to. Task 2's is HER2-low: the paper's accuracy, sensitivity
and specificity fit no other reading (0.46/0.70 is the low fraction of its test sets)."""
TITLES = {
    ZERO_VS_REST: "Task 1: HER2-zero or not",
    LOW_VS_POSITIVE: "Task 2: HER2-low or positive",
}
"""As readers see the tasks."""


@dataclass(frozen=True)
class Her2Case:
    """One row of a cohort table.

    Attributes:
        patient_id: the cohort's own; never shown.
        cohort: site.
        split: "", "train", "validation", "test" or "external".
        study: the DICOM study, or the table of loaded volumes.
        segmentation: tumour mask, None where there is none.
        her2: class by rule; None where indeterminate.
        ihc, ish: as in the table.
        extra: every other column.
        reading: how study and mask are to be read, where the table says it: any of ``segment``,
            ``mask_order``, ``study_uid``, ``laterality``, ``acquisition``, ``phase`` of
            `prepare_case`.
    """

    patient_id: str = field(repr=False)
    cohort: str
    split: str
    study: Path = field(repr=False)
    segmentation: Path | None = field(repr=False)
    her2: Her2Class | None
    ihc: str
    ish: str
    extra: Mapping[str, str] = field(default_factory=dict, repr=False)
    reading: Mapping[str, Any] = field(default_factory=dict)


def her2_class(ihc: str, ish: str) -> Her2Class | None:
    """HER2 class from raw IHC and ISH (paper A3; ASCO/CAP 2018 for the amplification).

    0 → zero; 1+, or 2+ without amplification → low; 3+, or 2+ with amplification → positive.
    IHC "ultralow" (0 with membrane staining, DESTINY-Breast06) is zero here: the study was done
    before the category, with these tumours among its zeros, and a model of another rule would not
    be the study's. The raw value stays in the table, so another rule can be applied later.

    Returns:
        None for 2+ without ISH: indeterminate.

    Raises:
        InputError: a value that is none of IHC_VALUES or ISH_VALUES, or ISH against IHC.
    """
    if ihc not in IHC_VALUES:
        raise InputError(f"ihc is {ihc!r}", remedy=f"Use one of {', '.join(IHC_VALUES)}")
    if ish not in ISH_VALUES:
        raise InputError(f"ish is {ish!r}", remedy="Use +, - or leave it empty")
    if ihc in ("0", "ultralow"):
        if ish == "+":
            raise InputError(f"IHC {ihc} with amplified ISH contradict each other")
        return "zero"
    if ihc == "1+":
        if ish == "+":
            raise InputError("IHC 1+ with amplified ISH contradict each other")
        return "low"
    if ihc == "2+":
        if not ish:
            return None
        return "positive" if ish == "+" else "low"
    return "positive"


def label_of(task: str, her2: Her2Class | None) -> int | None:
    """1 for the class a task's score points to, 0 for its other, None outside of the task."""
    if her2 is None:
        return None
    if task == ZERO_VS_REST:
        return int(her2 != "zero")
    return {"low": 1, "positive": 0}.get(her2)
