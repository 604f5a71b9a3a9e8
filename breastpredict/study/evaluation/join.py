"""Predictions joined with a cohort table by patient: what both systems hold to.

Whoever had a part in fitting a model or in choosing its threshold is marked, by the run's own
split.csv; without the run, by the cohort's split column, which may be wrong, so a warning says so.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breastpredict.errors import InputError
from breastpredict.learning.evaluation import Threshold
from breastpredict.learning.site import SitePatient
from breastpredict.study.evaluation.joined import Case, Lost, Scored, ScoredCase
from breastpredict.study.evaluation.told_run import LOCAL, ToldRun

_SHOWN = 5
HELD_OUT = ("validation", "apart")
"""Sets of a training on which nothing is fitted or chosen."""
_UNFITTED = ("validation", "test", "external")

Violations = list[str]
Said = tuple[Mapping[str, Any], Mapping[str, Any]]
"""Task or variant → hash of its weights, and → whether its score is calibrated."""


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
class ResultFiles:
    """What the result.json files of all predicted cases say; the tables alone are enough.

    Attributes:
        results: case key → content of its file.
        weights: task or variant → hashes of the weights.
        calibrated: task or variant → whether the score may be read as a probability.
    """

    results: Mapping[str, Mapping[str, Any]]
    weights: Mapping[str, set[str]]
    calibrated: Mapping[str, set[bool]]


def warn_of_single(rows: Sequence[Mapping[str, str]], warnings: list[str]) -> None:
    """Say how many rows have no patient of the cohort."""
    if single := sum(not row["patient_id"] for row in rows):
        warnings.append(
            f"{single} single case(s) in the results folder have no patient of the cohort and are "
            "left out."
        )


def check_patients(
    rows: Sequence[Mapping[str, str]],
    failures: Sequence[Mapping[str, str]],
    known: Mapping[str, SitePatient],
    violations: Violations,
) -> None:
    """Patients that are not in the cohort, of another one, or there twice; none is named."""
    seen: dict[str, str] = {}
    for table, content in (("predictions.csv", rows), ("failures.csv", failures)):
        for number, row in enumerate(content, start=2):
            place, patient = f"{table} row {number}", row["patient_id"]
            if not patient:
                continue
            if patient not in known:
                violations.append(f"{place}: the patient is not in the cohort table")
            elif row["cohort"] != known[patient].cohort:
                violations.append(f"{place}: is of cohort {row['cohort']!r}, the table says "
                                  f"{known[patient].cohort!r}")  # fmt: skip
            if patient in seen:
                violations.append(f"{place}: the patient stands in {seen[patient]} already")
            seen.setdefault(patient, place)


def shares_of(
    row: Mapping[str, str], names: Sequence[str], place: str, violations: Violations
) -> dict[str, float]:
    """Cells that must be numbers from 0 to 1; NaN where one is not, which is a violation."""
    values = {}
    for name in names:
        try:
            values[name] = float(row[name])
        except ValueError:
            values[name] = math.nan
        if not 0 <= values[name] <= 1:
            violations.append(f"{place}, column {name}: is {row[name]!r}, no number from 0 to 1")
    return values


def read_result_files(
    out: Path,
    rows: Sequence[Mapping[str, str]],
    names: Collection[str],
    said_of: Callable[[Mapping[str, str], Mapping[str, Any]], Said],
    violations: Violations,
) -> ResultFiles:
    """Read the result.json of every predicted case that has one.

    Args:
        out: the results folder.
        rows: of predictions.csv.
        names: tasks or variants that there may be.
        said_of: a row and its file → hash of the weights, and whether the score is calibrated, of
            each task or variant in it; may raise whatever damaged content raises.
        violations: grows by the files that are damaged.
    """
    results: dict[str, Mapping[str, Any]] = {}
    weights: dict[str, set[str]] = {name: set() for name in names}
    calibrated: dict[str, set[bool]] = {name: set() for name in names}
    for number, row in enumerate(rows, start=2):
        path = out / row["case_key"] / "result.json"
        # A key that climbs out of the folder is no key.
        if path.parent.parent != out or not path.is_file():
            continue
        try:
            content = json.loads(path.read_text("utf-8"))
            digests, scaled = said_of(row, content)
            for name, digest in digests.items():
                weights[name].add(str(digest))
            for name, value in scaled.items():
                calibrated[name].add(bool(value))
            results[row["case_key"]] = content
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            violations.append(f"predictions.csv row {number}: its result.json is damaged")
    return ResultFiles(results, weights, calibrated)


def own_threshold(
    title: str,
    values: Collection[str],
    weights: Collection[str],
    block: Mapping[str, Any] | None,
    sets: Mapping[str, str],
    violations: Violations,
) -> Threshold | None:
    """A model's one threshold; predictions of two models are a violation, and there is then none.

    Args:
        title: of the model or task.
        values: the thresholds in predictions.csv.
        weights: the hashes in result.json.
        block: metadata of the bundle, where the run is known.
        sets: patient → set of the training, where it is known.
        violations: grows; where there are any already, there is no threshold.

    Raises:
        InputError: neither a prediction nor a bundle.
    """
    values, weights = set(values), set(weights)
    if len(values) > 1 or len(weights) > 1:
        violations.append(
            f"{title}: the predictions are of more than one model "
            f"({max(len(values), len(weights))} thresholds or weights)"
        )
    if block is not None:
        if weights - {block["weights_sha256"]}:
            violations.append(f"{title}: the predictions are of other weights than RUN")
        elif any(float(value) != float(block["threshold"]) for value in values if value):
            violations.append(f"{title}: the threshold is another than RUN's")
    if violations:
        return None
    if not values and block is None:
        raise InputError("There is no prediction, so nothing to evaluate")
    value = float(next(iter(values), (block or {}).get("threshold", math.nan)))
    source = "the model's own, as predictions.csv has it; chosen on patients not known here"
    if block is not None:
        source = f"the model's own: {block.get('threshold_rule', 'rule not recorded')}"
    chosen_on = frozenset(p for p, name in sets.items() if name not in HELD_OUT)
    return Threshold(value, source, chosen_on)


def is_calibrated(said: Collection[bool], block: Mapping[str, Any] | None) -> bool:
    """Whether every known word says that a score may be read as a probability.

    Args:
        said: by the result.json files.
        block: metadata of the bundle, where the run is known.
    """
    if said:
        return set(said) == {True}
    return (block or {}).get("calibration", {}).get("probability") is True


def is_fitted(case: SitePatient, sets: Mapping[str, str]) -> bool:
    """Whether the model was fitted, or its threshold chosen, on a patient."""
    known = sets.get(case.patient_id)
    if known is not None:
        return known not in HELD_OUT
    # A run's split.csv names all of its patients; without one the table's own word must do.
    return not (set(sets.values()) - {LOCAL}) and case.split not in _UNFITTED


def group_of(case: SitePatient, sets: Mapping[str, str]) -> str:
    """What a case is reported under: its cohort, the training site's own parts apart."""
    if sets.get(case.patient_id) == LOCAL:
        return f"{case.cohort} (recalibrated on)"
    if is_fitted(case, sets):
        return f"{case.cohort} (training)"
    held_out = sets.get(case.patient_id) == "validation" or case.split == "validation"
    return f"{case.cohort} (held out)" if held_out else case.cohort


def warn_of_splits(
    cases: Sequence[SitePatient], sets: Mapping[str, str], warnings: list[str]
) -> None:
    """Say how many patients are marked as unseen and were trained on."""
    if not sets:
        return
    wrong = sum(case.split in ("external", "test") and is_fitted(case, sets) for case in cases)
    if wrong:
        warnings.append(
            f"{wrong} patients are marked external or test, yet the model was trained on them: "
            "they are reported with the training patients."
        )


def run_scores(
    patient: str, told: ToldRun, thresholds: Mapping[str, Threshold]
) -> dict[str, float]:
    """The run's own scores of a patient, where they were cut at the same thresholds."""
    return {
        task: score
        for task, (score, threshold) in told.scores.get(patient, {}).items()
        if task in thresholds and math.isclose(threshold, thresholds[task].value, rel_tol=1e-9)
    }


def lost_case(case: Case, row: Mapping[str, str] | None, out: Path, training: bool) -> Lost[Case]:
    """A patient without a prediction; ``row`` is the one of failures.csv, where there is one."""
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


def scored_and_lost(
    cases: Sequence[Case],
    has_label: Callable[[Case], bool],
    tables: tuple[Sequence[Mapping[str, str]], Sequence[Mapping[str, str]]],
    of_row: Callable[[Case, Mapping[str, str]], Scored],
    of_run: Callable[[Case, str], Scored | None],
    fitted_on: Collection[str],
    out: Path,
) -> tuple[list[Scored], list[Lost[Case]]]:
    """Every case that has a label: with a score, or without one; in the order of the table.

    A prediction counts before the training run's own score, which counts only where predicting was
    not tried.

    Args:
        cases: the cohort table.
        has_label: whether a case has one.
        tables: rows of predictions.csv and of failures.csv.
        of_row: a case and its row of predictions.csv → what is evaluated.
        of_run: a case and a key of its row in the cohort table → what is evaluated by the training
            run's own score; None where it has none.
        fitted_on: patients the model was fitted on or its thresholds chosen with.
        out: the results folder.
    """
    predicted, failed = (
        {row["patient_id"]: row for row in rows if row["patient_id"]} for rows in tables
    )
    scored: list[Scored] = []
    lost: list[Lost[Case]] = []
    for number, case in enumerate(cases, start=2):
        if not has_label(case):
            continue
        patient = case.patient_id
        if patient in predicted:
            scored.append(of_row(case, predicted[patient]))
        elif patient not in failed and (kept := of_run(case, f"row-{number}")) is not None:
            scored.append(kept)
        else:
            lost.append(lost_case(case, failed.get(patient), out, patient in fitted_on))
    return scored, lost


def is_synthetic(rows: Sequence[Mapping[str, str]], told: ToldRun) -> bool:
    """Whether predictions.csv or the run say that the model was trained on phantoms."""
    return any(row["synthetic"] == "1" for row in rows) or any(
        bool(block.get("synthetic")) for block in told.blocks.values()
    )


def check_somebody_unseen(
    scored: Sequence[ScoredCase[Any]], told: ToldRun, run_named: bool, out: Path
) -> None:
    """Raise InputError where every scored patient was seen by the model."""
    if any(not one.training for one in scored):
        return
    raise InputError(
        "Nobody is left to evaluate: every prediction is of a patient that the model was "
        "fitted on" + ("" if told.sets else ", as far as the split column says"),
        path=out,
        remedy="Predict patients marked external or test"
        + ("" if run_named else ", or name the training run with --model"),
    )


def flow_counts(
    cases: Sequence[Case],
    unlabelled: tuple[str, Sequence[Case]],
    scored: Sequence[ScoredCase[Any]],
    lost: Sequence[Lost[Case]],
    class_of: Callable[[Any], str],
    classes: Sequence[str],
) -> list[dict[str, Any]]:
    """One row a cohort: where every patient of the table went; the parts add up to the rows.

    Args:
        cases: the cohort table.
        unlabelled: name of the column of cases without a label, and they.
        scored, lost: the others.
        class_of: case → its class.
        classes: every class.
    """
    column, without = unlabelled
    out = []
    for cohort in dict.fromkeys(case.cohort for case in cases):
        kinds = Counter(entry.kind for entry in lost if entry.case.cohort == cohort)
        members = [s for s in scored if s.case.cohort == cohort]
        unseen = Counter(class_of(s.case) for s in members if not s.training)
        out.append(
            {
                "cohort": cohort,
                "patients": sum(case.cohort == cohort for case in cases),
                column: sum(case.cohort == cohort for case in without),
                "refused": kinds["refused"],
                "failed": kinds["failed"],
                "not_predicted": kinds["not predicted"],
                "training": sum(s.training for s in members) + kinds["training"],
                "evaluated": sum(unseen.values()),
                **{f"evaluated_{name}": unseen[name] for name in classes},
            }
        )
    return out
