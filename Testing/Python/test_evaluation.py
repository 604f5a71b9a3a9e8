"""An evaluation's numbers are right, and are of patients that nothing was fitted on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_cohorts import SMALL, Cohort, Site, make_evaluation_cohort
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    cohen_kappa_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)
from sklearn.preprocessing import StandardScaler

from breastpredict.errors import InputError
from breastpredict.her2.cases import LOW_VS_POSITIVE, ZERO_VS_REST
from breastpredict.her2.train_files import write_scores, write_split
from breastpredict.learning.baselines import fit_baseline
from breastpredict.learning.evaluation import (
    MODEL,
    Cases,
    Marker,
    MarkerResult,
    Threshold,
    evaluate_ordered,
    evaluate_task,
)
from breastpredict.learning.examples import BinaryTask
from breastpredict.study.evaluation import JoinError, evaluate_her2, join_her2
from breastpredict.study.evaluation.her2_cases import counts
from breastpredict.study.evaluation.her2_numbers import CLINICAL, SIZE, TRAINED, Her2Numbers

TASK = BinaryTask("task", "yes", "no")


def some_cases(n: int = 120, seed: int = 1, training: int = 40) -> tuple[Cases, np.ndarray]:
    """Two cohorts; the first ``training`` cases were seen by the model."""
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.4
    scores = np.clip(rng.normal(0.35 + 0.3 * labels, 0.2), 0.001, 0.999).round(2)  # with ties
    cases = Cases(
        TASK,
        "A task",
        tuple(f"P{i}" for i in range(n)),
        tuple("A" if i < 80 else "B" for i in range(n)),
        labels,
        np.arange(n) < training,
    )
    return cases, scores


def model(scores: np.ndarray, **given: Any) -> Marker:
    fields = {"threshold": Threshold(0.5, "given"), "probability": True, **given}
    return Marker(MODEL, scores, **fields)


# --- Numbers ---


def test_the_numbers_are_those_of_scikit_learn() -> None:
    cases, scores = some_cases()
    (a, b) = evaluate_task(cases, [model(scores)]).cohorts
    assert (a.cohort, b.cohort) == ("A", "B")
    for result, part in ((a, slice(40, 80)), (b, slice(80, 120))):
        y, s = cases.labels[part], scores[part]
        found = result.markers[0]
        assert (result.n, result.positives) == (40, int(y.sum()))
        assert found.auc is not None and found.metrics is not None and found.roc is not None
        assert found.auc.value == pytest.approx(roc_auc_score(y, s), abs=1e-12)
        assert found.auc.low < found.auc.value < found.auc.high
        said = s >= 0.5
        expected = {
            "accuracy": accuracy_score(y, said),
            "sensitivity": recall_score(y, said),
            "specificity": recall_score(~y, ~said),
            "ppv": precision_score(y, said),
            "npv": precision_score(~y, ~said),
            "f1": f1_score(y, said),
        }
        for name, value in expected.items():
            estimate = getattr(found.metrics, name)
            assert estimate.value == pytest.approx(value, abs=1e-12)
            assert estimate.low <= estimate.value <= estimate.high
        false, true, cuts = roc_curve(y, s, drop_intermediate=False)
        np.testing.assert_allclose(found.roc, (false, true, cuts))
        assert found.calibration is not None and found.decision is not None
        assert found.calibration.brier.value == pytest.approx(brier_score_loss(y, s), abs=1e-12)
        assert found.calibration.counts.sum() == 40 and len(found.calibration.counts) <= 4
        at_half = found.decision.threshold == 0.5
        net = (found.metrics.tp - found.metrics.fp) / 40
        assert found.decision.model[at_half] == pytest.approx(net, abs=1e-12)


def test_the_ordered_view_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 3, 150)
    p = rng.dirichlet([1, 1, 1], 150) + np.eye(3)[truth] * 0.4
    p /= p.sum(axis=1, keepdims=True)
    said = p.argmax(axis=1)
    found = evaluate_ordered("A", ("zero", "low", "positive"), truth, said, p)
    kappa = cohen_kappa_score(truth, said, weights="quadratic")
    area = roc_auc_score(truth, p, multi_class="ovr", average="macro")
    assert found.kappa.value == pytest.approx(kappa, abs=1e-12)
    assert found.macro_auc.value == pytest.approx(area, abs=1e-12)
    assert found.accuracy.value == pytest.approx((truth == said).mean())
    for value in (found.kappa, found.macro_auc, found.accuracy):
        assert value.low < value.value < value.high
    assert found.n == found.confusion.sum() == 150
    assert found.confusion[2, 0] == ((truth == 2) & (said == 0)).sum()


def test_a_number_that_the_cases_do_not_define_is_missing_with_the_reason() -> None:
    p = np.array([[0.2, 0.5, 0.3], [0.3, 0.4, 0.3], [0.1, 0.6, 0.3], [0.3, 0.5, 0.2]])
    found = evaluate_ordered("A", ("zero", "low", "positive"), [0, 1, 0, 1], [1, 1, 1, 1], p)
    assert np.isnan(found.macro_auc.value)
    assert found.macro_auc.warnings == ("There is no case of class positive",)
    assert found.kappa.value == pytest.approx(0, abs=1e-12)
    assert np.isnan(found.kappa.low) and "same class" in found.kappa.warnings[0]


def test_the_band_holds_the_curve_and_narrows_with_more_cases() -> None:
    widths = []
    for n in (100, 1600):
        cases, scores = some_cases(n, training=0)
        found = evaluate_task(replace(cases, cohorts=("A",) * n), [model(scores)]).cohorts[0]
        band, roc = found.markers[0].band, found.markers[0].roc
        assert band is not None and roc is not None
        # Inside the plot; at the ends the empirical curve is a single step.
        here = (band.false_positive_rate > 0.05) & (band.false_positive_rate < 0.6)
        curve = np.interp(band.false_positive_rate, roc[0], roc[1])
        assert (band.low - 1e-9 <= curve)[here].mean() > 0.95
        assert (curve <= band.high + 1e-9)[here].mean() > 0.95
        widths.append(float((band.high - band.low)[here].mean()))
    assert widths[1] < 0.5 * widths[0]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.1, 0.5, 0.9, float("nan")]), st.booleans(),
                  st.sampled_from("AB")),
        min_size=1, max_size=12,
    )
)  # fmt: skip
def test_however_few_the_cases_everybody_is_counted_once_and_nothing_is_made_up(
    rows: list[tuple[bool, float, bool, str]],
) -> None:
    labels, scores, training, cohorts = (list(column) for column in zip(*rows, strict=True))
    cases = Cases(
        TASK,
        "A task",
        tuple(map(str, range(len(rows)))),
        tuple(cohorts),
        np.array(labels),
        np.array(training),
    )
    found = evaluate_task(cases, [model(np.array(scores))])
    assert sum(c.n for c in found.cohorts) == training.count(False)
    assert sum(c.n for c in found.training) == training.count(True)
    for cohort in (*found.cohorts, *found.training):
        result = cohort.markers[0]
        if 0 < result.positives < result.n:
            assert result.auc is not None and 0 <= result.auc.low <= result.auc.high <= 1
        else:
            assert result.auc is None and result.metrics is None and "no number" in result.note
        assert cohort.warnings  # so few cases always carry one


def test_a_baseline_is_tested_against_the_model_on_patients_who_have_both() -> None:
    cases, scores = some_cases()
    rival = scores.copy()
    rival[85:90] = np.nan
    result = evaluate_task(cases, [model(scores), Marker("Rival", rival, None)]).cohorts[1]
    found = result.markers[1]
    assert found.n == 35 and "no score for 5 of 40 cases" in found.note
    assert found.metrics is None  # it has no threshold of its own, and gets none
    assert found.against_model is not None
    assert (found.against_model.difference, found.against_model.p_value) == (0.0, 1.0)


# --- Leakage through the public interface ---


def test_a_marker_fitted_on_a_patient_it_is_judged_on_is_refused() -> None:
    cases, scores = some_cases()
    evaluate_task(cases, [model(scores, fitted_on=frozenset(cases.patients[:40]))])
    with pytest.raises(InputError, match="fitted on 1 of the patients"):
        evaluate_task(cases, [model(scores, fitted_on=frozenset(cases.patients[:41]))])
    leaky = Marker("Rival", scores, None, frozenset({"P100"}))
    with pytest.raises(InputError, match="Rival was fitted on 1"):
        evaluate_task(cases, [model(scores), leaky])


def test_a_threshold_chosen_on_test_patients_cannot_come_in() -> None:
    cases, scores = some_cases()
    seen = Threshold(0.5, "Youden", frozenset(cases.patients[:40]))
    evaluate_task(cases, [model(scores, threshold=seen)])
    for marker in (MODEL, "Rival"):
        leaky = Threshold(0.5, "Youden", frozenset(cases.patients[38:42]))
        markers = [model(scores, threshold=leaky if marker == MODEL else seen)]
        if marker != MODEL:
            markers.append(Marker(marker, scores, leaky))
        with pytest.raises(InputError, match=f"threshold of {marker} was chosen on 2"):
            evaluate_task(cases, markers)


def test_training_patients_never_change_the_headline() -> None:
    cases, scores = some_cases()
    before = evaluate_task(cases, [model(scores)])
    changed = scores.copy()
    changed[:40] = cases.labels[:40]  # as good as it gets
    after = evaluate_task(cases, [model(changed)])
    for old, new in zip(before.cohorts, after.cohorts, strict=True):
        assert old.markers[0].auc == new.markers[0].auc
        assert old.markers[0].metrics == new.markers[0].metrics
    assert [c.n for c in after.training] == [40]
    assert after.training[0].markers[0].auc != before.training[0].markers[0].auc


# --- Baselines ---


def clinical_rows(n: int, seed: int) -> tuple[list[dict[str, str]], np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.5
    rows = [
        {
            "age": "NA" if rng.random() < 0.1 else str(int(rng.normal(50 + 8 * y, 10))),
            "er": str(rng.choice(["+", "-"], p=(0.8, 0.2) if y else (0.4, 0.6))),
            "histology": str(rng.choice(["IDC", "ILC", "other"], p=(0.7, 0.25, 0.05))),
            "constant": "7",
        }
        for y in labels
    ]
    return rows, labels


def test_the_clinical_baseline_is_scikit_learns_ridge_on_the_same_columns() -> None:
    rows, labels = clinical_rows(200, 3)
    fitted = fit_baseline(rows, labels, ["age", "er", "histology", "constant"])
    assert fitted.columns == ("age", "er", "histology")
    assert fitted.dropped == {"constant": "the same for every training patient"}
    known = [float(row["age"]) for row in rows if row["age"] != "NA"]

    def numbers(rows: list[dict[str, str]]) -> np.ndarray:
        return np.array(
            [
                [
                    np.median(known) if row["age"] == "NA" else float(row["age"]),
                    row["age"] == "NA",
                    row["er"] != often(row_of="er"),
                    row["histology"] == "ILC",
                    *([row["histology"] == "other"] if others else []),
                ]
                for row in rows
            ],
            float,
        )

    def often(row_of: str) -> str:
        cells = [row[row_of] for row in rows]
        return max(set(cells), key=cells.count)

    others = sum(row["histology"] == "other" for row in rows) > 0
    scaler = StandardScaler().fit(numbers(rows))
    theirs = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000)
    theirs.fit(scaler.transform(numbers(rows)), labels)
    new, _ = clinical_rows(50, 4)
    expected = theirs.predict_proba(scaler.transform(numbers(new)))[:, 1]
    np.testing.assert_allclose(fitted.probability(new), expected, atol=1e-4)


def test_a_baseline_takes_what_it_does_not_know_without_guessing_from_test_rows() -> None:
    rows, labels = clinical_rows(200, 3)
    fitted = fit_baseline(rows, labels, ["age", "er", "histology"])
    odd = [{"age": "", "er": "unheard of", "histology": "NA"}, {}]
    alone = [fitted.probability([row])[0] for row in odd]
    together = fitted.probability([*odd, *rows])
    np.testing.assert_allclose(together[:2], alone, rtol=1e-12)  # nor on its neighbours
    assert np.isfinite(together).all()


@pytest.mark.parametrize(
    ("rows", "labels", "columns", "says"),
    [
        ([{"age": "5"}] * 12, [1] * 9 + [0] * 3, ["age"], "9 positive and 3 negative"),
        ([{"age": "5"}] * 12, [1, 0] * 6, ["age"], "No column says anything"),
        ([{"age": ""}] * 12, [1, 0] * 6, ["age"], "No column says anything"),
    ],
)
def test_a_baseline_that_cannot_be_fitted_is_an_error_and_no_number(
    rows: list[dict[str, str]], labels: list[int], columns: list[str], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        fit_baseline(rows, labels, columns)


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
