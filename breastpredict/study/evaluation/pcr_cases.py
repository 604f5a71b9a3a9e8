"""A pCR cohort joined with its predictions: who is evaluated, who is not, and with which scores.

See `join` for the rules. A patient has one prediction, of one variant of the model; variants are
told apart and never pooled, as their scores and thresholds are not the same. Multifocal tumours are
a group of their own (papers.md B12).
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from breastpredict.pcr import PcrCase, PcrModel
from breastpredict.pcr.baseline import ClinicalBaseline
from breastpredict.pcr.train_files import read_scores
from breastpredict.study.evaluation.join import (
    HELD_OUT,
    JoinError,
    ResultFiles,
    Said,
    check_patients,
    check_somebody_unseen,
    flow_counts,
    group_of,
    is_calibrated,
    is_fitted,
    is_synthetic,
    own_threshold,
    read_result_files,
    run_scores,
    scored_and_lost,
    shares_of,
    warn_of_single,
    warn_of_splits,
)
from breastpredict.study.evaluation.joined import Joined, Lost, ScoredCase
from breastpredict.study.evaluation.told_run import (
    ToldRun,
    read_told_run,
    run_not_named,
    trained_thresholds,
)
from breastpredict.study.pcr_batch import COLUMNS
from breastpredict.study.pcr_cohort import read_pcr_cohort
from breastpredict.study.results import read_results

CLASSES = ("pcr", "no_pcr")
_SAME = 1e-9
"""By so much a number may change on its way through text."""


@dataclass(frozen=True)
class ScoredPcr(ScoredCase[PcrCase]):
    """A patient with an outcome and a score.

    Attributes:
        variant: of the model.
        score: of a complete response.
        clinical: what the clinical variables alone give; NaN where that is not known.
        interval_weeks: between both ultrasound examinations; NaN where not known.
    """

    variant: str
    score: float
    clinical: float = math.nan
    interval_weeks: float = math.nan


@dataclass(frozen=True)
class JoinedPcr(Joined[PcrCase, ScoredPcr]):
    """A cohort and its predictions, by variant; the one with most patients first.

    Attributes:
        unlabelled: outcome not known: excluded.
        inputs: variant → what it takes, where the run is known.
        baseline: of the clinical variables, where the run is known and has one.
        held_out: rows of the run's scores.csv, of patients on whom nothing was fitted.
    """

    unlabelled: tuple[PcrCase, ...] = field(repr=False)
    inputs: Mapping[str, tuple[str, ...]] = field(repr=False)
    baseline: ClinicalBaseline | None
    held_out: tuple[Mapping[str, str], ...] = field(repr=False)


@dataclass(frozen=True)
class _Run:
    """A training run, or nothing known of it."""

    told: ToldRun
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    baseline: ClinicalBaseline | None = None


def join_pcr(
    cohort: str | os.PathLike[str],
    predictions: str | os.PathLike[str],
    run: str | os.PathLike[str] | None = None,
) -> JoinedPcr:
    """Join a cohort table with the results folder of a batch.

    Args:
        cohort: COHORT.csv.
        predictions: OUT of ``pcr batch``; only read.
        run: the training run that the model comes from. It tells whom the model has seen, and
            gives the scores of its held-out patients where OUT has none.

    Raises:
        CohortError, JoinError: all violations of the table, of the join, at once.
        InputError: no such files; nobody to evaluate.
    """
    cases = read_pcr_cohort(cohort)
    out = Path(predictions)
    rows, failures = read_results(out, "pcr", COLUMNS)
    warnings: list[str] = []
    known = _read_run(run, warnings)
    told = known.told
    warn_of_single([*rows, *failures], warnings)
    by_patient = {case.patient_id: case for case in cases}
    violations: list[str] = []
    check_patients(rows, failures, by_patient, violations)
    _check_rows(rows, by_patient, known if run is not None else None, violations)
    _check_scores(told, by_patient, violations, warnings)
    names = _variants(rows, known)
    found = read_result_files(out, rows, names, _said_of, violations)
    thresholds = {
        variant: cut
        for variant in names
        if (cut := own_threshold(
            f"Variant {variant}",
            {row["threshold"] for row in rows if row["variant"] == variant},
            found.weights[variant],
            told.blocks.get(variant),
            told.sets,
            violations,
        ))
    }  # fmt: skip
    if violations:
        raise JoinError(out, violations)
    fitted_on = frozenset(case.patient_id for case in cases if is_fitted(case, told.sets))
    warn_of_splits(cases, told.sets, warnings)
    main = next(iter(thresholds), "")

    def of_row(case: PcrCase, row: Mapping[str, str]) -> ScoredPcr:
        return _predicted(case, row, found, out, told.sets)

    def of_run(case: PcrCase, key: str) -> ScoredPcr | None:
        kept = run_scores(case.patient_id, told, thresholds)
        if main not in kept:
            return None
        group, clinical = _group(case, told.sets), _clinical(known.baseline, case)
        fitted = case.patient_id in fitted_on
        return ScoredPcr(case, key, group, fitted, main, kept[main], clinical)

    scored, lost = scored_and_lost(
        cases, lambda case: case.pcr is not None, (rows, failures), of_row, of_run, fitted_on, out
    )
    check_somebody_unseen(scored, told, run is not None, out)
    used = Counter(one.variant for one in scored)
    if len(used) > 1:
        each = ", ".join(f"{name} of {used[name]}" for name in thresholds)
        warnings.append(
            f"The predictions are of {len(used)} variants of the model ({each} patients). Each is "
            "evaluated on its own patients, so their numbers are no comparison."
        )
    return JoinedPcr(
        cases=tuple(cases),
        scored=tuple(scored),
        unlabelled=tuple(case for case in cases if case.pcr is None),
        lost=tuple(lost),
        fitted_on=fitted_on,
        sets=told.sets,
        thresholds=thresholds,
        calibrated={
            variant: is_calibrated(found.calibrated[variant], told.blocks.get(variant))
            for variant in thresholds
        },
        trained_thresholds=trained_thresholds(told),
        inputs=known.inputs,
        baseline=known.baseline,
        held_out=tuple(row for row in told.rows if row["set"] in HELD_OUT),
        synthetic=is_synthetic(rows, told),
        warnings=tuple(warnings),
    )


def counts(joined: JoinedPcr) -> list[dict[str, Any]]:
    """One row a cohort: where every patient of the table went; the parts add up to the rows."""
    return flow_counts(
        joined.cases,
        ("no_outcome", joined.unlabelled),
        joined.scored,
        joined.lost,
        class_of,
        CLASSES,
    )


def class_of(case: PcrCase) -> str:
    """The outcome of a case that has one."""
    return CLASSES[0] if case.pcr else CLASSES[1]


def _read_run(run: str | os.PathLike[str] | None, warnings: list[str]) -> _Run:
    if run is None:
        return _Run(run_not_named(warnings))
    facts = PcrModel.load(run).facts
    told = read_told_run(facts.folder, facts.blocks, read_scores, warnings)
    return _Run(told, facts.variants, facts.baseline)


def _variants(rows: Sequence[Mapping[str, str]], known: _Run) -> list[str]:
    """Variants of the predictions, the most frequent first; the run's fullest where none is."""
    found = Counter(row["variant"] for row in rows)
    if found:
        return sorted(found, key=lambda name: (-found[name], name))
    return sorted(known.inputs, key=lambda name: (-len(known.inputs[name]), name))[:1]


def _check_rows(
    rows: Sequence[Mapping[str, str]],
    by_patient: Mapping[str, PcrCase],
    known: _Run | None,
    violations: list[str],
) -> None:
    """What is wrong with the numbers of predictions.csv, by themselves and against the run."""
    for number, row in enumerate(rows, start=2):
        place = f"predictions.csv row {number}"
        names = ["p_pcr", "threshold", *(["p_clinical"] if row["p_clinical"] else [])]
        values = shares_of(row, names, place, violations)
        if math.isfinite(values["p_pcr"]) and math.isfinite(values["threshold"]):
            expected = str(int(values["p_pcr"] >= values["threshold"]))
            if row["expected"] != expected:
                violations.append(
                    f"{place}, column expected: is {row['expected']!r}, "
                    f"but by score and threshold it is {expected!r}"
                )
        if not row["variant"]:
            violations.append(f"{place}, column variant: is empty")
        if known is None:
            continue
        if row["variant"] not in known.inputs:
            violations.append(f"{place}: RUN has no variant {row['variant'][:60]!r}")
        if row["patient_id"] in by_patient:
            ours = _clinical(known.baseline, by_patient[row["patient_id"]])
            theirs = values.get("p_clinical", math.nan)
            if math.isnan(ours) != math.isnan(theirs) or abs(ours - theirs) > _SAME:
                violations.append(
                    f"{place}, column p_clinical: is not what RUN's clinical baseline gives for "
                    "the cohort table, so one of them was changed"
                )


def _check_scores(
    told: ToldRun,
    by_patient: Mapping[str, PcrCase],
    violations: list[str],
    warnings: list[str],
) -> None:
    """scores.csv against split.csv, which says whom the model has seen, and against the cohort."""
    moved = {row["patient_id"] for row in told.rows
             if told.sets.get(row["patient_id"]) != row["set"]}  # fmt: skip
    if moved:
        violations.append(
            f"scores.csv of RUN has {len(moved)} patients in another set than its split.csv"
        )
    wrong = {row["label"] for row in told.rows} - {"0", "1"}
    if wrong:
        violations.append(f"scores.csv of RUN, column label: is {min(wrong)[:20]!r}, not 0 or 1")
    changed = {
        row["patient_id"]
        for row in told.rows
        if (case := by_patient.get(row["patient_id"])) is not None
        and case.pcr is not None
        and row["label"] != str(int(case.pcr))
    }
    if changed:
        warnings.append(
            f"The outcome of {len(changed)} patients is another than when the model was trained."
        )


def _said_of(row: Mapping[str, str], content: Mapping[str, Any]) -> Said:
    """What a result.json says of its model."""
    variant = row["variant"]
    return {variant: content["weights_sha256"][variant]}, {variant: content["calibrated"]}


def _predicted(
    case: PcrCase, row: Mapping[str, str], found: ResultFiles, out: Path, sets: Mapping[str, str]
) -> ScoredPcr:
    return ScoredPcr(
        case,
        row["case_key"],
        _group(case, sets),
        is_fitted(case, sets),
        row["variant"],
        float(row["p_pcr"]),
        float(row["p_clinical"] or "nan"),
        _weeks(row["interval_weeks"]),
        folder=out / row["case_key"] if row["case_key"] in found.results else None,
        overrides=row["overrides"],
    )


def _weeks(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _clinical(baseline: ClinicalBaseline | None, case: PcrCase) -> float:
    """What the clinical variables alone give, as in a prediction; NaN where not all are known."""
    if baseline is None or case.clinical.missing:
        return math.nan
    return baseline.probability(case.clinical)


def _group(case: PcrCase, sets: Mapping[str, str]) -> str:
    """What a case is reported under: multifocal tumours and test patients apart, too."""
    if not is_fitted(case, sets):
        if case.focality == "multifocal" or sets.get(case.patient_id) == "apart":
            return f"{case.cohort} (multifocal)"
        if case.split == "test" and case.patient_id not in sets:
            return f"{case.cohort} (test)"
    return group_of(case, sets)


__all__ = ["CLASSES", "JoinError", "JoinedPcr", "Lost", "ScoredPcr", "counts", "join_pcr"]
