"""A HER2 cohort joined with its predictions: who is evaluated, who is not, and with which scores.

The join is by patient. Whoever had a part in fitting the model or in choosing its threshold is
marked, by the run's own split.csv; without the run, by the cohort's split column, which may be
wrong, so a warning says so.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from breastpredict.errors import InputError
from breastpredict.her2 import CLASSES, Her2Case
from breastpredict.her2.cases import POINTS_TO, TITLES
from breastpredict.learning.evaluation import Threshold
from breastpredict.study.cohort import read_cohort
from breastpredict.study.evaluation.her2_run import (
    LOCAL,
    TASKS,
    ToldRun,
    read_told_run,
    trained_thresholds,
)
from breastpredict.study.results import read_results

_SHOWN = 5
_UNFITTED = ("validation", "test", "external")


class JoinError(InputError):
    """Everything that does not fit together; the message shows the first few.

    Attributes:
        violations: one line each, by row of predictions.csv or failures.csv.
    """

    def __init__(self, folder: Path, violations: Sequence[str]) -> None:
        self.violations = tuple(violations)
        more = len(violations) - _SHOWN
        rest = f"; and {more} more" if more > 0 else ""
        super().__init__(
            f"Cohort and predictions do not fit together, {len(violations)} errors: "
            f"{'; '.join(violations[:_SHOWN])}{rest}",
            path=folder,
        )


@dataclass(frozen=True)
class Scored:
    """A patient with a class and scores.

    Attributes:
        case: the row of the cohort table.
        key: case key, or the row of the cohort table where the score is the training run's.
        group: what it is reported under.
        training: the model was fitted, or its threshold chosen, on it.
        scores: task → score; a task may be missing.
        probabilities: of zero, low and positive; empty where only the run's scores are known.
        predicted: class by both thresholds; "" where only the run's scores are known.
        area_mm2, volume_mm3: of the tumour; NaN where not known.
        folder: of its pictures, where there is one.
        overrides: gates that were overridden.
    """

    case: Her2Case = field(repr=False)
    key: str
    group: str
    training: bool
    scores: Mapping[str, float]
    probabilities: tuple[float, ...] = ()
    predicted: str = ""
    area_mm2: float = math.nan
    volume_mm3: float = math.nan
    folder: Path | None = field(default=None, repr=False)
    overrides: str = ""


@dataclass(frozen=True)
class Lost:
    """A patient without a prediction.

    Attributes:
        case: the row of the cohort table.
        key: case key; "" where nothing was tried.
        kind: "refused" by a gate, "failed", "not predicted", or "training": seen by the model, and
            not predicted for that.
        stage, reason: as failures.csv has them.
        folder: of its own report, where there is one.
    """

    case: Her2Case = field(repr=False)
    key: str
    kind: str
    stage: str
    reason: str
    folder: Path | None = field(default=None, repr=False)


@dataclass(frozen=True)
class JoinedHer2:
    """A cohort and its predictions.

    Attributes:
        cases: every row of the cohort table.
        scored: with a class and scores, in the order of the table.
        indeterminate: IHC 2+ without ISH: no label, excluded.
        lost: with a class and no prediction.
        fitted_on: patients the model was fitted on or its thresholds chosen with.
        sets: patient → set of the training, where the run is known.
        thresholds: task → where the model cuts.
        calibrated: task → the score may be read as a probability.
        trained_thresholds: task → the threshold before a recalibration, on the scale of the score
            after it; only for recalibrated tasks.
        out_of_fold: task → training patient → score of a model that was trained without it.
        synthetic: the model was trained on phantoms.
        warnings: what a reader must know before any number.
    """

    cases: tuple[Her2Case, ...] = field(repr=False)
    scored: tuple[Scored, ...] = field(repr=False)
    indeterminate: tuple[Her2Case, ...] = field(repr=False)
    lost: tuple[Lost, ...] = field(repr=False)
    fitted_on: frozenset[str] = field(repr=False)
    sets: Mapping[str, str] = field(repr=False)
    thresholds: Mapping[str, Threshold]
    calibrated: Mapping[str, bool]
    trained_thresholds: Mapping[str, Threshold]
    out_of_fold: Mapping[str, Mapping[str, float]] = field(repr=False)
    synthetic: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Found:
    """What the result.json files of all predicted cases say."""

    results: Mapping[str, Mapping[str, Any]]
    weights: Mapping[str, frozenset[str]]
    calibrated: Mapping[str, frozenset[bool]]


def join_her2(
    cohort: str | os.PathLike[str],
    predictions: str | os.PathLike[str],
    run: str | os.PathLike[str] | None = None,
) -> JoinedHer2:
    """Join a cohort table with the results folder of a batch.

    Args:
        cohort: COHORT.csv.
        predictions: OUT of ``her2 batch``; only read.
        run: the training run that the model comes from. It tells whom the model has seen, and
            gives the scores of its held-out patients where OUT has none.

    Raises:
        CohortError, JoinError: all violations of the table, of the join, at once.
        InputError: no such files; nobody to evaluate.
    """
    cases = read_cohort(cohort)
    out = Path(predictions)
    rows, failures = read_results(out)
    warnings: list[str] = []
    told = read_told_run(run, warnings)
    known = {case.patient_id: case for case in cases}
    single = sum(not row["patient_id"] for row in (*rows, *failures))
    if single:
        warnings.append(
            f"{single} single case(s) in the results folder have no patient of the cohort and are "
            "left out."
        )
    violations = _violations(rows, failures, known)
    found = _read_json(out, rows, violations)
    thresholds = _thresholds(rows, found, told, violations)
    if violations:
        raise JoinError(out, violations)
    fitted_on = frozenset(case.patient_id for case in cases if _fitted(case, told.sets))
    _warn_of_splits(cases, told, warnings)
    predicted = {row["patient_id"]: row for row in rows if row["patient_id"]}
    failed = {row["patient_id"]: row for row in failures if row["patient_id"]}
    scored: list[Scored] = []
    lost: list[Lost] = []
    for number, case in enumerate(cases, start=2):
        if case.her2 is None:
            continue
        patient = case.patient_id
        if patient in predicted:
            scored.append(_predicted(case, predicted[patient], found, out, told.sets))
        elif (kept := _run_scores(patient, told, thresholds)) and patient not in failed:
            training = _fitted(case, told.sets)
            group = _group(case, told.sets)
            scored.append(Scored(case, f"row-{number}", group, training, kept))
        else:
            lost.append(_lost(case, failed.get(patient), out, _fitted(case, told.sets)))
    if not any(not s.training for s in scored):
        raise InputError(
            "Nobody is left to evaluate: every prediction is of a patient that the model was "
            "fitted on" + ("" if told.sets else ", as far as the split column says"),
            path=out,
            remedy="Predict patients marked external or test"
            + ("" if run else ", or name the training run with --model"),
        )
    return JoinedHer2(
        cases=tuple(cases),
        scored=tuple(scored),
        indeterminate=tuple(case for case in cases if case.her2 is None),
        lost=tuple(lost),
        fitted_on=fitted_on,
        sets=told.sets,
        thresholds=thresholds,
        calibrated={task: _calibrated(task, found, told) for task in TASKS},
        trained_thresholds=trained_thresholds(told),
        out_of_fold=told.out_of_fold,
        synthetic=any(row["synthetic"] == "1" for row in rows)
        or any(bool(block.get("synthetic")) for block in told.blocks.values()),
        warnings=tuple(warnings),
    )


def _violations(
    rows: Sequence[Mapping[str, str]],
    failures: Sequence[Mapping[str, str]],
    known: Mapping[str, Her2Case],
) -> list[str]:
    """What is wrong with the tables, without naming a patient."""
    out: list[str] = []
    seen: dict[str, str] = {}
    for table, content in (("predictions.csv", rows), ("failures.csv", failures)):
        for number, row in enumerate(content, start=2):
            place, patient = f"{table} row {number}", row["patient_id"]
            if not patient:
                continue
            if patient not in known:
                out.append(f"{place}: the patient is not in the cohort table")
            elif row["cohort"] != known[patient].cohort:
                out.append(f"{place}: is of cohort {row['cohort']!r}, the table says "
                           f"{known[patient].cohort!r}")  # fmt: skip
            if patient in seen:
                out.append(f"{place}: the patient stands in {seen[patient]} already")
            seen.setdefault(patient, place)
    for number, row in enumerate(rows, start=2):
        place = f"predictions.csv row {number}"
        values = {}
        for name in ("p_zero", "p_low", "p_positive", "task1_score", "task2_score",
                     "task1_threshold", "task2_threshold"):  # fmt: skip
            try:
                values[name] = float(row[name])
            except ValueError:
                values[name] = math.nan
            if not 0 <= values[name] <= 1:
                out.append(f"{place}, column {name}: is {row[name]!r}, no number from 0 to 1")
        total = sum(values[f"p_{name}"] for name in CLASSES)
        if math.isfinite(total) and abs(total - 1) > 1e-6:
            out.append(f"{place}: the class probabilities sum to {total:.4f}")
        if row["predicted_class"] not in CLASSES:
            out.append(f"{place}, column predicted_class: is {row['predicted_class']!r}")
        for prefix, task in zip(("task1", "task2"), TASKS, strict=True):
            if row[f"{prefix}_points_to"] != POINTS_TO[task]:
                out.append(f"{place}, column {prefix}_points_to: is "
                           f"{row[f'{prefix}_points_to']!r}, not {POINTS_TO[task]!r}")  # fmt: skip
    return out


def _read_json(out: Path, rows: Sequence[Mapping[str, str]], violations: list[str]) -> _Found:
    """The result.json of every predicted case that has one; the tables alone are enough."""
    results: dict[str, Mapping[str, Any]] = {}
    weights: dict[str, set[str]] = {task: set() for task in TASKS}
    calibrated: dict[str, set[bool]] = {task: set() for task in TASKS}
    for number, row in enumerate(rows, start=2):
        path = out / row["case_key"] / "result.json"
        # A key that climbs out of the folder is no key.
        if path.parent.parent != out or not path.is_file():
            continue
        try:
            content = json.loads(path.read_text("utf-8"))
            results[row["case_key"]] = content
            for task, digest in content["weights_sha256"].items():
                weights[task].add(str(digest))
            for score in content["scores"]:
                calibrated[score["task"]].add(bool(score["calibrated"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            violations.append(f"predictions.csv row {number}: its result.json is damaged")
    return _Found(
        results,
        {task: frozenset(found) for task, found in weights.items()},
        {task: frozenset(found) for task, found in calibrated.items()},
    )


def _thresholds(
    rows: Sequence[Mapping[str, str]],
    found: _Found,
    told: ToldRun,
    violations: list[str],
) -> dict[str, Threshold]:
    """Each task's one threshold; predictions of two models are a violation."""
    out: dict[str, Threshold] = {}
    for prefix, task in zip(("task1", "task2"), TASKS, strict=True):
        values = {row[f"{prefix}_threshold"] for row in rows}
        block = told.blocks.get(task)
        if len(values) > 1 or len(found.weights[task]) > 1:
            violations.append(
                f"{TITLES[task]}: the predictions are of more than one model "
                f"({max(len(values), len(found.weights[task]))} thresholds or weights)"
            )
        if block is not None:
            if found.weights[task] - {block["weights_sha256"]}:
                violations.append(f"{TITLES[task]}: the predictions are of other weights than RUN")
            elif any(float(value) != float(block["threshold"]) for value in values if value):
                violations.append(f"{TITLES[task]}: the threshold is another than RUN's")
        if violations:
            continue
        if not values and block is None:
            raise InputError("There is no prediction, so nothing to evaluate")
        value = float(next(iter(values), (block or {}).get("threshold", math.nan)))
        source = "the model's own, as predictions.csv has it; chosen on patients not known here"
        if block is not None:
            source = f"the model's own: {block.get('threshold_rule', 'rule not recorded')}"
        chosen_on = frozenset(p for p, name in told.sets.items() if name != "validation")
        out[task] = Threshold(value, source, chosen_on)
    return out


def _calibrated(task: str, found: _Found, told: ToldRun) -> bool:
    """Whether every known word says that the score may be read as a probability."""
    if found.calibrated[task]:
        return found.calibrated[task] == frozenset({True})
    block = told.blocks.get(task, {})
    return block.get("calibration", {}).get("probability") is True


def _fitted(case: Her2Case, sets: Mapping[str, str]) -> bool:
    """Whether the model was fitted, or its threshold chosen, on a patient."""
    known = sets.get(case.patient_id)
    if known is not None:
        return known != "validation"
    # A run's split.csv names all of its patients; without one the table's own word must do.
    return not (set(sets.values()) - {LOCAL}) and case.split not in _UNFITTED


def _group(case: Her2Case, sets: Mapping[str, str]) -> str:
    """What a case is reported under: its cohort, the training site's own parts apart."""
    if sets.get(case.patient_id) == LOCAL:
        return f"{case.cohort} (recalibrated on)"
    if _fitted(case, sets):
        return f"{case.cohort} (training)"
    held_out = sets.get(case.patient_id) == "validation" or case.split == "validation"
    return f"{case.cohort} (held out)" if held_out else case.cohort


def _warn_of_splits(cases: Sequence[Her2Case], told: ToldRun, warnings: list[str]) -> None:
    if not told.sets:
        return
    wrong = sum(case.split in ("external", "test") and _fitted(case, told.sets) for case in cases)
    if wrong:
        warnings.append(
            f"{wrong} patients are marked external or test, yet the model was trained on them: "
            "they are reported with the training patients."
        )


def _predicted(
    case: Her2Case, row: Mapping[str, str], found: _Found, out: Path, sets: Mapping[str, str]
) -> Scored:
    result = found.results.get(row["case_key"], {})
    folder = out / row["case_key"]
    return Scored(
        case,
        row["case_key"],
        _group(case, sets),
        _fitted(case, sets),
        {task: float(row[f"{p}_score"]) for p, task in zip(("task1", "task2"), TASKS, strict=True)},
        tuple(float(row[f"p_{name}"]) for name in CLASSES),
        row["predicted_class"],
        _size(result.get("area_mm2")),
        _size(result.get("volume_mm3")),
        folder if row["case_key"] in found.results else None,
        row["overrides"],
    )


def _size(value: Any) -> float:
    good = isinstance(value, int | float) and math.isfinite(value) and value > 0
    return float(value) if good else math.nan


def _run_scores(
    patient: str, told: ToldRun, thresholds: Mapping[str, Threshold]
) -> dict[str, float]:
    """The run's own scores of a patient, where they were cut at the same thresholds."""
    return {
        task: score
        for task, (score, threshold) in told.scores.get(patient, {}).items()
        if task in thresholds and math.isclose(threshold, thresholds[task].value, rel_tol=1e-9)
    }


def _lost(case: Her2Case, row: Mapping[str, str] | None, out: Path, training: bool) -> Lost:
    if row is None and training:
        return Lost(case, "", "training", "", "")
    if row is None:
        return Lost(case, "", "not predicted", "", "no row in predictions.csv or failures.csv")
    refused = row["stage"].startswith("gate ")
    folder = out / row["case_key"]
    return Lost(
        case,
        row["case_key"],
        "refused" if refused else "failed",
        row["stage"],
        row["reason"],
        folder if (folder / "report.html").is_file() and folder.parent == out else None,
    )


def counts(joined: JoinedHer2) -> list[dict[str, Any]]:
    """One row a cohort: where every patient of the table went; the parts add up to the rows."""
    out = []
    for cohort in dict.fromkeys(case.cohort for case in joined.cases):
        kinds = Counter(lost.kind for lost in joined.lost if lost.case.cohort == cohort)
        members = [s for s in joined.scored if s.case.cohort == cohort]
        unseen = Counter(str(s.case.her2) for s in members if not s.training)
        out.append(
            {
                "cohort": cohort,
                "patients": sum(case.cohort == cohort for case in joined.cases),
                "indeterminate": sum(case.cohort == cohort for case in joined.indeterminate),
                "refused": kinds["refused"],
                "failed": kinds["failed"],
                "not_predicted": kinds["not predicted"],
                "training": sum(s.training for s in members) + kinds["training"],
                "evaluated": sum(unseen.values()),
                **{f"evaluated_{name}": unseen[name] for name in CLASSES},
            }
        )
    return out


__all__ = ["JoinError", "JoinedHer2", "Lost", "Scored", "counts", "join_her2"]
