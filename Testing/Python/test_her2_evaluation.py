"""A HER2 cohort joined with its predictions: who is judged, with what, and what does not fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation_cohorts import SMALL, Cohort, Site, make_evaluation_cohort
from sklearn.metrics import (
    roc_auc_score,
)

from breastpredict.errors import InputError
from breastpredict.her2.cases import LOW_VS_POSITIVE, ZERO_VS_REST
from breastpredict.her2.train_files import write_scores, write_split
from breastpredict.learning.evaluation import (
    MODEL,
    MarkerResult,
)
from breastpredict.study.evaluation import JoinError, evaluate_her2, join_her2
from breastpredict.study.evaluation.her2_cases import counts
from breastpredict.study.evaluation.her2_numbers import CLINICAL, SIZE, TRAINED, Her2Numbers

# --- A HER2 cohort and its predictions ---


@pytest.fixture
def small(tmp_path: Path) -> Cohort:
    return make_evaluation_cohort(
        tmp_path / "small",
        [*SMALL[:2], Site("SITE-B", 60)],
        lost={"refused": 2, "failed": 1, "missing": 1, "indeterminate": 3},
    )


def headline(numbers: Her2Numbers, task: int, cohort: str, marker: str = MODEL) -> MarkerResult:
    found = next(c for c in numbers.tasks[task].evaluation.cohorts if c.cohort == cohort)
    return next(m for m in found.markers if m.marker == marker)


def test_everybody_of_the_table_is_somewhere(small: Cohort) -> None:
    joined = join_her2(small.table, small.predictions)
    a, b = counts(joined)
    assert (a["patients"], a["training"], a["evaluated"]) == (50, 40, 10)
    assert (b["patients"], b["indeterminate"], b["refused"], b["failed"], b["not_predicted"]) == (
        60, 3, 2, 1, 1,
    )  # fmt: skip
    assert b["evaluated"] == 53 == sum(b[f"evaluated_{c}"] for c in ("zero", "low", "positive"))
    assert {entry.stage for entry in joined.lost if entry.kind == "refused"} == {"gate spacing"}
    assert any("--model" in line for line in joined.warnings)


def test_both_tasks_are_judged_on_their_own_patients(small: Cohort) -> None:
    numbers = evaluate_her2(join_her2(small.table, small.predictions))
    stain = {row["patient_id"]: row["ihc"] for row in small.rows}
    split = {row["patient_id"]: (row["cohort"], row["ish"]) for row in small.rows}
    rows = [r for r in small.predicted if split[r["patient_id"]][0] == "SITE-B"
            and stain[r["patient_id"]] != "2+"]  # fmt: skip
    truth = np.array([stain[r["patient_id"]] for r in rows])
    first = np.array([float(r["task1_score"]) for r in rows])
    second = np.array([float(r["task2_score"]) for r in rows])
    found = headline(numbers, 0, "SITE-B")
    assert found.auc is not None and found.threshold is not None
    assert found.auc.value == pytest.approx(roc_auc_score(truth != "0", first))
    assert found.threshold.value == 0.55
    staged = truth != "0"
    found = headline(numbers, 1, "SITE-B")
    assert found.auc is not None
    assert found.auc.value == pytest.approx(roc_auc_score(truth[staged] == "1+", second[staged]))
    assert found.n == staged.sum()
    assert {o.cohort: o.n for o in numbers.ordered} == {"SITE-A (held out)": 10, "SITE-B": 53}
    assert set(numbers.tasks[0].evaluation.subgroups) == {"Age", "Menopause", "Vendor"}
    total = sum(row.n for row in numbers.tasks[0].evaluation.subgroups["Menopause"])
    assert total == 63


def test_the_clinical_baseline_knows_nothing_of_the_patients_it_is_judged_on(
    small: Cohort,
) -> None:
    before = evaluate_her2(join_her2(small.table, small.predictions))
    fitted = before.tasks[0].baseline
    assert fitted is not None and fitted.rows == 40
    training = {row["patient_id"] for row in small.rows if row["split"] == "train"}
    for number, row in enumerate(small.rows):  # the test patients become quite different ones
        if row["patient_id"] not in training:
            row |= {"age": 25 + number % 60, "er": "-", "ki67": number % 90, "grade": "3"}
            if row["ihc"] in ("0", "3+"):
                row["ihc"] = {"0": "3+", "3+": "0"}[row["ihc"]]
    small.write()
    after = evaluate_her2(join_her2(small.table, small.predictions)).tasks[0].baseline
    assert after is not None
    assert after.coefficients == fitted.coefficients and after.threshold == fitted.threshold
    assert after.handling == fitted.handling
    for row in small.rows:  # and of the training patients it knows
        if row["patient_id"] in training:
            row["er"] = "+" if row["ihc"] == "0" else "-"
    small.write()
    changed = evaluate_her2(join_her2(small.table, small.predictions)).tasks[0].baseline
    assert changed is not None and changed.coefficients != fitted.coefficients


def test_a_baseline_fitted_on_everything_is_refused(small: Cohort) -> None:
    joined = join_her2(small.table, small.predictions)
    everybody = frozenset(case.patient_id for case in joined.cases)
    with pytest.raises(InputError, match="was fitted on 63 of the patients"):
        evaluate_her2(replace(joined, fitted_on=everybody))


def test_without_training_rows_the_reason_stands_in_place_of_a_number(tmp_path: Path) -> None:
    cohort = make_evaluation_cohort(tmp_path, [Site("SITE-B", 40)])
    numbers = evaluate_her2(join_her2(cohort.table, cohort.predictions))
    clinical = headline(numbers, 0, "SITE-B", CLINICAL)
    assert clinical.auc is None and "no training rows" in clinical.note
    size = headline(numbers, 1, "SITE-B", SIZE)
    assert size.auc is not None and size.metrics is None
    assert "smaller pointing to HER2-low" in size.note  # fixed beforehand, not chosen here


def test_the_size_baseline_is_fitted_where_training_patients_were_predicted(
    tmp_path: Path,
) -> None:
    cohort = make_evaluation_cohort(
        tmp_path, [Site("SITE-A", 60, "train"), Site("SITE-B", 40)], calibrated=False
    )
    numbers = evaluate_her2(join_her2(cohort.table, cohort.predictions))
    size = headline(numbers, 0, "SITE-B", SIZE)
    assert size.metrics is not None and "fitted on 60 training patients" in size.note
    assert [c.n for c in numbers.tasks[0].evaluation.training] == [60]
    assert [c.cohort for c in numbers.tasks[0].evaluation.cohorts] == ["SITE-B"]
    assert not numbers.tasks[0].probability
    assert headline(numbers, 0, "SITE-B").calibration is None


@pytest.mark.parametrize("column", ["ihc", "os_event", "patient_id", "nowhere"])
def test_no_label_or_outcome_can_be_a_clinical_variable(small: Cohort, column: str) -> None:
    with pytest.raises(InputError, match=column):
        evaluate_her2(join_her2(small.table, small.predictions), ["age", column])


# --- With the training run ---


def run_of(
    tiny_run: Path, folder: Path, sets: Mapping[str, str], score: Callable[[int], float]
) -> Path:
    """The run with a split, and scores that its final models gave these patients."""
    run = Path(shutil.copytree(tiny_run, folder / "run"))
    write_split(run, [{"patient_id": p, "cohort": "SITE-A", "her2": "low", "set": s}
                      for p, s in sets.items()])  # fmt: skip
    rows = [
        {
            "task": task, "points_to": "low", "patient_id": patient, "set": name,
            "out_of_sample": int(name != "train"), "her2": "low", "label": 1,
            "score": score(number), "threshold": 0.4, "above": 1, "fold": "",
        }
        for task in (ZERO_VS_REST, LOW_VS_POSITIVE)
        for number, (patient, name) in enumerate(sets.items())
    ]  # fmt: skip
    folds = [{**row, "set": "out-of-fold", "score": 1 - row["score"], "fold": 1} for row in rows]
    write_scores(run, [*rows, *folds])
    return run


@pytest.fixture
def with_run(tiny_run: Path, tmp_path: Path) -> tuple[Cohort, Path]:
    """Training patients that nobody predicted, and an external site."""
    sites = [Site("SITE-A", 60, "", False), Site("SITE-B", 40)]
    cohort = make_evaluation_cohort(
        tmp_path / "cohort", sites, results=0, thresholds=(0.4, 0.4), calibrated=False
    )
    sets = ("train", "train", "train", "tuning", "validation")
    patients = [row["patient_id"] for row in cohort.rows if row["cohort"] == "SITE-A"]
    split = {patient: sets[i % 5] for i, patient in enumerate(patients)}
    return cohort, run_of(tiny_run, tmp_path, split, lambda i: (i % 17) / 17)


def test_the_run_says_whom_the_model_has_seen(with_run: tuple[Cohort, Path]) -> None:
    cohort, run = with_run
    joined = join_her2(cohort.table, cohort.predictions, run)
    assert not joined.warnings
    numbers = evaluate_her2(joined)
    evaluation = numbers.tasks[0].evaluation
    assert {c.cohort: c.n for c in evaluation.cohorts} == {"SITE-A (held out)": 12, "SITE-B": 40}
    assert {c.cohort: c.n for c in evaluation.training} == {"SITE-A (training)": 48}
    assert joined.thresholds[ZERO_VS_REST].source.startswith("the model's own")
    assert len(joined.thresholds[ZERO_VS_REST].chosen_on) == 48
    folds = numbers.tasks[0].out_of_fold
    assert folds is not None and folds.n == 60 and folds.markers[0].metrics is None


def test_a_held_out_patient_whose_prediction_failed_is_lost_whatever_the_run_scored(
    with_run: tuple[Cohort, Path],
) -> None:
    cohort, run = with_run
    before = join_her2(cohort.table, cohort.predictions, run)
    patient = next(s.case.patient_id for s in before.scored if s.group == "SITE-A (held out)")
    cohort.failures.append({"patient_id": patient, "case_key": "f" * 16, "cohort": "SITE-A",
                            "stage": "input", "reason": "damaged"})  # fmt: skip
    cohort.write()
    after = join_her2(cohort.table, cohort.predictions, run)
    (lost,) = after.lost
    assert lost.case.patient_id == patient and lost.kind == "failed"
    assert len(after.scored) == len(before.scored) - 1


def test_a_training_patient_marked_external_is_reported_with_the_training(
    with_run: tuple[Cohort, Path],
) -> None:
    cohort, run = with_run
    before = join_her2(cohort.table, cohort.predictions, run)
    leaked = [row["patient_id"] for row in cohort.rows if row["cohort"] == "SITE-B"][:7]
    split = run / "split.csv"
    split.write_text(split.read_text() + "".join(f"{p},SITE-B,low,train\n" for p in leaked))
    after = join_her2(cohort.table, cohort.predictions, run)
    assert any("7 patients are marked external" in line for line in after.warnings)
    unseen = {s.case.patient_id for s in after.scored if not s.training}
    assert unseen == {s.case.patient_id for s in before.scored if not s.training} - set(leaked)
    names = {c.cohort: c.n for c in evaluate_her2(after).tasks[0].evaluation.training}
    assert names["SITE-B (training)"] == 7


def test_patients_of_a_recalibration_no_longer_judge_it_and_both_cuts_are_shown(
    with_run: tuple[Cohort, Path],
) -> None:
    cohort, run = with_run
    local = [row["patient_id"] for row in cohort.rows if row["cohort"] == "SITE-B"][:15]
    (run / "local_validation.csv").write_text(
        "patient_id,cohort,her2\n" + "".join(f"{p},SITE-B,low\n" for p in local)
    )
    for path in run.glob("*/configs/metadata.json"):
        content = json.loads(path.read_text())
        block = content["breastpredict"]
        block["recalibration"] = {
            "site": "SITE-B", "method": "all", "slope": 2.0, "intercept": 0.5,
        }  # fmt: skip
        block["local_validation"] = {"trained_threshold": 0.3}
        path.write_text(json.dumps(content))
    numbers = evaluate_her2(join_her2(cohort.table, cohort.predictions, run))
    assert {c.cohort: c.n for c in numbers.tasks[0].evaluation.training} == {
        "SITE-A (training)": 48, "SITE-B (recalibrated on)": 15,
    }  # fmt: skip
    now, before = (headline(numbers, 0, "SITE-B", name) for name in (MODEL, TRAINED))
    assert now.n == before.n == 25 and now.auc == before.auc
    cut = 1 / (1 + np.exp(-(2 * np.log(0.3 / 0.7) + 0.5)))
    assert before.threshold is not None and before.threshold.value == pytest.approx(cut)
    own = {r["patient_id"]: float(r["task1_score"]) for r in cohort.predicted}
    said = [own[p] >= cut for p in own if p not in local]
    assert before.metrics is not None and before.metrics.tp + before.metrics.fp == sum(said)


def test_predictions_of_another_model_are_refused(
    with_run: tuple[Cohort, Path], small: Cohort
) -> None:
    cohort, run = with_run
    with pytest.raises(JoinError, match="of other weights than RUN"):
        join_her2(small.table, small.predictions, run)
    for row in cohort.predicted:
        row["task2_threshold"] = "0.41"
    cohort.write()
    with pytest.raises(JoinError, match="the threshold is another than RUN's"):
        join_her2(cohort.table, cohort.predictions, run)


# --- What does not fit together ---


def test_every_violation_is_told_at_once_without_naming_a_patient(small: Cohort) -> None:
    rows = small.predicted
    rows[0]["patient_id"] = "MRN-99999"
    rows[1]["task1_score"] = "1.5"
    rows[2]["cohort"] = "SITE-Z"
    rows[3]["p_zero"] = "0.9999"
    rows[4]["predicted_class"] = "maybe"
    rows[5]["task2_points_to"] = "positive"
    rows[6]["task1_threshold"] = "0.6"
    small.failures[0]["patient_id"] = rows[7]["patient_id"]
    small.failures[0]["cohort"] = rows[7]["cohort"]
    small.write()
    with pytest.raises(JoinError) as raised:
        join_her2(small.table, small.predictions)
    text = "\n".join(raised.value.violations)
    for says in ("row 2: the patient is not in the cohort table", "row 3, column task1_score",
                 "row 4: is of cohort 'SITE-Z'", "row 5: the class probabilities sum to",
                 "row 6, column predicted_class", "row 7, column task2_points_to",
                 "Task 1: HER2-zero or not: the predictions are of more than one model",
                 "failures.csv row 2: the patient stands in predictions.csv row 9"):  # fmt: skip
        assert says in text, says
    assert "MRN" not in text and len(str(raised.value).splitlines()) == 1


def test_nobody_unseen_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    cohort = make_evaluation_cohort(tmp_path, [Site("SITE-A", 20, "")])
    with pytest.raises(InputError, match="Nobody is left to evaluate"):
        join_her2(cohort.table, cohort.predictions)


def test_a_folder_without_predictions_is_an_error_and_stays_as_it_was(
    small: Cohort, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no predictions"):
        join_her2(small.table, tmp_path / "empty")
    assert not list((tmp_path / "empty").iterdir())
