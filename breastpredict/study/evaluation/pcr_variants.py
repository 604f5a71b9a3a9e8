"""The variants of a pCR run beside each other, on the patients the training held out.

This is the table of ablations (papers.md B11, B12): what each input adds. Every variant scored the
same patients, so they are compared in pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from breastpredict.errors import InputError
from breastpredict.learning.evaluation import (
    MODEL,
    Cases,
    CohortResult,
    Marker,
    Threshold,
    evaluate_task,
)
from breastpredict.learning.examples import BinaryTask
from breastpredict.pcr import PcrCase
from breastpredict.pcr.inputs import TITLES
from breastpredict.stats import TestResult, delong_test
from breastpredict.study.evaluation.numbers import CLINICAL, own_cut
from breastpredict.study.evaluation.pcr_cases import JoinedPcr

NAME = "variants"
SETS = {"validation": "Held out (validation)", "apart": "Multifocal (apart)"}


@dataclass(frozen=True)
class VariantPair:
    """Two scores of the same patients.

    Attributes:
        cohort: the set.
        first, second: names.
        n, positives: patients who have both scores.
        test: DeLong's, first minus second; None where there is none.
        note: why there is none.
    """

    cohort: str
    first: str
    second: str
    n: int
    positives: int
    test: TestResult | None
    note: str = ""


@dataclass(frozen=True)
class Ablation:
    """The variants of a run.

    Attributes:
        cohorts: a set each, with every variant and the clinical baseline; the reference first.
        pairs: every two of them.
        reference: the variant that takes the most.
    """

    cohorts: tuple[CohortResult, ...]
    pairs: tuple[VariantPair, ...]
    reference: str


def compare_variants(joined: JoinedPcr, *, seed: int = 0) -> Ablation | None:
    """Compare a run's variants on its held-out patients; None where nothing is known of them.

    Scores and thresholds are those of the training, before any recalibration.

    Args:
        joined: cohort and predictions.
        seed: of the bootstraps.

    Raises:
        InputError: the run's scores are damaged.
    """
    rows = joined.held_out
    names = [name for name in _ordered(joined) if any(row["task"] == name for row in rows)]
    if not names:
        return None
    patients = list(dict.fromkeys(row["patient_id"] for row in rows))
    place = {patient: i for i, patient in enumerate(patients)}
    labels, sets = np.zeros(len(patients), bool), [""] * len(patients)
    scores = {name: np.full(len(patients), math.nan) for name in names}
    cuts: dict[str, float] = {}
    for row in rows:
        i = place[row["patient_id"]]
        labels[i], sets[i] = row["label"] == "1", row["set"]
        if row["task"] in scores:
            scores[row["task"]][i] = float(row["score"])
            cuts[row["task"]] = float(row["threshold"])
    fitted = frozenset(p for p, name in joined.sets.items() if name not in SETS)
    markers = [
        Marker(
            MODEL if name == names[0] else name,
            scores[name],
            Threshold(cuts[name], "chosen on tuning patients of the training", fitted),
            fitted,
            note=", ".join(TITLES.get(one, one) for one in joined.inputs[name]),
        )
        for name in names
    ]
    markers += _clinical(joined, patients, fitted)
    cases = Cases(
        BinaryTask(NAME, "pcr", "no_pcr"),
        "Variants",
        tuple(patients),
        tuple(SETS[name] for name in sets),
        labels,
        np.zeros(len(patients), bool),
    )
    cohorts = evaluate_task(cases, markers, seed=seed).cohorts
    return Ablation(
        tuple(
            replace(c, markers=(replace(c.markers[0], marker=names[0]), *c.markers[1:]))
            for c in cohorts
        ),
        tuple(_pairs(cases, [replace(markers[0], name=names[0]), *markers[1:]])),
        names[0],
    )


def _ordered(joined: JoinedPcr) -> list[str]:
    """The variants, the one that takes the most first."""
    return sorted(joined.inputs, key=lambda name: (-len(joined.inputs[name]), name))


def _clinical(joined: JoinedPcr, patients: Sequence[str], fitted: frozenset[str]) -> list[Marker]:
    """The clinical baseline, for those whose variables the cohort table has."""
    if joined.baseline is None:
        return []
    cases: dict[str, PcrCase] = {case.patient_id: case for case in joined.cases}
    scores = np.array(
        [
            math.nan
            if (case := cases.get(patient)) is None or case.clinical.missing
            else joined.baseline.probability(case.clinical)
            for patient in patients
        ]
    )
    cut = own_cut(joined.baseline.baseline, fitted)
    return [Marker(CLINICAL, scores, cut, fitted, note="logistic regression")]


def _pairs(cases: Cases, markers: Sequence[Marker]) -> list[VariantPair]:
    groups = np.array(cases.cohorts, dtype=object)
    out = []
    for cohort in dict.fromkeys(cases.cohorts):
        for a, b in combinations(markers, 2):
            both = (groups == cohort) & np.isfinite(a.scores) & np.isfinite(b.scores)
            y = cases.labels[both]
            test, note = None, ""
            try:
                test = delong_test(y, a.scores[both], b.scores[both])
            except InputError as error:
                note = error.problem
            out.append(VariantPair(cohort, a.name, b.name, y.size, int(y.sum()), test, note))
    return out
