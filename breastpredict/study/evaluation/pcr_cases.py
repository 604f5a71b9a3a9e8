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

from breastpredict.learning.evaluation import Threshold
from breastpredict.pcr import PcrCase, PcrModel
from breastpredict.pcr.baseline import ClinicalBaseline
from breastpredict.pcr.train_files import read_scores
from breastpredict.study.evaluation.join import (
    HELD_OUT,
    JoinError,
    Lost,
    check_patients,
    check_somebody_unseen,
    flow_counts,
    group_of,
    is_calibrated,
    is_fitted,
    lost_case,
    own_threshold,
    read_result_files,
    run_scores,
    shares_of,
    warn_of_single,
    warn_of_splits,
)
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
class ScoredPcr:
    """A patient with an outcome and a score.

    Attributes:
        case: the row of the cohort table.
        key: case key, or the row of the cohort table where the score is the training run's.
        group: what it is reported under.
        training: the model was fitted, or its threshold chosen, on it.
        variant: of the model.
        score: of a complete response.
        clinical: what the clinical variables alone give; NaN where that is not known.
        interval_weeks: between both ultrasound examinations; NaN where not known.
        folder: of its pictures, where there is one.
        overrides: gates that were overridden.
    """

    case: PcrCase = field(repr=False)
    key: str
    group: str
    training: bool
    variant: str
    score: float
    clinical: float = math.nan
    interval_weeks: float = math.nan
    folder: Path | None = field(default=None, repr=False)
    overrides: str = ""


@dataclass(frozen=True)
class JoinedPcr:
    """A cohort and its predictions.

    Attributes:
        cases: every row of the cohort table.
        scored: with an outcome and a score, in the order of the table.
        unlabelled: outcome not known: excluded.
        lost: with an outcome and no prediction.
        fitted_on: patients the model was fitted on or its thresholds chosen with.
        sets: patient → set of the training, where the run is known.
        thresholds: variant → where it cuts; the one with most patients first.
        calibrated: variant → the score may be read as a probability.
        trained_thresholds: variant → the threshold before a recalibration, on the scale of the
            score after it; only for recalibrated variants.
        inputs: variant → what it takes, where the run is known.
        baseline: of the clinical variables, where the run is known and has one.
        held_out: rows of the run's scores.csv, of patients on whom nothing was fitted.
        synthetic: the model was trained on phantoms.
        warnings: what a reader must know before any number.
    """

    cases: tuple[PcrCase, ...] = field(repr=False)
    scored: tuple[ScoredPcr, ...] = field(repr=False)
    unlabelled: tuple[PcrCase, ...] = field(repr=False)
    lost: tuple[Lost[PcrCase], ...] = field(repr=False)
    fitted_on: frozenset[str] = field(repr=False)
    sets: Mapping[str, str] = field(repr=False)
    thresholds: Mapping[str, Threshold]
    calibrated: Mapping[str, bool]
    trained_thresholds: Mapping[str, Threshold]
    inputs: Mapping[str, tuple[str, ...]]
    baseline: ClinicalBaseline | None
    held_out: tuple[Mapping[str, str], ...] = field(repr=False)
    synthetic: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Run:
    """A training run, or nothing known of it."""

    told: ToldRun
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    baseline: ClinicalBaseline | None = None


@dataclass(frozen=True)
class _Found:
    """What the result.json files of all predicted cases say."""

    results: Mapping[str, Mapping[str, Any]]
    weights: Mapping[str, set[str]]
    calibrated: Mapping[str, set[bool]]


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
    found = _read_json(out, rows, violations)
    thresholds = {
        variant: cut
        for variant in _variants(rows, known)
        if (cut := own_threshold(
            f"Variant {variant}",
            {row["threshold"] for row in rows if row["variant"] == variant},
            found.weights.get(variant, set()),
            told.blocks.get(variant),
            told.sets,
            violations,
        ))
    }  # fmt: skip
    if violations:
        raise JoinError(out, violations)
    fitted_on = frozenset(case.patient_id for case in cases if is_fitted(case, told.sets))
    warn_of_splits(cases, told.sets, warnings)
    predicted = {row["patient_id"]: row for row in rows if row["patient_id"]}
    failed = {row["patient_id"]: row for row in failures if row["patient_id"]}
    main = next(iter(thresholds), "")
    scored: list[ScoredPcr] = []
    lost: list[Lost[PcrCase]] = []
    for number, case in enumerate(cases, start=2):
        if case.pcr is None:
            continue
        patient, training = case.patient_id, case.patient_id in fitted_on
        if patient in predicted:
            scored.append(_predicted(case, predicted[patient], found, out, told.sets))
        elif patient not in failed and main in (kept := run_scores(patient, told, thresholds)):
            scored.append(
                ScoredPcr(
                    case,
                    f"row-{number}",
                    _group(case, told.sets),
                    training,
                    main,
                    kept[main],
                    _clinical(known.baseline, case),
                )
            )
        else:
            lost.append(lost_case(case, failed.get(patient), out, training))
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
            variant: is_calibrated(found.calibrated.get(variant, ()), told.blocks.get(variant))
            for variant in thresholds
        },
        trained_thresholds=trained_thresholds(told),
        inputs=known.inputs,
        baseline=known.baseline,
        held_out=tuple(row for row in told.rows if row["set"] in HELD_OUT),
        synthetic=any(row["synthetic"] == "1" for row in rows)
        or any(bool(block.get("synthetic")) for block in told.blocks.values()),
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


def _read_json(out: Path, rows: Sequence[Mapping[str, str]], violations: list[str]) -> _Found:
    """What the result.json files say; the tables alone are enough."""
    weights: dict[str, set[str]] = {row["variant"]: set() for row in rows}
    calibrated: dict[str, set[bool]] = {row["variant"]: set() for row in rows}

    def take(row: Mapping[str, str], content: Mapping[str, Any]) -> None:
        variant = row["variant"]
        weights[variant].add(str(content["weights_sha256"][variant]))
        calibrated[variant].add(bool(content["calibrated"]))

    return _Found(read_result_files(out, rows, take, violations), weights, calibrated)


def _predicted(
    case: PcrCase, row: Mapping[str, str], found: _Found, out: Path, sets: Mapping[str, str]
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
        out / row["case_key"] if row["case_key"] in found.results else None,
        row["overrides"],
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
