"""A cohort joined with its predictions: what both systems know of every patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from breastpredict.learning.evaluation import Threshold
from breastpredict.learning.site import SitePatient

Case = TypeVar("Case", bound=SitePatient)


@dataclass(frozen=True)
class ScoredCase(Generic[Case]):
    """A patient with a label and a score.

    Attributes:
        case: the row of the cohort table.
        key: case key, or the row of the cohort table where the score is the training run's.
        group: what it is reported under.
        training: the model was fitted, or its threshold chosen, on it.
        folder: of its pictures, where there is one.
        overrides: gates that were overridden.
    """

    case: Case = field(repr=False)
    key: str
    group: str
    training: bool
    folder: Path | None = field(default=None, repr=False, kw_only=True)
    overrides: str = field(default="", kw_only=True)


Scored = TypeVar("Scored", bound=ScoredCase[Any])


@dataclass(frozen=True)
class Lost(Generic[Case]):
    """A patient without a prediction.

    Attributes:
        case: the row of the cohort table.
        key: case key; "" where nothing was tried.
        kind: "refused" by a gate, "failed", "not predicted", or "training": seen by the model, and
            not predicted for that.
        stage, reason: as failures.csv has them.
        folder: of its own report, where there is one.
    """

    case: Case = field(repr=False)
    key: str
    kind: str
    stage: str
    reason: str
    folder: Path | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Joined(Generic[Case, Scored]):
    """A cohort and its predictions.

    Attributes:
        cases: every row of the cohort table.
        scored: with a label and a score, in the order of the table.
        lost: with a label and no prediction.
        fitted_on: patients the model was fitted on or its thresholds chosen with.
        sets: patient → set of the training, where the run is known.
        thresholds: task or variant → where the model cuts.
        calibrated: task or variant → the score may be read as a probability.
        trained_thresholds: task or variant → the threshold before a recalibration, on the scale of
            the score after it; only for those that were recalibrated.
        synthetic: the model was trained on phantoms.
        warnings: what a reader must know before any number.
    """

    cases: tuple[Case, ...] = field(repr=False)
    scored: tuple[Scored, ...] = field(repr=False)
    lost: tuple[Lost[Case], ...] = field(repr=False)
    fitted_on: frozenset[str] = field(repr=False)
    sets: Mapping[str, str] = field(repr=False)
    thresholds: Mapping[str, Threshold]
    calibrated: Mapping[str, bool]
    trained_thresholds: Mapping[str, Threshold]
    synthetic: bool
    warnings: tuple[str, ...]
