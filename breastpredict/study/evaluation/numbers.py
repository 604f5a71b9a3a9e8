"""The numbers of one task with what its figures and tables need, for either system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from breastpredict.learning.baselines import Baseline
from breastpredict.learning.evaluation import Cases, CohortResult, Marker, TaskEvaluation, Threshold
from breastpredict.study.evaluation.joined import ScoredCase

CLINICAL = "Clinical variables only"
TRAINED = "Model, threshold as trained"


@dataclass(frozen=True)
class TaskNumbers:
    """One task with what its figures need.

    Attributes:
        evaluation: the numbers.
        cases: the cases, in the order of ``scored``.
        scored: whom they are of.
        markers: the model, then the baselines, with every score.
        probability: the model's score may be read as one.
        baseline: of the clinical variables; None where there is none.
        out_of_fold: the model's training patients, cross-validated, where the run has that.
    """

    evaluation: TaskEvaluation
    cases: Cases
    scored: tuple[ScoredCase[Any], ...] = field(repr=False)
    markers: tuple[Marker, ...]
    probability: bool
    baseline: Baseline | None
    out_of_fold: CohortResult | None = None


def as_trained(model: Marker, before: Threshold | None) -> tuple[Marker, ...]:
    """The model cut where it cut before its recalibration, where it was recalibrated."""
    return () if before is None else (replace(model, name=TRAINED, threshold=before, rival=False),)


def own_cut(baseline: Baseline, patients: frozenset[str]) -> Threshold | None:
    """Where a baseline cuts; ``patients`` are those it was fitted on."""
    if baseline.threshold is None:
        return None
    return Threshold(baseline.threshold, "Youden index on the training patients", patients)


def known(extra: Mapping[str, Any], name: str) -> str:
    """A cell of a clinical column; "" where it is not known."""
    cell = str(extra.get(name, ""))
    return "" if cell in ("", "NA") else cell
